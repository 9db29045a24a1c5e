"""Reading columns in other ways than the annotator does, with the same weights.

What `cta.py` and `fusion.py` compare.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.text_scores import verbalise
from aegir_dspy.errors import InputError
from aegir_dspy.latent.affine import AffineMaps
from aegir_dspy.latent.fusion import FusionMode, fuse_tensors
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading
from aegir_dspy.rwkv.state import StateTensors
from aegir_dspy.tables.context import ContextConfig, context_members
from aegir_dspy.tables.serialize import ANSWER_END, serialize_column
from aegir_dspy.tables.table import Table

__all__ = ["Answers", "Columns", "Fuse", "Reader", "partners"]

Answers = Sequence[str | None]
Fuse = Callable[[StateTensors, Tensor, AffineMaps | None], StateTensors]  # states, members (M, N), maps


class Columns:
    """All columns of some tables in one list, and which of them are context of which.

    pieces: (C) bytes each. right, wrong: (C, C) bool, row = target: the columns the annotator would choose,
    and as many of a table of about the same width from another host. others: (C) how many other columns of
    its table have values. spans: the columns of each table.
    """

    def __init__(
        self, tables: Sequence[Table], hosts: Sequence[str | None], bundle: Bundle, seed: int
    ) -> None:
        own = [[serialize_column(c, bundle.config.serialize) for c in t.columns] for t in tables]
        self.pieces = [piece for table in own for piece in table]
        first = np.cumsum([0, *map(len, own)])
        self.spans = [range(a, b) for a, b in zip(first[:-1].tolist(), first[1:].tolist(), strict=True)]
        readable = np.array([len(piece) > 1 for piece in self.pieces], dtype=np.bool_)
        self.others: NDArray[np.int64] = np.concatenate(
            [readable[s.start : s.stop].sum() - readable[s.start : s.stop] for s in self.spans]
        )
        most = ContextConfig(columns=min(ContextConfig().columns, bundle.config.context))
        self.right, self.wrong = np.zeros((2, len(self.pieces), len(self.pieces)), dtype=np.bool_)
        for span, pieces, other in zip(
            self.spans, own, partners(list(map(len, own)), hosts, seed), strict=True
        ):
            block = slice(span.start, span.stop)
            self.right[block, block] = context_members(pieces, most) & readable[block]
            there = [i for i in self.spans[other] if readable[i]]
            for column in span:
                self.wrong[column, there[: self.right[column].sum()]] = True

    def context(self, column: int) -> list[int]:
        """The context columns of a column, in file order."""
        found: list[int] = np.flatnonzero(self.right[column]).tolist()
        return found


def partners(widths: Sequence[int], hosts: Sequence[str | None], seed: int) -> Iterator[int]:
    """For each table, the one of another host that is most like it in width; ties by lot."""
    rng = random.Random(seed)
    for width, host in zip(widths, hosts, strict=True):
        lots = [(abs(w - width), rng.random(), i) for i, w in enumerate(widths) if hosts[i] != host]
        if not lots:
            raise InputError("expected tables of two hosts at least, found one: take more tables")
        yield min(lots)[2]


class Reader:
    """Other ways than the annotator's to read columns; each gives (C, labels) probabilities."""

    def __init__(self, bundle: Bundle, labels: Sequence[str]) -> None:
        rows = {label: row for row, label in enumerate(bundle.config.labels)}
        self.labels, self.rows = list(labels), [rows[label] for label in labels]
        self.head, self.direction = bundle.head, bundle.config.serialize.direction
        self.specialist = FrozenSpecialist(bundle.model, bundle.identity)

    def in_order(self, columns: Columns, rng: random.Random | None = None) -> Tensor:
        """One pass over each table, the label asked where each column ends; file order without `rng`."""
        orders = [rng.sample(span, len(span)) if rng else list(span) for span in columns.spans]
        read = self.streams([[columns.pieces[i] for i in order] for order in orders])
        back = torch.tensor([i for order in orders for i in order]).argsort()
        return self.probabilities(torch.stack([features for stream in read for features in stream])[back])

    def after_columns(self, columns: Columns, targets: Sequence[int]) -> Tensor:
        """(targets, labels): each after its context columns, concatenated."""
        return self._after(
            [[columns.pieces[i] for i in columns.context(t)] for t in targets], columns, targets
        )

    def after_texts(self, columns: Columns, targets: Sequence[int], labels: Sequence[str]) -> Tensor:
        """(targets, labels): each after the labels (C) of its context columns, in words."""
        texts = [verbalise(label).encode() + ANSWER_END for label in labels]
        return self._after([[texts[i] for i in columns.context(t)] for t in targets], columns, targets)

    def alone(self, columns: Columns) -> Tensor:
        """Every column from the zero state."""
        return self.probabilities(self.specialist.read(columns.pieces).features)

    def fused(self, columns: Columns, members: NDArray[np.bool_], mode: FusionMode) -> Tensor:
        """Every column from the fused states of its members (C, C)."""
        first, joined = self.specialist.read(columns.pieces), torch.from_numpy(members)
        features = first.features.clone()
        for rows in torch.split(joined.any(1).nonzero().flatten(), 256):
            used = joined[rows].any(0).nonzero().flatten()
            start = fuse_tensors(first.states.select(used), joined[rows][:, used], mode)
            features[rows] = self.specialist.read([columns.pieces[i] for i in rows.tolist()], start).features
        return self.probabilities(features)

    def last(self, streams: Sequence[Sequence[bytes]]) -> Tensor:
        """(S, 2·D) features of the last of two and more pieces of each stream, read after the others."""
        start = self.specialist.read([b"".join(stream[:-1]) for stream in streams]).states
        return self.specialist.read([stream[-1] for stream in streams], start).features

    def from_context(
        self, pieces: Sequence[bytes], context: Sequence[Sequence[int]], first: Reading, fuse: Fuse
    ) -> Tensor:
        """(T, 2·D): each piece from the fused states of its context, rows of `first` in their order."""
        features = []
        for rows in torch.split(torch.arange(len(pieces)), 128):
            used = sorted({i for row in rows.tolist() for i in context[row]})
            place = {i: number for number, i in enumerate(used)}
            members = torch.zeros(len(rows), len(used), dtype=torch.bool)
            for number, row in enumerate(rows.tolist()):
                members[number, [place[i] for i in context[row]]] = True
            with torch.inference_mode():
                maps = first.maps.select(used) if first.maps else None
                start = fuse(first.states.select(used), members, maps)
            features.append(self.specialist.read([pieces[row] for row in rows.tolist()], start).features)
        return torch.cat(features)

    def best(self, probabilities: Tensor) -> list[str]:
        """The most probable label of each column."""
        return [self.labels[i] for i in probabilities.argmax(1).tolist()]

    def _after(self, before: Sequence[Sequence[bytes]], columns: Columns, targets: Sequence[int]) -> Tensor:
        pieces = zip(before, targets, strict=True)
        streams = [[*([b"".join(texts)] if texts else []), columns.pieces[t]] for texts, t in pieces]
        return self.probabilities(torch.stack([stream[-1] for stream in self.streams(streams)]))

    def streams(self, streams: Sequence[Sequence[bytes]]) -> list[list[Tensor]]:
        """(2·D) features of each piece of each stream, a piece read from the state its predecessor left.

        The same as reading the concatenation, piece by piece of all streams at once.
        """
        found: list[list[Tensor]] = [[] for _ in streams]
        going, states = list(range(len(streams))), None
        for position in range(max(map(len, streams))):
            still = [row for row, i in enumerate(going) if len(streams[i]) > position]
            going, states = [going[row] for row in still], states.select(still) if states else None
            features, states, _ = self.specialist.read([streams[i][position] for i in going], states)
            for i, vector in zip(going, features, strict=True):
                found[i].append(vector)
        return found

    @torch.inference_mode()
    def probabilities(self, features: Tensor, head: ColumnHead | None = None) -> Tensor:
        """(C, 2·D) → (C, labels) of the head, or of another with the same rows."""
        answer: Tensor = (head or self.head)(features)[:, self.rows].softmax(1).cpu()
        return answer
