"""Relations of columns to the subject column of their table.

A linear model (`aegir_dspy.annotator.relation_model`) says how clearly each column is of each relation, and
the relations of a table are decided together: each column tells the others what it takes itself for, and what
rarely stands in one table is held against it (`aegir_dspy.annotator.decision`). Relations the weights do not
know are scored as text, as types are, and held against the domains and ranges of an ontology.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from aegir_dspy.annotator.annotation import Relation, TableAnnotation
from aegir_dspy.annotator.bundle import Bundle, default_bundle, load_bundle
from aegir_dspy.annotator.decision import Agreement, Decisions, decide
from aegir_dspy.annotator.relation_model import (
    RelationModel,
    default_relation_model,
    describe,
    load_relation_model,
)
from aegir_dspy.annotator.relation_ranges import Ranges
from aegir_dspy.annotator.subject import detect_subject
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.tables.infer import is_null
from aegir_dspy.tables.table import Table

__all__ = ["RelationAnnotator", "RelationScores"]

_RANGE_OF_TEXTS = 1.0  # weight of domain and range where relations are scored as text


@dataclass(frozen=True)
class RelationScores:
    """What is known of the columns of a table.

    subject: the subject column. objects: the other columns that have values or a header.
    logits: (objects, relations) calibrated log-probabilities, float64.
    """

    subject: int
    objects: tuple[int, ...]
    logits: Tensor


class RelationAnnotator:
    """Finds the subject column of a table and says how the others are related to it.

    Args:
        bundle: the type annotator, which scores relations that the weights do not know; its file, or None
            for the one that ships.
        relations: what a relation may be.
        model: the weights, or their file; None for those that ship.
        abstain_below: confidence under which no relation is given; None takes the weights' own.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        relations: Vocabulary | None = None,
        *,
        model: RelationModel | str | Path | None = None,
        abstain_below: float | None = None,
    ) -> None:
        self._given = bundle
        self.relations = relations if relations is not None else load_vocabulary("sotab_cpa")
        self.model = _model(model)
        self._rows = _rows(self.relations, self.model.labels)
        self.abstain_below = self.model.abstain_below if abstain_below is None else abstain_below

    @property
    def known(self) -> bool:
        """Whether the weights know every relation of the vocabulary."""
        return self._rows is not None

    def annotate(self, table: Table, types: TableAnnotation | None = None) -> tuple[Relation, ...]:
        """The relations that are sure enough, in the order of the columns.

        Args:
            types: the types of the same table; without them the answers are less accurate.
        """
        found = self.scores(table, types)
        if found is None:
            return ()
        confidence, best = found.logits.exp().max(1)
        return tuple(
            Relation(found.subject, column, self.relations.names[row], round(sure, 4))
            for column, sure, row in zip(found.objects, confidence.tolist(), best.tolist(), strict=True)
            if sure >= self.abstain_below
        )

    def scores(
        self, table: Table, types: TableAnnotation | None = None, subject: int | None = None
    ) -> RelationScores | None:
        """Score every column beside the subject column, which is looked for where it is not given.

        None when the table has no subject or nothing beside it.
        """
        if subject is None:
            subject = detect_subject(table, types)
        objects = tuple(i for i in range(len(table.columns)) if i != subject and _says_something(table, i))
        if subject is None or not objects:
            return None
        score = self._by_weights if self.known else self._by_text
        return RelationScores(subject, objects, score(table, types, subject, objects))

    def _by_weights(
        self, table: Table, types: TableAnnotation | None, subject: int, objects: Sequence[int]
    ) -> Tensor:
        assert self._rows is not None
        opinions = {"ngrams": self.model.margins(describe(table, types, subject, objects))[:, self._rows]}
        decision = self.model.decision
        if "range" in decision.opinions:
            opinions["range"] = self._ranges.opinion(table, types, subject, objects)
        everybody = torch.ones(len(objects), dtype=torch.bool)
        return decide(opinions, {}, Decisions(decision, decision), self._agreement, everybody)

    @cached_property
    def _agreement(self) -> Agreement:
        """The company that the relations of the vocabulary keep."""
        assert self._rows is not None
        company = self.model.company.double()[self._rows][:, self._rows]
        nothing = torch.zeros(0, len(self._rows), dtype=torch.float64)
        return Agreement((), self.relations.names, nothing, company)

    def _by_text(
        self, table: Table, types: TableAnnotation | None, subject: int, objects: Sequence[int]
    ) -> Tensor:
        """Log-probabilities of the texts of the relations, read as those of types are."""
        logits = self._texts.scores([table]).logits[list(objects)]
        said = self._ranges.opinion(table, types, subject, objects)
        return (logits + _RANGE_OF_TEXTS * said).log_softmax(1)

    @cached_property
    def _texts(self) -> ColumnTypeAnnotator:
        bundle = self._given
        if bundle is None:
            bundle = default_bundle()
        elif not isinstance(bundle, Bundle):
            bundle = load_bundle(Path(bundle))
        return ColumnTypeAnnotator(bundle, self.relations, AnnotatorConfig(ContextConfig()))

    @cached_property
    def _ranges(self) -> Ranges:
        return Ranges.of(self.relations, load_ontology("schema"))


def _model(model: RelationModel | str | Path | None) -> RelationModel:
    if model is None:
        return default_relation_model()
    return model if isinstance(model, RelationModel) else load_relation_model(Path(model))


def _rows(relations: Vocabulary, labels: Sequence[str]) -> list[int] | None:
    """The weights' row of every relation, by name or by IRI; None where one is unknown."""
    known = load_vocabulary("sotab_cpa")
    row = {label: i for i, label in enumerate(labels)}
    by_iri = {known[label].iri: i for label, i in row.items() if label in known}
    rows = [
        row.get(one.label, by_iri.get((one.iri or one.label).replace("http://", "https://", 1)))
        for one in relations
    ]
    found = [one for one in rows if one is not None]
    return found if len(found) == len(rows) else None


def _says_something(table: Table, index: int) -> bool:
    column = table.columns[index]
    return bool(column.name) or any(not is_null(value) for value in column.values)
