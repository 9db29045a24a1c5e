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
from aegir_dspy.annotator.ngrams import bag_of, merge
from aegir_dspy.annotator.text_scores import TextScorer
from aegir_dspy.latent.fusion import fuse_tensors, side_by_side
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.tables.context import ContextConfig, context_members
from aegir_dspy.tables.serialize import COLUMN_END, HEADER_END, VALUE_END, sample_values, serialize_column
from aegir_dspy.tables.table import Column, Table

__all__ = ["AnnotatorConfig", "ColumnTypeAnnotator", "TypeScores"]


@dataclass(frozen=True, slots=True)
class AnnotatorConfig:
    """How column types are asked for.

    Attributes:
        context: how context columns are chosen; its `columns` = 0 reads every column alone.
        abstain_below: confidence under which no type is given; None takes the bundle's own.
        candidates: how many types are listed for a column.
        columns_at_once: columns whose states are held at once; bounds memory.
        sure: a column that has at least this confidence when read alone is not read again in its context.
    """

    context: ContextConfig = ContextConfig()
    abstain_below: float | None = None
    candidates: int = 5
    columns_at_once: int = 512
    sure: float = 0.9


class TypeScores(NamedTuple):
    """Scores of all columns of some tables.

    logits: (C, labels of the vocabulary) before temperature.
    readable: (C,) bool: columns with a value or a header; the others say nothing.
    members: per table, (c, c) bool: which columns were context of which.
    tokens: (C,) bytes read for each column.
    """

    logits: Tensor
    readable: Tensor
    members: list[np.ndarray]
    tokens: Tensor


class ColumnTypeAnnotator:
    """Annotates tables with the types of one vocabulary."""

    def __init__(self, bundle: Bundle, vocabulary: Vocabulary, config: AnnotatorConfig | None = None) -> None:
        self.bundle, self.vocabulary = bundle, vocabulary
        self.config = config or AnnotatorConfig()
        self.specialist = FrozenSpecialist(bundle.model, bundle.identity)
        rows = {label: row for row, label in enumerate(bundle.config.labels)}
        known = [rows.get(label) for label in vocabulary.names]
        self.known = all(row is not None for row in known)
        used = [row for row in known if row is not None]
        self.weight = bundle.head.classify.weight[used].double()
        self.bias = bundle.head.classify.bias[used].double()
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
            best = self._best(self.probabilities(scores.logits))
            first = 0
            for table, members in zip(batch, scores.members, strict=True):
                last = first + len(table.columns)
                readable = scores.readable[first:last].tolist()
                columns = tuple(
                    self._column(column, best[first + i], table, members[i])
                    if readable[i]
                    else _unread(column)
                    for i, column in enumerate(table.columns)
                )
                tokens = int(scores.tokens[first:last].sum())
                yield TableAnnotation(table.name, table.source, columns), tokens
                first = last

    def scores(self, tables: Sequence[Table]) -> TypeScores:
        """Score every column of some tables; only states that are context of another column are kept."""
        pieces = [serialize_column(c, self.bundle.config.serialize) for t in tables for c in t.columns]
        members = self._members(tables, pieces)
        joined = _block_diagonal(members)  # (C, C)
        informed, used = joined.any(1), joined.any(0)
        logits, kept = torch.zeros(len(pieces), len(self.vocabulary)), []
        for rows in self._slices(torch.arange(len(pieces))):
            reading = self.specialist.read([pieces[i] for i in rows.tolist()])
            # Labels as text are costly: only where this reading is the last one.
            wanted = ~informed[rows] if self.text else torch.ones_like(rows, dtype=torch.bool)
            logits[rows[wanted]] = self._logits(_select(reading, wanted))
            kept.append(reading.states.select(used[rows].nonzero().flatten()))
        linear = self._share * self.margins(tables, members) if self._share else torch.zeros(1)
        if self.text is None:
            sure = self.probabilities(logits.log_softmax(1) + linear).max(1).values >= self.config.sure
            informed &= ~sure
        context = side_by_side(kept) if kept else None
        for rows in self._slices(informed.nonzero().flatten()):
            fused = fuse_tensors(context, joined[rows][:, used]) if context else None
            logits[rows] = self._logits(self.specialist.read([pieces[i] for i in rows.tolist()], fused))
        if self._share:
            logits = logits.log_softmax(1) + linear
        readable = torch.tensor([_says_something(piece) for piece in pieces], dtype=torch.bool)
        lengths = torch.tensor([len(piece) for piece in pieces], dtype=torch.int64)
        return TypeScores(logits, readable, members, lengths * (1 + informed.long()))

    def margins(self, tables: Sequence[Table], members: Sequence[np.ndarray]) -> Tensor:
        """(C, labels) of the n-gram specialist, each column in the context it was given.

        Only for a bundle with n-grams and a vocabulary whose labels they all know.
        """
        assert self.bundle.ngrams is not None
        bags, contexts = [], []
        for table, chosen in zip(tables, members, strict=True):
            own = [bag_of(column) for column in table.columns]
            bags += own
            contexts += [merge([own[i] for i in np.flatnonzero(row)]) for row in chosen]
        columns = [self.bundle.ngrams.labels.index(name) for name in self.vocabulary.names]
        return self.bundle.ngrams.margins(bags, contexts)[:, columns]

    @property
    def has_ngrams(self) -> bool:
        """Whether there is an n-gram specialist that knows every label."""
        ngrams = self.bundle.ngrams
        return ngrams is not None and set(self.vocabulary.names) <= set(ngrams.labels)

    @property
    def _share(self) -> float:
        """Weight of the n-gram specialist, 0 where it does not know every label."""
        return self.bundle.config.ngram_share.get(self.vocabulary.name, 0.0) if self.has_ngrams else 0.0

    def probabilities(self, logits: Tensor) -> Tensor:
        """(C, labels) calibrated probabilities."""
        config = self.bundle.config
        known = config.temperature(self.vocabulary.name)
        temperature = known if self.known else config.text_temperature
        return torch.softmax(logits / temperature, 1)

    def _logits(self, reading: Reading) -> Tensor:
        # In double: the last bits of a float32 product depend on how many columns are in the batch.
        head = torch.nn.functional.linear(reading.features.double(), self.weight, self.bias).float().cpu()
        if self.text is None:
            return head
        width = self.bundle.model.geometry.width
        gain = self.text.gain(
            reading.states, reading.features[:, width:].to(reading.states.shift.dtype)
        ).cpu()
        if len(self.positions):  # labels the head knows: its opinion among them moves their text scores
            gain[:, self.positions] += head.log_softmax(1) + float(np.log(len(self.positions)))
        return gain

    def _members(self, tables: Sequence[Table], pieces: Sequence[bytes]) -> list[np.ndarray]:
        most = min(self.config.context.columns, self.bundle.config.context)
        members, first = [], 0
        for table in tables:
            own = pieces[first : first + len(table.columns)]
            chosen = context_members(own, replace(self.config.context, columns=most))
            if not most:
                chosen[:] = False
            chosen[:, [not _says_something(piece) for piece in own]] = False
            members.append(chosen)
            first += len(table.columns)
        return members

    def _batches(self, tables: Sequence[Table]) -> Iterator[list[Table]]:
        batch: list[Table] = []
        columns = 0
        for table in tables:
            if batch and columns + len(table.columns) > self.config.columns_at_once:
                yield batch
                batch, columns = [], 0
            batch.append(table)
            columns += len(table.columns)
        if batch:
            yield batch

    def _slices(self, rows: Tensor) -> Iterator[Tensor]:
        for first in range(0, len(rows), self.config.columns_at_once):
            yield rows[first : first + self.config.columns_at_once]

    def _best(self, probabilities: Tensor) -> list[tuple[Candidate, ...]]:
        """The likeliest types of every column; of equally likely ones the first of the vocabulary first."""
        ordered = probabilities.sort(dim=1, descending=True, stable=True)
        names = self.vocabulary.names
        return [
            tuple(Candidate(names[i], round(p, 4)) for p, i in zip(values, indices, strict=True))
            for values, indices in zip(
                ordered.values[:, : self.config.candidates].tolist(),
                ordered.indices[:, : self.config.candidates].tolist(),
                strict=True,
            )
        ]

    def _column(
        self, column: Column, candidates: tuple[Candidate, ...], table: Table, members: np.ndarray
    ) -> ColumnAnnotation:
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


def _unread(column: Column) -> ColumnAnnotation:
    return ColumnAnnotation(column.index, column.name, None, None, 0.0, True)


def _says_something(piece: bytes) -> bool:
    """Whether a serialized column has a value or a header."""
    return bool(piece.strip(HEADER_END + VALUE_END + COLUMN_END))


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


def _block_diagonal(members: Sequence[np.ndarray]) -> Tensor:
    """One (C, C) membership for the columns of all tables."""
    total = sum(len(m) for m in members)
    joined, first = torch.zeros(total, total, dtype=torch.bool), 0
    for m in members:
        joined[first : first + len(m), first : first + len(m)] = torch.from_numpy(m)
        first += len(m)
    return joined


def _select(reading: Reading, chosen: Tensor) -> Reading:
    """The rows of a reading where `chosen` (C,) is true."""
    rows = chosen.nonzero().flatten()
    return Reading(reading.features[rows.to(reading.features.device)], reading.states.select(rows))
