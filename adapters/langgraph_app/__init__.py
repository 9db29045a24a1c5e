"""The orchestrator as a LangGraph graph: durable, streamed, reviewed, deployed, a member of other swarms.

Names load on first use: a run in a folder needs no more than its parts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegir_dspy.adapters.langgraph_app.factory import make_graph, swarm_graph

__all__ = ["make_graph", "swarm_graph"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("aegir_dspy.adapters.langgraph_app.factory"), name)
