"""The values every other room works on: `Table`, `Column` and a set of tables with its failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from aegir_dspy.errors import FailureRecord

__all__ = ["Column", "ForeignKey", "Table", "TableSet"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        index: 0-based position in the file.
        name: the header, or None where the source has none.
        values: sampled cells as text, in file order; an empty cell is ``""``.
        declared_type: the type the source states (SQL, Parquet, SQLite), verbatim, or None.
        inferred_type: ``empty``, ``boolean``, ``integer``, ``number``, ``date``, ``datetime``,
            ``time`` or ``text``, from the sampled values.
        comment: the comment of a SQL or Parquet column, or None.
    """

    index: int
    name: str | None
    values: tuple[str, ...] = ()
    declared_type: str | None = None
    inferred_type: str = "text"
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table that refer to columns of another one, as the source declares them."""

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A named table: columns in the order of the source, with sampled values.

    Attributes:
        name: the file name without extension, or the SQL table name.
        source: the path it was read from.
        columns: every column, in the order of the source.
        row_count: rows in the source; None when it was sampled and the total is unknown.
        primary_key: names of the key columns, when declared.
        foreign_keys: declared references to other tables.
        comment: the comment of a SQL table, or None.
    """

    name: str
    source: str
    columns: tuple[Column, ...]
    row_count: int | None = None
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str | None = None


@dataclass(frozen=True)
class TableSet(Sequence[Table]):
    """What `read_tables` returns: the tables, and a record for every file that gave none.

    Attributes:
        tables: in the order of the paths given, files of a folder sorted.
        failures: files, or parts of files, that could not be read.
        skipped: paths inside scanned folders that are no table files by their extension.
    """

    tables: tuple[Table, ...]
    failures: tuple[FailureRecord, ...] = ()
    skipped: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Table: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Table, ...]: ...
    def __getitem__(self, index: int | slice) -> Table | tuple[Table, ...]:
        return self.tables[index]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)
