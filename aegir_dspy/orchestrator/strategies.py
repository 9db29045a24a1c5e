"""What may be done about a failure: the strategies of CAMEL's workforce as methods of one `Case`.

Retry, replan (the same with other parameters), decompose, create worker, reassign; and waiting, giving up.
Which of them is taken is up to a replanner.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.decision import Decision, Decompose, GiveUp, Retry
from aegir_dspy.orchestrator.failure import facts
from aegir_dspy.orchestrator.task import Task

__all__ = ["Case", "Decomposition", "Rules", "halves"]

Decomposition = Callable[[Task], Decompose | None]
"""The parts of a task and what joins them; None where it has none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the strategies.

    Attributes:
        parts: kind of task → how it is decomposed.
        fewer: inputs that are halved where a task is too large; integers.
        longer: factor on the time of an attempt after one that took too long.
        first_wait: seconds before the second attempt where only waiting helps; doubles with every attempt.
        longest_wait: seconds; a task that is asked to wait for longer is given up.
    """

    parts: Mapping[str, Decomposition] = field(default_factory=dict)
    fewer: tuple[str, ...] = ("rows",)
    longer: float = 2.0
    first_wait: float = 0.5
    longest_wait: float = 60.0


class Case:
    """A task that failed. Every strategy but `wait` and `retry` may be None: of no use here.

    Args:
        task: as it was tried last.
        failures: all of it, the last one last; at least one.
        agents: those with its skill.
        rules: see `Rules`.
    """

    def __init__(
        self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Agent], rules: Rules
    ) -> None:
        self.task, self.failures, self.agents, self.rules = task, failures, agents, rules
        self.kind = failures[-1].failure_class
        self.facts = facts(failures[-1])

    @property
    def times(self) -> int:
        """How often it failed in this way."""
        return sum(one.failure_class == self.kind for one in self.failures)

    @property
    def permanent(self) -> bool:
        """Whether asking the same agent again is of no use."""
        return "permanent" in self.facts

    @property
    def asked(self) -> float:
        """Seconds a provider asks to wait."""
        said = float(self.facts.get("retry_after", "0"))
        return said if math.isfinite(said) else math.inf

    def spent(self) -> GiveUp | None:
        """Giving up, where no attempt is left."""
        most = self.task.budget.attempts
        return GiveUp(f"tried {self.task.attempt} times") if self.task.attempt >= most else None

    def backoff(self) -> float:
        """Seconds to wait: longer each time, spread over tasks, never less than asked.

        The spread comes from the task, so that a run goes the same way twice.
        """
        waited = self.rules.first_wait * 2.0 ** min(self.task.attempt - 1, 30)
        digest = hashlib.sha256(f"{self.task.id}/{self.task.attempt}".encode()).digest()
        spread = 0.5 + int.from_bytes(digest[:4], "big") / 2**33
        return max(self.asked, min(waited, self.rules.longest_wait) * spread)

    def failed(self, *kinds: str) -> frozenset[str]:
        """The agents that failed at it in one of these ways."""
        return frozenset(one.agent for one in self.failures if one.failure_class in kinds)

    @property
    def unable(self) -> frozenset[str]:
        """The agents for which asking again changes nothing."""
        refused = frozenset(one.agent for one in self.failures if "permanent" in facts(one))
        return refused | self.failed("low_confidence", "context_overflow")

    @property
    def down(self) -> frozenset[str]:
        """The agents that were not there."""
        return self.failed("provider_down")

    @property
    def shunned(self) -> frozenset[str]:
        """The agents that are not asked while there are others: not able, or not there; else not able."""
        for some in (self.unable | self.down, self.unable):
            if any(agent.name not in some for agent in self.agents):
                return some
        return frozenset()

    def retry(self, **inputs: Any) -> Retry:
        """On an agent that is able and there, with other parameters where some are given."""
        return Retry(self.task.again(**inputs), self.shunned)

    def wait(self, *, create: bool = False) -> Decision:
        """Later, on an agent that is able; on a new one where one can be created."""
        if self.asked > self.rules.longest_wait:
            return GiveUp(f"asked to wait {self.asked:g} s, {self.rules.longest_wait:g} s are allowed")
        return Retry(self.task.again(), self.shunned, self.backoff(), create)

    def reassign(self, **inputs: Any) -> Retry | None:
        """To those that failed least at it, of those able, there, and not failed in this way."""
        barred = self.unable | self.down | self.failed(self.kind)
        often = Counter(one.agent for one in self.failures)
        open_ = [agent.name for agent in self.agents if agent.name not in barred]
        if not open_:
            return None
        least = min(often[name] for name in open_)
        return Retry(self.task.again(**inputs), barred | {name for name in open_ if often[name] > least})

    def decompose(self) -> Decompose | None:
        """Its parts, where its kind has any and it was not decomposed yet."""
        parts = self.rules.parts.get(self.task.kind)
        found = None if parts is None or "parts" in self.task.inputs else parts(self.task)
        return found and replace(found, avoid=self._no_good_for_less)

    def fewer(self) -> Retry | None:
        """Half of what it looks at, where that is a number among its inputs."""
        found = {name: self.task.inputs.get(name) for name in self.rules.fewer}
        halved = {name: n // 2 for name, n in found.items() if isinstance(n, int) and n > 1}
        return Retry(self.task.again(**halved), self._no_good_for_less) if halved else None

    @property
    def _no_good_for_less(self) -> frozenset[str]:
        """What was too large for an agent may be right for it in parts; others stay shunned."""
        return (self.unable - self.failed("context_overflow")) | self.down

    def longer(self) -> Retry:
        """With more time, on an agent that was not too slow where there is one."""
        budget, factor = self.task.budget, self.rules.longer
        seconds = None if budget.seconds is None else budget.seconds * factor
        stall = None if budget.stall is None else budget.stall * factor
        task = replace(self.task.again(), budget=replace(budget, seconds=seconds, stall=stall))
        return Retry(task, self.shunned | self.failed("timeout"))


def halves(name: str, join: str = "") -> Decomposition:
    """For tasks with a list among their inputs: two of the same kind, each with half of it.

    What joins them is the task with an empty list and its parts' ids as ``parts``, for agents with the skill
    `join`, by default the same.
    """

    def parts(task: Task) -> Decompose | None:
        whole = list(task.inputs.get(name, ()))
        if len(whole) < 2:
            return None
        middle = (len(whole) + 1) // 2
        made = tuple(
            replace(task, id=f"{task.id}/{i}", inputs={**task.inputs, name: half}, attempt=1)
            for i, half in enumerate((whole[:middle], whole[middle:]), 1)
        )
        joined = task.again(**{name: [], "parts": [part.id for part in made]})
        return Decompose(made, replace(joined, skill=join or task.skill))

    return parts
