"""A recurrent member of the swarm: reads columns alone, then from the fused states of their context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.sheet import Sheet
from aegir_dspy.latent.recall import Recall
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading
from aegir_dspy.latent.store import StateStore

__all__ = ["THEME", "ColumnReader", "Opinion", "Score"]

THEME = "theme:"


class Opinion(NamedTuple):
    """What a member says of C columns, as log-probabilities in float64.

    labels: (C, L) types of the vocabulary. themes: (C, T) what the rows of the column's table are.
    read: (C,) bytes read for each column, 0 where it was not asked; captions as in `Sheet.by_column`.
    hidden: (C, F) float32, what the reader made of each column when it read it alone; zeros where not asked.
    """

    labels: Tensor
    themes: Tensor
    read: Tensor
    hidden: Tensor


class Score(Protocol):
    """From readings to scores of `width` labels, (C, width) float64; says whether it needs the states."""

    width: int
    wants_states: bool

    def __call__(self, reading: Reading, /) -> Tensor:
        """Score C columns."""


class ColumnReader:
    """One bundle's model and head on the labels of a vocabulary.

    Args:
        bundle: the weights.
        labels: the labels asked for; the head has to know them, unless `score` is given.
        columns_at_once: columns whose states are held at once; bounds memory.
        score: other scores than the head's, for labels it does not know.
        store: where readings are kept.
    """

    def __init__(
        self,
        bundle: Bundle,
        labels: Sequence[str],
        columns_at_once: int,
        score: Score | None = None,
        store: StateStore | None = None,
    ) -> None:
        self.bundle, self.columns_at_once = bundle, columns_at_once
        self.specialist = FrozenSpecialist(
            bundle.model, bundle.identity, store=store, serialization=repr(bundle.config.serialize)
        )
        rows = {label: row for row, label in enumerate(bundle.config.labels)}
        self.themes = tuple(label for label in bundle.config.labels if label.startswith(THEME))
        self._score: Score = score or _Head(bundle, [rows[label] for label in labels])
        self._theme = _Head(bundle, [rows[label] for label in self.themes])

    def opine(
        self, sheet: Sheet, wanted: Tensor, still_open: Callable[[Opinion], Tensor] | None = None
    ) -> Opinion:
        """Read the wanted columns (C,) bool and what they need; others get zeros.

        Args:
            still_open: from the opinions of the first reading, alone, to the columns (C,) that are read again
                from their fused context; by default all that have one.
        """
        pieces = sheet.pieces(self.bundle.config.serialize)
        informed = sheet.joined.any(1) & wanted
        used = sheet.joined[informed].any(0)  # (P,)
        recall = Recall(self.specialist, pieces, used)
        # Of columns that are read again anyway, no opinion on what they say alone is needed.
        first = wanted & ~informed if still_open is None else wanted
        opinion = self._opinion(first, lambda rows, states: recall.alone(rows, states=states))
        if still_open is not None:
            informed &= still_open(opinion)

        def again(rows: Tensor, states: bool) -> Reading:
            return recall.again(rows, recall.fused(sheet.joined[rows]), states=states)

        second, keep = self._opinion(informed, again), informed.unsqueeze(1)
        return Opinion(
            torch.where(keep, second.labels, opinion.labels),
            torch.where(keep, second.themes, opinion.themes),
            sheet.by_column(recall.tokens),
            opinion.hidden,
        )

    def _opinion(self, wanted: Tensor, read: Callable[[Tensor, bool], Reading]) -> Opinion:
        """The opinions on the wanted columns (C,) bool, which `read` reads, with their states if need be."""
        labels = torch.zeros(len(wanted), self._score.width, dtype=torch.float64)
        themes = torch.zeros(len(wanted), len(self.themes), dtype=torch.float64)
        hidden = torch.zeros(len(wanted), 2 * self.bundle.model.geometry.width)
        rows = wanted.nonzero().flatten()
        for first in range(0, len(rows), self.columns_at_once):
            some = rows[first : first + self.columns_at_once]
            reading = read(some, self._score.wants_states)
            hidden[some] = reading.features.cpu()
            labels[some] = self._score(reading).log_softmax(1)
            if self.themes:
                themes[some] = self._theme(reading).log_softmax(1)
        return Opinion(labels, themes, torch.zeros(len(wanted), dtype=torch.int64), hidden)


class _Head:
    """Some rows of a bundle's head. In double: float32 products depend on what else is in the batch."""

    wants_states = False

    def __init__(self, bundle: Bundle, rows: Sequence[int]) -> None:
        self.width = len(rows)
        self.weight = bundle.head.classify.weight[list(rows)].double()
        self.bias = bundle.head.classify.bias[list(rows)].double()

    def __call__(self, reading: Reading) -> Tensor:
        return torch.nn.functional.linear(reading.features.double(), self.weight, self.bias).cpu()
