"""Word lists: of CLDR (``assets/lexicons.json``), our own (``assets/words.json``), and pycountry's names."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources

__all__ = ["LEXICONS", "folded", "lexicon"]

LEXICONS = (
    "countries", "country_codes", "languages", "language_codes", "currencies", "currency_codes", "months",
    "days", "subdivisions", "units",
)  # fmt: skip
"""The lists that are made from data of others; `aegir_dspy.verifier.lexicon_build` makes all but one."""

_LETTERS = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
_SPLIT = re.compile(r"[\W_]+")
_FEDERATIONS = frozenset({"US", "CA", "AU", "BR", "IT", "MX"})  # the codes of whose parts are in common use


@lru_cache(maxsize=1 << 14)
def folded(text: str) -> str:
    """Lower case without accents, punctuation as single spaces: ``Côte d'Ivoire`` → ``cote d ivoire``."""
    plain = text.casefold()
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain)
        plain = "".join(c for c in plain if not unicodedata.combining(c)).translate(_LETTERS)
    return _SPLIT.sub(" ", plain).strip()


@cache
def lexicon(name: str) -> frozenset[str]:
    """The folded words of the list `name`: of `LEXICONS`, or as they stand in ``assets/words.json``."""
    known = [lists[name] for lists in (_by_hand(), _of_cldr()) if name in lists]
    if name in _BY_PYCOUNTRY:
        known.append(frozenset(map(folded, _BY_PYCOUNTRY[name]())) - {""})
    return known[0].union(*known[1:])


@cache
def _by_hand() -> dict[str, frozenset[str]]:
    return {name: frozenset(words.split()) for name, words in _asset("words.json").items()}


@cache
def _of_cldr() -> dict[str, frozenset[str]]:
    return {name: frozenset(words.split(";")) for name, words in _asset("lexicons.json").items() if name}


def _asset(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(resources.files("aegir_dspy.assets").joinpath(name).read_text("utf-8"))
    return found


def _countries() -> Iterator[str]:
    """Names of ISO 3166-1: ``Korea, Republic of``."""
    import pycountry

    for country in pycountry.countries:
        yield from (getattr(country, kind, "") for kind in ("name", "official_name", "common_name"))


def _subdivisions() -> Iterator[str]:
    """Names of states and provinces (ISO 3166-2), and codes of the states of some federations."""
    import pycountry

    for part in pycountry.subdivisions:
        yield from (part.name, part.name.split(" [")[0])
        if part.code[:2] in _FEDERATIONS:
            yield part.code[3:]


_BY_PYCOUNTRY = {"countries": _countries, "subdivisions": _subdivisions}
