"""The local swarm as agents: who does the tasks of `aegir_dspy.orchestrator.plan`.

Values by kind of task: of ``read`` and ``given`` a `TableSet`; of ``annotate``, ``deepen``, ``consult`` and
``relate`` the annotations of its tables; of ``elements`` data elements; of ``compose`` a composition; of
``verify`` its score. ``consult`` is done by others, for example `aegir_dspy.adapters.providers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import Any

from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.elements import DataElement, find_elements
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.ontology.composition import Composition
from aegir_dspy.orchestrator.agent import Agent, Job, TaskError, Work
from aegir_dspy.orchestrator.batching import BatchAgent, one_by_one
from aegir_dspy.orchestrator.deep_search import DeepSearch
from aegir_dspy.orchestrator.describe import Describer
from aegir_dspy.tables import read_tables
from aegir_dspy.tables.table import Table, TableSet
from aegir_dspy.verifier import Score

__all__ = ["TYPES", "table_agents"]

TYPES: Mapping[str, Any] = {
    "read": TableSet,
    "given": TableSet,
    **dict.fromkeys(("annotate", "deepen", "consult", "relate"), tuple[TableAnnotation, ...]),
    "elements": tuple[DataElement, ...],
    "compose": Composition,
    "verify": Score,
}
"""Kind of task → type of its value, for `aegir_dspy.orchestrator.artifacts.FolderArtifacts`."""


def table_agents(
    annotator: ColumnTypeAnnotator,
    describer: Describer,
    deep: DeepSearch,
    given: Mapping[str, TableSet],
    reading: Executor,
    thinking: Executor,
) -> list[Agent]:
    """The agents of one run.

    Args:
        annotator: reads columns. deep: looks again. describer: says the rest.
        given: tables that are there already, by the name of their source.
        reading: where models read. thinking: where everything else is done.
    """
    columns, describing = _Columns(annotator), _Describing(describer)

    def deepen(job: Job) -> Work:
        types = job.inputs[job.task.needs[1]]
        told = tuple(deep.deepen(t, a) for t, a in zip(_tables(job), types, strict=True))
        return _said(told)

    return [
        BatchAgent("tables", ("read",), one_by_one(_read), thinking),
        BatchAgent("given", ("given",), one_by_one(lambda job: _given(given, job)), thinking),
        BatchAgent("columns", ("annotate",), columns.annotate, reading),
        BatchAgent("deep search", ("deepen",), one_by_one(deepen), thinking),
        BatchAgent("relations", ("relate",), one_by_one(describing.relate), thinking),
        BatchAgent("elements", ("elements",), one_by_one(_elements), thinking),
        BatchAgent("composer", ("compose",), one_by_one(describing.compose), thinking),
        BatchAgent("verifier", ("verify",), one_by_one(describing.verify), thinking),
    ]


def _read(job: Job) -> Work:
    return _said(read_tables(job.task.inputs["path"]))


def _given(given: Mapping[str, TableSet], job: Job) -> Work:
    name = job.task.inputs["name"]
    if name not in given:
        raise TaskError("resource", f"expected the tables {name}, found none: pass them again")
    return _said(given[name])


class _Columns:
    """Reads the columns of the tables of many jobs in one batch."""

    def __init__(self, annotator: ColumnTypeAnnotator) -> None:
        self.annotator = annotator

    def annotate(self, jobs: Sequence[Job]) -> list[Work]:
        """The types of the columns of every job's tables."""
        sources = [_tables(job) for job in jobs]
        every = [table for tables in sources for table in tables]
        annotated = iter(self.annotator.annotate(every))
        return [self._work(jobs[i], list(islice(annotated, len(tables)))) for i, tables in enumerate(sources)]

    def _work(self, job: Job, annotated: Sequence[tuple[TableAnnotation, int]]) -> Work:
        job.beat()
        annotations = tuple(annotation for annotation, _ in annotated)
        widths = [len(annotation.columns) for annotation in annotations]
        informed = sum(w for w in widths if w > 1) if self.annotator.config.context.columns else 0
        readers = 1 + len(self.annotator.members)
        return Work(
            annotations,
            steps=self.annotator.steps(informed=bool(informed)) if sum(widths) else 0,
            serial_steps=(sum(widths) + informed) * readers,
            tokens=sum(tokens for _, tokens in annotated),
            agents=sum(widths),
        )


class _Describing:
    """What is said beyond types."""

    def __init__(self, describer: Describer) -> None:
        self.describer = describer

    def relate(self, job: Job) -> Work:
        """Types looked at twice, and relations."""
        types = next((job.inputs[n] for n in reversed(job.task.needs[1:]) if n in job.inputs), None)
        if types is None:
            raise TaskError("missing_dependency", "expected types to relate, found none: annotating failed")
        related = [self.describer.relate(t, a) for t, a in zip(_tables(job), types, strict=True)]
        return _said(tuple(related))

    def compose(self, job: Job) -> Work:
        """The composition of all that was said."""
        tables, annotations = _described(job)
        return _said(self.describer.compose(tables, annotations, job.inputs.get("elements", ())))

    def verify(self, job: Job) -> Work:
        """The verifier's score of the composition."""
        composition = job.inputs.get("compose")
        if composition is None:
            raise TaskError("missing_dependency", "expected a composition to verify, found none: it failed")
        spoken = {types.name for types in composition.tables}
        sources = (job.inputs[need] for need in job.task.needs if need in job.inputs and need != "compose")
        tables = [table for source in sources for table in source.tables if table.name in spoken]
        return _said(self.describer.verifier.score(composition, tables))


def _elements(job: Job) -> Work:
    return _said(find_elements(*_described(job)))


def _said(value: object) -> Work:
    """What was found out without a model."""
    return Work(value, steps=0, agents=0)


def _tables(job: Job) -> tuple[Table, ...]:
    """The tables of the source a job is about, what it needs first."""
    source: TableSet = job.inputs[job.task.needs[0]]
    return source.tables


def _described(job: Job) -> tuple[list[Table], list[TableAnnotation]]:
    """Tables and their annotations, of the sources of which both are there."""
    tables: list[Table] = []
    annotations: list[TableAnnotation] = []
    for read in (name for name in job.task.needs if name.startswith("read:")):
        said = job.inputs.get(f"relate:{read.partition(':')[2]}")
        if read in job.inputs and said is not None:
            tables += job.inputs[read].tables
            annotations += said
    return tables, annotations
