"""Tasks that remember how they ended: LangGraph's functional `task` as the `Start` of an `Execution`.

Within a node every call of a `task` is counted, and its result is kept with the checkpoint the node runs
from. After a crash the node runs again; the calls that had ended give what they gave, their bodies are not
run. Two things make that safe here: `Execution` starts tasks in the same order every time, and the name of a
call holds a hash of its task, so what was kept for one task is never taken for another.
"""

from __future__ import annotations

import hashlib
from typing import Any

from langgraph.func import task as remembered

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.artifacts import Artifacts
from aegir_dspy.orchestrator.execution import Body, Start
from aegir_dspy.orchestrator.outcome import Outcome
from aegir_dspy.orchestrator.task import Task

__all__ = ["durable"]


def durable(artifacts: Artifacts) -> Start:
    """A `Start` for an `Execution` inside a node of a graph with a checkpointer.

    Args:
        artifacts: where values are kept; a task whose value is lost or damaged is done again.
    """

    async def start(task: Task, body: Body) -> Outcome:
        made: Outcome | None = None

        async def perform() -> dict[str, Any]:
            nonlocal made
            made = await body()
            return made.to_json()

        perform.__name__ = _name(task)
        kept = await remembered(perform)()
        return made or _whole(task, kept, artifacts) or await body()

    return start


def _name(task: Task) -> str:
    return f"task-{hashlib.sha256(repr(task).encode()).hexdigest()[:16]}"


def _whole(task: Task, kept: Any, artifacts: Artifacts) -> Outcome | None:
    """The outcome that was kept; None where it is none of this task, or its value is lost."""
    try:
        outcome = Outcome.from_json(kept)
        if outcome.artifact is not None:
            artifacts.get(task.kind, outcome.artifact)
    except (TypeError, KeyError, AttributeError, InputError):
        return None
    return outcome if outcome.task == task.id else None
