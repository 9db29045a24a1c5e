"""Data elements: columns, across tables, that denote one entity.

Two kinds, and no column is in two elements:

- *the same thing*: ``orders.customer_id``, ``customers.id`` and ``invoices.cust_no``
  (`aegir_dspy.annotator.element_links`);
- *parts of one thing*: card number, expiry and holder are a payment card
  (`aegir_dspy.annotator.element_groups`). Groups of several tables whose parts denote the same things are one
  element; a column that is a part is in no other element.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, count
from math import fsum
from typing import Any

from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.element_columns import ColumnFacts, facts
from aegir_dspy.annotator.element_groups import Group, groups
from aegir_dspy.annotator.element_links import Links, link
from aegir_dspy.annotator.element_words import lexicon, spelled
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.composition import Element, Member
from aegir_dspy.tables.table import Table

__all__ = ["DataElement", "ElementsConfig", "find_elements"]


@dataclass(frozen=True, slots=True)
class DataElement:
    """Columns that denote one entity.

    Attributes:
        name: of a rule (``PaymentCard``), a type (``email``), or what the keys are of (``customer id``).
        members: at least two columns, sorted.
        confidence: from 0 to 1; how alike the columns are, or how sure it is that they are the parts.
    """

    name: str
    members: tuple[Member, ...]
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """The entry in ``elements`` of ``aegir.result/1``; ``column`` is its index, as in relations."""
        members = [{"table": member.table, "column": member.column} for member in self.members]
        return {"name": self.name, "members": members, "confidence": self.confidence}

    def to_composition(self) -> Element:
        """The same as a part of a composition."""
        return Element(self.name, self.members)


@dataclass(frozen=True, slots=True)
class ElementsConfig:
    """How elements are looked for.

    Attributes:
        threshold: least mean likeness of columns that denote the same thing.
        parts: whether parts of one thing are looked for.
        same: whether columns that denote the same thing are looked for.
    """

    threshold: float = 0.45
    parts: bool = True
    same: bool = True


def find_elements(
    tables: Sequence[Table],
    annotations: Sequence[TableAnnotation] = (),
    config: ElementsConfig | None = None,
) -> tuple[DataElement, ...]:
    """The data elements of some tables, sorted; they do not depend on the order of the tables.

    Args:
        annotations: one a table in the same order, or none at all: then headers, cells and declarations
            decide alone.

    Raises:
        InputError: the annotations are not those of the tables.
    """
    config = config or ElementsConfig()
    order = _order(tables, annotations)
    sorted_tables = [tables[i] for i in order]
    columns = facts(sorted_tables, [annotations[i] if annotations else None for i in order])
    links = Links((), ())
    if config.same or config.parts:
        links = link(columns, _declared(sorted_tables, columns), config.threshold)
    grouped = _groups(columns) if config.parts else []
    cluster = {column: n for n, members in enumerate(links.clusters) for column in members}
    found = [_of_parts(columns, some) for some in _same_groups(grouped, cluster)]
    taken = {column for group in grouped for _, column in group.parts}
    if config.same:
        found += _of_same(sorted_tables, columns, links, taken)
    return _named(sorted_tables, columns, found)


@dataclass(frozen=True, slots=True)
class _Found:
    """Numbers of the columns of one element, what it may be called, best first, and its confidence."""

    columns: tuple[int, ...]
    names: tuple[str, ...]
    confidence: float


def _order(tables: Sequence[Table], annotations: Sequence[TableAnnotation]) -> list[int]:
    """The tables in an order of their own."""
    wanted = [table.name for table in tables]
    given = [annotation.name for annotation in annotations]
    if given and given != wanted:
        first = next((pair for pair in zip(wanted, given, strict=False) if pair[0] != pair[1]), None)
        told = f"{first[1]!r} for {first[0]!r}" if first else f"{len(given)} for {len(wanted)} tables"
        raise InputError(
            f"expected one annotation a table, in the order of the tables; found {told}: pass those of "
            "the same call"
        )
    return sorted(range(len(tables)), key=lambda i: (tables[i].name, tables[i].source, repr(tables[i])))


def _declared(tables: Sequence[Table], columns: Sequence[ColumnFacts]) -> list[tuple[int, int]]:
    """Pairs of columns that foreign keys tie; a table is named with or without its schema."""
    start: dict[int, int] = {}
    names: dict[str, list[int]] = defaultdict(list)
    for number, column in enumerate(columns):
        start.setdefault(column.table, number)
    for t, table in enumerate(tables):
        for name in {table.name.lower(), table.name.lower().rpartition(".")[2]}:
            names[name].append(t)
    found = []
    for t, table in enumerate(tables):
        for key in table.foreign_keys:
            for own, other in zip(key.columns, key.references, strict=False):
                targets = names.get(key.table.lower()) or names.get(key.table.lower().rpartition(".")[2], [])
                near = [u for u in targets if tables[u].source == table.source] or targets
                ends = [(t, own), *((u, other) for u in near[:1])]
                places = [_place(tables[u], name, start.get(u, 0)) for u, name in ends]
                if len(places) == 2 and places[0] is not None and places[1] is not None:
                    found.append((places[0], places[1]))
    return found


def _place(table: Table, name: str, start: int) -> int | None:
    """The number of a column by its name."""
    same = (i for i, column in enumerate(table.columns) if (column.name or "").lower() == name.lower())
    return next((start + i for i in same), None)


def _groups(columns: Sequence[ColumnFacts]) -> list[Group]:
    """The groups of every table, columns by their number among all."""
    tables: dict[int, list[int]] = defaultdict(list)
    for number, column in enumerate(columns):
        tables[column.table].append(number)
    found = []
    for numbers in tables.values():
        for group in groups([columns[number] for number in numbers]):
            parts = tuple((name, numbers[i]) for name, i in group.parts)
            found.append(Group(group.name, group.qualifier, parts, group.confidence))
    return found


def _same_groups(grouped: Sequence[Group], cluster: dict[int, int]) -> list[list[Group]]:
    """Groups of one rule together where more than half of the parts they share denote the same things."""
    root = list(range(len(grouped)))

    def top(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    shared: Counter[tuple[int, int]] = Counter()
    places: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for number, group in enumerate(grouped):
        for part, column in group.parts:
            if column in cluster:
                places[group.name, part, cluster[column]].append(number)
    for numbers in places.values():
        shared.update(combinations(numbers, 2))
    for (a, b), same in sorted(shared.items()):
        names = {part for part, _ in grouped[a].parts} & {part for part, _ in grouped[b].parts}
        if 2 * same > len(names):
            first, second = sorted((top(a), top(b)))
            root[second] = first
    together: dict[int, list[Group]] = defaultdict(list)
    for number, group in enumerate(grouped):
        together[top(number)].append(group)
    return list(together.values())


def _of_parts(columns: Sequence[ColumnFacts], some: Sequence[Group]) -> _Found:
    members = tuple(sorted(column for group in some for _, column in group.parts))
    first = some[0]
    said = " ".join(first.qualifier)
    name = f"{first.name} ({said})" if said else first.name
    table = " ".join(columns[members[0]].entity)
    names = (name, f"{name} of {table}") if table else (name,)
    return _Found(members, names, fsum(group.confidence for group in some) / len(some))


def _of_same(
    tables: Sequence[Table], columns: Sequence[ColumnFacts], links: Links, taken: set[int]
) -> list[_Found]:
    found = []
    for cluster, confidence in zip(links.clusters, links.confidence, strict=True):
        left = tuple(column for column in cluster if column not in taken)
        if len(left) > 1:
            found.append(_Found(left, _names(tables, [columns[i] for i in left]), confidence))
    return found


def _names(tables: Sequence[Table], members: Sequence[ColumnFacts]) -> tuple[str, ...]:
    """What the columns are keys of, their type, their most common header; then with the table's name."""
    written = Counter(spelled(tables[c.table].columns[c.index].name or "") for c in members)
    said = {word for line in written for word in line}
    said |= {word for c in members for word in spelled(tables[c.table].name)}
    refers = Counter(column.refers for column in members if column.refers)
    types = Counter(column.type for column in members if column.type is not None)
    names = []
    if refers and 2 * (key := _most(refers))[1] >= len(members) and said.issuperset(key[0]):
        names.append(" ".join((*key[0], "id")))
    elif types and 2 * (kind := _most(types))[1] >= len(members) and kind[0] not in lexicon().generic_types:
        names.append(kind[0])
    names += [" ".join(line) for line in sorted(written, key=lambda one: (-written[one], one)) if line][:1]
    table = " ".join(_most(Counter(column.entity for column in members))[0])
    return (*names, *(f"{name} of {table}" for name in names if table)) or ("element",)


def _most(times: Counter[Any]) -> tuple[Any, int]:
    """The most common, of equally common ones the first in order."""
    return min(times.items(), key=lambda item: (-item[1], item[0]))


def _named(
    tables: Sequence[Table], columns: Sequence[ColumnFacts], found: Sequence[_Found]
) -> tuple[DataElement, ...]:
    """The elements with a name each that no other has."""
    used: set[str] = set()
    elements = []
    for one in sorted(found, key=lambda f: f.columns):
        more = (f"{one.names[-1]} {n}" for n in count(2))
        name = next(name for names in (one.names, more) for name in names if name not in used)
        used.add(name)
        places = [(tables[columns[i].table], columns[i].index) for i in one.columns]
        members = tuple(Member(table.name, table.columns[i].index) for table, i in places)
        elements.append(DataElement(name, members, round(one.confidence, 4)))
    return tuple(elements)
