"""A `Swarm` as what the graph is made around."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aegir_dspy.adapters.langgraph_app.application import Doubt, Verdict
from aegir_dspy.annotator.annotation import ColumnAnnotation, Evidence, TableAnnotation
from aegir_dspy.annotator.elements import find_elements
from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.artifacts import Artifacts
from aegir_dspy.orchestrator.describe import refusals
from aegir_dspy.orchestrator.execution import Event, Run, Start
from aegir_dspy.orchestrator.plan import TablePlan
from aegir_dspy.orchestrator.swarm_orchestrator import Said
from aegir_dspy.orchestrator.table_agents import TYPES
from aegir_dspy.orchestrator.table_swarm import TableSwarm
from aegir_dspy.result import result_document

if TYPE_CHECKING:
    from aegir_dspy.swarm import Swarm

__all__ = ["SwarmApplication"]


class SwarmApplication:
    """Says what columns mean.

    Args:
        swarm: for tables.
        review_below: confidence under which a person is asked what a column is; None to ask nobody.
    """

    types: Mapping[str, Any] = TYPES

    def __init__(self, swarm: Swarm | TableSwarm, review_below: float | None = None) -> None:
        self.swarm, self.review_below = swarm, review_below

    @property
    def labels(self) -> Collection[str]:
        """The types of the swarm's vocabulary."""
        return self.swarm.vocabulary.names

    def plan(self, data: Sequence[str]) -> TablePlan:
        """See `Application`."""
        return self.swarm.orchestrator.plan(data)

    async def run(
        self, plan: TablePlan, artifacts: Artifacts, start: Start, on_event: Callable[[Event], None]
    ) -> Run:
        """See `Application`."""
        return await self.swarm.orchestrator.run(plan, artifacts, start=start, on_event=on_event)

    def doubts(self, plan: TablePlan, run: Run, artifacts: Artifacts) -> list[Doubt]:
        """Columns of low confidence, and gates of the verifier that refuse."""
        if self.review_below is None:
            return []
        said = self.swarm.orchestrator.said(plan, run, artifacts)
        columns = [
            Doubt(
                _id(table, column),
                f"{column.candidates[0].type} has a probability of {column.confidence:.2f}",
                tuple(candidate.type for candidate in column.candidates),
            )
            for table in said.annotations
            for column in table.columns
            if column.candidates and column.confidence < self.review_below
        ]
        gates = [Doubt(one.failure_class, one.message) for one in said.failures if _is_gate(one)]
        return columns + gates

    def document(
        self, plan: TablePlan, run: Run, artifacts: Artifacts, verdicts: Mapping[str, Verdict]
    ) -> dict[str, Any]:
        """See `Application`."""
        return result_document(self.swarm.prediction(self.said(plan, run, artifacts, verdicts)))

    def said(
        self, plan: TablePlan, run: Run, artifacts: Artifacts, verdicts: Mapping[str, Verdict] | None = None
    ) -> Said:
        """What came of the run, with what a person said about it."""
        said = self.swarm.orchestrator.said(plan, run, artifacts)
        return self._revised(said, verdicts) if verdicts else said

    def _revised(self, said: Said, verdicts: Mapping[str, Verdict]) -> Said:
        """With other types all that follows from them is said again."""
        annotations = tuple(
            replace(table, columns=tuple(self._column(c, verdicts.get(_id(table, c))) for c in table.columns))
            for table in said.annotations
        )
        described = {table.name for table in annotations}
        tables = [table for table in said.tables if table.name in described]
        describer = self.swarm.orchestrator.describer
        elements = find_elements(tables, annotations)
        composition = describer.compose(tables, annotations, elements)
        score = describer.verifier.score(composition, tables)
        failures = (
            *(failure for failure in said.failures if not _is_gate(failure)),
            *refusals(score),
            *(_rejected(name) for name, one in verdicts.items() if _is_rejected_gate(name, one)),
        )
        return replace(
            said,
            annotations=annotations,
            elements=elements,
            composition=composition,
            score=score,
            failures=failures,
        )

    def _column(self, column: ColumnAnnotation, verdict: Verdict | None) -> ColumnAnnotation:
        if verdict is None:
            return column
        told = (*column.evidence, Evidence("review", f"a person said {verdict.verdict}"))
        if verdict.verdict == "reject":
            return replace(column, type=None, iri=None, abstained=True, evidence=told)
        label = verdict.value or column.candidates[0].type
        iri = self.swarm.vocabulary[label].iri
        return replace(column, type=label, iri=iri, confidence=1.0, abstained=False, evidence=told)


def _id(table: TableAnnotation, column: ColumnAnnotation) -> str:
    return f"{table.name}[{column.index}]"


def _is_gate(failure: FailureRecord) -> bool:
    return failure.failure_class.startswith("gate:")


def _is_rejected_gate(name: str, verdict: Verdict) -> bool:
    return name.startswith("gate:") and verdict.verdict == "reject"


def _rejected(gate: str) -> FailureRecord:
    return FailureRecord("review", "person", gate, "a person rejected what the verifier refused")
