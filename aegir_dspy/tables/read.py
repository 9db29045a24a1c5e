"""`read_tables`: everything that holds tables to a `TableSet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.failure import failure
from aegir_dspy.tables.files import check_regular, find_files
from aegir_dspy.tables.table import Table, TableSet

__all__ = ["read_tables"]

Reader = Callable[[Path, ReadConfig], tuple[list[Table], list[FailureRecord]]]

# Loaded when the first such file is met: duckdb and sqlglot are slow to import.
_READERS = {
    "csv": "read_csv",
    "columnar": "read_parquet",
    "jsonlines": "read_json",
    "sqlite": "read_sqlite",
    "ddl": "read_ddl",
}


def read_tables(
    paths: str | Path | Sequence[str | Path],
    *,
    config: ReadConfig = ReadConfig(),  # noqa: B008
) -> TableSet:
    """Read the tables of files, folders (recursively) and globs.

    CSV and its relatives (``.csv .tsv .tab .psv .ssv``, gzipped or not; dialect, encoding and header are
    detected), Parquet, JSON lines and arrays, SQLite and SQL scripts. A file that cannot be read gives a
    `FailureRecord` in `TableSet.failures`, a file of another type inside a folder an entry in
    `TableSet.skipped`.

    Args:
        paths: one or several files, folders or glob patterns.
        config: how much of each file is read.

    Raises:
        InputError: a path does not exist, a glob matches nothing, or a folder holds no table file.
    """
    found = find_files(paths)
    tables: list[Table] = []
    failures = list(found.failures)
    for path, kind in found.files:
        read, failed = _read(path, kind, config)
        tables += read
        failures += failed
    return TableSet(tuple(tables), tuple(failures), tuple(found.skipped))


def _read(path: Path, kind: str, config: ReadConfig) -> tuple[list[Table], list[FailureRecord]]:
    try:
        check_regular(path)
        reader: Reader = getattr(import_module(f"aegir_dspy.tables.{kind}"), _READERS[kind])
        return reader(path, config)
    except Exception as error:
        # Whatever a library makes of a damaged file, the other files are still read.
        return [], [failure(path, kind, error)]
