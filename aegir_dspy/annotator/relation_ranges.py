"""What an ontology says against a relation: the subject is not of its domain, the values not of its range.

A type's class fits a class of the domain or range when one is the other or lies below it; a column of dates
or numbers fits a datatype of that kind; texts fit all datatypes of text. What the ontology lacks fits.
For column c and relation r, with the probabilities P of the types t:

.. math::
    o_c(r) = \\log \\max(\\epsilon, \\sum_t P_c(t) [t \\text{ fits the range}])
      + \\log \\max(\\epsilon, \\sum_t P_s(t) [t \\text{ fits the domain}])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.ontology.names import name_of
from aegir_dspy.ontology.terms import Ontology, Term
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.tables.infer import infer_type
from aegir_dspy.tables.table import Column, Table

__all__ = ["Ranges"]

_LEAST = 0.05
_OF_TYPE: Mapping[str, frozenset[str]] = {
    "boolean": frozenset({"xsd:boolean"}),
    "integer": frozenset({"xsd:integer", "xsd:decimal", "xsd:double", "xsd:float", "xsd:gYear"}),
    "number": frozenset({"xsd:decimal", "xsd:double", "xsd:float"}),
    "date": frozenset({"xsd:date", "xsd:dateTime"}),
    "datetime": frozenset({"xsd:date", "xsd:dateTime"}),
    "time": frozenset({"xsd:time", "xsd:dateTime", "xsd:duration"}),
}
_TEXTS = frozenset({"xsd:string", "xsd:anyURI", "rdf:langString", "xsd:anySimpleType"})


@dataclass(frozen=True)
class Ranges:
    """The domains and ranges of relations; a relation that the ontology lacks has None."""

    ontology: Ontology
    relations: tuple[Term | None, ...]

    @classmethod
    def of(cls, relations: Vocabulary, ontology: Ontology) -> Ranges:
        """Look the relations up by their IRIs, or by their labels where they have none."""
        return cls(ontology, tuple(_term(ontology, one.iri or one.label) for one in relations))

    def opinion(
        self, table: Table, types: TableAnnotation | None, subject: int, objects: Sequence[int]
    ) -> Tensor:
        """(objects, relations) float64, 0 where nothing is held against a relation."""
        classes = self._classes(types, subject)
        domain = [self._fit(classes, one.domain if one else ()) for one in self.relations]
        rows = []
        for index in objects:
            column, own = table.columns[index], self._classes(types, index)
            ranges = [self._range(column, own, one.range if one else ()) for one in self.relations]
            rows.append(ranges)
        fits = torch.tensor([domain], dtype=torch.float64), torch.tensor(rows, dtype=torch.float64)
        return fits[0].clamp(min=_LEAST).log() + fits[1].clamp(min=_LEAST).log()

    def _classes(self, types: TableAnnotation | None, index: int) -> list[tuple[str | None, float]]:
        """Classes or datatypes a column's cells may be of, with their probabilities."""
        if types is None or index >= len(types.columns):
            return []
        vocabulary = load_vocabulary("schema")
        found = []
        for one in types.columns[index].candidates:
            iri = vocabulary[one.type].iri if one.type in vocabulary else None
            term = _term(self.ontology, iri) if iri else None
            found.append((term.name if term and term.kind == "class" else None, one.probability))
        return found

    def _fit(self, classes: Sequence[tuple[str | None, float]], allowed: tuple[str, ...]) -> float:
        """The probability that a thing is of one of the classes allowed; what is unknown may be."""
        against = [p for name, p in classes if name is not None and not self._related(name, allowed)]
        return 1 - sum(against) if allowed else 1.0

    def _range(
        self, column: Column, classes: Sequence[tuple[str | None, float]], allowed: tuple[str, ...]
    ) -> float:
        datatypes = [name for name in allowed if name.startswith(("xsd:", "rdf:"))]
        kind = infer_type(column.values)
        if kind in _OF_TYPE and allowed:
            return 1.0 if not datatypes or _OF_TYPE[kind] & set(datatypes) or _TEXTS & set(datatypes) else 0.0
        if datatypes and not _TEXTS & set(datatypes):
            return 0.5  # written out: "twelve", "3rd of May"
        return 1.0 if datatypes else self._fit(classes, allowed)

    def _related(self, name: str, allowed: tuple[str, ...]) -> bool:
        return any(self.ontology.is_a(name, one) or self.ontology.is_a(one, name) for one in allowed)


def _term(ontology: Ontology, iri: str) -> Term | None:
    name = name_of(iri)
    return ontology.get(name) if name else None
