"""Which agent a task would rather have: by its kind and difficulty, what agents cost, and how good they were.

Agents tried one after the other until one passes cost least, in expectation, in the order of price over the
share that passes (the ratio rule of sequential search). So first attempts go by that ratio: easy ones to
cheap agents, hard ones to those that can do them, and the local swarm, which costs nothing, before all. The
share is drawn from its posterior (Thompson sampling), so agents that are hardly known are tried now and then.
An attempt after a failure goes to the strongest.

What passes by oversight is not worth its price: an agent whose share is too far below the best one's is left
out, whatever it costs. So are agents whose budget is spent; then there is always the local swarm.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aegir_dspy.adapters.providers.quality import Quality, level_of
from aegir_dspy.adapters.providers.spending import Spending
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.execution import Event
from aegir_dspy.orchestrator.outcome import Outcome
from aegir_dspy.orchestrator.task import Task

__all__ = ["QualityRouter", "stated_difficulty"]


def stated_difficulty(task: Task) -> float:
    """What the planner wrote into the task's inputs as ``difficulty``, between 0 and 1; by default 0.5."""
    said = task.inputs.get("difficulty", 0.5)
    return float(said) if isinstance(said, int | float) else 0.5


_SIMILAR = 1.25  # factor on the price of the best within which another one that is free is as good

_PATIENCE = 8  # attempts that are learned from before tasks that wait are thought about again


_NOT_ITS_FAULT = ("provider_down", "missing_dependency", "resource")


@dataclass
class _Open:
    """A task that is being done: when its last attempt began, what those that failed cost."""

    began: float = 0.0
    cost: float = 0.0


class QualityRouter:
    """A `aegir_dspy.orchestrator.roster.Preference`, and what it learns from the events of a run.

    Args:
        quality: what is known of agents; grows.
        prices: expected price of one attempt by agent, before any was made; agents that are not in there
            are free.
        spending: of the run.
        floor: share of the best agent's rate of passing that an agent needs at least, see above.
        difficulty: of a task, between 0 and 1.
        seed: of the draws. They are a function of seed, task, attempt and agent, not of the order in which
            tasks ask.
    """

    def __init__(
        self,
        quality: Quality,
        prices: Mapping[str, float],
        spending: Spending | None = None,
        *,
        floor: float = 0.75,
        difficulty: Callable[[Task], float] = stated_difficulty,
        seed: int = 0,
    ) -> None:
        self.quality, self.spending = quality, spending or Spending()
        self._open: dict[str, _Open] = {}
        self._answers: dict[tuple[str, int, tuple[str, ...]], tuple[int, tuple[str, ...]]] = {}
        self._prices, self._floor, self._difficulty, self._seed = dict(prices), floor, difficulty, seed

    def __call__(self, task: Task, agents: Sequence[Agent]) -> Sequence[Agent]:
        """The agents that are worth it, the best first: a task rather waits for one than takes a dear one.

        Is asked again for every task that waits whenever an agent is free, so the answer is kept until
        something more is known.
        """
        affordable = [agent for agent in agents if self._affordable(agent)]
        asked = (task.id, task.attempt, tuple(agent.name for agent in affordable))
        known, names = self._answers.get(asked, (-1, ()))
        if known != self.quality.revision // _PATIENCE:
            names = self._worth_it(task, asked[2])
            self._answers[asked] = self.quality.revision // _PATIENCE, names
        by_name = {agent.name: agent for agent in affordable}
        return [by_name[name] for name in names]

    def _worth_it(self, task: Task, names: Sequence[str]) -> tuple[str, ...]:
        ordered = self.order(task, names, self._drawn)
        most = _SIMILAR * self.price(task.kind, ordered[0]) if ordered else 0.0
        return tuple(name for name in ordered if self.price(task.kind, name) <= most)

    def order(self, task: Task, names: Sequence[str], share: Callable[[Task, str], float]) -> list[str]:
        """Agents by name, the best first, where `share` says how often what they make passes."""
        prices = {name: self.price(task.kind, name) for name in names}
        if task.attempt > 1:
            return sorted(names, key=lambda name: (-self.mean(task, name), -prices[name]))
        shares = {name: share(task, name) for name in names}
        least = self._floor * max((self.mean(task, name) for name in names), default=0.0)
        fit = [name for name in names if shares[name] >= least] or names
        return sorted(fit, key=lambda name: (prices[name] / shares[name], -shares[name]))

    def mean(self, task: Task, agent: str) -> float:
        """Expected share of what an agent makes of such tasks that passes."""
        passed, failed = self.quality.of(agent, task.kind, self.level(task)).posterior
        return passed / (passed + failed)

    def price(self, kind: str, agent: str) -> float:
        """Of one attempt: what it came to so far, the price expected before counting as one attempt."""
        known = self.quality.over_levels(agent, kind)
        return (self._prices.get(agent, 0.0) + known.cost) / (1 + known.attempts)

    def observe(self, event: Event) -> None:
        """Learn from an attempt that failed, or a task that was done.

        That a provider was down or too busy says nothing of how good it is.
        """
        if event.kind == "started":
            self._open.setdefault(event.task.id, _Open()).began = time.monotonic()
        elif event.kind == "failed":
            self._open.setdefault(event.task.id, _Open()).cost += event.detail["cost"]
            if event.detail["failure"].failure_class not in _NOT_ITS_FAULT:
                self._learn(event, event.detail["cost"], passed=False)
        elif event.kind == "ended":
            done: Outcome = event.detail["outcome"]
            if event.task.id in self._open and done.ok:
                self._learn(event, done.cost - self._open[event.task.id].cost, passed=True)
            self._open.pop(event.task.id, None)

    def _learn(self, event: Event, cost: float, *, passed: bool) -> None:
        level, seconds = self.level(event.task), time.monotonic() - self._open[event.task.id].began
        self.quality.record(event.agent, event.task.kind, level, passed=passed, cost=cost, seconds=seconds)

    def refused(self, task: Task, agent: str) -> None:
        """A check that came after the task's end, the verifier's, refused what the agent made of it."""
        self.quality.refused(agent, task.kind, self.level(task))

    def level(self, task: Task) -> int:
        """The level of difficulty of a task."""
        return level_of(self._difficulty(task))

    def _affordable(self, agent: Agent) -> bool:
        return self.spending.left(agent.name) > 0 or not self._prices.get(agent.name)

    def _drawn(self, task: Task, agent: str) -> float:
        drawn = random.Random(f"{self._seed}/{task.id}/{task.attempt}/{agent}")
        return drawn.betavariate(*self.quality.of(agent, task.kind, self.level(task)).posterior)
