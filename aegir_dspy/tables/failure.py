"""How a reader says that a file gives no table."""

from __future__ import annotations

from pathlib import Path

from aegir_dspy.errors import FailureRecord

__all__ = ["Unreadable", "failure"]


class Unreadable(Exception):
    """Raised inside a reader, turned into a `FailureRecord` by `read_tables`; never reaches a caller.

    Attributes:
        line: 1-based line of a text file where it was noticed, where one is known.
        failure_class: one of the classes of `FailureRecord`.
    """

    def __init__(self, reason: str, *, line: int | None = None, failure_class: str = "parse") -> None:
        super().__init__(reason)
        self.line, self.failure_class = line, failure_class


def failure(path: Path | str, reader: str, error: Exception) -> FailureRecord:
    """The record of a file that could not be read."""
    line = getattr(error, "line", None)
    reason = " ".join(str(error).split()) or type(error).__name__
    known = getattr(error, "failure_class", None)
    lacks = isinstance(error, OSError | MemoryError | RecursionError)
    return FailureRecord(
        task=f"read:{path}",
        agent=f"tables.{reader}",
        failure_class=known or ("resource" if lacks else "parse"),
        message=f"{path}: {reason}",
        evidence=f"{path}:{line}: {reason}" if line else f"{path}: {reason}",
    )
