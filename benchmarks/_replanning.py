"""Does replanning help? Tasks with injected failures, done by rules, by retrying only, and with one attempt.

A simulation, of which the orchestrator is the real part: agents answer at once, their failures are drawn from
the seed. Three calls in ten fail for no reason of the task's (429, 500, time-out, malformed answers), and one
of five agents is down all the time: trying again cures these, whoever decides. Beside them some tasks cannot
be done as they are, and these decide: a share is too long for every agent unless it is decomposed, one needs
more time than the first attempt has, one is beyond all agents but one. All arms have the same attempts a task
(one has twice as many: more of the same does not help) and get the agents in the same random order; a task is
accepted when its value is the right one.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aegir_dspy.orchestrator.agent import Agent, Job, TaskError, Work
from aegir_dspy.orchestrator.artifacts import MemoryArtifacts
from aegir_dspy.orchestrator.decision import Replanner
from aegir_dspy.orchestrator.execution import Execution
from aegir_dspy.orchestrator.replanner import RetryOnly, RuleReplanner
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.strategies import Rules, halves
from aegir_dspy.orchestrator.task import Task, TaskBudget, TaskGraph

ATTEMPTS = 8
_TRANSIENT = 0.3  # share of calls that fail for no reason of the task's
_SHARES = {"plain": 0.80, "too long": 0.08, "too slow": 0.06, "for one agent": 0.06}
_CONTEXT = 16  # items an agent takes at once
_SECONDS = 10.0  # of a first attempt; simulated, nobody waits
_ROOM = 1_000_000  # nobody waits for a slot: who gets a task does not depend on time
_SLOW = 9.0  # seconds an item of a slow task takes: four of them do not fit, also in twice the time
_RULES = Rules({"ask": halves("items")}, first_wait=0.001, longest_wait=0.01)


def replanning(seed: int, quick: bool) -> dict[str, Any]:
    """Accepted shares and calls of agents, by arm and kind of task.

    Returns:
        ``rows``: one an arm and kind, and one an arm for all kinds; ``rules`` and ``retry_only``: accepted
        shares of these arms.
    """
    tasks = _tasks(random.Random(seed), 500 if quick else 3000)
    arms = {
        "rules": (RuleReplanner(_RULES), ATTEMPTS),
        "retry only": (RetryOnly(_RULES), ATTEMPTS),
        "retry only, twice": (RetryOnly(_RULES), 2 * ATTEMPTS),
        "one attempt": (RetryOnly(_RULES), 1),
    }
    rows = [row for arm, how in arms.items() for row in _arm(arm, tasks, *how, seed)]
    share = {row["arm"]: row["accepted"] for row in rows if row["kind"] == "all"}
    return {"rows": rows, "rules": share["rules"], "retry_only": share["retry only"]}


def _tasks(draw: random.Random, size: int) -> list[Task]:
    kinds = draw.choices(list(_SHARES), list(_SHARES.values()), k=size)
    return [
        Task(
            f"{i}",
            "ask",
            {
                "what": kind,
                "items": [
                    draw.randrange(1000) for _ in range(draw.randint(17, 40) if kind == "too long" else 4)
                ],
            },
        )
        for i, kind in enumerate(kinds)
    ]


def _arm(
    arm: str, tasks: Sequence[Task], replanner: Replanner, attempts: int, seed: int
) -> list[dict[str, Any]]:
    agents = [_Simulated(name, seed) for name in ("a", "b", "c", "expert", "down")]
    budget = TaskBudget(attempts, seconds=_SECONDS)
    graph = TaskGraph([Task(t.id, t.kind, t.inputs, budget=budget) for t in tasks])
    artifacts = MemoryArtifacts()
    roster = Roster(agents, _ROOM, _shuffled)
    run = asyncio.run(Execution(graph, roster, artifacts, replanner).run())
    done = {name: one.artifact for name, one in run.outcomes.items() if one.artifact is not None}
    right = {name for name, key in done.items() if artifacts.get("ask", key) == _truth(graph[name])}
    calls = sum((one.calls for one in agents), Counter[str]())
    rows = []
    for kind in (*_SHARES, "all"):
        asked = [t for t in tasks if kind in ("all", t.inputs["what"])]
        rows.append(
            {
                "arm": arm,
                "kind": kind,
                "tasks": len(asked),
                "accepted": sum(t.id in right for t in asked) / len(asked),
                "calls per task": (calls.total() if kind == "all" else calls[kind]) / len(asked),
            }
        )
    return rows


def _truth(task: Task) -> int:
    return sum(task.inputs["items"])


def _shuffled(task: Task, agents: Sequence[Agent]) -> Sequence[Agent]:
    """Another order for every attempt at every task, the same in all arms."""
    return sorted(agents, key=lambda one: _draw(task.id, task.attempt, one.name))


def _draw(*of: object) -> float:
    """In [0, 1), the same for the same."""
    return int.from_bytes(hashlib.sha256(repr(of).encode()).digest()[:6], "big") / 2**48


@dataclass
class _Simulated:
    """An agent that sums up items, where it is not made to fail."""

    name: str
    seed: int
    skills: frozenset[str] = frozenset({"ask"})
    slots: int = _ROOM
    calls: Counter[str] = field(default_factory=Counter)

    async def perform(self, job: Job) -> Work:
        task, what = job.task, job.task.inputs["what"]
        self.calls[what] += 1
        await asyncio.sleep(0)
        if self.name == "down":
            raise ConnectionRefusedError(111, "Connection refused")
        if _draw(self.seed, task.id, task.attempt, "fails") < _TRANSIENT:
            raise _transient(_draw(self.seed, task.id, task.attempt, "how"))
        if "parts" in task.inputs:
            return Work(sum(_part(job, name) for name in task.inputs["parts"]))
        if len(task.inputs["items"]) > _CONTEXT:
            raise TaskError("context_overflow", f"expected {_CONTEXT} items, found more")
        if what == "too slow" and (task.budget.seconds or 0) < _SLOW * len(task.inputs["items"]):
            raise TaskError("timeout", f"expected an answer in {task.budget.seconds} s, found none")
        if what == "for one agent" and self.name != "expert":
            raise TaskError("low_confidence", "expected to be sure, found that it is not")
        return Work(sum(task.inputs["items"]))


def _part(job: Job, name: str) -> int:
    if name not in job.inputs:
        raise TaskError("missing_dependency", f"expected the part {name}, found that it failed")
    value: int = job.inputs[name]
    return value


def _transient(draw: float) -> Exception:
    return (
        TaskError("resource", "expected an answer, found HTTP 429", retry_after=0.001),
        TaskError("provider_down", "expected an answer, found HTTP 500"),
        TimeoutError(),
        TaskError("parse", "expected JSON, found half of it"),
    )[int(draw * 4)]
