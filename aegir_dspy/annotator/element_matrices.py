"""Cells and headers of many columns as sparse matrices: what pairs of columns have in common, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aegir_dspy.annotator.element_columns import ColumnFacts
from aegir_dspy.annotator.element_words import Words, lexicon

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Cells", "Headers", "Numbers", "Pairs", "unique_pairs"]

Pairs = NDArray[np.int64]  # (P, 2), the first number of a row the smaller
Numbers = NDArray[np.float64]


class Cells:
    """The cells of columns as a sparse matrix, and how telling they are."""

    def __init__(self, columns: Sequence[ColumnFacts]) -> None:
        from scipy.sparse import csr_matrix

        ids: dict[str, int] = {}
        cols = [ids.setdefault(value, len(ids)) for column in columns for value in column.values]
        ends = np.cumsum([0, *(len(column.values) for column in columns)])
        self.matrix = csr_matrix((np.ones(len(cols)), cols, ends), (len(columns), max(1, len(ids))))
        self.count = np.array([len(column.values) for column in columns], dtype=np.float64)
        self.telling = np.array([_telling(column) for column in columns])

    def shared(self, pairs: Pairs) -> Numbers:
        """(P,) how many cells the columns of each pair share."""
        columns = np.asarray(self.matrix.sum(0)).ravel()  # that have each cell
        one_by_one = float((self.count[pairs[:, 0]] + self.count[pairs[:, 1]]).sum())
        return self._of_all(pairs) if (columns**2).sum() < one_by_one else self._of_each(pairs)

    def _of_all(self, pairs: Pairs) -> Numbers:
        """From the product of the matrix with itself: many pairs, cells that few columns have."""
        product = (self.matrix @ self.matrix.T).tocsr()
        product.sort_indices()
        row = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
        codes = np.append(row * product.shape[1] + product.indices, -1)
        wanted = pairs[:, 0] * product.shape[1] + pairs[:, 1]
        place = np.searchsorted(codes[:-1], wanted)
        return np.where(codes[place] == wanted, np.append(product.data, 0)[place], 0.0)

    def _of_each(self, pairs: Pairs) -> Numbers:
        """Pair by pair: few pairs, or cells that many columns have."""
        found = np.zeros(len(pairs))
        for first in range(0, len(pairs), 1 << 16):
            some = pairs[first : first + (1 << 16)]
            both = self.matrix[some[:, 0]].multiply(self.matrix[some[:, 1]])
            found[first : first + len(some)] = np.asarray(both.sum(1)).ravel()
        return found

    def candidates(self, most: int = 40) -> Pairs:
        """Pairs that share at least two cells which at most `most` columns have."""
        common = np.asarray(self.matrix.sum(0)).ravel()
        rare = self.matrix[:, (common > 1) & (common <= most)]
        product = (rare @ rare.T).tocoo()
        found = (product.data >= 2) & (product.row < product.col)
        return np.stack([product.row[found], product.col[found]], 1).astype(np.int64)


def _telling(column: ColumnFacts) -> float:
    """From 0 to 1: how unlikely it is that another column has the same cells by chance."""
    values = column.values
    if len(values) < 3 or column.kind == "boolean":
        return 0.0
    few = min(1.0, (len(values) - 2) / 8)
    if column.kind == "number":
        return few * min(1.0, float(np.median([len(value.lstrip("-")) for value in values])) / 10)
    return few * (0.6 if column.kind == "date" else 1.0)


class Headers:
    """The words of headers as sparse matrices, with and without the words of the table's name.

    Rows of the matrices are lines of words, of which many columns have the same.
    """

    def __init__(self, columns: Sequence[ColumnFacts]) -> None:
        lines: dict[tuple[Words, Words], int] = {}
        self.line = np.array([lines.setdefault(_spoken(c), len(lines)) for c in columns], dtype=np.int64)
        ids: dict[str, int] = {}
        for _, whole in lines:
            for word in whole:
                ids.setdefault(word, len(ids))
        generic = lexicon().generic
        self.weight = np.array(
            [0.4 if word in generic else 0.3 if word.isdecimal() else 1.0 for word in ids] or [0.0]
        )
        self.own, self.whole = (self._matrix([line[side] for line in lines], ids) for side in (0, 1))
        self.named = np.array([bool(c.words) for c in columns], dtype=np.bool_)
        self.key = np.array([bool(c.refers) for c in columns], dtype=np.bool_)

    def _matrix(self, lines: Sequence[Words], ids: Mapping[str, int]) -> csr_matrix:
        from scipy.sparse import csr_matrix

        sets = [sorted({ids[word] for word in line}) for line in lines]
        inside = [word for one in sets for word in one]
        ends = np.cumsum([0, *map(len, sets)])
        return csr_matrix((np.ones(len(inside)), inside, ends), (len(lines), len(self.weight)))

    def likeness(self, pairs: Pairs) -> Numbers:
        """(P,) from 0 to 1."""
        count = len(self.line) + 1
        codes = self.line[pairs[:, 0]] * count + self.line[pairs[:, 1]]
        distinct = np.sort(codes)
        distinct = distinct[np.diff(distinct, prepend=-1) != 0]
        alike = self._of_lines(*np.divmod(distinct, count))[np.searchsorted(distinct, codes)]
        return np.asarray(alike * (self.named[pairs[:, 0]] & self.named[pairs[:, 1]]))

    def _of_lines(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> Numbers:
        sides = ((self.own, self.own), (self.whole, self.own), (self.own, self.whole))
        return np.asarray(np.max([self._jaccard(a[left], b[right]) for a, b in sides], 0))

    def _jaccard(self, left: csr_matrix, right: csr_matrix) -> Numbers:
        both = left.multiply(right) @ self.weight
        either = left @ self.weight + right @ self.weight - both
        return np.asarray(np.divide(both, either, out=np.zeros_like(both), where=either > 0))

    def candidates(self, least: float = 0.5) -> Pairs:
        """Pairs that are no keys, with at least that likeness and a word that is not generic in common."""
        rare = self.weight >= 1.0
        product = (self.whole[:, rare] @ self.own[:, rare].T).tocoo()
        ends = np.sort(np.stack([product.row, product.col], 1).astype(np.int64), 1)
        lines = unique_pairs(ends, self.own.shape[0])
        lines = lines[self._of_lines(lines[:, 0], lines[:, 1]) >= least]
        return self._columns_of(lines)

    def _columns_of(self, lines: Pairs) -> Pairs:
        """All pairs of columns, no keys, that have the lines of each pair."""
        rows = np.flatnonzero(self.named & ~self.key)
        rows = rows[np.argsort(self.line[rows], kind="stable")]
        count = np.bincount(self.line[rows], minlength=self.own.shape[0])
        start = np.cumsum(count) - count
        a, b = lines[:, 0], lines[:, 1]
        times = count[a] * count[b]
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        a, b = np.repeat(a, times), np.repeat(b, times)
        first = rows[start[a] + within // count[b]] if len(within) else within
        second = rows[start[b] + within % count[b]] if len(within) else within
        ends = np.sort(np.stack([first, second], 1), 1)
        return unique_pairs(ends[ends[:, 0] != ends[:, 1]].astype(np.int64), len(self.line))


def _spoken(column: ColumnFacts) -> tuple[Words, Words]:
    """The words of a header, and with those of its table; a generic header is nothing without them."""
    whole = (*column.like, *column.words)
    return whole if column.generic else column.words, whole


def unique_pairs(pairs: Pairs, count: int) -> Pairs:
    """The pairs of numbers below `count`, each once, in order."""
    codes = np.sort(pairs[:, 0] * count + pairs[:, 1])
    codes = codes[np.diff(codes, prepend=-1) != 0]
    return np.stack(np.divmod(codes, max(1, count)), 1)
