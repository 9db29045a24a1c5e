"""Column types: read every column alone, fuse the context's states, read the target again, answer.

The way of a column: its bytes are read once from the zero state (all columns of all tables in one batch);
the states of the columns chosen as its context are fused; the column is read again from the fused state;
the head scores the labels it knows, or the label texts are scored from the state; temperature turns scores
into probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, Evidence, TableAnnotation
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.text_scores import TextScorer
from aegir_dspy.latent.fusion import fuse_tensors
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.rwkv.state import StateTensors
from aegir_dspy.tables.context import ContextConfig, context_members
from aegir_dspy.tables.serialize import sample_values, serialize_column
from aegir_dspy.tables.table import Column, Table

__all__ = ["AnnotatorConfig", "ColumnTypeAnnotator", "TypeScores"]


@dataclass(frozen=True, slots=True)
class AnnotatorConfig:
    """How column types are asked for.

    Attributes:
        context: how context columns are chosen; its `columns` = 0 reads every column alone.
        abstain_below: confidence under which no type is given; None takes the bundle's own.
        candidates: how many types are listed for a column.
        columns_at_once: columns of a batch; bounds memory.
    """

    context: ContextConfig = ContextConfig()
    abstain_below: float | None = None
    candidates: int = 5
    columns_at_once: int = 512


class TypeScores(NamedTuple):
    """Scores of all columns of some tables.

    logits: (C, labels of the vocabulary) before temperature.
    readable: (C,) bool: columns with a value or a header; the others say nothing.
    members: per table, (c, c) bool: which columns were context of which.
    tokens: bytes read.
    """

    logits: Tensor
    readable: Tensor
    members: list[np.ndarray]
    tokens: int


class ColumnTypeAnnotator:
    """Annotates tables with the types of one vocabulary."""

    def __init__(self, bundle: Bundle, vocabulary: Vocabulary, config: AnnotatorConfig | None = None) -> None:
        self.bundle, self.vocabulary = bundle, vocabulary
        self.config = config or AnnotatorConfig()
        self.specialist = FrozenSpecialist(bundle.model, bundle.identity)
        rows = {label: row for row, label in enumerate(bundle.config.labels)}
        known = [rows.get(label) for label in vocabulary.names]
        self.known = all(row is not None for row in known)
        self.rows = torch.tensor([row for row in known if row is not None], dtype=torch.int64)
        self.text = None if self.known else TextScorer(bundle.model, vocabulary.names)
        self.positions = torch.tensor(
            [i for i, row in enumerate(known) if row is not None], dtype=torch.int64
        )

    @property
    def threshold(self) -> float:
        """Confidence under which no type is given."""
        own = self.config.abstain_below
        return self.bundle.config.abstain_below if own is None else own

    def __deepcopy__(self, memo: object) -> ColumnTypeAnnotator:
        return self  # frozen: optimizers that copy a program share the weights

    def annotate(self, tables: Sequence[Table]) -> Iterator[tuple[TableAnnotation, int]]:
        """Every table's annotation with the number of bytes read for it, in order, batch by batch."""
        for batch in self._batches(tables):
            scores = self.scores(batch)
            probabilities = self.probabilities(scores.logits)
            first = 0
            for table, members in zip(batch, scores.members, strict=True):
                last = first + len(table.columns)
                part, readable = probabilities[first:last], scores.readable[first:last].tolist()
                columns = tuple(
                    self._column(column, part[i], readable[i], table, members[i])
                    for i, column in enumerate(table.columns)
                )
                yield TableAnnotation(table.name, table.source, columns), scores.tokens // len(batch)
                first = last

    def scores(self, tables: Sequence[Table]) -> TypeScores:
        """Score every column of some tables, all in one batch."""
        pieces = [serialize_column(c, self.bundle.config.serialize) for t in tables for c in t.columns]
        members = self._members(tables, pieces)
        alone = self.specialist.read(pieces)
        joined, informed = _block_diagonal(members)
        reading, tokens = alone, sum(map(len, pieces))
        if len(informed):
            fused = fuse_tensors(alone.states, joined)
            chosen = [pieces[i] for i in informed.tolist()]
            again = self.specialist.read(chosen, fused)
            reading, tokens = _replace(alone, informed, again), tokens + sum(map(len, chosen))
        readable = torch.tensor([len(piece) > 1 for piece in pieces])
        return TypeScores(self._logits(reading), readable, members, tokens)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(C, labels) calibrated probabilities."""
        config = self.bundle.config
        known = config.temperature(self.vocabulary.name)
        temperature = known if self.known else config.text_temperature
        return torch.softmax(logits / temperature, 1)

    def _logits(self, reading: Reading) -> Tensor:
        with torch.inference_mode():
            head: Tensor = self.bundle.head(reading.features)[:, self.rows.to(reading.features.device)]
        if self.text is None:
            return head.cpu()
        width = self.bundle.model.geometry.width
        gain = self.text.gain(
            reading.states, reading.features[:, width:].to(reading.states.shift.dtype)
        ).cpu()
        if len(self.positions):  # labels the head knows: its opinion among them moves their text scores
            gain[:, self.positions] += head.cpu().log_softmax(1) + float(np.log(len(self.positions)))
        return gain

    def _members(self, tables: Sequence[Table], pieces: Sequence[bytes]) -> list[np.ndarray]:
        most = min(self.config.context.columns, self.bundle.config.context)
        members, first = [], 0
        for table in tables:
            own = pieces[first : first + len(table.columns)]
            chosen = context_members(own, replace(self.config.context, columns=most))
            if not most:
                chosen[:] = False
            chosen[:, [len(piece) <= 1 for piece in own]] = False  # empty columns say nothing
            members.append(chosen)
            first += len(table.columns)
        return members

    def _batches(self, tables: Sequence[Table]) -> Iterator[list[Table]]:
        batch: list[Table] = []
        for table in tables:
            if batch and sum(len(t.columns) for t in [*batch, table]) > self.config.columns_at_once:
                yield batch
                batch = []
            batch.append(table)
        if batch:
            yield batch

    def _column(
        self, column: Column, probability: Tensor, readable: bool, table: Table, members: np.ndarray
    ) -> ColumnAnnotation:
        best = probability.topk(min(self.config.candidates, len(self.vocabulary)))
        candidates = tuple(
            Candidate(self.vocabulary.names[i], round(p, 4))
            for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )
        if not readable:
            return ColumnAnnotation(column.index, column.name, None, None, 0.0, True)
        top = candidates[0]
        abstained = top.probability < self.threshold
        return ColumnAnnotation(
            column.index,
            column.name,
            None if abstained else top.type,
            None if abstained else self.vocabulary[top.type].iri,
            top.probability,
            abstained,
            candidates,
            tuple(_evidence(column, table, members)),
        )


def _evidence(column: Column, table: Table, members: np.ndarray) -> Iterator[Evidence]:
    if column.name:
        yield Evidence("header", column.name)
    if column.comment:
        yield Evidence("comment", column.comment)
    for value in sample_values(column.values, 3):
        yield Evidence("value", value[:80])
    others = [table.columns[i].name or f"column {i + 1}" for i in np.flatnonzero(members)]
    if others:
        yield Evidence("context", ", ".join(others))


def _block_diagonal(members: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """One (M, C) membership for all tables' columns, only rows with a context, and those rows' numbers."""
    total = sum(len(m) for m in members)
    joined, first = torch.zeros(total, total, dtype=torch.bool), 0
    for m in members:
        joined[first : first + len(m), first : first + len(m)] = torch.from_numpy(m)
        first += len(m)
    informed = joined.any(1).nonzero().flatten()
    return joined[informed], informed


def _replace(reading: Reading, rows: Tensor, by: Reading) -> Reading:
    """`reading` with some of its rows taken from another one."""
    features = reading.features.clone()
    features[rows] = by.features
    states = StateTensors(*(t.clone() for t in reading.states))
    states.shift[:, :, rows] = by.states.shift
    states.kv[:, rows] = by.states.kv
    states.tail[rows] = by.states.tail
    return Reading(features, states)
