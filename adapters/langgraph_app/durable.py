"""Tasks that remember how they ended: LangGraph's functional `task` as the `Start` of an `Execution`.

Within a node every call of a `task` is counted, and its result is kept with the checkpoint the node runs
from. After a crash the node runs again; the calls that had ended give what they gave, their bodies are not
run. Two things make that safe here: `Execution` starts tasks in the same order every time, and the name of a
call holds a hash of its task, so what was kept for one task is never taken for another.
"""

from __future__ import annotations

import hashlib
import json
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
        ran = False

        async def perform() -> dict[str, Any]:
            nonlocal ran
            ran = True
            return (await body()).to_json()

        perform.__name__ = _name(task)
        outcome = Outcome.from_json(await remembered(perform)())
        return outcome if ran or _whole(task, outcome, artifacts) else await body()

    return start


def _name(task: Task) -> str:
    said = json.dumps(task.to_json(), sort_keys=True, separators=(",", ":"))
    return f"task-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _whole(task: Task, outcome: Outcome, artifacts: Artifacts) -> bool:
    if outcome.artifact is None:
        return True
    try:
        artifacts.get(task.kind, outcome.artifact)
    except InputError:
        return False
    return True
