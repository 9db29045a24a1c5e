"""From the types of columns to all that is said about tables.

The steps after the types, each from what the ones before it found: a second look at types that are easily
confused, relations of the columns to their table's subject, the composition that says all of it, and what the
verifier refuses. `aegir_dspy.orchestrator.table_agents` takes them in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from aegir_dspy.annotator.annotation import ColumnAnnotation, Evidence, Relation, TableAnnotation
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.elements import DataElement
from aegir_dspy.annotator.relations import RelationAnnotator
from aegir_dspy.annotator.subject import detect_subject
from aegir_dspy.errors import FailureRecord
from aegir_dspy.ontology.compose import compose
from aegir_dspy.ontology.composition import ColumnType, Composition, Related, TableTypes
from aegir_dspy.ontology.expectations import expectation
from aegir_dspy.ontology.names import name_of
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.verifier import Score, Verifier
from aegir_dspy.verifier.column_profile import profile
from aegir_dspy.verifier.confusable import Neighbour, role_of, second_look

__all__ = ["Describer", "refusals"]

_MET = 0.1  # share of the cells that has to have the form of a property


class Describer:
    """Describes tables whose columns have types.

    Args:
        bundle: the weights that gave the types; they read relations of a vocabulary not trained on.
        vocabulary: of the types.
        relations: what a relation may be.
        threshold: confidence under which no type is given.
    """

    def __init__(
        self, bundle: Bundle, vocabulary: Vocabulary, relations: Vocabulary, threshold: float
    ) -> None:
        self.bundle, self.vocabulary, self.relations = bundle, vocabulary, relations
        self.threshold = threshold

    @cached_property
    def verifier(self) -> Verifier:
        """The verifier of this vocabulary, with the ontology its types are of."""
        # The relations are schema.org's, whatever the types are of.
        ontology = load_ontology(["dbpedia", "schema"] if self.vocabulary.name == "dbpedia" else "schema")
        return Verifier(vocabulary=self.vocabulary, ontology=ontology)

    @cached_property
    def relating(self) -> RelationAnnotator:
        """What says how columns are related."""
        return RelationAnnotator(self.bundle, self.relations)

    def relate(self, table: Table, annotation: TableAnnotation) -> TableAnnotation:
        """The types of a table, those easily confused looked at twice, with the relations of its columns."""
        return self._related(table, self._looked_again(table, annotation))

    def compose(
        self,
        tables: Sequence[Table],
        annotations: Sequence[TableAnnotation],
        elements: Sequence[DataElement] = (),
    ) -> Composition:
        """The composition that says what the annotations say."""
        standard = self.verifier.standard
        said = [self._types(table, one) for table, one in zip(tables, annotations, strict=True)]
        return compose(
            said,
            self.vocabulary,
            standard.ontology,
            standard.catalog,
            data=tables,
            elements=[element.to_composition() for element in elements],
        )

    def _looked_again(self, table: Table, annotation: TableAnnotation) -> TableAnnotation:
        columns = tuple(self._second_look(table, annotation, column) for column in annotation.columns)
        return replace(annotation, columns=columns)

    def _second_look(
        self, table: Table, annotation: TableAnnotation, column: ColumnAnnotation
    ) -> ColumnAnnotation:
        """The column with the better of two types that are easily confused, and why.

        What it is sure of is then that the column is of one of the two: their probabilities are added.
        """
        candidates = [(c.type, c.probability) for c in column.candidates]
        if sum(role_of(label) is not None for label, _ in candidates) < 2:
            return column
        neighbours = [
            Neighbour(c.name, a.type, c.values)
            for c, a in zip(table.columns, annotation.columns, strict=True)
            if a.index != column.index
        ]
        found = second_look(table.columns[column.index], candidates, column.name, neighbours)
        if found is None:
            return column
        label, reason = found
        rival = candidates[0][0] if candidates[0][0] != label else candidates[1][0]
        confidence = min(1.0, sum(p for name, p in candidates if name in (label, rival)))
        told = (*column.evidence, Evidence("second look", reason))
        if confidence < self.threshold:
            return replace(column, evidence=told)
        iri = self.vocabulary[label].iri
        return replace(
            column, type=label, iri=iri, confidence=round(confidence, 4), abstained=False, evidence=told
        )

    def _related(self, table: Table, annotation: TableAnnotation) -> TableAnnotation:
        found = self.relating.annotate(table, annotation)
        kept = tuple(r for r in found if not _contradicted(table.columns[r.object], r.property))
        return replace(annotation, relations=kept)

    def _types(self, table: Table, annotation: TableAnnotation) -> TableTypes:
        """An annotation as a part of a composition."""
        columns = tuple(
            ColumnType(c.index, c.type, "" if c.type is not None else _reason(c), c.confidence)
            for c in annotation.columns
        )
        relations = [(one, self._property(one)) for one in annotation.relations]
        related = tuple(Related(one.subject, one.object, name) for one, name in relations if name is not None)
        return TableTypes(annotation.name, columns, related, detect_subject(table, annotation))

    def _property(self, relation: Relation) -> str | None:
        """The term of the ontology that a relation is, None where it has none."""
        iri = self.relations[relation.property].iri
        name = name_of(iri, self.verifier.standard.ontology) if iri else None
        return name if name is not None and name in self.verifier.standard.ontology else None


def _contradicted(column: Column, property: str) -> bool:
    """Whether the property has a strict form, that of an e-mail address or a telephone, that no cell has."""
    expected = expectation(property)
    if expected.kind not in ("checksum", "format") or not expected.validators:
        return False
    cells = profile(column.values)
    return bool(cells.sample) and max(cells.share(name) for name in expected.validators) < _MET


def _reason(column: ColumnAnnotation) -> str:
    if not column.candidates:
        return "the column has neither values nor a header"
    best = column.candidates[0]
    return f"the likeliest type, {best.type}, has a probability of {best.probability:.2f}"


def refusals(score: Score) -> list[FailureRecord]:
    """A record for every gate of the verifier that refuses a composition, with its first reason."""
    found = []
    for gate in score.gates:
        if not gate.ok:
            reasons = [d for d in score.diagnostics if d.code.split(".")[0] == gate.name]
            message = reasons[0].message if reasons else f"the gate {gate.name} refuses the composition"
            evidence = f"{reasons[0].subject}: {', '.join(reasons[0].evidence)}" if reasons else ""
            found.append(FailureRecord("verify", "verifier", f"gate:{gate.name}", message, evidence))
    return found
