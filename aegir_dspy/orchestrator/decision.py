"""What is done about a failure: the answers a replanner can give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.task import Task

__all__ = ["Decision", "Decompose", "GiveUp", "Replanner", "Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again: `task` is the next attempt (`Task.again`), on none of the agents to `avoid`, after `wait` s.

    Covers a plain retry, one with changed parameters, the reassignment to another agent or provider, and
    with `create` the creation of a new agent for it, where the `Roster` can make one.
    """

    task: Task
    avoid: frozenset[str] = frozenset()
    wait: float = 0.0
    create: bool = False


@dataclass(frozen=True, slots=True)
class Decompose:
    """Do the parts, side by side, then `join`: the task that is given their values beside its own inputs.

    None of these is given first to one of the agents to `avoid`.

    The ids of the parts start with that of the task; they need nothing but what the task needs.
    """

    parts: tuple[Task, ...]
    join: Task
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task ends as a failure, for this reason."""

    reason: str


Decision = Retry | Decompose | GiveUp


class Replanner(Protocol):
    """Decides what is done about a failure.

    Attributes:
        steps: calls of a model that a decision takes; 0 for rules.
    """

    @property
    def steps(self) -> int:
        """See above."""
        ...

    async def decide(
        self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Agent]
    ) -> Decision:
        """The task as it was tried last, all its failures, the last one last, and the agents with its skill.

        Has to decide the same for the same arguments, and never asks for more than `task.budget.attempts`.
        """
        ...
