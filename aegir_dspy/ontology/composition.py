"""A composition O: what is said about the tables of an input, as immutable values.

- a *type* for every column, a label of the vocabulary, or an abstention with its reason;
- *relations* of columns to the subject column of their table;
- *data elements*: columns across tables that denote one entity;
- *terms* of its own (``:Order``), each with a label and a definition in words;
- *axioms*: templates of the catalog with their slots filled.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "ColumnType",
    "Composition",
    "Element",
    "Entry",
    "Member",
    "OwnTerm",
    "Related",
    "TableTypes",
]


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What is said about one column: a type, or None and the reason of the abstention.

    Attributes:
        index: 0-based position in the table.
        type: label of the vocabulary (``Book/name``), or None.
        reason: why there is no type; "" when there is one.
        confidence: of the type, 0 to 1.
    """

    index: int
    type: str | None
    reason: str = ""
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Related:
    """Column `object` holds the values of `property` (prefixed name) of the things in column `subject`."""

    subject: int
    object: int
    property: str


@dataclass(frozen=True, slots=True)
class TableTypes:
    """What is said about one table.

    Attributes:
        name: of the table, as in the input.
        columns: one entry a column, in any order.
        relations: to the subject column.
        subject: index of the column whose cells name the things the rows are about, or None.
        term: name of the class of the rows: a term of the ontology or one of the composition's own, or None.
    """

    name: str
    columns: tuple[ColumnType, ...]
    relations: tuple[Related, ...] = ()
    subject: int | None = None
    term: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A column of a data element: name of its table, 0-based index."""

    table: str
    column: int


@dataclass(frozen=True, slots=True)
class Element:
    """Columns, across tables, that denote one entity: the parts of a payment card, of an address."""

    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class OwnTerm:
    """A term that the composition adds: ``:Order``, kind ``class``, with label and definition in words."""

    name: str
    kind: str
    label: str
    definition: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One template of the catalog with its slots filled, slots in the template's order.

    A filler is a prefixed name, or a number in decimal for a slot of type ``Integer``.
    """

    template: str
    slots: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """O, ready to be judged. `ontology` and `vocabulary` name what its terms and labels are of."""

    tables: tuple[TableTypes, ...] = ()
    elements: tuple[Element, ...] = ()
    terms: tuple[OwnTerm, ...] = ()
    axioms: tuple[Entry, ...] = ()
    ontology: str = "schema"
    vocabulary: str = "schema"
    comment: str = field(default="", compare=False)
