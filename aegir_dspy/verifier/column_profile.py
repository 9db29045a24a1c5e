"""What the cells of a column look like: counts, and the shape that `instances` compares with labels."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import mul
from string import ascii_lowercase, ascii_uppercase, digits

from aegir_dspy.tables.infer import cell_type, is_null
from aegir_dspy.verifier.checks_numbers import number
from aegir_dspy.verifier.validators import LONGEST, VALIDATORS, passes, passing, unknown

__all__ = ["FEATURES", "MOST", "ColumnProfile", "profile"]

MOST = 24
"""Distinct cells that are looked at closely, spread evenly over the column."""


@dataclass(frozen=True)
class ColumnProfile:
    """What is known of a column from its cells alone.

    Attributes:
        rows: cells, nulls among them.
        nulls: cells that say nothing.
        distinct: different cells that are not null.
        sample: at most `MOST` of the different cells, in file order.
        weights: how many cells each of the sample stands for, as shares that add up to 1.
        numbers: the sampled cells that are numbers, as such.
        shape: `FEATURES`, each about 0 … 1.
    """

    rows: int
    nulls: int
    distinct: int
    sample: tuple[str, ...]
    weights: tuple[float, ...]
    numbers: tuple[float, ...]
    shape: tuple[float, ...]

    @property
    def unique(self) -> bool:
        """Whether no cell occurs twice and none is null."""
        return self.rows > 0 and self.distinct == self.rows

    def share(self, validator: str) -> float:
        """The share of the cells that are not null which pass the validator; 0 of an empty column."""
        found = self.shares.get(validator)
        if found is None and validator not in VALIDATORS:
            raise unknown(validator)
        return found or 0.0

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Validator → share of the cells that pass it; validators that none passes are absent."""
        passed: dict[str, list[float]] = {}
        for value, weight in zip(self.sample, self.weights, strict=True):
            for name in passing(value):
                passed.setdefault(name, []).append(weight)
        return {name: round(math.fsum(weights), 9) for name, weights in passed.items()}

    def failing(self, validator: str, most: int = 3) -> tuple[str, ...]:
        """The first sampled cells that do not pass."""
        return tuple([v for v in self.sample if not passes(validator, v)][:most])


@lru_cache(maxsize=1 << 13)
def profile(values: tuple[str, ...]) -> ColumnProfile:
    """The profile of a column's cells; kept for the columns seen last."""
    counts: dict[str, int] = {}
    for value in values:
        if not is_null(value) and (text := value[:LONGEST].strip()):
            counts[text] = counts.get(text, 0) + 1
    sample = _spread(list(counts), MOST)
    total = sum(counts[text] for text in sample)
    weights = tuple(counts[text] / total for text in sample)
    numbers = tuple(n for n in map(number, sample) if n is not None)
    rows, filled = len(values), sum(counts.values())
    shape = _shape(sample, weights, numbers)
    return ColumnProfile(rows, rows - filled, len(counts), tuple(sample), weights, numbers, shape)


def _spread(values: list[str], most: int) -> list[str]:
    if len(values) <= most:
        return values
    return [values[i * len(values) // most] for i in range(most)]


# --- shape ----------------------------------------------------------------------------------------

_FUNCTION = re.compile(
    r"\b(?:the|and|of|to|in|for|with|a|is|on|your|you|this|der|die|das|und|le|la|les|des"
    r"|de|et|el|los|y|en)\b",
    re.IGNORECASE,
)
_FUNCTION_LOWER = re.compile(_FUNCTION.pattern)
_TAGS = re.compile(r"<[a-z/!][^<>]{0,80}>|&[a-z#0-9]{2,8};", re.IGNORECASE)
_ENDS = re.compile(r"[.!?…][\"'”’)]?(?:\s|$)")

FEATURES: tuple[str, ...] = (
    "length", "length_spread", "words", "words_spread", "digits", "letters", "upper", "spaces", "capitalised",
    "all_upper", "starts_upper", "non_ascii", "point", "comma", "dash", "slash", "colon", "underscore", "at",
    "brackets", "quotes", "money", "percent", "plus", "bar", "question", "html", "sentences",
    "function_words", "integers", "numbers", "decimals", "magnitude", "magnitude_spread", "negative",
    "leading_zero", "word_length", "mixed_words",
    "single", "has_digit", "starts_digit", "ends_letter", "same_length", "url", "cut",
)  # fmt: skip
"""Names of the entries of `ColumnProfile.shape`, in order."""


def _shape(sample: Sequence[str], weights: Sequence[float], numbers: Sequence[float]) -> tuple[float, ...]:
    if not sample:
        return (0.0,) * len(FEATURES)
    rows = [_cell(text) for text in sample]
    means = [
        math.fsum(map(mul, weights, column)) if any(column) else 0.0 for column in zip(*rows, strict=True)
    ]
    lengths = [row[0] for row in rows]
    words = [row[1] for row in rows]
    sizes = [math.log10(1 + abs(n)) / 6 for n in numbers]
    n = len(sample)
    magnitude = math.fsum(sizes) / len(sizes) if sizes else 0.0
    column = {
        "length_spread": _spread_of(lengths),
        "words_spread": _spread_of(words),
        "magnitude": magnitude,
        "magnitude_spread": _spread_of(sizes) if sizes else 0.0,
        "negative": sum(x < 0 for x in numbers) / n,
        "same_length": max(Counter(map(len, sample)).values()) / n,
    }
    by_name = dict(zip(_CELL, means, strict=True)) | column
    return tuple([round(by_name[name], 6) for name in FEATURES])


def _spread_of(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return min(math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values)), 1.0)


_CELL = (
    "length", "words", "digits", "letters", "upper", "spaces", "capitalised", "all_upper", "starts_upper",
    "non_ascii", "point", "comma", "dash", "slash", "colon", "underscore", "at", "brackets", "quotes",
    "money",
    "percent", "plus", "bar", "question", "html", "sentences", "function_words", "integers", "numbers",
    "decimals", "leading_zero", "word_length", "mixed_words", "single", "has_digit", "starts_digit",
    "ends_letter", "url", "cut",
)  # fmt: skip


_SIGNS = (".", ",", "-–", "/\\", ":", "_", "@", "()[]", "'\"’“”", "$€£¥₹", "%", "+", "|>»;", "?!")
_GROUP = {sign: i for i, signs in enumerate(_SIGNS) for sign in signs}
_KINDS = str.maketrans(
    {
        **dict.fromkeys(digits, "9"),
        **dict.fromkeys(ascii_lowercase, "a"),
        **dict.fromkeys(ascii_uppercase, "A"),
    }
)


@lru_cache(maxsize=1 << 15)
def _cell(text: str) -> tuple[float, ...]:
    """The features of one cell, in the order of `_CELL`."""
    n, words, kind = len(text), text.split(), cell_type(text)
    plain = _kinds(text)
    figures, letters = plain.count("9"), plain.count("A") + plain.count("a")
    upper = plain.count("A") if text.isascii() else sum(map(str.isupper, text))
    heads = [word for word in words if word[0].isalpha()]
    mixed = sum("9" in word and ("a" in word or "A" in word) for word in plain.split()) if figures else 0
    signs = [0] * len(_SIGNS)
    for sign in set(plain):
        if sign in _GROUP:
            signs[_GROUP[sign]] += plain.count(sign)
    ends = signs[0] or signs[-1] or "…" in text
    return (
        math.log2(1 + n) / 8,
        math.log2(1 + len(words)) / 6,
        figures / n,
        letters / n,
        upper / letters if letters else 0.0,
        text.count(" ") / n,
        sum(word[0].isupper() for word in heads) / len(heads) if heads else 0.0,
        float(letters > 1 and upper == letters),
        float(text[0].isupper()),
        0.0 if text.isascii() else sum(not c.isascii() for c in text) / n,
        *(min(times / 2, 1.0) for times in signs),
        min(len(_TAGS.findall(text)) / 2, 1.0) if "<" in text or "&" in text else 0.0,
        min(len(_ENDS.findall(text)) / 3, 1.0) if ends else 0.0,
        min(_function_words(text) / 6, 1.0) if letters else 0.0,
        float(kind == "integer"),
        float(kind in {"integer", "number"}),
        float(kind == "number"),
        float(len(text) > 1 and text[0] == "0" and text[1].isdecimal()),
        min(letters / len(words) / 10, 1.0) if words else 0.0,
        mixed / len(words) if words else 0.0,
        float(len(words) == 1),
        float(figures > 0),
        float(text[0].isdecimal()),
        float(text[-1].isalpha()),
        float("://" in text),
        float(n >= LONGEST),
    )


def _kinds(text: str) -> str:
    """The text with 9 for decimal digits, A for capitals, a for other letters."""
    if text.isascii():
        return text.translate(_KINDS)
    return "".join(
        "9" if c.isdecimal() else ("A" if c.isupper() else "a") if c.isalpha() else c for c in text
    )


def _function_words(text: str) -> int:
    """How many words of the text are function words."""
    return len(_FUNCTION_LOWER.findall(text.lower()) if text.isascii() else _FUNCTION.findall(text))
