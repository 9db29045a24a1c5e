"""Parquet files to tables, through duckdb, which reads them without any extension from the network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.build import build_columns
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.failure import Unreadable
from aegir_dspy.tables.files import table_name
from aegir_dspy.tables.table import Table

if TYPE_CHECKING:
    import duckdb

__all__ = ["read_parquet"]

_PARTS = 4
_BATCH = 500
_OPTIONS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "300MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
# Where Spark keeps the comments of columns.
_SPARK = b"org.apache.spark.sql.parquet.row.metadata"


def read_parquet(path: Path, config: ReadConfig) -> tuple[list[Table], list[FailureRecord]]:
    """The table of a Parquet file, with declared types, and the comments Spark wrote.

    Raises:
        Unreadable: the file is no Parquet file, or a damaged one.
        OSError: the file cannot be read.
    """
    import duckdb

    _check(path)
    with duckdb.connect(config=_OPTIONS) as connection:
        try:
            return [_read(connection, path, config)], []
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            lacks = isinstance(error, duckdb.OutOfMemoryException)
            raise Unreadable(
                f"expected a readable Parquet file, found: {reason}; write it anew, in smaller row groups",
                failure_class="resource" if lacks else "parse",
            ) from error


def _check(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, path.stat().st_size - 4))
        if head != b"PAR1" or file.read(4) != b"PAR1":
            raise Unreadable("expected a whole Parquet file, found other or cut off data; write it anew")


def _read(connection: duckdb.DuckDBPyConnection, path: Path, config: ReadConfig) -> Table:
    file = [re.sub(r"[*?\[]", r"[\g<0>]", str(path))]  # duckdb takes every name for a glob pattern
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", file).fetchall()
    schema = connection.execute("SELECT name, num_children FROM parquet_schema(?)", file).fetchall()
    names = _top_level(schema)
    if len(names) != len(described):
        names = [row[0] for row in described]
    if len(names) > config.max_columns:
        reason = f"expected {config.max_columns} columns at most, found {len(names)}; raise max_columns"
        raise Unreadable(reason, failure_class="resource")
    ((total,),) = connection.execute("SELECT num_rows FROM parquet_file_metadata(?)", file).fetchall()
    rows = _sample(connection, file, [row[0] for row in described], total, config)
    comments = _comments(connection, file)
    columns = build_columns(
        names, rows, config, [row[1].strip('"') for row in described], [comments.get(name) for name in names]
    )
    return Table(table_name(path), str(path), columns, row_count=total)


def _sample(
    connection: duckdb.DuckDBPyConnection, file: list[str], names: list[str], total: int, config: ReadConfig
) -> list[list[str]]:
    """Rows from evenly spread places; some columns at a time, as duckdb plans thousands slowly."""
    rows: list[list[str]] = []
    for start, end in _ranges(total, config.sample_rows):
        part: list[list[str]] = [[] for _ in range(start, end)]
        for first in range(0, len(names), _BATCH):
            cells = ", ".join(_cell(name, config.max_cell_chars) for name in names[first : first + _BATCH])
            query = (
                f"SELECT {cells} FROM read_parquet(?, file_row_number = true) "
                f"WHERE file_row_number >= {start} AND file_row_number < {end}"
            )
            for row, found in zip(part, connection.execute(query, file).fetchall(), strict=True):
                row += ["" if cell is None else cell for cell in found]
        rows += part
    return rows


def _ranges(total: int, count: int) -> list[tuple[int, int]]:
    """Row numbers, from-to, of a few places that give `count` rows together."""
    if total <= count:
        return [(0, total)]
    parts = min(_PARTS, count)
    ends = [number * count // parts for number in range(parts + 1)]
    starts = [number * (total - count) // parts + ends[number] for number in range(parts)]
    return [(start, start + ends[i + 1] - ends[i]) for i, start in enumerate(starts)]


def _cell(name: str, limit: int) -> str:
    quoted = name.replace('"', '""')
    return f'left(CAST("{quoted}" AS VARCHAR), {limit})'


def _top_level(schema: Sequence[tuple[str, int | None]]) -> list[str]:
    """Names of the columns as the file has them; duckdb makes them differ from each other.

    The schema is a tree written depth first: a node's children follow it.
    """
    names: list[str] = []
    position = 1
    while position < len(schema):
        names.append(schema[position][0])
        pending = 1
        while pending and position < len(schema):
            pending += (schema[position][1] or 0) - 1
            position += 1
    return names


def _comments(connection: duckdb.DuckDBPyConnection, file: list[str]) -> dict[str, str]:
    query = "SELECT value FROM parquet_kv_metadata(?) WHERE key = ?::BLOB"
    found = connection.execute(query, [*file, _SPARK]).fetchone()
    try:
        fields = json.loads(bytes(found[0])).get("fields", []) if found else []
        commented = [field for field in fields if "comment" in field["metadata"]]
        return {field["name"]: str(field["metadata"]["comment"]) for field in commented}
    except (ValueError, LookupError, AttributeError, TypeError):
        return {}
