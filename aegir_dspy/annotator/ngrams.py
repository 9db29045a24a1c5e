"""The n-gram specialist: a linear model over hashed byte n-grams, one more agent beside the recurrent ones.

Its state is a bag, and bags fuse by addition: the bag of the context is the sum of its columns' bags. It
sees exact spellings where the recurrent model sees shapes, and the two err on different columns.

Features: 1- to 4-grams of the values' bytes, (1 + log count) · idf, scaled to length 1, for the column and
for its context; weights in int8 with a scale a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.tables.serialize import VALUE_END, sample_values
from aegir_dspy.tables.table import Column

__all__ = ["CONTEXT_BUCKETS", "OWN_BUCKETS", "Bag", "NgramSpecialist", "bag_of", "features", "merge"]

OWN_BUCKETS, CONTEXT_BUCKETS = 1 << 15, 1 << 14
_MIX = np.uint64(0x9E3779B97F4A7C15)
_VALUES, _VALUE_BYTES = 10, 100


@dataclass(frozen=True, slots=True)
class Bag:
    """How often each hashed n-gram occurs: buckets in ascending order (n,), and counts (n,)."""

    buckets: NDArray[np.int64]
    counts: NDArray[np.float64]


def bag_of(column: Column) -> Bag:
    """The bag of a column's distinct values; empty when it has none."""
    values = [v.encode("utf-8", "replace")[:_VALUE_BYTES] for v in sample_values(column.values, _VALUES)]
    codes = np.frombuffer(VALUE_END.join(values), dtype=np.uint8).astype(np.uint64)
    found = []
    mixed = np.zeros_like(codes)
    for n in range(1, min(4, len(codes)) + 1):
        # a window of n bytes is that of n - 1 bytes and one more
        mixed = (mixed[: len(codes) - n + 1] ^ (codes[n - 1 :] + np.uint64(257 * n))) * _MIX
        mixed ^= mixed >> np.uint64(29)
        found.append(mixed >> np.uint64(49))  # the upper 15 bits
    hashed = np.concatenate(found) if found else codes
    buckets, counts = np.unique(hashed.astype(np.int64), return_counts=True)
    return Bag(buckets, counts.astype(np.float64))


def merge(bags: Sequence[Bag]) -> Bag:
    """The sum of bags, in the coarser buckets of a context."""
    if not bags:
        return Bag(np.zeros(0, np.int64), np.zeros(0))
    coarse = np.concatenate([bag.buckets % CONTEXT_BUCKETS for bag in bags])
    buckets, where = np.unique(coarse, return_inverse=True)
    counts = np.bincount(where, np.concatenate([bag.counts for bag in bags]), len(buckets))
    return Bag(buckets, counts.astype(np.float64))


def features(bag: Bag, idf: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of each bucket of a bag: (1 + log count) · idf, together of length 1."""
    weights = (1 + np.log(np.maximum(bag.counts, 1))) * idf[bag.buckets]
    return np.asarray(weights / max(1e-12, float(np.linalg.norm(weights))))


@dataclass(frozen=True)
class NgramSpecialist:
    """The weights.

    labels: the label of each column of the weights.
    own (OWN_BUCKETS, labels), context (CONTEXT_BUCKETS, labels): int8.
    own_scale, context_scale, bias: (labels,). own_idf, context_idf: (buckets,).
    """

    labels: tuple[str, ...]
    own: Tensor
    context: Tensor
    own_scale: Tensor
    context_scale: Tensor
    bias: Tensor
    own_idf: Tensor
    context_idf: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Everything but the labels, by name, as it is written to a file."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def margins(self, bags: Sequence[Bag], contexts: Sequence[Bag]) -> Tensor:
        """(C, labels) float32: how clearly each column is of each label; 0 for a column without values."""
        own_idf, context_idf = (t.double().numpy() for t in (self.own_idf, self.context_idf))
        rows = []
        for bag, context in zip(bags, contexts, strict=True):
            margin = self.bias.double().numpy().copy()
            if not len(bag.buckets):
                rows.append(np.zeros_like(margin))
                continue
            margin += _product(bag, own_idf, self.own, self.own_scale)
            margin += _product(context, context_idf, self.context, self.context_scale)
            rows.append(margin)
        return torch.from_numpy(np.stack(rows)).float() if rows else torch.zeros(0, len(self.labels))


def _product(bag: Bag, idf: NDArray[np.float64], weights: Tensor, scale: Tensor) -> NDArray[np.float64]:
    picked = weights[torch.from_numpy(bag.buckets)].numpy().astype(np.float32)  # (n, labels)
    weighted = features(bag, idf).astype(np.float32) @ picked
    return np.asarray(weighted * scale.float().numpy(), dtype=np.float64)
