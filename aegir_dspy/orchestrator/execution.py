"""Runs a graph of tasks: each as soon as what it needs is there, on an agent that has its skill.

There are no waves: the wall time of a run follows its critical path. Every task ends, done or as a failure
with its reasons; one that cannot be done takes those that need it with it, and nothing else.

How a task is started is left open (`Start`): at once, or through something durable that remembers how tasks
ended and, after a crash, gives the outcomes of those that had (`aegir_dspy.adapters.langgraph_app`). Tasks
are started in the graph's order and parts of a task in theirs, so what is durable may count them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from aegir_dspy.errors import FailureRecord, InputError, RunError
from aegir_dspy.orchestrator.agent import Agent, Job, TaskError, Work
from aegir_dspy.orchestrator.artifacts import Artifacts
from aegir_dspy.orchestrator.decision import Decision, Decompose, GiveUp, Replanner
from aegir_dspy.orchestrator.failure import failure_of
from aegir_dspy.orchestrator.outcome import Outcome, Usage, usage_of
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.task import Task, TaskGraph

__all__ = ["Event", "Execution", "Limits", "Run", "Start", "at_once"]

Body = Callable[[], Awaitable[Outcome]]
Start = Callable[[Task, Body], Awaitable[Outcome]]


async def at_once(task: Task, body: Body) -> Outcome:
    """Do the task, keep nothing."""
    return await body()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take; None for no limit.

    When something is spent, tasks that would take more of it are not started. Those that need no model still
    are, until the time is over: a run that is cut short has a result.

    Attributes:
        critical_steps: steps on the longest path. tokens, cost: in all. seconds: wall time.
    """

    critical_steps: int | None = None
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run.

    kind: ``started`` (an attempt), ``failed`` (an attempt), ``decided`` (what is done about that), ``ended``.
    """

    kind: str
    task: Task
    agent: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """How a graph of tasks went. outcomes: by task, in the graph's order."""

    graph: TaskGraph
    outcomes: Mapping[str, Outcome]
    usage: Usage

    @property
    def failures(self) -> tuple[FailureRecord, ...]:
        """Of the tasks that could not be done, the last record of each says why."""
        return tuple(one for outcome in self.outcomes.values() if not outcome.ok for one in outcome.failures)

    @property
    def recovered(self) -> tuple[FailureRecord, ...]:
        """Attempts that failed of tasks that were done in the end."""
        return tuple(one for outcome in self.outcomes.values() if outcome.ok for one in outcome.failures)


class Execution:
    """One run of one graph.

    Args:
        graph: what is to be done.
        roster: the agents.
        artifacts: where values are kept.
        replanner: decides about failures.
        limits: what the run may take.
        on_event: told what happens; is called in the loop and should be quick.
    """

    def __init__(
        self,
        graph: TaskGraph,
        roster: Roster,
        artifacts: Artifacts,
        replanner: Replanner,
        limits: Limits | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.graph, self.roster, self.artifacts, self.replanner = graph, roster, artifacts, replanner
        self.limits, self.on_event = limits or Limits(), on_event
        self._began = time.monotonic()
        self._ended: dict[str, asyncio.Future[Outcome]] = {}
        self._path: dict[str, int] = {}  # steps to the end of a task, on the longest way to it
        self._tokens, self._cost, self._main_steps = 0, 0.0, 0

    async def run(self, start: Start = at_once) -> Run:
        """Do all of it."""
        loop = asyncio.get_running_loop()
        self._ended = {name: loop.create_future() for name in self.graph}
        async with asyncio.TaskGroup() as group:
            for task in self.graph.values():
                group.create_task(self._end(task, start(task, partial(self._perform, task, start))))
        outcomes = {name: ended.result() for name, ended in self._ended.items()}
        seconds = time.monotonic() - self._began
        return Run(self.graph, outcomes, usage_of(self.graph, outcomes, seconds, self._main_steps))

    async def _end(self, task: Task, outcome: Awaitable[Outcome]) -> None:
        ended = await outcome
        self._tokens += ended.tokens
        self._cost += ended.cost
        self._path[task.id] = self._steps_before(task) + ended.steps
        self.on_event(Event("ended", task, ended.agent, {"outcome": ended}))
        self._ended[task.id].set_result(ended)

    async def _perform(self, task: Task, start: Start) -> Outcome:
        """All attempts at a task, once what it needs is there."""
        needed = [await asyncio.shield(self._ended[need]) for need in task.needs]
        if not task.partial and (missing := [one.task for one in needed if not one.ok]):
            reason = f"expected what it needs, found no {', '.join(missing)}: it failed"
            return _missing(task, reason)
        began = time.monotonic()
        try:
            inputs = self._inputs(needed)
        except InputError as error:
            return _missing(task, str(error))
        ended = await _Attempts(self, task, inputs, start).run()
        return replace(ended, seconds=round(time.monotonic() - began, 4))

    def _inputs(self, needed: Sequence[Outcome]) -> dict[str, Any]:
        made = {one.task: one.artifact for one in needed if one.artifact is not None}
        return {name: self.artifacts.get(self.graph[name].kind, key) for name, key in made.items()}

    def spent(self, task: Task) -> str:
        """Which limit forbids to start the task, in words; empty where none does."""
        limits, before = self.limits, self._steps_before(task)
        for name, found, most in (
            ("critical steps", before + task.steps, limits.critical_steps),
            ("tokens", self._tokens + 1, limits.tokens),
            ("cost", self._cost, limits.cost),
            ("seconds", time.monotonic() - self._began, limits.seconds),
        ):
            if most is not None and found > most and (task.steps or name == "seconds"):
                return f"the run's budget of {most:g} {name} is too small for more: allow more"
        return ""

    def _steps_before(self, task: Task) -> int:
        return max((self._path[need] for need in task.needs if need in self._path), default=0)

    async def decide(self, task: Task, failures: Sequence[FailureRecord]) -> Decision:
        """What is done about the last of the failures."""
        self._main_steps += self.replanner.steps
        decision = await self.replanner.decide(task, failures, self.roster.able(task.wanted))
        self.on_event(Event("decided", task, "replanner", {"decision": decision}))
        return decision


class _SpentError(Exception):
    """A limit of the run forbids an attempt."""


class _Attempts:
    """One task, tried until it is done or given up."""

    def __init__(
        self,
        execution: Execution,
        task: Task,
        inputs: Mapping[str, Any],
        start: Start,
        avoid: frozenset[str] = frozenset(),
    ) -> None:
        self.execution, self.inputs, self.start = execution, dict(inputs), start
        self.task, self.agent = task, "orchestrator"
        self.avoid = avoid
        self.failures: list[FailureRecord] = []
        self.parts: list[Outcome] = []
        self.tokens, self.cost = 0, 0.0  # of attempts that failed

    async def run(self) -> Outcome:
        """Try, ask what to do about a failure, try again."""
        while True:
            try:
                return self._done(await self._try())
            except _SpentError as error:
                return self._given_up("budget", str(error))
            except RunError:
                raise  # what cannot be kept would be lost: the run stops
            except Exception as error:
                self._failed(error)
            decision = await self.execution.decide(self.task, self.failures)
            if isinstance(decision, GiveUp):
                return self._given_up("given_up", decision.reason)
            if isinstance(decision, Decompose):
                await self._decompose(decision)
            else:
                if decision.create:
                    self.execution.roster.create_for(decision.task)
                self.task, self.avoid = decision.task, decision.avoid
                await asyncio.sleep(decision.wait)

    async def _try(self) -> Work:
        """One attempt, on a free agent, with its slot given back when the agent has really ended."""
        roster, task = self.execution.roster, self.task
        self._afford()
        agent = await roster.take(task, self.avoid)
        try:
            self._afford()  # others have spent while it waited
        except _SpentError:
            roster.leave(agent)
            raise
        self.agent = agent.name
        self.execution.on_event(Event("started", task, agent.name))
        beats = _Beats()
        work = asyncio.ensure_future(agent.perform(Job(task, self.inputs, beats)))
        work.add_done_callback(partial(_left, roster, agent))
        try:
            return await _watched(work, beats, task)
        except BaseException:
            work.cancel()
            roster.overdue(agent, work)
            if work.cancelled() and not _is_cancelled():
                message = f"expected {agent.name} to do {task.id}, found that it stopped of itself"
                raise TaskError("provider_down", message) from None
            raise

    def _afford(self) -> None:
        if reason := self.execution.spent(self.task):
            raise _SpentError(reason)

    def _done(self, work: Work) -> Outcome:
        task = self.task
        ended = self._outcome(self.execution.artifacts.put(task.kind, work.value))
        serial = work.steps if work.serial_steps is None else work.serial_steps
        return replace(
            ended,
            steps=ended.steps + work.steps,
            serial_steps=ended.serial_steps + serial,
            tokens=ended.tokens + work.tokens,
            cost=ended.cost + work.cost,
            agents=ended.agents + work.agents,
        )

    def _failed(self, error: Exception) -> None:
        record = failure_of(error, self.task, self.agent)
        self.failures.append(record)
        tokens, cost = (error.tokens, error.cost) if isinstance(error, TaskError) else (0, 0.0)
        self.tokens += tokens
        self.cost += cost
        detail = {"failure": record, "tokens": tokens, "cost": cost}
        self.execution.on_event(Event("failed", self.task, self.agent, detail))

    def _given_up(self, failure_class: str, reason: str) -> Outcome:
        if failure_class == "given_up" and self.failures:
            last = self.failures[-1]
            self.failures[-1] = replace(last, message=f"{last.message}; given up: {reason}")
        else:
            self.failures.append(
                FailureRecord(self.task.id, "orchestrator", "resource", reason, "", self.task.attempt)
            )
        return self._outcome(None)

    def _outcome(self, artifact: str | None) -> Outcome:
        """What all parts and attempts came to; parts ran side by side."""
        return Outcome(
            self.task.id,
            self.agent,
            artifact,
            (*(failure for part in self.parts for failure in part.failures), *self.failures),
            steps=max((part.steps for part in self.parts), default=0),
            serial_steps=sum(part.serial_steps for part in self.parts),
            tokens=self.tokens + sum(part.tokens for part in self.parts),
            cost=self.cost + sum(part.cost for part in self.parts),
            agents=sum(part.agents for part in self.parts),
            attempts=self.task.attempt,
        )

    async def _decompose(self, decision: Decompose) -> None:
        """Do the parts; what they made goes to the task that joins them, which is tried next."""
        bodies = [
            self.start(part, _Attempts(self.execution, part, self.inputs, self.start, decision.avoid).run)
            for part in decision.parts
        ]
        ended = await asyncio.gather(*bodies)
        self.parts += ended
        for part, outcome in zip(decision.parts, ended, strict=True):
            self.execution.on_event(Event("ended", part, outcome.agent, {"outcome": outcome}))
            if outcome.artifact is not None:
                self.inputs[part.id] = self.execution.artifacts.get(part.kind, outcome.artifact)
        self.task, self.avoid = decision.join, decision.avoid


def _missing(task: Task, reason: str) -> Outcome:
    """The end of a task that cannot be started."""
    record = FailureRecord(task.id, "orchestrator", "missing_dependency", reason)
    return Outcome(task.id, "orchestrator", None, (record,), attempts=0)


def _left(roster: Roster, agent: Agent, work: asyncio.Future[Work]) -> None:
    """An agent has ended. What it raised after it was given up is nobody's; asyncio would log it as it is."""
    roster.leave(agent)
    if not work.cancelled():
        work.exception()


def _is_cancelled() -> bool:
    """Whether the task of the loop that runs this has been asked to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Beats:
    """When an agent was last heard of."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self) -> None:
        self.last = time.monotonic()


async def _watched(work: asyncio.Future[Work], beats: _Beats, task: Task) -> Work:
    """The work, or TaskError ``timeout`` when it takes too long or its agent is not heard of."""
    began, budget = time.monotonic(), task.budget
    if budget.seconds is None and budget.stall is None:
        return await work
    while True:
        now = time.monotonic()
        left = [began + budget.seconds - now] if budget.seconds is not None else []
        left += [beats.last + budget.stall - now] if budget.stall is not None else []
        if min(left) <= 0:
            late = budget.seconds is not None and now - began >= budget.seconds
            limit = f"{budget.seconds} s" if late else f"a heartbeat within {budget.stall} s"
            raise TaskError("timeout", f"expected {task.id} to end in {limit}, found it still running")
        await asyncio.wait((work,), timeout=min(left))
        if work.done():
            return work.result()
