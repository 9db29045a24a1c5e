"""What generated columns draw on: a table's locale and people, and pools of names made with Faker.

A pool is made once per process with a seed of its own, so that a column depends on its `rng` only,
never on what was generated before it. Another release of Faker may give other names.
"""

from __future__ import annotations

import random
import re
import unicodedata
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from aegir_dspy.errors import PrerequisiteError

__all__ = ["LOCALES", "Cell", "Maker", "Scene", "ascii_word", "choice", "pool"]

POOL_SIZE = 300

LOCALES: tuple[str, ...] = (
    *("en_US",) * 6,
    *("en_GB", "de_DE", "fr_FR", "es_ES", "it_IT") * 2,
    *("de_AT", "de_CH", "nl_NL", "pt_BR", "pt_PT", "es_MX", "pl_PL", "cs_CZ", "sv_SE", "da_DK"),
    *("fi_FI", "no_NO", "hu_HU", "ro_RO", "tr_TR", "el_GR", "uk_UA", "ru_RU", "ja_JP", "zh_CN"),
    *("ko_KR", "en_IN", "en_CA", "en_AU", "id_ID", "hr_HR"),
)
"""Faker locales, those that tables use more often listed more often."""

_NAMES_OF: dict[str, tuple[str, ...]] = {
    "region": ("administrative_unit", "state", "region", "province", "county", "prefecture"),
    "country": ("country",),
    "street": ("street_address",),
    "city": ("city", "city_name"),
}
_FALLBACK = "en_US"


class Scene:
    """What the columns of one table share: random numbers, a locale, and the person of each row."""

    def __init__(self, rng: random.Random, locale: str | None = None) -> None:
        self.rng = rng
        self.locale = locale or rng.choice(LOCALES)
        self._people: list[tuple[str, str]] = []

    def person(self, row: int) -> tuple[str, str]:
        """Given and family name of the person in that row, the same for every column."""
        while len(self._people) <= row:
            self._people.append((self.name("first_name"), self.name("last_name")))
        return self._people[row]

    @property
    def comma(self) -> bool:
        """Whether people of the locale write a decimal comma."""
        return self.locale[:2] not in ("en", "ja", "zh", "ko")

    def name(self, kind: str) -> str:
        """One value of a pool in the table's locale; see `pool`."""
        return self.rng.choice(pool(self.locale, kind))


Cell = Callable[[int], str]
"""Gives the text of a row of one column."""
Maker = Callable[[Scene], Cell]
"""Chooses the format of a column and returns its cells."""


def choice(variants: tuple[tuple[str, ...], ...]) -> Maker:
    """Columns that use one of these code lists."""

    def maker(scene: Scene) -> Cell:
        codes, rng = scene.rng.choice(variants), scene.rng
        favourite = rng.choice(codes)
        share = rng.choice((0.0, 0.0, 0.5, 0.8))
        return lambda row: favourite if rng.random() < share else rng.choice(codes)

    return maker


@cache
def pool(locale: str, kind: str) -> tuple[str, ...]:
    """Up to 300 different values of a Faker provider (``first_name``, ``city``, …) in a locale.

    A locale without that provider gives those of ``en_US``.

    Raises:
        PrerequisiteError: Faker is not installed.
    """
    faker = _faker(locale)
    names = _NAMES_OF.get(kind, (kind,))
    make = next((getattr(faker, name) for name in names if hasattr(faker, name)), None)
    if make is None:
        return pool(_FALLBACK, kind)
    faker.seed_instance(zlib.crc32(f"{locale}:{kind}".encode()))
    lines = (re.sub(r"\s*\n", ", ", str(make()).strip()) for _ in range(POOL_SIZE))
    return tuple(dict.fromkeys(" ".join(line.split()) for line in lines))


@cache
def _faker(locale: str) -> Any:
    try:
        from faker import Faker
    except ImportError as error:
        raise PrerequisiteError(
            'expected the package faker for generated columns, found none; pip install "aegir-dspy[train]"'
        ) from error
    faker = Faker(locale)
    for provider in faker.get_providers():
        if isinstance(getattr(provider, "cities", None), list):  # it_IT makes it from a set: order by hashes
            provider.cities = sorted(provider.cities)
    return faker


@cache
def ascii_word(text: str) -> str:
    """A name as letters a–z, for mail addresses and user names; empty where nothing is left."""
    plain = text.replace("ß", "ss").replace("ø", "o").replace("ł", "l").replace("ı", "i")
    folded = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z]", "", folded)
