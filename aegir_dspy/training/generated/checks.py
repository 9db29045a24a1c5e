"""Digits, templates and the check digits of identifiers.

Algorithms: ISO 13616 (IBAN), ISO/IEC 7812 (Luhn), GS1 General Specifications (GTIN, ISBN-13) and
ISO 7064 mod 11,10 (German tax numbers).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from random import Random

from aegir_dspy.training.generated.pools import Cell, Maker, Scene

__all__ = ["digits", "fill", "group", "gs1_digit", "luhn_digit", "mod11_10_digit", "mod11_digit", "mod97"]
__all__ += ["template", "weighted"]

_SETS = {"#": string.digits, "?": string.ascii_uppercase, "*": string.digits + string.ascii_uppercase}


def digits(rng: Random, count: int) -> str:
    """That many random decimal digits."""
    return f"{rng.randrange(10**count):0{count}d}"


def fill(rng: Random, pattern: str) -> str:
    """A text with ``#`` replaced by a digit, ``?`` by a letter and ``*`` by either, upper case."""
    return "".join(rng.choice(_SETS[c]) if c in _SETS else c for c in pattern)


def group(text: str, *sizes: int, by: str = " ") -> str:
    """`text` cut into groups; the last size repeats."""
    parts, at, i = [], 0, 0
    while at < len(text):
        size = sizes[min(i, len(sizes) - 1)]
        parts.append(text[at : at + size])
        at, i = at + size, i + 1
    return by.join(parts)


def weighted(number: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True))


def luhn_digit(number: str) -> str:
    """The Luhn check digit that belongs after these digits."""
    doubled = (int(d) * (2 - i % 2) for i, d in enumerate(reversed(number)))
    return str(-sum(n - 9 if n > 9 else n for n in doubled) % 10)


def mod97(text: str) -> int:
    """Remainder by 97 of digits and letters (A = 10 … Z = 35), as ISO 7064 reads them."""
    return int("".join(str(int(c, 36)) for c in text)) % 97


def gs1_digit(number: str) -> str:
    """The check digit of EAN, UPC, GTIN and ISBN-13 that belongs after these digits."""
    return str(-sum(int(d) * (3 - 2 * (i % 2)) for i, d in enumerate(reversed(number))) % 10)


def mod11_10_digit(number: str) -> str:
    """ISO 7064 mod 11,10, as in German tax and VAT numbers."""
    product = 10
    for digit in number:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return str((11 - product) % 10)


def mod11_digit(number: str, weights: Sequence[int]) -> str:
    """Check digit of Brazilian numbers: 11 minus the remainder, 0 for 10 and 11."""
    rest = weighted(number, weights) % 11
    return "0" if rest < 2 else str(11 - rest)


def template(*templates: str) -> Maker:
    """Columns of one template each, or of all of them mixed; see `fill`."""

    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        chosen = templates if rng.random() < 0.15 else (rng.choice(templates),)
        return lambda row: fill(rng, rng.choice(chosen))

    return maker
