"""Columns as questions: which type of a vocabulary they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aegir_dspy.adapters.providers.question import Question
from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, Evidence, TableAnnotation
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.orchestrator.agent import Job, TaskError
from aegir_dspy.tables.table import Column, Table, TableSet
from aegir_dspy.verifier.masking import masked
from aegir_dspy.verifier.support import support

__all__ = ["ColumnSkill"]

_INSTRUCTIONS = (
    "Say of each column named under 'asked' which type its cells have, of the types that the schema allows; "
    "null where none fits. 'confidence' is the probability that you are right."
)
_CELLS, _CONTEXT = 12, 3  # cells shown of a column that is asked about, and at most of the others
_HEADER = 80  # characters of a header that are shown
_CONTRADICTED = 0.05  # support at which cells contradict a type
_LIKELY = 0.05  # probability of a type that its cells are masked for


@dataclass(frozen=True)
class ColumnSkill:
    """Annotates all columns of the tables a task is given, or those that stayed unsure before.

    The inputs of a task are a `TableSet` and, to look deeper, the tables' annotations; its value is a tuple
    of annotations, one a table. Its parameter ``rows`` is how many cells of a column are shown.

    Attributes:
        vocabulary: the types there are; an answer has to be one of them.
        threshold: confidence under which no type is given.
    """

    vocabulary: Vocabulary
    threshold: float

    def question(self, job: Job, *, unmasked: bool) -> Question | None:
        """See `aegir_dspy.adapters.providers.question.Skill`."""
        tables, known = _given(job)
        asked = list(_unsure(tables, known))
        if not asked:
            return None
        rows = int(job.task.inputs.get("rows", _CELLS))
        data = {
            "tables": [
                _shown(number, table, annotation, [c for t, c in asked if t == number], rows, unmasked)
                for number, (table, annotation) in enumerate(zip(tables, known, strict=True))
            ],
            "asked": [_id(t, c) for t, c in asked],
        }
        return Question(_INSTRUCTIONS, data, self._schema(asked))

    def value(self, job: Job, answer: Any, agent: str) -> tuple[TableAnnotation, ...]:
        """See `aegir_dspy.adapters.providers.question.Skill`."""
        tables, known = _given(job)
        said: Mapping[str, Any] = self._backed(answer or {}, tables)
        return tuple(
            replace(
                annotation,
                columns=tuple(
                    self._column(column, said.get(_id(number, column.index)), agent)
                    for column in annotation.columns
                ),
            )
            for number, annotation in enumerate(known)
        )

    def _backed(self, answer: Mapping[str, Any], tables: Sequence[Table]) -> Mapping[str, Any]:
        """The answers that the cells do not contradict, as the verifier sees it.

        Raises:
            TaskError: ``gate:values`` where most of them are contradicted.
        """
        backed = {}
        for number, table in enumerate(tables):
            for column in table.columns:
                said = answer.get(_id(number, column.index))
                if said is not None and not self._contradicted(column, said["type"]):
                    backed[_id(number, column.index)] = said
        if 2 * len(backed) < len(answer):
            found = f"{len(answer) - len(backed)} of {len(answer)} that contradict them"
            raise TaskError("gate:values", f"expected types that fit the cells, found {found}")
        return backed

    def _contradicted(self, column: Column, label: str | None) -> bool:
        if label is None:
            return False
        found = support(column.values, label, self.vocabulary[label].iri).value
        return found is not None and found <= _CONTRADICTED

    def _schema(self, asked: Sequence[tuple[int, int]]) -> dict[str, Any]:
        names = [_id(table, column) for table, column in asked]
        return {
            "type": "object",
            "properties": {name: {"$ref": "#/$defs/column"} for name in names},
            "required": names,
            "additionalProperties": False,
            "$defs": {
                "column": {
                    "type": "object",
                    "properties": {
                        "type": {"enum": [*self.vocabulary.names, None]},
                        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                    },
                    "required": ["type", "confidence"],
                    "additionalProperties": False,
                }
            },
        }

    def _column(self, column: ColumnAnnotation, said: Any, agent: str) -> ColumnAnnotation:
        if said is None:
            return column
        label, confidence = said["type"], round(float(said["confidence"]), 4)
        told = (*column.evidence, Evidence("provider", f"{agent} says {label} ({confidence:.2f})"))
        if label is None or confidence < max(self.threshold, column.confidence):
            return replace(column, evidence=told)
        others = tuple(c for c in column.candidates if c.type != label)
        return replace(
            column,
            type=label,
            iri=self.vocabulary[label].iri,
            confidence=confidence,
            abstained=False,
            candidates=(Candidate(label, confidence), *others),
            evidence=told,
        )


def _given(job: Job) -> tuple[list[Table], list[TableAnnotation]]:
    """The tables of a job, and what is known of them: nothing, where nobody annotated them."""
    tables = [t for one in job.inputs.values() if isinstance(one, TableSet) for t in one.tables]
    known = [
        annotation
        for one in job.inputs.values()
        if isinstance(one, tuple)
        for annotation in one
        if isinstance(annotation, TableAnnotation)
    ]
    if known and len(known) != len(tables):
        raise TaskError(
            "resource", f"expected an annotation for each of {len(tables)} tables, found {len(known)}"
        )
    return tables, known or [_blank(table) for table in tables]


def _blank(table: Table) -> TableAnnotation:
    columns = tuple(ColumnAnnotation(c.index, c.name, None, None, 0.0, True) for c in table.columns)
    return TableAnnotation(table.name, table.source, columns)


def _unsure(tables: Sequence[Table], known: Sequence[TableAnnotation]) -> Iterator[tuple[int, int]]:
    """Table and column of those without a type that have a cell or a header."""
    for number, (table, annotation) in enumerate(zip(tables, known, strict=True)):
        for column, said in zip(table.columns, annotation.columns, strict=True):
            if said.abstained and (column.name or any(column.values)):
                yield number, column.index


def _shown(
    number: int, table: Table, known: TableAnnotation, asked: Sequence[int], rows: int, unmasked: bool
) -> dict[str, Any]:
    """The columns of a table as data: more cells of those asked about than of those around them."""
    columns = []
    for column, annotation in zip(table.columns, known.columns, strict=True):
        wanted = column.index in asked
        cells = _cells(column, rows if wanted else min(rows, _CONTEXT))
        header = (column.name or "")[:_HEADER]
        said = {"type": annotation.type}
        columns.append(
            {
                "column": _id(number, column.index),
                "header": header if unmasked else masked([header])[0],
                "cells": [cell[:_HEADER] for cell in cells] if unmasked else _masked(cells, annotation),
                **({"candidates": [c.type for c in annotation.candidates[:5]]} if wanted else said),
            }
        )
    return {"columns": columns}


def _masked(cells: Sequence[str], annotation: ColumnAnnotation) -> list[str]:
    """As if the column were of each type it may well be: names stay hidden where it may be one of names."""
    labels = (annotation.type, *(c.type for c in annotation.candidates if c.probability >= _LIKELY))
    ways = [masked(cells, label) for label in labels]
    return [max(shown, key=lambda one: one.count("***")) for shown in zip(*ways, strict=True)]


def _id(table: int, column: int) -> str:
    return f"t{table}c{column}"


def _cells(column: Column, most: int) -> list[str]:
    """The first cells that differ and are not empty."""
    return list(dict.fromkeys(value for value in column.values if value))[:most]
