"""The subject column of a table: the column whose cells name what the rows are about.

The first of the best kind there is, from the left:

1. columns that name things: mostly unique short texts whose header or type says so (``name``, ``title``,
   ``Book/name``, ``Person``);
2. mostly unique short texts that are no contact, address, code or description;
3. any column of mostly unique texts, then any mostly unique column, then any that has values.
"""

from __future__ import annotations

import re

from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.label_text import verbalise
from aegir_dspy.tables.infer import infer_type, is_null
from aegir_dspy.tables.table import Column, Table

__all__ = ["detect_subject"]

_UNIQUE, _FILLED = 0.8, 0.5  # least shares of distinct among the filled cells, and of filled cells
_SURE = 0.5  # least probability of a type that is believed
_LONG = 80  # characters: names are shorter on average
_NAMES = frozenset({"name", "title", "label", "headline"})
_NAMERS = frozenset(
    {
        "Book/name",
        "CreativeWork",
        "CreativeWork/name",
        "Event/name",
        "Hotel/name",
        "JobPosting/name",
        "LocalBusiness/name",
        "Movie/name",
        "Museum/name",
        "MusicAlbum/name",
        "MusicRecording/name",
        "Person/name",
        "Place/name",
        "Product/name",
        "Recipe/name",
        "Restaurant/name",
        "SportsEvent/name",
        "SportsTeam",
        "TVEpisode/name",
    }
)
_NO_NAMES = re.compile(
    r"description|date|time|email|telephone|fax|url|photograph|address|price|currency|rating|review|code"
    r"|identifier|number|quantity|weight|locality|region|status|mode|availability|category|language",
    re.IGNORECASE,
)
_NO_TEXT = re.compile(r"https?://|www\.|[^\s@]+@[^\s@]+\.[a-z]+$", re.IGNORECASE)


def detect_subject(table: Table, types: TableAnnotation | None = None) -> int | None:
    """The index of the subject column; None when no column has a value.

    Args:
        types: what the columns' types are taken for, of the same table.
    """
    ranks = [(_rank(column, _best_type(types, column.index)), column.index) for column in table.columns]
    best = min(ranks, default=(9, 0))
    return best[1] if best[0] < 9 else None


def _rank(column: Column, type_name: str | None) -> int:
    """0 the best; 9 for a column without values."""
    filled = [value.strip() for value in column.values if not is_null(value)]
    if not filled:
        return 9
    unique = len({v.lower() for v in filled}) >= _UNIQUE * len(filled)
    unique = unique and len(filled) >= _FILLED * len(column.values)
    text = infer_type(filled) == "text" and not any(_NO_TEXT.match(value) for value in filled)
    if not (unique and text):
        return 3 if text and unique else 4 if unique else 5
    short = sum(map(len, filled)) <= _LONG * len(filled)
    words = set(verbalise(column.name).split()) if column.name else set()
    if short and (words & _NAMES or type_name in _NAMERS):
        return 0
    return 1 if short and not (type_name and _NO_NAMES.search(type_name)) else 2


def _best_type(types: TableAnnotation | None, index: int) -> str | None:
    if types is None or index >= len(types.columns) or not types.columns[index].candidates:
        return None
    best = types.columns[index].candidates[0]
    return best.type if best.probability >= _SURE else None
