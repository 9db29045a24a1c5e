"""B-cubed: how good a clustering is, seen from each of its items.

Of every item, precision is the share of its cluster that is with it in the gold cluster too, and recall the
share of its gold cluster that it is with (Bagga and Baldwin 1998; Amigó et al. 2009). Both are averaged over
the items; F1 is their harmonic mean. Clusters of one count, so leaving everything alone has precision 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import fsum
from typing import NamedTuple

from aegir_dspy.errors import InputError

__all__ = ["BCubed", "b_cubed", "labels_of"]


class BCubed(NamedTuple):
    """Precision, recall and their harmonic mean, from 0 to 1."""

    precision: float
    recall: float
    f1: float


def b_cubed(gold: Mapping[Hashable, Hashable], found: Mapping[Hashable, Hashable]) -> BCubed:
    """Compare two clusterings of the items of `gold`.

    Args:
        gold: item → name of its cluster.
        found: the same; an item that is not in it is alone, and items that are not in `gold` do not count.

    Raises:
        InputError: there are no items.
    """
    if not gold:
        raise InputError("expected at least one item to compare clusterings of; found none")
    ours = {item: ("in", found[item]) if item in found else ("alone", item) for item in gold}
    together = Counter((gold[item], ours[item]) for item in gold)
    size, our_size = Counter(gold.values()), Counter(ours.values())
    both = [(together[gold[item], ours[item]], size[gold[item]], our_size[ours[item]]) for item in gold]
    precision = fsum(n / b for n, _, b in both) / len(gold)
    recall = fsum(n / a for n, a, _ in both) / len(gold)
    return BCubed(precision, recall, 2 * precision * recall / (precision + recall))


def labels_of(clusters: Iterable[Sequence[Hashable]]) -> dict[Hashable, Hashable]:
    """Item → number of its cluster."""
    return {item: number for number, cluster in enumerate(clusters) for item in cluster}
