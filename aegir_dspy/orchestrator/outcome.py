"""How tasks ended, and what a run cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.task import TaskGraph, critical_path

__all__ = ["Outcome", "Usage", "usage_of"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one task ended: done, with the key of what it made, or not, with the reasons.

    Attributes:
        task: its id.
        agent: who did it, or tried last.
        artifact: key of its value in the run's `Artifacts`; None when it could not be done.
        failures: a record for every attempt that failed, also where a later one was successful.
        steps, serial_steps, tokens, cost, agents: as in `aegir_dspy.orchestrator.agent.Work`, summed over
            all attempts.
        seconds: wall time from its first start to its end.
        attempts: how often it was tried.
    """

    task: str
    agent: str
    artifact: str | None
    failures: tuple[FailureRecord, ...] = ()
    steps: int = 0
    serial_steps: int = 0
    tokens: int = 0
    cost: float = 0.0
    agents: int = 0
    seconds: float = 0.0
    attempts: int = 1

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.artifact is not None

    def to_json(self) -> dict[str, Any]:
        """JSON form, read back by `from_json`."""
        return {**asdict(self), "failures": [failure.to_json() for failure in self.failures]}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Outcome:
        """Inverse of `to_json`."""
        return cls(**{**said, "failures": tuple(_failure(one) for one in said["failures"])})


def _failure(said: Mapping[str, Any]) -> FailureRecord:
    fields = {("failure_class" if name == "class" else name): value for name, value in said.items()}
    return FailureRecord(**fields)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run cost.

    Attributes:
        agents: agents that worked: columns read by specialists, for tables.
        critical_steps: Σ_t (S_main(t) + max_i S_sub,i(t)) of Kimi K2.5 (arXiv:2602.02276), for tasks that
            start as soon as they can: the steps on the longest chain of tasks, and those of the planner. A
            step is a reading, or a call of a model.
        serial_steps: the steps one after the other.
        tokens_read: bytes or tokens. seconds: wall time. cost: by the providers' prices, 0 without any.
    """

    agents: int
    critical_steps: int
    serial_steps: int
    tokens_read: int
    seconds: float
    cost: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The ``usage`` of ``aegir.result/1``; the cost only where there is one."""
        said = asdict(self)
        return said if self.cost else {name: value for name, value in said.items() if name != "cost"}


def usage_of(graph: TaskGraph, outcomes: Mapping[str, Outcome], seconds: float, main_steps: int = 0) -> Usage:
    """The usage of a run; `main_steps` are those of the planner and the replanner."""
    ended: Sequence[Outcome] = list(outcomes.values())
    _, longest = critical_path(graph, lambda name: outcomes[name].steps if name in outcomes else 0)
    return Usage(
        agents=sum(one.agents for one in ended),
        critical_steps=main_steps + int(longest),
        serial_steps=main_steps + sum(one.serial_steps for one in ended),
        tokens_read=sum(one.tokens for one in ended),
        seconds=round(seconds, 3),
        cost=sum(one.cost for one in ended),
    )
