"""The type of cells, from their text alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["NULL_WORDS", "cell_type", "infer_type", "is_null"]

NULL_WORDS = frozenset(
    {"", "null", "na", "n/a", "#n/a", "nan", "none", "nil", "-", "--", "?", "\\n", "(null)", "nul"}
)

_DATE = (
    r"(?:\d{4}([-/.])(?:1[0-2]|0?[1-9])\1(?:3[01]|[12]\d|0?[1-9])"
    r"|(?:3[01]|[12]\d|0?[1-9])([-/.])(?:1[0-2]|0?[1-9]|[A-Za-z]{3})\2(?:\d{4}|\d{2})"
    r"|(?:1[0-2]|0?[1-9])([-/])(?:3[01]|[12]\d|0?[1-9])\3(?:\d{4}|\d{2}))"
)
_TIME = r"(?:2[0-3]|[01]?\d):[0-5]\d(?::(?:60|[0-5]\d)(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\.?)?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?))?"
_UNSIGNED = r"(?:0|[1-9]\d*)"
_EXPONENT = r"(?:[eE][+-]?\d+)?"

_PATTERNS = (
    ("boolean", re.compile(r"(?:true|false|yes|no|t|f|y|n)", re.IGNORECASE)),
    ("integer", re.compile(rf"[+-]?{_UNSIGNED}")),
    (
        "number",
        re.compile(
            rf"[+-]?(?:{_UNSIGNED}?[.,]\d+|{_UNSIGNED}\.?|[1-9]\d{{0,2}}(?:,\d{{3}})+(?:\.\d+)?"
            rf"|[1-9]\d{{0,2}}(?:[. ]\d{{3}})+(?:,\d+)?){_EXPONENT}|[+-]?(?:inf|infinity)",
            re.IGNORECASE | re.ASCII,
        ),
    ),
    ("date", re.compile(_DATE)),
    ("datetime", re.compile(rf"{_DATE}[T ]{_TIME}{_ZONE}")),
    ("time", re.compile(rf"{_TIME}{_ZONE}")),
)
# No cell of a type above is longer than this; a longer one is text without being looked at.
_LONGEST = 64


def is_null(text: str) -> bool:
    """Whether a cell is empty or one of the words that mean so, such as ``NULL`` or ``n/a``."""
    return len(text) <= 16 and text.strip().lower() in NULL_WORDS


def cell_type(text: str) -> str:
    """The narrowest type a single cell fits; ``empty`` for a null, ``text`` when no other fits.

    ``1`` is an integer, ``007`` is text (a code, whose zeros matter), ``1,5`` and ``1,234.5`` are numbers.
    """
    if is_null(text):
        return "empty"
    stripped = text.strip()
    if len(stripped) > _LONGEST or not stripped.isascii():
        return "text"
    return next((name for name, pattern in _PATTERNS if pattern.fullmatch(stripped)), "text")


def infer_type(values: Iterable[str]) -> str:
    """The narrowest type all values fit, nulls set aside: one of those `Column.inferred_type` lists.

    Integers among numbers make ``number``, dates among datetimes make ``datetime``; any other mixture is
    ``text``; no value at all is ``empty``.
    """
    found: set[str] = set()
    for value in values:
        found.add(cell_type(value))
        if "text" in found:
            return "text"
    return _join(frozenset(found - {"empty"}))


def _join(found: frozenset[str]) -> str:
    if len(found) <= 1:
        return next(iter(found), "empty")
    if found == {"integer", "number"}:
        return "number"
    return "datetime" if found == {"date", "datetime"} else "text"
