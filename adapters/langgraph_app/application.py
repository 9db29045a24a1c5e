"""What the graph is made around: something that plans, does and tells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aegir_dspy.orchestrator.artifacts import Artifacts
from aegir_dspy.orchestrator.execution import Event, Run, Start
from aegir_dspy.orchestrator.plan import TablePlan

__all__ = ["Application", "Doubt", "Verdict"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A result that a person should look at.

    Attributes:
        id: of what it is about, for example ``"orders[3]"``.
        reason: why it is doubtful.
        choices: what it could be, the likeliest, which an approval takes, first; empty where there is
            nothing to choose.
    """

    id: str
    reason: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says about a doubt: ``approve``, ``correct`` (with `value`) or ``reject``."""

    verdict: str
    value: str = ""


class Application(Protocol):
    """Plans, does and tells; stateless between these, so that a run goes on in another process.

    Attributes:
        types: kind of task → type of its value, for `FolderArtifacts`.
        labels: what a doubt that has choices may be corrected to.
    """

    @property
    def types(self) -> Mapping[str, Any]:
        """See above."""
        ...

    @property
    def labels(self) -> Collection[str]:
        """See above."""
        ...

    def plan(self, data: Sequence[str]) -> TablePlan:
        """What is to be done. Called in a thread. Raises InputError where the data cannot be used."""
        ...

    async def run(
        self, plan: TablePlan, artifacts: Artifacts, start: Start, on_event: Callable[[Event], None]
    ) -> Run:
        """Do it."""
        ...

    def doubts(self, plan: TablePlan, run: Run, artifacts: Artifacts) -> Sequence[Doubt]:
        """What a person should look at. Called in a thread."""
        ...

    def document(
        self, plan: TablePlan, run: Run, artifacts: Artifacts, verdicts: Mapping[str, Verdict]
    ) -> dict[str, Any]:
        """The result, ``aegir.result/1``, with what was said about it. Called in a thread."""
        ...
