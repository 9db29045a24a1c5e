"""The columns of several tables, as far as it matters for which of them denote the same thing.

A column that holds keys is told by its header: its words end in ``id``, or in ``code`` or ``number`` after
the name of a table. What it refers to is the longest ending of the words before that names a table
(``preceding_visit_occurrence_id`` → ``visit occurrence``); without such words it is the table itself
(``customers.id`` → ``customer``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from zlib import crc32

import numpy as np

from aegir_dspy.annotator.annotation import ColumnAnnotation, TableAnnotation
from aegir_dspy.annotator.element_words import Words, entity, lexicon, shortenings, words
from aegir_dspy.tables.infer import NULL_WORDS, infer_type, is_null
from aegir_dspy.tables.table import Column, Table

__all__ = ["ColumnFacts", "facts", "kind_of"]

_MOST_VALUES = 512  # distinct values of a column that are compared
_KEYS = ("id", "code", "number", "reference")  # last words of headers of keys, the usual one first
_SHARED, _SHAPE = 3, 0.4  # headers, and share of all headers, that tables of one shape have in common
_SURE = 0.5  # confidence under which a type is not believed
_DECLARED = (
    (re.compile(r"bool|bit\b", re.I), "boolean"),
    (re.compile(r"timestamp|datetime|date|time|interval", re.I), "date"),
    (re.compile(r"int|serial|number\(\d+\)|long", re.I), "number"),
    (re.compile(r"num|dec|float|double|real|money", re.I), "number"),
    (re.compile(r"char|text|string|clob|uuid|enum|json", re.I), "text"),
)
_INFERRED = {"integer": "number", "datetime": "date", "time": "date", "empty": ""}


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column.

    Attributes:
        table, index: where it is; the table by its position in the order of `facts`.
        words: of the header, written out.
        entity: what the rows of its table are.
        like: the entity of the first table that has much the same headers, its own where there is none.
        refers: what its keys are of, () where it holds none.
        type: label it was annotated with, None where that is not sure.
        confidence: of the type.
        kind: ``number``, ``date``, ``text``, ``boolean`` or "" where nothing says so.
        values: distinct cells, in lower case; a sample by hash where there are many.
    """

    table: int
    index: int
    words: Words
    entity: Words
    like: Words
    refers: Words
    type: str | None
    confidence: float
    kind: str
    values: frozenset[str]

    @property
    def generic(self) -> bool:
        """Whether its header says nothing without the name of its table."""
        return all(word in lexicon().generic or word.isdecimal() for word in self.words)


def facts(tables: Sequence[Table], annotations: Sequence[TableAnnotation | None]) -> list[ColumnFacts]:
    """The columns of all tables, table by table."""
    entities = [entity(table) for table in tables]
    headers = [[words(column.name or "") for column in table.columns] for table in tables]
    longer = shortenings(entities, (line for table in headers for line in table))
    headers = [[_whole(line, longer, entities) for line in table] for table in headers]
    references = _References(tables, entities, headers)
    alike = _of_one_shape(entities, headers)
    found = []
    for t, (table, annotation) in enumerate(zip(tables, annotations, strict=True)):
        typed = {c.index: c for c in annotation.columns} if annotation is not None else {}
        for i, column in enumerate(table.columns):
            label, sure = _type(typed.get(column.index))
            found.append(
                ColumnFacts(
                    table=t,
                    index=i,
                    words=headers[t][i],
                    entity=entities[t],
                    like=alike[t],
                    refers=references.of(t, i),
                    type=label,
                    confidence=sure,
                    kind=kind_of(column),
                    values=_values(column),
                )
            )
    return found


def _of_one_shape(entities: Sequence[Words], headers: Sequence[Sequence[Words]]) -> list[Words]:
    """For each table the entity of the first of those it is connected with by having the same headers."""
    if len(headers) < 2:
        return list(entities)
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    of: dict[Words, int] = {}
    sets = [sorted({of.setdefault(line, len(of)) for line in table if line}) for table in headers]
    ends = np.cumsum([0, *map(len, sets)])
    inside = [number for one in sets for number in one]
    matrix = csr_matrix((np.ones(len(inside)), inside, ends), (len(sets), max(1, len(of))))
    shared, size = (matrix @ matrix.T).tocoo(), np.diff(ends)
    either = size[shared.row] + size[shared.col] - shared.data
    near = (shared.data >= _SHARED) & (shared.data >= _SHAPE * either)
    graph = csr_matrix((np.ones(near.sum()), (shared.row[near], shared.col[near])), shared.shape)
    first: dict[int, Words] = {}
    groups = connected_components(graph, directed=False)[1].tolist()
    return [first.setdefault(group, entity) for group, entity in zip(groups, entities, strict=True)]


def kind_of(column: Column) -> str:
    """``number``, ``date``, ``text``, ``boolean``, or "" of a column without values and declaration."""
    some = list(islice((value for value in column.values if not is_null(value)), 20))
    if some:
        # tables that were not read from files may say of every column that it is text
        kind = infer_type(some) if column.inferred_type == "text" else column.inferred_type
        return _INFERRED.get(kind, kind)
    declared = column.declared_type or ""
    return next((kind for pattern, kind in _DECLARED if pattern.search(declared)), "")


def _type(annotation: ColumnAnnotation | None) -> tuple[str | None, float]:
    if annotation is None or annotation.type is None or annotation.confidence < _SURE:
        return None, 0.0
    return annotation.type, annotation.confidence


def _repeats(column: Column) -> bool:
    """Whether a cell occurs twice: the shirt number of a player is no key."""
    filled = [value for value in column.values if not is_null(value)]
    return len(set(filled)) < len(filled)


def _values(column: Column) -> frozenset[str]:
    plain = {value.strip().lower() for value in set(column.values)} - NULL_WORDS
    if len(plain) > _MOST_VALUES:
        plain = set(sorted(plain, key=lambda value: (crc32(value.encode()), value))[:_MOST_VALUES])
    return frozenset(plain)


def _whole(line: Words, longer: Mapping[str, str], entities: Sequence[Words]) -> Words:
    """Abbreviations of the collection written out; ``itemid`` in two where there is a table of items."""
    found: list[str] = []
    for word in line:
        stem = word[:-2] if word.endswith("id") and len(word) > 4 else ""
        apart = longer.get(stem, stem)
        if stem and any(apart in one for one in entities):
            found += [apart, "id"]
        else:
            found.append(longer.get(word, word))
    return tuple(found)


class _References:
    """What the key columns of the tables refer to."""

    def __init__(
        self, tables: Sequence[Table], entities: Sequence[Words], headers: Sequence[Sequence[Words]]
    ) -> None:
        self.tables, self.entities, self.headers = tables, entities, headers
        self.named = {one for one in entities if one}
        before = (line[:-1] for table in headers for line in table if line[-1:] == ("id",))
        # what several columns name is a thing of its own, also where no table has its name
        self.common = {one for one, times in Counter(before).items() if one and times > 1}
        self.kept: dict[Words, set[str]] = {}  # how the tables of each entity call their keys
        for own, table in zip(entities, headers, strict=True):
            told = {line[-1] for line in table if line and line[-1] in _KEYS and line[:-1] in ((), own)}
            self.kept.setdefault(own, set()).update(told)

    def of(self, table: int, column: int) -> Words:
        """What a column refers to, () if it holds no keys."""
        line, own = self.headers[table][column], self.entities[table]
        last, before = line[-1:], line[:-1]
        if last and last[0] in _KEYS and (not before or before == own):
            telling = last == ("id",) or not _repeats(self.tables[table].columns[column])
            return self._named(own, last[0]) if telling else ()
        if last == ("id",):
            if len(before) == 1 and before[0] in lexicon().own_key:
                return (*own, before[0])
            return next(self._targets(before, self.named, self.common), before)
        if last and last[0] in _KEYS and (target := next(self._targets(before, self.named), None)):
            return self._named(target, last[0])
        if line in self.named and line != own and kind_of(self.tables[table].columns[column]) == "number":
            return line  # invoices.customer
        initial = bool(own) and line == (f"{own[-1][0]}id",)  # merchants.mid
        return own if initial or self._is_primary(table, column) else ()

    def _is_primary(self, table: int, column: int) -> bool:
        key = self.tables[table].primary_key
        return len(key) == 1 and key[0] == self.tables[table].columns[column].name

    def _named(self, target: Words, how: str) -> Words:
        """The thing itself where that is what its tables call its key, otherwise a key of its own."""
        kept = self.kept.get(target, set())
        usual = next((name for name in _KEYS if name in kept), how)
        return target if how == usual or how not in kept else (*target, how)

    @staticmethod
    def _targets(before: Words, *among: Collection[Words]) -> Iterator[Words]:
        for names in among:
            yield from (before[i:] for i in range(len(before)) if before[i:] in names)
