"""The type of cells, from their text alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["NULL_WORDS", "cell_type", "infer_type", "is_null"]

NULL_WORDS = frozenset(
    {"", "null", "na", "n/a", "#n/a", "nan", "none", "nil", "-", "--", "?", "\\n", "(null)", "nul"}
)

_YEAR, _MONTH, _DAY = r"\d{4}", r"(?:1[0-2]|0?[1-9])", r"(?:3[01]|[12]\d|0?[1-9])"
_DATE = "(?:{})".format(
    "|".join(
        rf"{_YEAR}{sep}{_MONTH}{sep}{_DAY}"
        rf"|{_DAY}{sep}(?:{_MONTH}|[A-Za-z]{{3}}){sep}\d\d(?:\d\d)?"
        rf"|{_MONTH}{sep}{_DAY}{sep}\d\d(?:\d\d)?"
        for sep in ("-", "/", r"\.")
    )
)
_TIME = r"(?:2[0-3]|[01]?\d):[0-5]\d(?::(?:60|[0-5]\d)(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\.?)?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?))?"
_WHOLE = r"(?:0|[1-9]\d*)"
_GROUPED = r"[1-9]\d{0,2}(?:(?:,\d{3})+(?:\.\d+)?|(?:[. ]\d{3})+(?:,\d+)?)"
# One pattern, the narrowest type first: a cell is of the type whose group matches all of it.
_TYPES = re.compile(
    rf"(?P<boolean>true|false|yes|no|[tfyn])|(?P<integer>[+-]?{_WHOLE})"
    rf"|(?P<number>[+-]?(?:(?:{_WHOLE}?[.,]\d+|{_WHOLE}\.?|{_GROUPED})(?:e[+-]?\d+)?|inf|infinity))"
    rf"|(?P<date>{_DATE})|(?P<datetime>{_DATE}[T ]{_TIME}{_ZONE})|(?P<time>{_TIME}{_ZONE})",
    re.IGNORECASE,
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
    return _short_type(text) if len(text) <= _LONGEST else "text" if text.strip() else "empty"


@lru_cache(maxsize=1 << 14)
def _short_type(text: str) -> str:
    if is_null(text):
        return "empty"
    stripped = text.strip()
    match = _TYPES.fullmatch(stripped) if stripped.isascii() else None
    return (match.lastgroup if match else None) or "text"


def infer_type(values: Iterable[str]) -> str:
    """The narrowest type all values fit, nulls set aside: one of those `Column.inferred_type` lists.

    Integers among numbers make ``number``, dates among datetimes make ``datetime``; any other mixture is
    ``text``; no value at all is ``empty``.
    """
    found = set()
    for value in values:
        found.add(cell_type(value))
        if "text" in found:
            return "text"
    found.discard("empty")
    if len(found) <= 1:
        return next(iter(found), "empty")
    if found == {"integer", "number"}:
        return "number"
    return "datetime" if found == {"date", "datetime"} else "text"
