"""Tables out of a request."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aegir_dspy.adapters.openai_server.errors import ApiError
from aegir_dspy.adapters.openai_server.wire import AnnotateRequest, Cell, TableRequest
from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables import ReadConfig, Table, TableSet, read_tables
from aegir_dspy.tables.build import build_columns, spread

__all__ = ["csv_table", "tables_of"]

_CONFIG = ReadConfig()


def tables_of(request: AnnotateRequest, columns: int) -> TableSet:
    """The tables of a request, of at most so many columns.

    Raises:
        ApiError: too many, none, or a CSV text that is none.
    """
    found = [_table(one) for one in request.tables]
    tables = tuple(table for one in found for table in one.tables)
    failures = tuple(failure for one in found for failure in one.failures)
    count = sum(len(table.columns) for table in tables)
    if not count:
        told = failures[0].message if failures else "found none"
        raise ApiError(400, f"expected a table with columns: {told}", param="tables")
    if count > columns:
        raise ApiError(400, f"expected at most {columns} columns, found {count}", param="tables")
    return TableSet(tables, failures)


def csv_table(name: str, text: str | bytes) -> TableSet:
    """A CSV text as files are read: dialect, encoding and header are detected."""
    with tempfile.TemporaryDirectory(prefix="aegir-") as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        found = read_tables(path)
        tables = tuple(replace(table, name=name, source=name) for table in found.tables)
        return TableSet(tables, tuple(_renamed(failure, str(path), name) for failure in found.failures))


def _renamed(failure: FailureRecord, path: str, name: str) -> FailureRecord:
    """A failure that speaks of the request, not of our file."""
    said = {field: getattr(failure, field).replace(path, name) for field in ("task", "message", "evidence")}
    return replace(failure, **said)


def _table(request: TableRequest) -> TableSet:
    if request.csv is not None:
        return csv_table(request.name, request.csv)
    if request.columns is not None:
        names, count = list(request.columns), max(map(len, request.columns.values()), default=0)
        rows: Sequence[Sequence[Cell]] = [
            [column[i] if i < len(column) else None for column in request.columns.values()]
            for i in spread(range(count), _CONFIG.sample_rows)
        ]
    else:
        given = request.rows or []
        names, count = list(dict.fromkeys(name for row in given for name in row)), len(given)
        rows = [[row.get(name) for name in names] for row in spread(given, _CONFIG.sample_rows)]
    columns = build_columns(names, [[_cell(cell) for cell in row] for row in rows], _CONFIG)
    return TableSet((Table(request.name, request.name, columns, count),))


def _cell(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None else str(cell)
