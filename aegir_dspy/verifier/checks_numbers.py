"""Checks of quantities: plain numbers, money, measures, positions on the globe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from aegir_dspy.verifier.lexicons import folded, lexicon
from aegir_dspy.verifier.patterns import Check, whole

__all__ = ["NUMBERS", "number"]


_NUMBER = r"\d{1,3}(?:[, '.\u00a0\u202f]\d{3})+(?:[.,]\d{1,6})?|\d{1,30}(?:[.,]\d{1,20})?|[.,]\d{1,20}"
_SIGNED = re.compile(rf"([+\-−]?)({_NUMBER}|\d{{1,20}}\.)(e[+-]?\d{{1,3}})?", re.IGNORECASE)


@lru_cache(maxsize=1 << 12)
def number(text: str) -> float | None:
    """The number a text stands for, or None: ``1,234.5``, ``1.234,5``, ``-3e5``, ``.5``.

    A single comma or point before exactly three digits is taken for a decimal point, as in ``1.234``, unless
    it is a comma, which groups thousands.
    """
    match = _SIGNED.fullmatch(text) if len(text) <= 48 and text.isprintable() else None
    if not match:
        return None
    digits = _plain(re.sub("[ '\u00a0\u202f]", "", match[2]))
    try:
        value = float(f"{'-' if match[1] in '-−' and match[1] else ''}{digits}{match[3] or ''}")
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


def _plain(digits: str) -> str:
    """Digits with a decimal point alone."""
    commas, points = digits.count(","), digits.count(".")
    if commas and points:
        last = max(digits.rfind(","), digits.rfind("."))
        return re.sub("[.,]", "", digits[:last]) + "." + digits[last + 1 :]
    if commas == 1 and len(digits.rpartition(",")[2]) != 3:
        return digits.replace(",", ".")
    return digits.replace(".", "") if points > 1 else digits.replace(",", "")


_SYMBOL = (
    r"(?:[$€£¥₹₽₺₩₪฿₫₦₱₴¢]|US\$|C\$|A\$|R\$|HK\$|S\$|kr\.?|zł|Kč|Ft|lei|Rs\.?|руб\.?|р\.?"
    r"|CHF|SEK|NOK|DKK|RM|Rp\.?|[A-Z]{3})"
)
_PRICED = re.compile(
    rf"(?:(?:from|ab|from:|now|only|à partir de|ca\.?"
    rf"|~) ?)?(?:{_SYMBOL} ?)?[-+]?(?:{_NUMBER})(?:,-|,–"
    rf"|\.-)?[kKmM]? ?(?:{_SYMBOL})?(?: ?(?:/|per|pro|par|a|an) ?[^\W\d_]{{1,12}})?",
    re.IGNORECASE,
)
_RANGE = re.compile(
    rf"({_SYMBOL}? ?(?:{_NUMBER}) ?{_SYMBOL}?[kK]?) ?(?:-|–|—|~|to|bis|à"
    rf"|and) ?({_SYMBOL}? ?(?:{_NUMBER}) ?{_SYMBOL}?[kK]?)(?: ?(?:/|per|pro"
    rf"|a) ?[^\W\d_]{{1,12}})?",
    re.IGNORECASE,
)
_DOLLARS = re.compile(r"[$€£¥₹₺]{1,5}(?: ?[-–/] ?[$€£¥₹₺]{1,5})?")


_FREE = frozenset({"free", "kostenlos", "gratis", "gratuit"})
_DIGIT = re.compile(r"\d")


def _price(text: str) -> bool:
    if len(text) > 48 or not _DIGIT.search(text):
        return folded(text) in _FREE
    return (_PRICED.fullmatch(text) is not None and number(text) is not None) or _money(text)


def _money(text: str) -> bool:
    """A price with a symbol or a code of a currency."""
    match = _PRICED.fullmatch(text)
    if not match:
        return False
    codes = re.findall(r"[A-Za-z]{3}(?![A-Za-z])", text)
    known = lexicon("currency_codes")
    return any(c in "$€£¥₹₽₺₩₪฿₫₦₱₴" for c in text) or any(code.lower() in known for code in codes)


def _price_range(text: str) -> bool:
    if len(text) > 64:
        return False
    if _DOLLARS.fullmatch(text) or _RANGE.fullmatch(text):
        return True
    words = folded(text).split()
    return 0 < len(words) <= 3 and lexicon("price_levels").issuperset(words)


_MEASURE = re.compile(
    rf"(?:[^\W\d_]{{2,14}}: ?)?[-+]?(?:{_NUMBER}) ?(?:-|–|x"
    rf"|×)? ?(?:{_NUMBER})? ?(?:[x×] ?(?:{_NUMBER}))? ?([^\W\d_]{{1,14}}"
    rf"|['′\"″])[.²³]?\.?(?: ?\(.{{1,40}}\))?",
    re.IGNORECASE,
)


def _measured(units: str) -> Check:
    """A number with a unit of the list."""

    def check(text: str) -> bool:
        match = _MEASURE.fullmatch(text) if len(text) <= 64 else None
        return match is not None and match[1].lower() in lexicon(units)

    return check


def _quantity(text: str) -> bool:
    match = _MEASURE.fullmatch(text) if len(text) <= 64 else None
    return match is not None and (folded(match[1]) in lexicon("units") or match[1] in "'\"′″")


def _unit(text: str) -> bool:
    return len(text) <= 40 and all(part in lexicon("units") for part in folded(text).split()[:4] or ["-"])


_UNIT_CODE = re.compile(r"[A-Z][A-Z0-9]{2}|[A-Z]\d\d|\d[A-Z0-9]|C62")


def _between(low: float, high: float, *, decimals: int = 0) -> Check:
    def check(text: str) -> bool:
        value = number(text)
        if value is None or len(text.partition(".")[2]) < decimals:
            return False
        return low <= value <= high

    return check


_DEGREES = (
    r"[-+]?\d{1,3}(?:[.,]\d{1,15})? ?°?(?: ?\d{1,2}(?:\.\d{1,6})? ?['′’](?: ?\d{1,2}(?:\.\d{1,6})? ?(?:''"
    r"|[\"″”]))?)? ?"
)
_LATITUDE = re.compile(rf"{_DEGREES}[NS]|[NS] ?{_DEGREES}", re.IGNORECASE)
_LONGITUDE = re.compile(rf"{_DEGREES}[EWO]|[EWO] ?{_DEGREES}", re.IGNORECASE)
_PAIR = re.compile(
    r"(?:POINT ?)?\(?([-+]?\d{1,3}(?:\.\d{1,18})?)°?(?: ?[NS])?[,; ] ?"
    r"([-+]?\d{1,3}(?:\.\d{1,18})?)°?(?: ?[EW])?\)?",
    re.IGNORECASE,
)


def _globe(limit: float, worded: re.Pattern[str]) -> Check:
    plain = _between(-limit, limit, decimals=2)

    def check(text: str) -> bool:
        return plain(text.replace(",", ".", 1)) or (len(text) <= 48 and worded.fullmatch(text) is not None)

    return check


def _coordinate(text: str) -> bool:
    """A latitude, a longitude or a pair, in degrees with two decimals at least."""
    return _latitude(text) or _longitude(text) or _pair(text)


def _pair(text: str) -> bool:
    match = _PAIR.fullmatch(text) if len(text) <= 64 else None
    return match is not None and "." in text and abs(float(match[1])) <= 180 and abs(float(match[2])) <= 180


_latitude, _longitude = _globe(90, _LATITUDE), _globe(180, _LONGITUDE)
_STARS = re.compile(
    r"(?:\d{1,2}(?:[.,]\d{1,2})?) ?(?:(?:/|out of|of|von|sur|de) ?\d{1,3}|stars?|sterne?"
    r"|★+|%)?|★{1,5}☆{0,5}|not (?:yet )?rated|fsk ?\d{1,2}|\d{1,2}\+",
    re.IGNORECASE,
)

NUMBERS: Mapping[str, Check] = MappingProxyType(
    {
        "number": lambda text: number(text) is not None,
        "integer": whole(r"[+-]?\d{1,3}(?:[, '.]\d{3}){1,6}|[+-]?\d{1,18}(?:\.0{1,2})?"),
        "count": whole(r"\d{1,3}(?:[, '.]\d{3}){1,6}|\d{1,12}(?:\.0{1,2})?(?: ?[^\W\d_]{1,12}\.?)?"),
        "decimal": lambda text: ("." in text or "," in text) and number(text) is not None,
        "percentage": whole(rf"[<>~]? ?[-+]?(?:{_NUMBER}) ?(?:%|percent|prozent|pct)|[01](?:\.\d{{1,10}})?"),
        "price": _price,
        "money": _money,
        "price_range": _price_range,
        "quantity": _quantity,
        "mass": _measured("mass_units"),
        "distance": _measured("length_units"),
        "energy": _measured("energy_units"),
        "temperature": whole(rf"[-+−]?(?:{_NUMBER}) ?(?:°|º|deg(?:rees)?)? ?(?:[CFK]|celsius|fahrenheit)?"),
        "unit": _unit,
        "unit_code": lambda text: _UNIT_CODE.fullmatch(text) is not None or _unit(text),
        "latitude": _latitude,
        "longitude": _longitude,
        "coordinate": _coordinate,
        "rating": lambda text: (
            len(text) <= 24 and (text.lower() in lexicon("age_ratings") or bool(_STARS.fullmatch(text)))
        ),
        "age": whole(r"(?:1[0-2]\d|[1-9]?\d)(?:\.0)?(?: ?(?:y(?:ears?|rs?|o)?(?: old)?|jahre|ans|años))?"),
        "dimensions": whole(rf"(?:{_NUMBER}) ?[^\W\d_]{{0,4}} ?[x×*] ?(?:{_NUMBER}).{{0,30}}"),
    }
)
"""Name → check."""
