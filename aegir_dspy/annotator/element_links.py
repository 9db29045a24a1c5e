"""Which columns of several tables denote the same thing: pairs, how alike they are, and clusters of them.

A pair is looked at when both hold keys of the same thing, when enough words of their headers agree, or when
they share cells. How alike it is, from 0 to 1, is a logistic function of

- *header*: Jaccard index of the words, generic words weighing less; the name of either's table may stand in;
- *cells*: the share of the smaller set of distinct cells that is in the other, weighed by how telling these
  cells are (every counter has the number 3); against it, when cells that could be shared are not;
- *thing*: tables of different things that have keys hold different attributes, such as cities of customers
  and of suppliers, unless a header names the other thing or most cells are shared;
- *type*: the same label, or two that exclude each other; labels of unrelated things weigh less;
- *kind*: numbers, dates and texts are not the same thing.

Pairs of keys begin with what they refer to. Clusters come from average linkage: columns join while the mean
over all their pairs stays above a threshold, so that a chain of alike pairs makes no cluster of unlike ones.
Every step is in one order of the columns, hence the clusters do not depend on the order of the tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegir_dspy.annotator.element_columns import ColumnFacts
from aegir_dspy.annotator.element_matrices import Cells, Headers, Numbers, Pairs, unique_pairs
from aegir_dspy.annotator.element_words import lexicon

__all__ = ["LinkWeights", "Links", "link"]

_FEW = 0.1  # share of shared cells below which they speak against a pair


@dataclass(frozen=True, slots=True)
class LinkWeights:
    """Of the logistic function, in log-odds; `bias` is that of a pair about which nothing is known.

    Found by coordinate search on B-cubed F1, on generated databases (`benchmarks/_schemas.py`, seeds 1000 to
    1011) and on every other table of two labelled sets.
    """

    bias: float = -4.0
    header: float = 4.5
    cells: float = 8.0
    apart: float = -0.75
    type: float = 1.75
    other_type: float = -0.5
    kind: float = -3.0
    key: float = 4.5
    other_key: float = -3.0
    other_thing: float = -4.5


@dataclass(frozen=True)
class Links:
    """Clusters of columns by their numbers, ascending, and how alike the pairs of each are on average."""

    clusters: tuple[tuple[int, ...], ...]
    confidence: tuple[float, ...]


def link(
    columns: Sequence[ColumnFacts],
    declared: Iterable[tuple[int, int]] = (),
    threshold: float = 0.45,
    weights: LinkWeights | None = None,
) -> Links:
    """Cluster columns; those alone are in no cluster.

    Args:
        declared: pairs that are declared to refer to each other: always in one cluster.
        threshold: least mean likeness within a cluster.
    """
    pairs = np.array(sorted(declared), dtype=np.int64).reshape(-1, 2)
    if not len(pairs) and _alone(columns):
        return Links((), ())
    together = _components(len(columns), pairs)
    cells, headers = Cells(columns), Headers(columns)
    pairs = _candidates(columns, cells, headers)
    alike = _likeness(columns, cells, headers, pairs, weights or LinkWeights())
    keep = alike >= threshold / 2
    labels = _average_linkage(len(columns), pairs[keep], alike[keep], together, threshold)
    return _links(labels, pairs, alike)


def _alone(columns: Sequence[ColumnFacts]) -> bool:
    """Whether there is nothing to compare: the columns of one table, no two of them keys of one thing."""
    keys = [column.refers for column in columns if column.refers]
    return len({column.table for column in columns}) < 2 and len(set(keys)) == len(keys)


def _links(labels: NDArray[np.int64], pairs: Pairs, alike: Numbers) -> Links:
    members: dict[int, list[int]] = defaultdict(list)
    for column, label in enumerate(labels.tolist()):
        members[label].append(column)
    inside = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    total = np.bincount(labels[pairs[inside, 0]], alike[inside], minlength=len(labels))
    count = np.bincount(labels[pairs[inside, 0]], minlength=len(labels))
    found = [(tuple(group), label) for label, group in members.items() if len(group) > 1]
    found.sort()
    # a cluster without a scored pair was declared
    sure = [float(total[label] / count[label]) if count[label] else 1.0 for _, label in found]
    return Links(tuple(group for group, _ in found), tuple(sure))


def _candidates(columns: Sequence[ColumnFacts], cells: Cells, headers: Headers) -> Pairs:
    """Pairs of columns of different tables, and of keys of one thing in the same."""
    keys = _grouped([column.refers or None for column in columns])
    parts = [cells.candidates(), headers.candidates()]
    table = np.array([column.table for column in columns], dtype=np.int64)
    apart = [part[table[part[:, 0]] != table[part[:, 1]]] for part in parts]
    return unique_pairs(np.concatenate([keys, *apart]), len(columns))


def _grouped(names: Sequence[Hashable]) -> Pairs:
    """All pairs of columns with the same name; None is no name."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for column, name in enumerate(names):
        if name is not None:
            groups[name].append(column)
    found = [np.zeros((0, 2), dtype=np.int64)]
    for group in groups.values():
        first, second = np.triu_indices(len(group), 1)
        found.append(np.array(group, dtype=np.int64)[np.stack([first, second], 1)])
    return np.concatenate(found)


def _likeness(
    columns: Sequence[ColumnFacts], cells: Cells, headers: Headers, pairs: Pairs, weights: LinkWeights
) -> Numbers:
    """(P,) from 0 to 1."""
    left, right = pairs[:, 0], pairs[:, 1]
    key, kind = _numbered([c.refers or None for c in columns]), _numbered([c.kind or None for c in columns])
    same_key = (key[left] == key[right]) & (key[left] >= 0)
    some_key = (key[left] >= 0) | (key[right] >= 0)
    header = headers.likeness(pairs)
    shared, smaller = cells.shared(pairs), np.minimum(cells.count[left], cells.count[right])
    inclusion = np.divide(shared, smaller, out=np.zeros(len(pairs)), where=smaller > 0)
    telling = np.minimum(cells.telling[left], cells.telling[right])
    score = weights.bias + weights.cells * inclusion * telling
    score += weights.apart * telling * np.maximum(0, 1 - inclusion / _FEW)
    score += weights.other_thing * (1 - inclusion * telling) * (_other_things(columns, pairs) & ~some_key)
    score += np.where(same_key, weights.key, weights.header * header)
    score += weights.other_key * (some_key & ~same_key)
    score += _types(columns, pairs, weights) * ~same_key
    score += weights.kind * ((kind[left] != kind[right]) & (kind[left] >= 0) & (kind[right] >= 0))
    return np.asarray(1 / (1 + np.exp(-score)))


def _other_things(columns: Sequence[ColumnFacts], pairs: Pairs) -> NDArray[np.bool_]:
    """(P,) whether the tables are of different things that have keys, which neither header speaks of."""
    keyed = {column.refers for column in columns if column.refers}
    names = sorted({column.entity for column in columns} & keyed)
    own = np.array([names.index(c.entity) if c.entity in keyed else -1 for c in columns], dtype=np.int64)
    lines = {column.words: frozenset(column.words) for column in columns}
    told = {line: [has.issuperset(name) for name in names] for line, has in lines.items()}
    spoken = np.zeros((len(columns), len(names)), dtype=np.bool_)
    for row, column in enumerate(columns):
        spoken[row] = told[column.words]
    left, right = pairs[:, 0], pairs[:, 1]
    differ = np.asarray((own[left] != own[right]) & (own[left] >= 0) & (own[right] >= 0))
    left, right = left[differ], right[differ]
    differ[differ] = ~(spoken[left, own[right]] | spoken[right, own[left]])
    return differ


def _types(columns: Sequence[ColumnFacts], pairs: Pairs, weights: LinkWeights) -> Numbers:
    """(P,) what the types say, in log-odds."""
    left, right = pairs[:, 0], pairs[:, 1]
    generic = lexicon().generic_types
    kind = _numbered([column.type for column in columns])
    sure = np.array([c.confidence * (0.3 if c.type in generic else 1.0) for c in columns])
    both = np.minimum(sure[left], sure[right])
    same = kind[left] == kind[right]
    known = (kind[left] >= 0) & (kind[right] >= 0)
    return np.asarray(known * both * np.where(same, weights.type, weights.other_type))


def _numbered(names: Sequence[Hashable]) -> NDArray[np.int64]:
    """Equal numbers for equal names, -1 for None."""
    ids: dict[Hashable, int] = {}
    numbers = [-1 if name is None else ids.setdefault(name, len(ids)) for name in names]
    return np.array(numbers, dtype=np.int64)


def _components(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """(count,) the number of the connected component of each column."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    graph = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _average_linkage(
    count: int, pairs: Pairs, alike: Numbers, together: NDArray[np.int64], threshold: float
) -> NDArray[np.int64]:
    """(count,) cluster of each column. Pairs not given are not alike at all."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    ends = np.sort(together[pairs], 1)
    ends, alike = ends[keep := ends[:, 0] != ends[:, 1]], alike[keep]
    nodes = int(together.max()) + 1 if count else 0
    graph = _components(nodes, ends)
    labels = np.arange(nodes)
    order = np.argsort(graph[ends[:, 0]], kind="stable")
    part = graph[ends[:, 0]][order]
    for block in np.split(order, np.flatnonzero(np.diff(part)) + 1) if len(order) else []:
        inside = np.unique(ends[block])
        near = np.zeros((len(inside), len(inside)))
        first, second = (np.searchsorted(inside, ends[block, side]) for side in (0, 1))
        np.maximum.at(near, (first, second), alike[block])
        near = np.maximum(near, near.T)
        apart = squareform(np.round(1 - near, 9), checks=False)
        cut = fcluster(linkage(apart, "average"), 1 - threshold, "distance")
        firsts = {number: inside[np.argmax(cut == number)] for number in np.unique(cut).tolist()}
        labels[inside] = [firsts[number] for number in cut.tolist()]
    return np.asarray(labels[together], dtype=np.int64)
