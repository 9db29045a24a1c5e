"""Rows of cells to columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.infer import infer_type
from aegir_dspy.tables.table import Column

__all__ = ["build_columns", "spread"]

T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> Sequence[T]:
    """At most `count` items, evenly spread over all of them, in their order."""
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]


def build_columns(
    names: Sequence[str | None],
    rows: Sequence[Sequence[str]],
    config: ReadConfig,
    declared: Sequence[str | None] = (),
    comments: Sequence[str | None] = (),
) -> tuple[Column, ...]:
    """One column per name; a row that is too short is filled with empty cells, a longer one is cut."""
    limit, columns = config.max_cell_chars, []
    for index, name in enumerate(names):
        values = tuple(row[index][:limit] if index < len(row) else "" for row in rows)
        columns.append(
            Column(
                index,
                name,
                values,
                declared_type=declared[index] if declared else None,
                inferred_type=infer_type(values),
                comment=comments[index] if comments else None,
            )
        )
    return tuple(columns)
