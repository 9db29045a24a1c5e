"""Where checkpoints are kept: a SQLite file in the folder of the run, or Postgres by its address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from aegir_dspy.adapters.langgraph_app.serde import SealedSerializer
from aegir_dspy.errors import DamagedRunError, InputError, PrerequisiteError

__all__ = ["open_saver"]


@asynccontextmanager
async def open_saver(where: str | Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """A saver, closed at the end.

    Args:
        where: a file, or ``postgres://user@host/database``.

    Raises:
        DamagedRunError: the file is not whole. sqlite3.Error: it is no SQLite database, or the disk is full.
        PrerequisiteError: the package for Postgres is not installed.
        InputError: another kind of address.
    """
    scheme, found, _ = str(where).partition("://")
    if not found:
        async with _sqlite(Path(where)) as saver:
            yield saver
    elif scheme in ("postgres", "postgresql"):
        async with _postgres(str(where)) as saver:
            yield saver
    else:
        raise InputError(f"expected a file or postgres://… to keep checkpoints in, found {scheme}://…")


@asynccontextmanager
async def _sqlite(path: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    try:
        import aiosqlite

        from aegir_dspy.adapters.langgraph_app.grouped import GroupedSqliteSaver
    except ImportError as error:
        raise PrerequisiteError(_missing("langgraph-checkpoint-sqlite", "file", error)) from error
    async with aiosqlite.connect(path) as connection:
        saver = GroupedSqliteSaver(connection, serde=SealedSerializer())
        # In WAL mode a killed process loses nothing with NORMAL, and writes wait for the disk only where the
        # log is moved into the database: every 64 MiB.
        await connection.execute("PRAGMA synchronous=NORMAL")
        await connection.execute("PRAGMA wal_autocheckpoint=16384")
        await saver.setup()
        found = [row[0] for row in await connection.execute_fetchall("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            raise DamagedRunError(f"expected a whole checkpoint in {path}, found: {found[0]}")
        yield saver


@asynccontextmanager
async def _postgres(address: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    try:
        from langgraph.checkpoint.postgres.aio import (  # type: ignore[import-not-found,unused-ignore]
            AsyncPostgresSaver,
        )
    except ImportError as error:
        raise PrerequisiteError(
            _missing("'langgraph-checkpoint-postgres' 'psycopg[binary]'", "Postgres database", error)
        ) from error
    async with AsyncPostgresSaver.from_conn_string(address, serde=SealedSerializer()) as saver:
        await saver.setup()
        yield saver


def _missing(packages: str, what: str, error: ImportError) -> str:
    return f"expected {packages} to keep checkpoints in a {what}, found: {error}; pip install {packages}"
