"""Builds ``assets/lexicons.json``: the names and codes of CLDR, as Babel has them, in many languages.

``python -m aegir_dspy.verifier.lexicon_build OUT`` writes the lists with their words folded, so that nothing
of it is done, and Babel not needed, when cells are checked. Of pycountry, whose data has another licence,
nothing is kept: `aegir_dspy.verifier.lexicons` asks it for what CLDR lacks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aegir_dspy.errors import InputError
from aegir_dspy.verifier.lexicons import folded

__all__ = ["LANGUAGES", "build", "main"]

LANGUAGES = (
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "sv", "da", "nb", "fi", "cs", "hu", "ro",
    "el", "uk", "hr", "ja", "zh", "ar",
)  # fmt: skip
"""Languages whose names of countries, languages, currencies, months and days are known."""

_UNIT_LANGUAGES = LANGUAGES[:8]
_COUNTRIES = (
    "UK;U.K.;USA;U.S.A.;U.S.;England;Scotland;Wales;Northern Ireland;Great Britain;Holland;"
    "Republic of Ireland;UAE;Czech Republic;Türkiye;Korea;Soviet Union;Yugoslavia;Czechoslovakia;"
    "West Germany;East Germany;Burma"
)
# CLDR's codes for regions that are no countries of ISO 3166-1, now or any more.
_NO_COUNTRIES = "AC CP CQ DG EA EU EZ IC QO TA UN XA XB XK ZZ"
_FORMER = "ANT ASC BUR CPT DDR DGA FXX NTZ SCG SUN TAA TMP YMD YUG ZAR"
_LANGUAGES = (
    "Mandarin;Farsi;Castilian;Flemish;Brazilian Portuguese;Cantonese;Filipino;Chichewa;Haitian;Kirghiz;"
    "Limburgan;Modern Greek (1453-);Occitan (post 1500);Ossetian;Pushto;Tonga (Tonga Islands);Uighur;"
    "Interlingua (International Auxiliary Language Association);Malay (macrolanguage);"
    "Nepali (macrolanguage);Oriya (macrolanguage);Swahili (macrolanguage)"
)
_LANGUAGE_CODES = (
    "eng ger deu fre fra spa ita por dut nld pol tur rus swe dan nor fin ces cze hun ron rum ell gre ukr hrv"
    " jpn chi zho ara heb hin kor vie tha ind lat"
)
_CURRENCIES = (
    "euro;euros;dollar;dollars;us;dollar;pound;pounds;yen;yuan;franc;rupee;rupees;peso;krona;zloty;"
    "us dollars;pounds sterling"
)
_CURRENCY_CODES = "byr rmb nis btc eth svc xad"
_DAYS = (
    "mo;tu;we;th;fr;sa;su;mon;tue;tues;wed;thu;thur;thurs;fri;sat;sun;m;t;w;f;s;weekdays;weekend;"
    "publicholidays;public holidays;daily"
)


def build() -> dict[str, list[str]]:
    """Name of a list → its folded words, sorted.

    Raises:
        InputError: Babel is not installed.
    """
    locales = [_locale(language) for language in LANGUAGES]
    lists = {
        "countries": [*_named(locales, "territories", str.isalpha), *_COUNTRIES.split(";")],
        "country_codes": [*_country_codes(), "UK", "EU", "XK"],
        "languages": [*_named(locales, "languages", lambda code: len(code) <= 3), *_LANGUAGES.split(";")],
        "language_codes": [*(c for c in locales[0].languages if len(c) == 2), *_LANGUAGE_CODES.split()],
        "currencies": [*_named(locales, "currencies", bool), *_CURRENCIES.split(";")],
        "currency_codes": [*_currency_codes(), *_CURRENCY_CODES.split()],
        "months": _calendar(locales, "months"),
        "days": [*_calendar(locales, "days"), *_DAYS.split(";")],
        "units": _units(),
    }
    folds = {name: set(map(folded, words)) for name, words in lists.items()}
    # Of units the empty word is kept: what is left of a sign alone, as in 20° or 5 %.
    return {name: sorted(words - {""} if name != "units" else words) for name, words in folds.items()}


def _locale(language: str) -> Any:
    try:
        from babel import Locale
    except ImportError:
        raise InputError("expected Babel to build the lexicons, found none: pip install babel") from None
    return Locale.parse(language)


def _named(locales: Iterable[Any], kind: str, wanted: Any) -> Iterator[str]:
    """The names of territories, languages or currencies with a wanted code, in every language."""
    for locale in locales:
        yield from (name for code, name in getattr(locale, kind).items() if wanted(code))


def _country_codes() -> Iterator[str]:
    """ISO 3166-1: two letters, and the three that CLDR has as another name of a country's two."""
    from babel.core import get_global

    two = {code for code in _locale("en").territories if len(code) == 2}.difference(_NO_COUNTRIES.split())
    yield from two
    for code, countries in get_global("territory_aliases").items():
        if len(code) == 3 and code.isalpha() and two.issuperset(countries) and code not in _FORMER.split():
            yield code


def _currency_codes() -> Iterator[str]:
    """ISO 4217: what is legal tender or a unit of account somewhere today."""
    from babel.core import get_global

    for used in get_global("territory_currencies").values():
        yield from (code for code, _, end, *_ in used if end is None and code != "CNH")


def _calendar(locales: Iterable[Any], kind: str) -> Iterator[str]:
    """Names in full and short, without their dots, in every language."""
    tables = [getattr(locale, kind)[context] for locale in locales for context in ("format", "stand-alone")]
    for table in tables:
        for width in ("wide", "abbreviated"):
            yield from (name for name in table[width].values() if not name.isdecimal())


def _units() -> Iterator[str]:
    """Names and symbols of units."""
    for language in _UNIT_LANGUAGES:
        for unit in _locale(language)._data["unit_patterns"].values():
            for width in ("long", "short", "narrow"):
                forms = unit.get(width)
                texts = forms.values() if hasattr(forms, "values") else ()
                yield from (text.replace("{0}", "") for text in texts if isinstance(text, str))


def main(arguments: list[str]) -> None:
    """Write the file."""
    if len(arguments) != 1:
        raise SystemExit("python -m aegir_dspy.verifier.lexicon_build OUT")
    from importlib.metadata import version

    lines = {"": f"Unicode CLDR through Babel {version('babel')}, Unicode License V3, see NOTICE; folded"}
    lines |= {name: ";".join(words) for name, words in build().items()}
    Path(arguments[0]).write_text(json.dumps(lines, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
