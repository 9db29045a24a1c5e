"""Does a run again, in a folder of its own, with nothing but the local swarm."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from aegir_dspy.orchestrator.agent import Job, TaskError, Work

if TYPE_CHECKING:
    from aegir_dspy.orchestrator.artifacts import FolderArtifacts
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
    from aegir_dspy.orchestrator.execution import at_once
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
        if any(task.kind == "consult" for task in traced.tasks.values()):
            swarm.orchestrator.agents = (_Recorded(traced, kept),)
        plan = application.plan(begun.data)
        again = asyncio.run(application.run(plan, made, at_once, lambda event: None))
        return differences(traced, again.outcomes)


class _Recorded:
    """Says what the remote models that were consulted said."""

    name, skills, slots = "record", frozenset({"consult"}), 300

    def __init__(self, traced: TracedRun, kept: FolderArtifacts) -> None:
        self._traced, self._kept = traced, kept

    async def perform(self, job: Job) -> Work:
        was = self._traced.tasks.get(job.task.id)
        if was is None or was.artifact is None:
            raise TaskError("provider_down", "expected what was said then, found nothing", permanent=True)
        return Work(self._kept.get(job.task.kind, was.artifact), steps=0, agents=0)
