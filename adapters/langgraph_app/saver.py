"""Where checkpoints are kept: a SQLite file in the folder of the run, or Postgres by its address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from aegir_dspy.adapters.langgraph_app.serde import SealedSerializer
from aegir_dspy.errors import InputError, PrerequisiteError

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
        from aegir_dspy.adapters.langgraph_app.sqlite_saver import InlineSqliteSaver
    except ImportError as error:
        raise PrerequisiteError(_missing("langgraph-checkpoint-sqlite", "file", error)) from error
    saver = InlineSqliteSaver(path)
    try:
        yield saver
    finally:
        saver.conn.close()


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
