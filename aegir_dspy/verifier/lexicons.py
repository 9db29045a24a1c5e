"""Word lists: of pycountry and Babel (CLDR) in many languages, and our own of ``assets/words.json``."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache, lru_cache
from importlib import resources

__all__ = ["LANGUAGES", "folded", "lexicon"]

LANGUAGES = (
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "sv", "da", "nb", "fi", "cs", "hu", "ro",
    "el", "uk", "hr", "ja", "zh", "ar",
)  # fmt: skip
"""Languages whose names of countries, languages, months and days are known."""

_LETTERS = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
_SPLIT = re.compile(r"[\W_]+")


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
    """The folded words of the list `name`: of `_LISTS`, or as they stand in ``assets/words.json``."""
    return _LISTS[name]() if name in _LISTS else _by_hand()[name]


@cache
def _by_hand() -> dict[str, frozenset[str]]:
    text = resources.files("aegir_dspy.assets").joinpath("words.json").read_text("utf-8")
    return {name: frozenset(words.split()) for name, words in json.loads(text).items()}


def _locales() -> list[object]:
    from babel import Locale

    return [Locale.parse(language) for language in LANGUAGES]


@cache
def _countries() -> frozenset[str]:
    import pycountry

    found = {name for locale in _locales() for code, name in locale.territories.items() if code.isalpha()}  # type: ignore[attr-defined]
    for country in pycountry.countries:
        found |= {country.name, getattr(country, "official_name", ""), getattr(country, "common_name", "")}
    found |= {"UK", "U.K.", "USA", "U.S.A.", "U.S.", "England", "Scotland", "Wales", "Northern Ireland"}
    found |= {"Great Britain", "Holland", "Republic of Ireland", "UAE", "Czech Republic", "Türkiye", "Korea"}
    found |= {"Soviet Union", "Yugoslavia", "Czechoslovakia", "West Germany", "East Germany", "Burma"}
    return frozenset(map(folded, found)) - {""}


@cache
def _country_codes() -> frozenset[str]:
    import pycountry

    codes = {code for c in pycountry.countries for code in (c.alpha_2, c.alpha_3)} | {"UK", "EU", "XK"}
    return frozenset(map(folded, codes))


@cache
def _languages() -> frozenset[str]:
    import pycountry

    found = {name for locale in _locales() for code, name in locale.languages.items() if len(code) <= 3}  # type: ignore[attr-defined]
    found |= {language.name for language in pycountry.languages if hasattr(language, "alpha_2")}
    found |= {"Mandarin", "Farsi", "Castilian", "Flemish", "Brazilian Portuguese", "Cantonese", "Filipino"}
    return frozenset(map(folded, found)) - {""}


@cache
def _language_codes() -> frozenset[str]:
    import pycountry

    codes = {l.alpha_2 for l in pycountry.languages if hasattr(l, "alpha_2")}  # noqa: E741
    common = "eng ger deu fre fra spa ita por dut nld pol tur rus swe dan nor fin ces cze hun ron rum ell gre"
    return frozenset(codes | set(f"{common} ukr hrv jpn chi zho ara heb hin kor vie tha ind lat".split()))


@cache
def _currencies() -> frozenset[str]:
    found = {name for locale in _locales() for name in locale.currencies.values()}  # type: ignore[attr-defined]
    plain = "euro euros dollar dollars us dollar pound pounds yen yuan franc rupee rupees peso krona zloty"
    return frozenset(map(folded, found)) | frozenset(plain.split()) | {"us dollars", "pounds sterling"}


@cache
def _currency_codes() -> frozenset[str]:
    import pycountry

    return frozenset(c.alpha_3.lower() for c in pycountry.currencies) | {"byr", "rmb", "nis", "btc", "eth"}


@cache
def _months() -> frozenset[str]:
    return _calendar("months")


@cache
def _days() -> frozenset[str]:
    extra = "mo tu we th fr sa su mon tue tues wed thu thur thurs fri sat sun m t w f s weekdays weekend"
    return _calendar("days") | frozenset(extra.split()) | {"publicholidays", "public holidays", "daily"}


def _calendar(kind: str) -> frozenset[str]:
    """Names in full and short, without their dots, in every language."""
    tables = [
        getattr(locale, kind)[context] for locale in _locales() for context in ("format", "stand-alone")
    ]
    names = {name for table in tables for width in ("wide", "abbreviated") for name in table[width].values()}
    return frozenset(folded(name) for name in names if not name.isdecimal()) - {""}


@cache
def _subdivisions() -> frozenset[str]:
    """Names of states and provinces (ISO 3166-2), and the codes of the English-speaking federations."""
    import pycountry

    found = {part for s in pycountry.subdivisions for part in (s.name, s.name.split(" [")[0])}
    found |= {
        s.code[3:] for s in pycountry.subdivisions if s.code[:2] in {"US", "CA", "AU", "BR", "IT", "MX"}
    }
    return frozenset(map(folded, found)) - {""}


@cache
def _units() -> frozenset[str]:
    """Names and symbols of units, in the languages of `LANGUAGES`, and the codes of UN/CEFACT in use."""
    from babel import Locale

    found: set[str] = set()
    for language in ("en", "de", "fr", "es", "it", "pt", "nl", "pl"):
        for unit in Locale.parse(language)._data["unit_patterns"].values():
            found |= {p for width in ("long", "short", "narrow") for p in _forms(unit.get(width))}
    return frozenset(folded(p.replace("{0}", "")) for p in found) | _by_hand()["units"] - {""}


def _forms(unit: object) -> list[str]:
    if not hasattr(unit, "items"):
        return []
    return [text for _, text in unit.items() if isinstance(text, str)]


_LISTS = {
    "countries": _countries,
    "country_codes": _country_codes,
    "languages": _languages,
    "language_codes": _language_codes,
    "currencies": _currencies,
    "currency_codes": _currency_codes,
    "months": _months,
    "days": _days,
    "subdivisions": _subdivisions,
    "units": _units,
}
