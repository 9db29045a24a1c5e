"""The n-gram specialist: a linear model over counted features, one more agent beside the recurrent ones.

Its state is a bag, and bags fuse by addition: the bag of the context is the sum of its columns' bags, that of
a table the sum of all. It sees exact spellings where the recurrent model sees shapes, and the two err on
different columns.

Four kinds of features, (1 + log count) · idf, each kind scaled to length 1: 1- to 4-grams of the lower case
bytes of the column's values; the same of its context; its shapes (`shapes_of`): lengths, magnitudes, patterns
of letters and digits, first and last words, whole short values; and what its header and the text about the
table say (`titles_of`). Weights in int8 with a scale a label. What the rows of the table are is told from the
n-grams of all its columns.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.tables.serialize import VALUE_END, sample_values
from aegir_dspy.tables.table import Column

__all__ = [
    "CONTEXT_BUCKETS",
    "OWN_BUCKETS",
    "SHAPE_BUCKETS",
    "TITLE_BUCKETS",
    "Bag",
    "ColumnBags",
    "NgramSpecialist",
    "bags_of",
    "features",
    "merge",
    "shapes_of",
    "titles_of",
]

OWN_BUCKETS, CONTEXT_BUCKETS, SHAPE_BUCKETS, TITLE_BUCKETS = 1 << 14, 1 << 13, 1 << 13, 1 << 13
_MIX = np.uint64(0x9E3779B97F4A7C15)
_VALUES, _VALUE_BYTES = 10, 100
_LOWER, _UPPER = re.compile(r"[a-z]+"), re.compile(r"[A-Z]+")
_DIGIT, _LETTERS, _NINES = re.compile(r"\d"), re.compile(r"[^\W\d_]+"), re.compile(r"9+")
_WORD, _CAMEL = re.compile(r"[^\W_]+"), re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NUMBER = re.compile(r"[-+]?\d{1,15}(?:\.(\d{1,15}))?")


@dataclass(frozen=True, slots=True)
class Bag:
    """How often each hashed feature occurs: buckets in ascending order (n,), and counts (n,)."""

    buckets: NDArray[np.int64]
    counts: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColumnBags:
    """The bags of one column: the n-grams of its distinct values, their shapes, and its titles."""

    grams: Bag
    shapes: Bag
    titles: Bag

    @property
    def empty(self) -> bool:
        """Whether there is neither a value nor a title."""
        return not (len(self.grams.buckets) or len(self.titles.buckets))


@lru_cache(maxsize=2048)
def bags_of(column: Column, caption: str | None = None) -> ColumnBags:
    """The bags of a column, of its distinct values and of what is written over it.

    Those of the last columns are kept: what says the types asks first, what says the relations asks again.
    """
    values = sample_values(column.values, _VALUES)
    shapes = _counted(shapes_of(values), SHAPE_BUCKETS)
    return ColumnBags(_grams(values), shapes, _counted(titles_of(column.name, caption), TITLE_BUCKETS))


def merge(bags: Sequence[Bag]) -> Bag:
    """The sum of bags of n-grams, in the coarser buckets of a context."""
    if not bags:
        return Bag(np.zeros(0, np.int64), np.zeros(0))
    coarse = np.concatenate([bag.buckets for bag in bags]) % CONTEXT_BUCKETS
    return _bag(np.bincount(coarse, np.concatenate([bag.counts for bag in bags])))


def shapes_of(values: Sequence[str]) -> Iterator[str]:
    """Tokens that say how values look: one kind a first letter.

    n how many; L length and W words (steps of √2); S and T the pattern with digits as 9 and letters as a, A;
    M magnitude, D decimals, I small integers, R range of numbers; F first and E last word; V a short value.
    """
    if values:
        yield f"n{len(values)}"
    numbers = []
    for value in values:
        words = value.lower().split()
        yield f"L{int(2 * math.log2(1 + len(value)))}"
        yield f"W{int(2 * math.log2(1 + len(words)))}"
        digits = _DIGIT.sub("9", value[:60])
        yield "S" + _NINES.sub("9", _LOWER.sub("a", _UPPER.sub("A", digits)))[:24]
        yield "T" + _LETTERS.sub("a", digits)[:16]
        if number := _NUMBER.fullmatch(value.strip()):
            numbers.append(float(number[0]))
            yield f"M{int(2 * math.log10(1 + abs(numbers[-1])))}{'-' * (numbers[-1] < 0)}"
            yield f"D{len(number[1] or '')}"
            if numbers[-1].is_integer() and 0 <= numbers[-1] < 3000:
                yield f"I{int(numbers[-1])}"
        if words:
            yield f"F{words[0]}"
            yield f"E{words[-1]}"
        if len(value) < 40:
            yield f"V{value.lower()}"
    if numbers:
        yield f"R{int(2 * math.log10(1 + max(numbers) - min(numbers)))}"


def titles_of(header: str | None, caption: str | None) -> Iterator[str]:
    """Tokens of a header (G whole, H words, h windows of four letters) and of a caption (C words)."""
    words = _WORD.findall(_CAMEL.sub(" ", header or "").lower())
    if words:
        yield f"G{' '.join(words)}"
        yield from (f"H{word}" for word in words)
        framed = f" {' '.join(words)} "[:60]
        yield from (f"h{framed[i : i + 4]}" for i in range(len(framed) - 3))
    yield from (f"C{word}" for word in _WORD.findall((caption or "")[:200].lower()))


def _counted(tokens: Iterable[str], buckets_in_all: int) -> Bag:
    counts = Counter(zlib.crc32(token.encode("utf-8", "replace")) % buckets_in_all for token in tokens)
    buckets = sorted(counts)
    return Bag(np.array(buckets, np.int64), np.array([counts[b] for b in buckets], np.float64))


def _grams(values: Sequence[str]) -> Bag:
    cut = [v.lower().encode("utf-8", "replace")[:_VALUE_BYTES] for v in values]
    codes = np.frombuffer(VALUE_END.join(cut), dtype=np.uint8).astype(np.uint64)
    found = []
    mixed = np.zeros_like(codes)
    for n in range(1, min(4, len(codes)) + 1):
        # a window of n bytes is that of n - 1 bytes and one more
        mixed = (mixed[: len(codes) - n + 1] ^ (codes[n - 1 :] + np.uint64(257 * n))) * _MIX
        mixed ^= mixed >> np.uint64(29)
        found.append(mixed >> np.uint64(50))  # the upper 14 bits
    return _bag(np.bincount(np.concatenate(found).astype(np.int64) if found else np.zeros(0, np.int64)))


def _bag(counts: NDArray[Any]) -> Bag:
    """The bag of the counts (buckets,) of all buckets."""
    buckets = np.flatnonzero(counts)
    return Bag(buckets, counts[buckets].astype(np.float64))


def features(bag: Bag, idf: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of each bucket of a bag: (1 + log count) · idf, together of length 1."""
    weights = (1 + np.log(np.maximum(bag.counts, 1))) * idf[bag.buckets]
    return np.asarray(weights / max(1e-12, math.sqrt(weights @ weights)))


@dataclass(frozen=True)
class NgramSpecialist:
    """The weights.

    labels: the label of each column of the weights; ``sotab32:Date`` is Date as that vocabulary means it.
    themes: likewise of those of `theme`.
    own (OWN_BUCKETS, labels), context (CONTEXT_BUCKETS, labels), shape (SHAPE_BUCKETS, labels),
    title (TITLE_BUCKETS, labels), theme (CONTEXT_BUCKETS, themes): int8. *_scale, bias: (labels,).
    *_idf: (buckets,).
    theme_scale, theme_bias: (themes,).
    """

    labels: tuple[str, ...]
    themes: tuple[str, ...]
    own: Tensor
    context: Tensor
    shape: Tensor
    title: Tensor
    theme: Tensor
    own_scale: Tensor
    context_scale: Tensor
    shape_scale: Tensor
    title_scale: Tensor
    theme_scale: Tensor
    bias: Tensor
    theme_bias: Tensor
    own_idf: Tensor
    context_idf: Tensor
    shape_idf: Tensor
    title_idf: Tensor
    theme_idf: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Everything but the names, by name, as it is written to a file."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def rows(self, vocabulary: str, names: Sequence[str]) -> list[int] | None:
        """Where the labels of a vocabulary stand, in its meaning if there is one; None if not all do."""
        row = {label: i for i, label in enumerate(self.labels)}
        found = [row.get(f"{vocabulary}:{name}", row.get(name)) for name in names]
        return [i for i in found if i is not None] if None not in found else None

    def only(self, rows: Sequence[int]) -> NgramSpecialist:
        """The same for some labels: what is not asked for costs nothing."""
        kinds = ("own", "context", "shape", "title")
        chosen = {kind: getattr(self, kind)[:, rows].contiguous() for kind in kinds}
        scales = {f"{kind}_scale": getattr(self, f"{kind}_scale")[rows] for kind in kinds}
        labels = tuple(self.labels[i] for i in rows)
        return replace(self, labels=labels, bias=self.bias[rows], **chosen, **scales)

    def margins(self, columns: Sequence[ColumnBags], contexts: Sequence[Bag]) -> Tensor:
        """(C, L) float32: how clearly each column is of each label; 0 for one without values and titles."""
        said = {
            "own": [bags.grams for bags in columns],
            "context": contexts,
            "shape": [bags.shapes for bags in columns],
            "title": [bags.titles for bags in columns],
        }
        margins = self.bias.double() + sum(self._products(kind, bags) for kind, bags in said.items())
        says = torch.tensor([not bags.empty for bags in columns], dtype=torch.bool)
        return torch.where(says.unsqueeze(1), margins, 0).float()

    def theme_margins(self, tables: Sequence[Bag]) -> Tensor:
        """(tables, T) float32: what the rows of each table are, from the merged bags of its columns."""
        return (self.theme_bias.double() + self._products("theme", tables)).float()

    def _products(self, kind: str, bags: Sequence[Bag]) -> Tensor:
        """(bags, labels) float64: the features of each bag times the weights of a kind."""
        weights, idf, scale = self._kind(kind)
        if not bags:
            return torch.zeros(0, len(scale), dtype=torch.float64)
        features_of = np.concatenate([features(bag, idf) for bag in bags]).astype(np.float32)
        sizes = np.array([0, *(len(bag.buckets) for bag in bags)])
        products = torch.nn.functional.embedding_bag(
            torch.from_numpy(np.concatenate([bag.buckets for bag in bags])),
            weights,
            torch.from_numpy(sizes[:-1].cumsum()),
            mode="sum",
            per_sample_weights=torch.from_numpy(features_of),
        )
        return products.double() * scale

    def _kind(self, kind: str) -> tuple[Tensor, NDArray[np.float64], Tensor]:
        """Weights (buckets, labels) float32, idf (buckets,) and scales (labels,) of a kind."""
        if kind not in self._kinds:
            weights, idf, scale = (getattr(self, f"{kind}{what}") for what in ("", "_idf", "_scale"))
            self._kinds[kind] = weights.float(), idf.double().numpy(), scale.float().double()
        return self._kinds[kind]

    @cached_property
    def _kinds(self) -> dict[str, tuple[Tensor, NDArray[np.float64], Tensor]]:
        """What `_kind` has unpacked."""
        return {}
