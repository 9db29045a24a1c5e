"""What the annotator says: values that become the `tables` of the JSON contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Candidate", "ColumnAnnotation", "Evidence", "Relation", "TableAnnotation"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A type that was considered, with its calibrated probability."""

    type: str
    probability: float

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {"type": self.type, "probability": self.probability}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an annotation rests on: kind is ``value``, ``header``, ``comment`` or ``context``."""

    kind: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {"kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True)
class ColumnAnnotation:
    """The type of one column.

    Attributes:
        index: position in the table.
        name: header or None.
        type: label of the vocabulary; None when abstained.
        iri: its IRI or None.
        confidence: calibrated probability of the best candidate, also when abstained.
        abstained: whether the confidence was too low to answer.
        candidates: the best types, most probable first.
        evidence: what it rests on.
    """

    index: int
    name: str | None
    type: str | None
    iri: str | None
    confidence: float
    abstained: bool
    candidates: tuple[Candidate, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The column's entry in ``aegir.result/1``."""
        return {
            "index": self.index,
            "name": self.name,
            "type": self.type,
            "iri": self.iri,
            "confidence": self.confidence,
            "abstained": self.abstained,
            "candidates": [c.to_json() for c in self.candidates],
            "evidence": [e.to_json() for e in self.evidence],
        }


@dataclass(frozen=True, slots=True)
class Relation:
    """How a column is related to the subject column of its table."""

    subject: int
    object: int
    property: str
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "subject": self.subject,
            "object": self.object,
            "property": self.property,
            "confidence": self.confidence,
        }


@dataclass(frozen=True, slots=True)
class TableAnnotation:
    """The annotations of one table, columns in the order of the file."""

    name: str
    source: str
    columns: tuple[ColumnAnnotation, ...]
    relations: tuple[Relation, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The table's entry in ``aegir.result/1``."""
        return {
            "name": self.name,
            "source": self.source,
            "columns": [c.to_json() for c in self.columns],
            "relations": [r.to_json() for r in self.relations],
        }
