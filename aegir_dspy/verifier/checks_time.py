"""Checks of dates, times, durations and opening hours, by form first; dateutil sees what remains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from aegir_dspy.verifier.lexicons import folded, lexicon
from aegir_dspy.verifier.patterns import Check, found

__all__ = ["TIMES"]

_NUMERIC = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})\.?")
_PLAIN = re.compile(r"(?:1[89]|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_WORDED = re.compile(
    r"(?=(?:.*\d){1,8})[^\W\d_]{0,14}\.?,? ?(?:\d{1,4}(?:st|nd|rd|th|\.|º)?,?[ -]?)?(?:de "
    r"|of )?(?:[^\W\d_]{3,14}\.?,?)[ -]?(?:de |del )?(?:\d{1,2}(?:st|nd|rd"
    r"|th)?,?[ -]?)?'?(?:\d{2,4})?",
    re.IGNORECASE,
)
_CLOCK = (
    r"(?:2[0-4]|[01]?\d)[:.h][0-5]\d(?:[:.][0-5]\d(?:[.,]\d{1,9})?)?(?: ?[ap]\.?m\.?)?"
    r"|(?:1[0-2]|0?[1-9]) ?[ap]\.?m\.?"
)
_ZONE = r"(?: ?(?:Z|UTC|GMT|[A-Z]{2,4}T|\(?(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?(?::\d{2})?\)?))?"
_TIME = re.compile(rf"T?(?:{_CLOCK}){_ZONE}", re.IGNORECASE)
_SPLIT_TIME = re.compile(rf"(.{{6,40}}?)(?:[T :]|, | at | - | um )((?:{_CLOCK}){_ZONE})", re.IGNORECASE)
_ISO_DATE = re.compile(r"[12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_WORD, _DIGIT = re.compile(r"[^\W\d_]+"), re.compile(r"\d")


def _real(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _numeric_date(text: str) -> bool:
    match = _NUMERIC.fullmatch(text)
    if not match:
        return False
    first, middle, last = int(match[1]), int(match[3]), int(match[4])
    if len(match[1]) == 4:
        return first >= 1000 and _real(first, middle, last)
    if len(match[4]) not in (2, 4) or len(match[1]) > 2:
        return False
    year = last if len(match[4]) == 4 else 2000 + last
    return year >= 1000 and (_real(year, middle, first) or _real(year, first, middle))


def _date(text: str) -> bool:
    """A calendar day, in digits that exist on a calendar or with the name of a month in any language."""
    if len(text) > 40:
        return False
    if _numeric_date(text) or _PLAIN.fullmatch(text) is not None:
        return True
    if not _WORDED.fullmatch(text):
        return False
    return any(word in lexicon("months") for word in folded(text).split() if not word.isdecimal())


def _datetime(text: str) -> bool:
    if len(text) > 64:
        return False
    match = _SPLIT_TIME.fullmatch(text)
    if match and (_date(match[1].strip(" ,")) or _parses(match[1])):
        return True
    return match is not None and _parses(text)


def _parses(text: str) -> bool:
    """Whether dateutil reads it and it has the digits a day needs; only asked where a clock time stands."""
    from dateutil import parser

    if sum(map(str.isdecimal, text)) < 3:
        return False
    try:
        parser.parse(text)
    except (ValueError, ArithmeticError, TypeError, AttributeError, IndexError):
        return False
    return True


def _times(text: str) -> bool:
    """One time of day, or several."""
    if _TIME.fullmatch(text):
        return True
    parts = [part for part in re.split(r"[;,\s]+", text) if part]
    return len(parts) <= 40 and len(parts) > 1 and all(_TIME.fullmatch(part) for part in parts)


_ISO_DURATION = re.compile(
    r"-?P(?!$)(?=.*\d)(?:T?-?\d{1,9}(?:[.,]\d{1,9})?[YMWDHS]){0,8}(?:T0?[HMS0-9.]{0,8})?", re.IGNORECASE
)
_ODD_DURATION = re.compile(r"P[A-Z0-9:.-]{1,24}")
_AMOUNTS = re.compile(
    r"(?:(?:about|approx\.?|ca\.?|up to|[<>~])? ?\d{1,6}(?:[.,]\d{1,3})?(?: ?(?:-|to"
    r"|–) ?\d{1,5})? ?(?:[^\W\d_]{1,12}\.?|['′\"″])(?:[ ,:]{1,2}(?:and |und |et |y )?|$"
    r"|(?=\d))){1,5}",
    re.IGNORECASE,
)
_CLOCKED = re.compile(r"\d{1,3}:[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?")


def _duration(text: str) -> bool:
    if len(text) > 64:
        return False
    if _ISO_DURATION.fullmatch(text) or _CLOCKED.fullmatch(text):
        return True
    if _ODD_DURATION.fullmatch(text):
        return any(map(str.isdecimal, text))
    return _AMOUNTS.fullmatch(text) is not None and all(
        folded(w) in lexicon("time_units") for w in _WORD.findall(text)
    )


_HOURS = re.compile(rf"(?:{_CLOCK}|\d{{1,2}}) ?(?:-|–|—|to|bis|a|à|:) ?(?:{_CLOCK}|\d{{1,2}})", re.IGNORECASE)
_closed = found(
    r"\b(?:closed|open|24/7|24 ?hours?|24h|geschlossen|ferm[ée]|cerrado|chiuso|geöffnet"
    r"|ouvert|by appointment)\b"
)


def _opening_hours(text: str) -> bool:
    """A day with a range of times, ``24/7``, or days alone with the word closed."""
    if _DIGIT.search(text) and _HOURS.search(text):
        return _has_day(text) or _HOURS.fullmatch(text) is not None or len(_HOURS.findall(text)) > 1
    return _closed(text) and (_has_day(text) or len(text) <= 24)


def _has_day(text: str) -> bool:
    days = lexicon("days")
    return any(len(word) > 1 and word in days for word in folded(text).split()[:40])


_working = found(
    r"(?:\d{1,2}(?:[.,]\d{1,2})?(?: ?[-–/] ?\d{1,2})?\+? ?(?:h(?:ours?|rs?|\b)|stunden|std"
    r"|heures|uur)|\b(?:full|part|flex|flexible)[ -]?(?:time|hours?)|shifts?\b|\bvollzeit"
    r"|teilzeit|weekends?\b|per week|a week|weekly|monday|\bmon\b|a\.?m\.?\b)"
)
_YEAR = re.compile(
    r"(?:1[0-9]|20)\d\d(?: ?[-–/] ?(?:(?:1[5-9]|20)?\d\d)?)?|[1-9]\d{0,3} ?(?:BCE?|AD|CE)"
    r"|c(?:a|irca)?\.? ?1?\d{3}|'\d\d"
)
_MONTH_NUMBER = re.compile(
    r"(?:0?[1-9]|1[0-2])|\d{4}[-/ ]?(?:0[1-9]|1[0-2])|(?:0?[1-9]|1[0-2])[-/]\d{4}|\d{4}-?M\d\d"
)


def _month(text: str) -> bool:
    if _MONTH_NUMBER.fullmatch(text):
        return True
    words = folded(text).split()
    return 0 < len(words) <= 2 and words[0] in lexicon("months") and all(w.isdecimal() for w in words[1:])


def _day_of_week(text: str) -> bool:
    """One day or several, as words or as schema.org's IRIs."""
    bare = _DAY_IRI.sub(" ", text) if "/" in text else text
    bare = _BRACKETS.sub(" ", bare) if "(" in bare else bare
    words = [word for word in folded(bare).split() if word not in _BETWEEN_DAYS]
    return bool(words) and lexicon("days").issuperset(words)


_DAY_IRI = re.compile(r"https?://(?:www\.)?(?:schema\.org/|purl\.org/goodrelations/v1#)")
_BRACKETS = re.compile(r"\(.*?\)")
_BETWEEN_DAYS = frozenset({"and", "to", "bis", "und", "closed"})


TIMES: Mapping[str, Check] = MappingProxyType(
    {
        "iso_date": lambda text: _ISO_DATE.fullmatch(text) is not None and _numeric_date(text),
        "date": _date,
        "datetime": _datetime,
        "time": _times,
        "duration": _duration,
        "iso_duration": lambda text: len(text) < 40 and _ISO_DURATION.fullmatch(text) is not None,
        "opening_hours": _opening_hours,
        "work_hours": _working,
        "year": lambda text: _YEAR.fullmatch(text) is not None,
        "month": _month,
        "day_of_week": _day_of_week,
    }
)
"""Name → check."""
