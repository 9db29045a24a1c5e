"""Progress on stderr: columns done, columns a second, time left. Silent when stderr is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["ColumnProgress"]


class ColumnProgress:
    """A progress bar over columns, used as a context manager."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("columns"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("columns", total=total, rate="")

    def __enter__(self) -> ColumnProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, columns: int) -> None:
        """Some more columns are done."""
        self._progress.advance(self._task, columns)
        speed = self._progress.tasks[self._task].speed
        self._progress.update(self._task, rate=f"{speed:.0f} columns/s" if speed else "")
