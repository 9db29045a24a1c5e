"""What the makers of synthetic cells share: their registry, patterns, checksums and faker's pools.

A maker draws the format of one column and returns a function that draws its cells::

    @makes("Port")
    def port(rng: Random, locale: str) -> Cell: ...

Everything random comes from the given `rng`. Faker is slow (20 to 100 µs a value), so its values come
from pools, which are made once a process from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import TypeAlias

from aegir_dspy.errors import PrerequisiteError

__all__ = [
    *("LOCALES", "MAKERS", "Cell", "Maker", "cased", "check_ean", "check_iban", "check_luhn", "check_mod11"),
    *("enumeration", "fill", "makes", "pool", "some_of"),
]

Cell: TypeAlias = Callable[[], str]
"""Draws the next cell of one column."""

Maker: TypeAlias = Callable[[Random, str], Cell]
"""Draws the format of a column from (rng, locale) and returns its cells."""

MAKERS: dict[str, Maker] = {}
"""The maker of each label."""

LOCALES = (
    *("en_US", "en_US", "en_US", "en_GB", "en_IN", "de_DE", "de_DE", "fr_FR", "es_ES", "it_IT"),
    *("nl_NL", "pl_PL", "pt_BR", "sv_SE", "cs_CZ", "ru_RU", "ja_JP"),
)
"""Faker locales, as often as they are drawn."""

_POOL_SIZE = 400
_DIGITS = "0123456789"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SETS = {
    "#": _DIGITS,
    "%": _DIGITS[1:],
    "?": _UPPER,
    "*": _DIGITS + _UPPER,
    "~": "abcdefghijklmnopqrstuvwxyz",
    "^": "0123456789abcdef",
}


def makes(*labels: str) -> Callable[[Maker], Maker]:
    """Register the decorated maker for `labels`."""

    def register(maker: Maker) -> Maker:
        MAKERS.update(dict.fromkeys(labels, maker))
        return maker

    return register


def fill(rng: Random, pattern: str) -> str:
    """`pattern` with ``#`` a digit, ``%`` 1-9, ``?`` A-Z, ``~`` a-z, ``*`` 0-9 or A-Z, ``^`` a hex digit."""
    random = rng.random
    return "".join(_SETS[c][int(random() * len(_SETS[c]))] if c in _SETS else c for c in pattern)


def cased(rng: Random) -> Callable[[str], str]:
    """A casing for a whole column: mostly as it is."""
    return rng.choices((str, str.lower, str.upper), (6, 2, 1))[0]


def some_of(rng: Random, values: Sequence[str]) -> Cell:
    """Cells from a random part of `values`, as real columns seldom hold every value."""
    part = rng.sample(values, rng.randint(min(2, len(values)), len(values)))
    return lambda: rng.choice(part)


def enumeration(*styles: str) -> Maker:
    """A maker of a fixed set of values; each style is one notation, its values separated by ``|``."""
    notations = [tuple(style.split("|")) for style in styles]

    def maker(rng: Random, _locale: str) -> Cell:
        case, draw = cased(rng), some_of(rng, rng.choice(notations))
        return lambda: case(draw())

    return maker


def check_luhn(digits: str) -> str:
    """The Luhn check digit (ISO/IEC 7812-1) to append to `digits`."""
    doubled = (int(c) * (2 - i % 2) for i, c in enumerate(reversed(digits)))
    return str(-sum(n - 9 if n > 9 else n for n in doubled) % 10)


def check_ean(digits: str) -> str:
    """The GS1 check digit of EAN, UPC, GTIN and ISBN-13 to append to `digits`."""
    return str(-sum(int(c) * (3 - i % 2 * 2) for i, c in enumerate(reversed(digits))) % 10)


def check_mod11(digits: str) -> str:
    """The check character of ISBN-10 and ISSN to append to `digits`: 0-9 or X."""
    rest = -sum(int(c) * i for i, c in enumerate(reversed(digits), start=2)) % 11
    return "X" if rest == 10 else str(rest)


def check_iban(country: str, bban: str) -> str:
    """The two check digits (ISO 13616, mod 97) of an IBAN."""
    number = int("".join(str(int(c, 36)) for c in f"{bban}{country}00"))
    return f"{98 - number % 97:02}"


@cache
def pool(kind: str, locale: str) -> tuple[str, ...]:
    """Values of faker's provider `kind` in `locale`, one line each, always the same.

    Raises:
        PrerequisiteError: faker is not installed.
    """
    try:
        from faker import Faker
    except ImportError as error:
        raise PrerequisiteError(
            "expected the package faker for generated columns, found none; "
            'install it with: pip install "aegir-dspy[train]"'
        ) from error
    fake = Faker(locale)
    fake.seed_instance(f"{kind}/{locale}")
    draw = getattr(fake, kind)
    return tuple(", ".join(str(draw()).split("\n")).strip(" ,") for _ in range(_POOL_SIZE))
