"""Validators that look words up in lists: all of them answered at once, as they read a text alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType

from aegir_dspy.verifier.lexicons import folded, lexicon

__all__ = ["IRI", "LISTED", "MEMBERS", "listed", "members"]

LISTED: Mapping[str, tuple[tuple[str, ...], bool]] = MappingProxyType(
    {
        "country": (("countries", "country_codes"), False),
        "country_code": (("country_codes",), True),
        "region": (("subdivisions",), False),
        "nationality": (("nationalities", "countries", "country_codes"), False),
        "language": (("languages", "language_codes"), False),
        "language_code": (("language_codes",), True),
        "currency": (("currencies", "currency_codes"), True),
        "currency_code": (("currency_codes",), True),
    }
)
"""Validator → lists that the text, or every part of it, is a word of; whether its words are its parts."""

MEMBERS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "marital_status": ("marital_statuses", "", ""),
        "boolean": ("booleans", "", ""),
        "status_word": ("statuses", "", ""),
        "item_availability": ("availabilities", "", ""),
        "item_condition": ("conditions", "", "condition"),
        "event_status": ("event_statuses", "event", ""),
        "attendance_mode": ("attendance_modes", "", ""),
        "delivery_method": ("deliveries", "", ""),
        "book_format": ("book_formats", "", "format"),
        "restricted_diet": ("diets", "", "diet"),
        "payment_method": ("payments", "", ""),
    }
)
"""Validator → list of the members of an enumeration, and what may stand before and after them.

A text, a list of members or IRIs that end so, passes. Letters alone are compared: ``Pay-Pal`` is ``paypal``.
"""

IRI = re.compile(r"https?://(?:www\.)?[^\s;,]{1,80}?[/#]([A-Za-z0-9_.%-]{1,60})(?=$|[\s;,])")
_PARTS = re.compile(r"[;,/|+&\n]| and | und | et | y ")
_MOST = 24  # parts
_NOTHING: frozenset[str] = frozenset()
_SPACED = frozenset(name for name, (_, spaced) in LISTED.items() if spaced)
_SYMBOL = frozenset({"currency"})
_MEMBER_PARTS = re.compile(r"[;,|/\n]")
_NO_LETTERS = re.compile(r"[\W_]+")


@lru_cache(maxsize=1 << 12)
def listed(text: str) -> frozenset[str]:
    """Those of `LISTED` that the text passes."""
    found = _SYMBOL if text in lexicon("currency_symbols") else _NOTHING
    plain = folded(text)
    if not plain or plain.replace(" ", "").isdecimal():
        return found
    known = _lists()
    found |= known.get(plain, _NOTHING) | _of_all(known, plain.split()) & _SPACED
    if _PARTS.search(text):
        found |= _of_all(known, [folded(p) for p in _PARTS.split(text) if p.strip()]) - _SPACED
    return found


@lru_cache(maxsize=1 << 12)
def members(text: str) -> frozenset[str]:
    """Those of `MEMBERS` that the text passes."""
    bare = IRI.sub(r"\1;", text) if "://" in text else text
    parts = (_NO_LETTERS.sub("", part) for part in _MEMBER_PARTS.split(bare.casefold()))
    return _of_all(_enumerations(), [part for part in parts if part], most=len(text))


def _of_all(known: Mapping[str, frozenset[str]], parts: Sequence[str], most: int = _MOST) -> frozenset[str]:
    """The validators whose lists all the parts are in."""
    if not 0 < len(parts) <= most:
        return _NOTHING
    found = known.get(parts[0], _NOTHING)
    for part in parts[1:]:
        if not found:
            break
        found &= known.get(part, _NOTHING)
    return found


@cache
def _lists() -> Mapping[str, frozenset[str]]:
    """Word → validators of `LISTED` whose lists have it."""
    return _inverted({name: frozenset().union(*map(lexicon, lists)) for name, (lists, _) in LISTED.items()})


@cache
def _enumerations() -> Mapping[str, frozenset[str]]:
    """Word → validators of `MEMBERS` that it passes."""
    return _inverted({name: _written(lexicon(words), *around) for name, (words, *around) in MEMBERS.items()})


def _written(known: frozenset[str], before: str, after: str) -> frozenset[str]:
    """The members with and without what may stand before and after."""
    written = {b + word + a for word in known for b in ("", before) for a in ("", after)}
    return known | {word for word in written if word.removeprefix(before).removesuffix(after) in known}


def _inverted(lists: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """Word → names of the lists that have it."""
    found: dict[str, int] = {}  # a bit a list
    for i, words in enumerate(lists.values()):
        for word in words:
            found[word] = found.get(word, 0) | 1 << i
    names = {bits: frozenset(n for i, n in enumerate(lists) if bits >> i & 1) for bits in set(found.values())}
    return {word: names[bits] for word, bits in found.items()}
