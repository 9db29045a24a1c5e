"""Synthetic columns and tables, to train on what the labelled web tables lack.

Web tables know no bank accounts, server logs or personnel files. Each type of `GENERATED` has a maker
that draws the format of a column (spaces in an IBAN, the layout of a date, the case of a UUID) and
then its cells; check digits are right. A table has a theme, so that columns occur together as they do
in real files, and its columns share a locale, a style of headers and the persons of the rows.
Everything comes from the given `rng`: the same seed and the same release of Faker give the same::

    rng = random.Random(0)
    header, values = generate_column("IBAN", rng, rows=5)
    table = generate_table(rng, columns=6, rows=5)

Left out: no cell says anything true about the world, and rows agree only on persons' names. Columns
that need such truth (descriptions, titles, museums) come from labelled data alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from random import Random

from aegir_dspy.errors import InputError
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.training.generated.codes import CODES
from aegir_dspy.training.generated.ids import IDENTIFIERS
from aegir_dspy.training.generated.lists import CHOICES
from aegir_dspy.training.generated.measures import MEASURES
from aegir_dspy.training.generated.network import NETWORK
from aegir_dspy.training.generated.people import PEOPLE
from aegir_dspy.training.generated.pools import Maker, Scene, choice
from aegir_dspy.training.generated.themes import COMMON, THEMES

__all__ = ["GENERATED", "NULLS", "GeneratedColumn", "generate_column", "generate_table"]

_MAKERS: dict[str, Maker] = {
    **{label: choice(variants) for label, variants in CHOICES.items()},
    **{**IDENTIFIERS, **CODES, **PEOPLE, **MEASURES, **NETWORK},
}

GENERATED: tuple[str, ...] = tuple(sorted(_MAKERS))
"""Labels of the vocabulary ``schema`` that columns can be generated for; every technical one is here."""

NULLS: tuple[str, ...] = ("", "", "", "", "", "NULL", "N/A", "n/a", "-", "nan", "None", "null", "\\N", "?")
"""What stands in cells without a value, as often as it is drawn for a column."""

_STYLES = ("", "", "", "", "snake", "snake", "camel", "title", "upper", "kebab", "spaced", "joined", "pascal")
_PREFIXES = ("c_", "src_", "f_", "x_", "my_", "main_", "new_", "old_", "orig_", "tmp_")
_SUFFIXES = ("_1", "_2", "_new", "_raw", "_txt", "_val", "_clean", " (1)", "*")


@dataclass(frozen=True, slots=True)
class GeneratedColumn:
    """A column and its type.

    Attributes:
        label: its type in the vocabulary ``schema``.
        header: its name.
        values: its cells in the order of the rows; a missing one is of `NULLS`.
    """

    label: str
    header: str
    values: list[str]


def generate_column(label: str, rng: Random, rows: int) -> tuple[str, list[str]]:
    """Header and `rows` cells of a column of that type; equal states of `rng` give equal columns.

    Raises:
        InputError: no column of that type can be generated, or `rows` is less than 1.
        PrerequisiteError: Faker is not installed.
    """
    if label not in _MAKERS:
        raise InputError(f"expected a label that can be generated, found {label!r}; see GENERATED for them")
    _check(rows=rows)
    return _header(label, rng, rng.choice(_STYLES), share=1.0), _cells(label, Scene(rng), rows)


def generate_table(rng: Random, columns: int, rows: int) -> list[GeneratedColumn]:
    """A table of one theme with that many columns, whose headers differ, and `rows` cells in each.

    Raises:
        InputError: `columns` or `rows` is less than 1.
        PrerequisiteError: Faker is not installed.
    """
    _check(columns=columns, rows=rows)
    scene, style, share = Scene(rng), rng.choice(_STYLES), rng.choice((0.6, 0.6, 1.0))
    table: list[GeneratedColumn] = []
    taken: set[str] = set()
    for label in _labels(rng, columns):
        header = _free(_header(label, rng, style, share), taken)
        taken.add(header.casefold())
        table.append(GeneratedColumn(label, header, _cells(label, scene, rows)))
    return table


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"expected at least 1 as {name}, found {size}")


def _labels(rng: Random, count: int) -> list[str]:
    """Types of a theme, mostly in its order, filled up with those that any table may have."""
    theme = THEMES[rng.choice(tuple(THEMES))]
    labels = [theme[i] for i in sorted(rng.sample(range(len(theme)), min(count, len(theme))))]
    while len(labels) < count:
        labels.insert(rng.randint(1, len(labels)), rng.choice(COMMON))
    if rng.random() < 0.1:
        labels[rng.randrange(count)] = rng.choice(GENERATED)
    if rng.random() < 0.2:
        rng.shuffle(labels)
    return labels


def _cells(label: str, scene: Scene, rows: int) -> list[str]:
    """Cells of a column; one column in seven lacks some, though never all, and keys lack none."""
    cell, rng = _MAKERS[label](scene), scene.rng
    values = [cell(row) for row in range(rows)]
    if label == "SurrogateKey" or rng.random() > 0.15:
        return values
    null, share, kept = rng.choice(NULLS), rng.uniform(0.05, 0.5), rng.randrange(rows)
    return [null if row != kept and rng.random() < share else v for row, v in enumerate(values)]


# --- headers --------------------------------------------------------------------------------------


@cache
def _headers(label: str) -> tuple[str, ...]:
    return load_vocabulary("schema")[label].headers


def _header(label: str, rng: Random, style: str, share: float) -> str:
    """A header of the vocabulary, written in the style; a few get a prefix or a suffix as well.

    Only the first `share` of a label's headers is drawn from: the English ones stand first.
    """
    headers = _headers(label)
    header = _styled(headers[int(rng.random() * share * len(headers))], style)
    chance = rng.random()
    if chance < 0.03:
        return rng.choice(_PREFIXES) + header
    return header + rng.choice(_SUFFIXES) if chance < 0.06 else header


@cache
def _styled(header: str, style: str) -> str:
    """A header in another style of writing; unchanged where it holds more than words."""
    words = re.sub(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Ý])", " ", header).replace("_", " ").replace("-", " ").split()
    if not style or not all(word.isalnum() for word in words):
        return header
    lower = [word.lower() for word in words]
    capital = [word.capitalize() for word in lower]
    return {
        "snake": "_".join(lower),
        "upper": "_".join(lower).upper(),
        "kebab": "-".join(lower),
        "spaced": " ".join(lower),
        "joined": "".join(lower),
        "camel": "".join([lower[0], *capital[1:]]),
        "pascal": "".join(capital),
        "title": " ".join(capital),
    }[style]


def _free(header: str, taken: set[str]) -> str:
    """The header, numbered when the table has it already."""
    number, free = 1, header
    while free.casefold() in taken:
        number += 1
        free = f"{header}_{number}"
    return free
