"""Keys: which columns tell rows apart, and which refer to columns of other tables, by their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aegir_dspy.tables.infer import is_null
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.masking import masked
from aegir_dspy.verifier.score import quantised

__all__ = ["Reference", "distinctness", "inclusion", "key_diagnostics", "references", "unique_columns"]

MIN_SHARE = 0.9  # of the different cells that must be found in the other column
MIN_VALUES = 3  # different cells below which an inclusion may be chance


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Cells of a column that are found in a column of another table whose cells do not repeat.

    Attributes:
        table: name of the table that refers.
        column: 0-based index in it.
        to_table: name of the table referred to.
        to_column: 0-based index in it.
        share: of the different cells of the column that are found there.
    """

    table: str
    column: int
    to_table: str
    to_column: int
    share: float


@lru_cache(maxsize=1 << 12)
def _cells(values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(value.strip() for value in values if not is_null(value))


def distinctness(values: tuple[str, ...]) -> float:
    """Different cells as a share of those that are not null; 0 of an empty column."""
    filled = sum(not is_null(value) for value in values)
    return quantised(len(_cells(values)) / filled) if filled else 0.0


def inclusion(values: tuple[str, ...], others: tuple[str, ...]) -> float:
    """The share of the different cells of `values` that are among `others`; 0 of an empty column."""
    mine = _cells(values)
    return quantised(len(mine & _cells(others)) / len(mine)) if mine else 0.0


def unique_columns(table: Table) -> tuple[int, ...]:
    """Indices of the columns without nulls in which no cell occurs twice; () of a table without rows."""
    return tuple(
        column.index
        for column in table.columns
        if column.values and len(_cells(column.values)) == len(column.values)
    )


def references(tables: Sequence[Table]) -> tuple[Reference, ...]:
    """Inclusions of columns in unique columns of other tables, sorted; of a sample, so hints at most.

    At least 3 different cells are wanted, 90 % of them found, and cells that are not just small numbers,
    which are found in every counter.
    """
    keys = [(table, i) for table in tables for i in unique_columns(table)]
    found = [
        Reference(table.name, column.index, other.name, i, share)
        for table in tables
        for column in table.columns
        for other, i in keys
        if other.name != table.name and _telling(_cells(column.values))
        if (share := inclusion(column.values, other.columns[i].values)) >= MIN_SHARE
    ]
    return tuple(sorted(found))


def _telling(cells: Iterable[str]) -> bool:
    telling = {cell for cell in cells if not (cell.isdecimal() and len(cell) < 3)}
    return len(telling) >= MIN_VALUES


def key_diagnostics(tables: Sequence[Table]) -> tuple[Diagnostic, ...]:
    """What the cells say against declared keys: repeated primary keys, references to cells not there."""
    by_name = {table.name: table for table in tables}
    found = [diagnostic for table in tables for diagnostic in _primary(table)]
    found += [diagnostic for table in tables for diagnostic in _foreign(table, by_name)]
    return tuple(sorted(found))


def _column(table: Table, name: str) -> tuple[int, tuple[str, ...]] | None:
    return next(((c.index, c.values) for c in table.columns if c.name == name), None)


def _primary(table: Table) -> Iterable[Diagnostic]:
    parts = [_column(table, name) for name in table.primary_key]
    known = [part for part in parts if part is not None and part[1]]
    if not known or len(known) < len(parts):
        return
    rows = list(zip(*(values for _, values in known), strict=False))
    repeated = sorted(row for row, times in Counter(rows).items() if times > 1)
    if repeated:
        yield Diagnostic(
            "instances.key_repeats",
            f"{table.name}[{known[0][0]}]",
            f"expected the key ({', '.join(table.primary_key)}) to tell rows apart, found"
            f" {len(repeated)} twice",
            masked(" | ".join(row) for row in repeated[:3]),
            "leave the key out, or add the column that tells these rows apart",
        )


def _foreign(table: Table, by_name: dict[str, Table]) -> Iterable[Diagnostic]:
    for key in table.foreign_keys:
        other = by_name.get(key.table)
        for mine, theirs in zip(key.columns, key.references, strict=False):
            here = _column(table, mine)
            there = _column(other, theirs) if other else None
            if here is None or there is None or not here[1] or not there[1]:
                continue
            if (share := inclusion(here[1], there[1])) < 0.5:
                missing = sorted(_cells(here[1]) - _cells(there[1]))
                yield Diagnostic(
                    "instances.foreign_key",
                    f"{table.name}[{here[0]}]",
                    f"expected cells of {key.table}.{theirs}, found {share:.0%} of them there",
                    masked(missing[:3]),
                    "read more rows of both tables, or leave the relation out",
                )
