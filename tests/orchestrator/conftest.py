"""Agents that do what a test says, and a run of some tasks by them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from aegir_dspy.orchestrator.agent import Agent, Job, Work
from aegir_dspy.orchestrator.artifacts import MemoryArtifacts
from aegir_dspy.orchestrator.decision import Replanner
from aegir_dspy.orchestrator.execution import Event, Execution, Limits, Run
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.strategies import Rules
from aegir_dspy.orchestrator.task import Task, TaskGraph


class ScriptedAgent:
    """Does what a function of the job says; counts how often it was asked for which task."""

    def __init__(
        self,
        name: str,
        do: Callable[[Job], Any] = lambda job: job.task.id,
        skills: Iterable[str] = ("do",),
        slots: int = 4,
    ) -> None:
        self.name, self.skills, self.slots, self.do = name, frozenset(skills), slots, do
        self.asked: list[Task] = []
        self.now = self.most = 0

    async def perform(self, job: Job) -> Work:
        self.asked.append(job.task)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            said = self.do(job)
            if inspect.isawaitable(said):
                said = await said
            return said if isinstance(said, Work) else Work(said)
        finally:
            self.now -= 1


class Ran:
    """A run with what it made and what was told about it."""

    def __init__(self, run: Run, artifacts: MemoryArtifacts, events: Sequence[Event]) -> None:
        self.run, self.events = run, events
        self.values = {
            name: artifacts.get(run.graph[name].kind, one.artifact)
            for name, one in run.outcomes.items()
            if one.artifact is not None
        }


def run_tasks(
    tasks: Sequence[Task],
    agents: Sequence[Agent],
    replanner: Replanner | None = None,
    limits: Limits | None = None,
    most: int = 300,
    seconds: float = 60,
    **roster: Any,
) -> Ran:
    """Run the tasks; a run that hangs fails after `seconds`."""
    events: list[Event] = []
    artifacts = MemoryArtifacts()

    async def go() -> Run:
        execution = Execution(
            TaskGraph(tasks),
            Roster(agents, most, **roster),
            artifacts,
            replanner or RuleReplanner(Rules(first_wait=0.01)),
            limits,
            events.append,
        )
        return await asyncio.wait_for(execution.run(), seconds)

    return Ran(asyncio.run(go()), artifacts, events)


@pytest.fixture(scope="session")
def agent_of() -> type[ScriptedAgent]:
    return ScriptedAgent


@pytest.fixture(scope="session")
def run() -> Callable[..., Ran]:
    return run_tasks
