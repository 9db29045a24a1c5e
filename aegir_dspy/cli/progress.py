"""Progress on stderr: columns done, columns a second, time left. Silent when stderr is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["ColumnProgress"]


class ColumnProgress:
    """A progress bar over columns, or whatever `what` names, used as a context manager."""

    def __init__(self, total: int, *, quiet: bool, what: str = "columns") -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task, self._what = self._progress.add_task(what, total=total, rate=""), what

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
        self._rate()

    def reached(self, done: int, total: int) -> None:
        """So many of so many are done."""
        self._progress.update(self._task, completed=done, total=total)
        self._rate()

    def _rate(self) -> None:
        speed = self._progress.tasks[self._task].speed
        self._progress.update(self._task, rate=f"{speed:.0f} {self._what}/s" if speed else "")
