"""How a server is started; FastAPI and uvicorn are imported here, when it is."""

from __future__ import annotations

import gc
from typing import Any

from aegir_dspy.adapters.openai_server.host import Host
from aegir_dspy.adapters.openai_server.origin import is_loopback
from aegir_dspy.errors import InputError, PrerequisiteError

__all__ = ["create_app", "serve"]

_KEEP_ALIVE = 75  # seconds; clients give up idle connections after 5, and the server must not do so just then


def create_app(host: Host, *, api_key: str | None = None, local: bool = False) -> Any:
    """The ASGI application; every request but ``/health`` needs the key, if there is one.

    Args:
        host: what it serves.
        api_key: that clients have to send; None for none.
        local: whether only requests that name this machine as Host and Origin are answered: what a server
            on loopback without a key needs, because browsers can be made to send it others.

    Raises:
        PrerequisiteError: FastAPI is not installed.
    """
    try:
        from aegir_dspy.adapters.openai_server.app import application
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return application(host, api_key, local)


def serve(host: Host, *, address: str = "127.0.0.1", port: int = 8000, api_key: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM; what is being answered then is finished (30 s at most).

    Raises:
        InputError: another address than loopback without a key.
        PrerequisiteError: FastAPI or uvicorn is not installed.
    """
    if not api_key and not is_loopback(address):
        raise InputError(
            f"expected an API key to serve at {address}, found none: give --api-key or AEGIR_API_KEY, or "
            "serve at 127.0.0.1"
        )
    app = create_app(host, api_key=api_key, local=not api_key)
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    # What is there now stays: full collections need not look at it, so they come often, and the cycles that
    # broken connections leave do not pile up until then.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        ws="none",
        host=address,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=30,
        timeout_keep_alive=_KEEP_ALIVE,
    )


def _missing(error: ModuleNotFoundError) -> PrerequisiteError:
    return PrerequisiteError(
        f"serving needs FastAPI and uvicorn, found no {error.name}: pip install 'aegir-dspy[serve]'"
    )
