"""How a reader says that a file gives no table."""

from __future__ import annotations

from pathlib import Path

from aegir_dspy.errors import FailureRecord

__all__ = ["Unreadable", "failure"]


_EVIDENCE = 200  # characters of a line that are quoted


class Unreadable(Exception):
    """Raised inside a reader, turned into a `FailureRecord` by `read_tables`; never reaches a caller.

    Attributes:
        line: 1-based line of the file where it was noticed; the first where none is known.
        failure_class: one of the classes of `FailureRecord`.
        text: what stands on that line, where it tells more than the reason.
    """

    def __init__(self, reason: str, *, line: int = 1, failure_class: str = "parse", text: str = "") -> None:
        super().__init__(reason)
        self.line, self.failure_class, self.text = line, failure_class, text


def failure(path: Path | str, reader: str, error: Exception) -> FailureRecord:
    """The record of a file that could not be read."""
    place = f"{path}:{error.line}" if isinstance(error, Unreadable) else str(path)
    text = " ".join(getattr(error, "text", "").split())[:_EVIDENCE]
    reason = " ".join(str(error).split()) or type(error).__name__
    known = getattr(error, "failure_class", None)
    lacks = isinstance(error, OSError | MemoryError | RecursionError)
    return FailureRecord(
        task=f"read:{path}",
        agent=f"tables.{reader}",
        failure_class=known or ("resource" if lacks else "parse"),
        message=f"{path}: {reason}",
        evidence=f"{place}: {text or reason}",
    )
