"""An OpenAI-compatible server on local engines. FastAPI and uvicorn are imported when it is started."""

from aegir_dspy.adapters.openai_server.host import Host
from aegir_dspy.adapters.openai_server.limits import Limits
from aegir_dspy.adapters.openai_server.start import create_app, serve

__all__ = ["Host", "Limits", "create_app", "serve"]
