"""Writes that come together are committed together: what tasks that end at once came to is kept sooner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

__all__ = ["GroupedSqliteSaver"]

_INSERT = (
    "INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_Rows = list[tuple[Any, ...]]


class GroupedSqliteSaver(AsyncSqliteSaver):
    """`AsyncSqliteSaver` whose writes wait for the commit that is under way, and then share the next one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: list[tuple[str, _Rows, asyncio.Future[None]]] = []

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As in `AsyncSqliteSaver`."""
        await self.setup()
        where = config["configurable"]
        key = (str(where["thread_id"]), str(where["checkpoint_ns"]), str(where["checkpoint_id"]), task_id)
        rows = [
            (*key, task_path, WRITES_IDX_MAP.get(name, i), name, *self.serde.dumps_typed(value))
            for i, (name, value) in enumerate(writes)
        ]
        special = all(name in WRITES_IDX_MAP for name, _ in writes)
        statement = f"INSERT OR {'REPLACE' if special else 'IGNORE'} {_INSERT}"
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((statement, rows, written))
        async with self.lock:
            if not written.done():
                await self._commit()
        written.result()

    async def _commit(self) -> None:
        """Write what waits, all of it or nothing."""
        group, self._waiting = self._waiting, []
        error: BaseException | None = None
        try:
            for statement in dict.fromkeys(statement for statement, _, _ in group):
                rows = [row for of, some, _ in group for row in some if of == statement]
                await self.conn.executemany(statement, rows)
            await self.conn.commit()
        except BaseException as caught:
            error = caught
            await self.conn.rollback()
        for _, _, written in group:
            written.set_exception(error) if error else written.set_result(None)
