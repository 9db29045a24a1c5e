"""Does a run again, in a folder of its own, with nothing but the local swarm."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from aegir_dspy.orchestrator.outcome import Outcome

if TYPE_CHECKING:
    from aegir_dspy.orchestrator.artifacts import FolderArtifacts
    from aegir_dspy.orchestrator.execution import Start
    from aegir_dspy.orchestrator.task import Task
    from aegir_dspy.orchestrator.traced_run import Difference, TracedRun

__all__ = ["replayed"]


def replayed(run: Path, traced: TracedRun) -> Sequence[Difference]:
    """What differs when the run is done again: same data, settings and weights, every choice the likeliest.

    What remote models made is taken from the run's artifacts: they are not asked again.

    Raises:
        InputError: the data, the settings or the weights are not the run's any more.
    """
    from aegir_dspy.adapters.langgraph_app.folder import RunFolder, RunSettings
    from aegir_dspy.adapters.langgraph_app.swarm_application import SwarmApplication
    from aegir_dspy.orchestrator.artifacts import FolderArtifacts
    from aegir_dspy.orchestrator.table_swarm import SwarmConfig, TableSwarm
    from aegir_dspy.orchestrator.traced_run import differences

    folder = RunFolder(run.absolute())
    begun = folder.settings()
    with chdir(begun.where), tempfile.TemporaryDirectory(prefix="aegir-replay-") as scratch:
        swarm = TableSwarm(SwarmConfig(**begun.settings))
        folder.check(RunSettings.of(begun.data, begun.settings, swarm.identity()))
        application = SwarmApplication(swarm)
        kept = FolderArtifacts(folder.artifacts, application.types)
        made = FolderArtifacts(Path(scratch), application.types)
        plan = application.plan(begun.data)
        start = _recorded(traced, kept, made)
        again = asyncio.run(application.run(plan, made, start, lambda event: None))
        return differences(traced, again.outcomes)


def _recorded(traced: TracedRun, kept: FolderArtifacts, made: FolderArtifacts) -> Start:
    """A start that does every task but those that remote models did."""

    async def start(task: Task, body: Callable[[], Awaitable[Outcome]]) -> Outcome:
        was = traced.tasks.get(task.id)
        if was is None or was.artifact is None or was.agents[-1] not in traced.providers:
            return await body()
        made.put(task.kind, kept.get(task.kind, was.artifact))
        return Outcome(task.id, was.agents[-1], was.artifact)

    return start
