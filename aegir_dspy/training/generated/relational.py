"""Tables whose columns can only be told apart by comparing them, to train and measure handing over states.

In each table two columns look alike and their roles follow from another column:

- start or end of something, birth or order of somebody: by which of two columns has the later years;
- home or away team: by which of the two shares its city with the venue, cell by cell;
- latitude or longitude: by the country named in a third column.

A label says nothing of it ("date, date", "team, team, city"), so text that hands over labels stays near
chance; the order of the columns says nothing either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from aegir_dspy.training.generated.make import GeneratedColumn, generate_table

__all__ = ["RELATIONAL", "filler_values", "match_table", "relational_table"]

_NO_FILLER = re.compile("(?i)date|time|year|latitude|longitude|geo|coordinate|country|city|place|team|event")

RELATIONAL: tuple[str, ...] = (
    "startDate",
    "endDate",
    "birthDate",
    "orderDate",
    "homeTeam",
    "awayTeam",
    "latitude",
    "longitude",
)

_CITIES = (
    *("Aarhus", "Bergen", "Bilbao", "Bremen", "Cardiff", "Cork", "Dijon", "Gdansk", "Genoa", "Ghent", "Graz"),
    *("Izmir", "Leeds", "Leipzig", "Lille", "Linz", "Lyon", "Malmo", "Metz", "Nantes", "Odense", "Oslo"),
    *("Porto", "Prague", "Riga", "Seville", "Sofia", "Split", "Tampere", "Turin", "Utrecht", "Vienna"),
)
# Degrees (latitude from, to, longitude from, to), chosen so that neither range alone tells which is which.
_COUNTRIES = {
    "Norway": (58, 69, 5, 15),
    "Kenya": (-4, 4, 34, 41),
    "Nigeria": (5, 13, 3, 13),
    "Italy": (38, 46, 8, 17),
    "Turkey": (36, 41, 27, 44),
    "Angola": (-17, -6, 12, 23),
    "Finland": (60, 69, 21, 30),
    "Yemen": (13, 17, 43, 52),
    "Portugal": (37, 42, -9, -7),
    "Namibia": (-28, -18, 12, 20),
    "Oman": (17, 26, 52, 59),
    "Iceland": (63, 66, -24, -14),
}


def relational_table(rng: Random, rows: int, fillers: int = 0) -> list[GeneratedColumn]:
    """One table of 3 to 5 columns, and fillers, in random order; headers are empty.

    Only the two columns that have to be compared have a label of `RELATIONAL`, the others have none ("").
    """
    maker: Callable[[Random, int], dict[str, list[str]]] = rng.choice((_period, _person, _match, _place))
    found = maker(rng, rows)
    found["code"] = [f"{rng.choice('ABCDEFG')}{rng.randint(100, 999)}" for _ in range(rows)]
    if rng.random() < 0.3:
        found["quantity"] = [str(rng.randint(1, 20)) for _ in range(rows)]
    columns = _columns(found)
    columns += [GeneratedColumn("", "", values) for values in filler_values(rng, fillers, rows)]
    return rng.sample(columns, len(columns))


def match_table(rng: Random, rows: int) -> list[GeneratedColumn]:
    """Home team, away team and venue alone, in random order."""
    columns = _columns(_match(rng, rows))
    return rng.sample(columns, len(columns))


def _columns(found: dict[str, list[str]]) -> list[GeneratedColumn]:
    return [
        GeneratedColumn(name if name in RELATIONAL else "", "", list(values))
        for name, values in found.items()
    ]


def filler_values(rng: Random, count: int, rows: int) -> list[list[str]]:
    """Values of generated columns that are neither dates nor places nor teams."""
    found: list[list[str]] = []
    while len(found) < count:
        columns = generate_table(rng, 8, rows)
        found += [c.values for c in columns if not _NO_FILLER.search(c.label)]
    return found[:count]


def _period(rng: Random, rows: int) -> dict[str, list[str]]:
    first, last = _years(rng, rows, rng.randint(2, 12))
    return {"startDate": first, "endDate": last}


def _person(rng: Random, rows: int) -> dict[str, list[str]]:
    first, last = _years(rng, rows, rng.randint(20, 45))
    return {
        "birthDate": first,
        "orderDate": last,
        "country": [rng.choice([*_COUNTRIES]) for _ in range(rows)],
    }


def _years(rng: Random, rows: int, apart: int) -> tuple[list[str], list[str]]:
    """Two columns of dates, the second `apart` years later; both from the same range of years."""
    base = rng.randint(1930, 2020 - apart)
    form = rng.choice(("{y}", "{y}", "{y}-{m:02}-{d:02}", "{m}/{d}/{y}"))

    def date(year: int) -> str:
        return form.format(y=year, m=rng.randint(1, 12), d=rng.randint(1, 28))

    years = [base + rng.randint(0, 3) for _ in range(rows)]
    return [date(y) for y in years], [date(y + apart) for y in years]


def _match(rng: Random, rows: int) -> dict[str, list[str]]:
    pairs = [rng.sample(_CITIES, 2) for _ in range(rows)]
    return {
        "homeTeam": [home for home, _ in pairs],
        "awayTeam": [away for _, away in pairs],
        "venue": [home for home, _ in pairs],
    }


def _place(rng: Random, rows: int) -> dict[str, list[str]]:
    country, (south, north, west, east) = rng.choice(list(_COUNTRIES.items()))
    return {
        "latitude": [f"{rng.uniform(south, north):.1f}" for _ in range(rows)],
        "longitude": [f"{rng.uniform(west, east):.1f}" for _ in range(rows)],
        "country": [country] * rows,
    }
