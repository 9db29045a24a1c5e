"""What travels through the graph, and what it refers to.

A checkpoint holds keys, names and counts. Plans, outcomes, results, and above all cell values and recurrent
states, are outside of it: in the artifacts of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.graph import MessagesState

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.execution import Run
from aegir_dspy.orchestrator.outcome import Outcome, Usage
from aegir_dspy.orchestrator.plan import TablePlan
from aegir_dspy.orchestrator.task import Task, TaskGraph

__all__ = ["RECORDS", "KeptPlan", "KeptRun", "RunState"]


class RunState(MessagesState, total=False):
    """State of the graph.

    Attributes:
        messages: the last one of a person names the data, where `data` does not.
        data: files, folders and globs; empty again when the run has ended.
        plan, run, result: keys of artifacts: `KeptPlan`, `KeptRun`, the document ``aegir.result/1``.
        verdicts: what a person said about doubtful results, by the doubt's id.
        summary: the result without cell values, see `aegir_dspy.adapters.langgraph_app.messages`.
        failures: why there is no result, as in the document.
    """

    data: list[str]
    plan: str
    run: str
    result: str
    verdicts: dict[str, dict[str, str]]
    summary: dict[str, Any]
    failures: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A `TablePlan` as an artifact, with the data it is of."""

    data: tuple[str, ...]
    tasks: tuple[Task, ...]
    failures: tuple[FailureRecord, ...]

    @classmethod
    def of(cls, data: Sequence[str], plan: TablePlan) -> KeptPlan:
        """The plan, to be kept."""
        return cls(tuple(data), tuple(plan.graph.values()), tuple(plan.failures))

    @property
    def plan(self) -> TablePlan:
        """The plan again."""
        return TablePlan(TaskGraph(self.tasks), self.failures)


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A `Run` as an artifact."""

    outcomes: tuple[Outcome, ...]
    usage: Usage

    @classmethod
    def of(cls, run: Run) -> KeptRun:
        """The run, to be kept."""
        return cls(tuple(run.outcomes.values()), run.usage)

    def run(self, graph: TaskGraph) -> Run:
        """The run of that graph again."""
        return Run(graph, {one.task: one for one in self.outcomes}, self.usage)


RECORDS: dict[str, Any] = {"plan": KeptPlan, "run": KeptRun}
"""Types of the artifacts that are not values of tasks, but ``result``, which is JSON."""
