"""SQLite databases to tables, opened read-only."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.build import build_columns
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.failure import Unreadable, failure
from aegir_dspy.tables.table import ForeignKey, Table

__all__ = ["read_sqlite"]

_PARTS = 4
_COUNT_SECONDS = 1.0


def read_sqlite(path: Path, config: ReadConfig) -> tuple[list[Table], list[FailureRecord]]:
    """The tables of a database with their declared types and keys; views are left out.

    A table that cannot be read (a virtual one whose module is missing, say) is recorded.

    Raises:
        Unreadable: the file is no SQLite database, or holds no tables.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3\0"):
            raise Unreadable("expected a SQLite database, found another kind of file; name it by its type")
    tables: list[Table] = []
    failures: list[FailureRecord] = []
    with closing(_connect(path)) as connection:
        names = _table_names(connection)
        for name in names[: config.max_tables]:
            try:
                tables.append(_read_table(connection, path, name, config))
            except (sqlite3.Error, Unreadable) as error:
                failures.append(failure(f"{path}#{name}", "sqlite", error))
    if len(names) > config.max_tables:
        reason = f"expected {config.max_tables} tables at most, found {len(names)}; raise max_tables"
        failures.append(failure(path, "sqlite", Unreadable(reason, failure_class="resource")))
    if not names:
        raise Unreadable("expected tables, found a database without any; remove it or fill it")
    return tables, failures


def _connect(path: Path) -> sqlite3.Connection:
    """Read-only; a database with a write-ahead log in a folder that cannot be written opens as immutable."""
    for option in ("mode=ro", "mode=ro&immutable=1"):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{option}", uri=True, timeout=1.0)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            reason = error
    raise reason


def _table_names(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return [name for (name,) in connection.execute(query + " ORDER BY rootpage, name")]


def _read_table(connection: sqlite3.Connection, path: Path, name: str, config: ReadConfig) -> Table:
    info = connection.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
    if len(info) > config.max_columns:
        reason = f"expected at most {config.max_columns} columns, found {len(info)}"
        raise Unreadable(f"{reason}; raise ReadConfig.max_columns", failure_class="resource")
    columns = [row[1] for row in info]
    keys = sorted((row[5], row[1]) for row in info if row[5])
    rows = _sample(connection, name, columns, config)
    return Table(
        name,
        str(path),
        build_columns(columns, rows, config, declared=[row[2] or None for row in info]),
        row_count=_count(connection, name),
        primary_key=tuple(column for _, column in keys),
        foreign_keys=_foreign_keys(connection, name),
    )


def _sample(
    connection: sqlite3.Connection, name: str, columns: list[str], config: ReadConfig
) -> list[list[str]]:
    """Rows from evenly spread places where the table has row numbers, otherwise its first rows.

    Cells are cut inside the database, so that no large one is ever loaded.
    """
    cells = ", ".join(_cell(column, config.max_cell_chars) for column in columns)
    query = f"SELECT {cells} FROM {_quoted(name)}"
    part = -(-config.sample_rows // _PARTS)
    try:
        low, high = connection.execute(f"SELECT min(rowid), max(rowid) FROM {_quoted(name)}").fetchone()
    except sqlite3.OperationalError:
        low = high = None
    if low is None or high - low < config.sample_rows:
        found = connection.execute(f"{query} LIMIT ?", (config.sample_rows,))
        return [[_text(cell) for cell in row] for row in found]
    rows: list[list[str]] = []
    after = low - 1
    for number in range(_PARTS):
        start = max(after, low - 1 + number * (high - low) // _PARTS)
        count = min(part, config.sample_rows - len(rows))
        ordered = f"SELECT rowid, {cells} FROM {_quoted(name)} WHERE rowid > ? ORDER BY rowid LIMIT ?"
        for row in connection.execute(ordered, (start, count)):
            after = row[0]
            rows.append([_text(cell) for cell in row[1:]])
    return rows


def _cell(column: str, limit: int) -> str:
    quoted = _quoted(column)
    return (
        f"CASE typeof({quoted}) WHEN 'text' THEN substr({quoted}, 1, {limit}) "
        f"WHEN 'blob' THEN hex(substr({quoted}, 1, {limit // 2 or 1})) ELSE {quoted} END"
    )


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _foreign_keys(connection: sqlite3.Connection, name: str) -> tuple[ForeignKey, ...]:
    """Declared references; a reference that names no columns means the key of the other table."""
    keys: dict[int, list[tuple[int, str, str, str | None]]] = {}
    for number, order, table, source, target, *_ in connection.execute(
        f"PRAGMA foreign_key_list({_quoted(name)})"
    ):
        keys.setdefault(number, []).append((order, table, source, target))
    return tuple(
        ForeignKey(
            tuple(source for _, _, source, _ in sorted(parts)),
            parts[0][1],
            tuple(target for _, _, _, target in sorted(parts) if target is not None),
        )
        for _, parts in sorted(keys.items())
    )


def _count(connection: sqlite3.Connection, name: str) -> int | None:
    """The number of rows, None where counting takes too long."""
    deadline = time.monotonic() + _COUNT_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    try:
        (count,) = connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()
        return int(count)
    except sqlite3.OperationalError:
        return None
    finally:
        connection.set_progress_handler(None, 0)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
