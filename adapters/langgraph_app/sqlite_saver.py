"""Checkpoints in SQLite, written at once.

`AsyncSqliteSaver` hands every write to a thread, by several turns of the event loop: under load a few dozen
tasks end before the first of them is kept, and are done twice after a kill. Here a write is in the file, a
tenth of a millisecond later, when LangGraph hears that the task has ended.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.sqlite import SqliteSaver

from aegir_dspy.adapters.langgraph_app.serde import SealedSerializer
from aegir_dspy.errors import DamagedRunError

__all__ = ["InlineSqliteSaver"]


class InlineSqliteSaver(SqliteSaver):
    """`SqliteSaver` for graphs whose nodes are coroutines.

    Args:
        path: of the file.

    Raises:
        DamagedRunError: the file is not whole. sqlite3.Error: it is no SQLite database, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(sqlite3.connect(path, check_same_thread=False), serde=SealedSerializer())
        try:
            # In WAL mode a killed process loses nothing with NORMAL, and writes wait for the disk only where
            # the log is moved into the database: every 64 MiB.
            self.conn.execute("PRAGMA synchronous=NORMAL")
            self.conn.execute("PRAGMA wal_autocheckpoint=16384")
            with self.cursor() as cursor:
                (found,) = cursor.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise DamagedRunError(f"expected a whole checkpoint in {path}, found: {found}")
        except UnicodeDecodeError as error:  # of SQLite's own message about a damaged schema
            self.conn.close()
            raise DamagedRunError(f"expected a whole checkpoint in {path}, found: {error}") from error
        except BaseException:
            self.conn.close()
            raise

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """A cursor; what it wrote is there wholly, or not at all where there was an error."""
        with self.lock:
            self.setup()
            cursor = self.conn.cursor()
            try:
                yield cursor
                if transaction:
                    self.conn.commit()
            except BaseException:
                self.conn.rollback()
                raise
            finally:
                cursor.close()

    def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> Coroutine[Any, Any, None]:
        """Keep what a task wrote, before the coroutine is awaited."""
        return _done(lambda: self.put_writes(config, writes, task_id, task_path))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint."""
        return self.put(config, checkpoint, metadata, new_versions)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint, the last one where none is named."""
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, the last one first."""
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    async def adelete_thread(self, thread_id: str) -> None:
        """Forget a thread."""
        self.delete_thread(thread_id)


def _done(work: Callable[[], None]) -> Coroutine[Any, Any, None]:
    """A coroutine of what is done by now; an error is raised where it is awaited."""
    error: Exception | None = None
    try:
        work()
    except Exception as caught:
        error = caught

    async def settled() -> None:
        if error is not None:
            raise error

    return settled()
