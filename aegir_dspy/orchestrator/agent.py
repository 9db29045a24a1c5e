"""Agents: what does tasks. They are stateless: all an agent knows of a task is the `Job` it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from aegir_dspy.errors import AegirError
from aegir_dspy.orchestrator.task import Task

__all__ = ["Agent", "Job", "TaskError", "Work"]


class TaskError(AegirError):
    """A task could not be done, for a reason an agent knows.

    Args:
        failure_class: of `aegir_dspy.errors.FailureRecord`, for example ``timeout`` or ``gate:slots``.
        message: one line for a person.
        evidence: where and what, without cell values that are not masked.
        retry_after: seconds before which another try is of no use, where that is known.
        permanent: no further try of this agent is of any use.
        tokens, cost: what the attempt took all the same.
    """

    def __init__(
        self,
        failure_class: str,
        message: str,
        evidence: str = "",
        retry_after: float | None = None,
        permanent: bool = False,
        tokens: int = 0,
        cost: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.failure_class, self.evidence = failure_class, evidence
        self.tokens, self.cost = tokens, cost
        self.retry_after, self.permanent = retry_after, permanent


@dataclass(frozen=True, slots=True)
class Job:
    """A task as an agent gets it.

    Attributes:
        task: with its parameters.
        inputs: the values of the tasks it needs, by their ids, in the order of `task.needs`.
        beat: to be called now and then by an agent that takes long, or it counts as stalled.
    """

    task: Task
    inputs: Mapping[str, Any] = field(default_factory=dict)
    beat: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Work:
    """What an agent made of a task.

    Attributes:
        value: the output; of a type its kind of task has, see `aegir_dspy.orchestrator.artifacts`.
        steps: readings or calls of a model, one after the other, that it took.
        serial_steps: what it would have taken without working side by side; by default `steps`.
        tokens: read and written.
        cost: in the currency of the providers' prices.
        agents: how many agents it stands for: columns read at the same time, say.
    """

    value: Any
    steps: int = 1
    serial_steps: int | None = None
    tokens: int = 0
    cost: float = 0.0
    agents: int = 1


@runtime_checkable
class Agent(Protocol):
    """Something that does tasks of some skills.

    Attributes:
        name: unique among the agents of an orchestrator.
        skills: what it can do.
        slots: how many tasks it does at once.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def skills(self) -> frozenset[str]:
        """See above."""
        ...

    @property
    def slots(self) -> int:
        """See above."""
        ...

    async def perform(self, job: Job) -> Work:
        """Do a task, or raise: `TaskError` where the reason is known, anything else otherwise.

        Has to be a coroutine that never blocks the loop (models run in threads), and idempotent: after a
        crash a task that had not ended is done again.
        """
        ...
