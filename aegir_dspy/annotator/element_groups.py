"""Columns of one table that form one element together: number, expiry and holder make a payment card.

The rules are data, in ``assets/elements.json``. A rule has parts; a column is a part by its type, or by the
end of its header; the words before that are its qualifier (``billing`` in ``billing_city``). Parts that occur
once in a table are one element; where one occurs again, those with the same qualifier belong together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum

from aegir_dspy.annotator.element_columns import ColumnFacts
from aegir_dspy.annotator.element_words import Words, lexicon, words

__all__ = ["Group", "groups"]

_WHEN = frozenset({"date", "time", "timestamp", "datetime", "at", "on"})
_EXACT, _QUALIFIED = 0.9, 0.8  # how sure a header is, alone and after a qualifier


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of one table that are the parts of one element.

    Attributes:
        name: of the rule: ``PaymentCard``.
        qualifier: words that all the parts' headers begin with, () for none.
        parts: name of the part and number of the column, in the order of the rule.
        confidence: mean of the parts', from 0 to 1.
    """

    name: str
    qualifier: Words
    parts: tuple[tuple[str, int], ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    types: frozenset[str]
    headers: tuple[Words, ...]
    kinds: frozenset[str]
    never: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    required: frozenset[str]
    anchors: frozenset[str]
    least: int
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    part: int
    column: int
    qualifier: Words
    sure: float


_KINDS = {"integer": "number", "datetime": "date", "time": "date"}


@cache
def _rules() -> tuple[_Rule, ...]:
    return tuple(
        _Rule(
            rule["name"],
            frozenset(rule["required"]),
            frozenset(rule.get("anchors", ())),
            rule["least"],
            tuple(
                _Part(
                    part["part"],
                    frozenset(part["types"]),
                    tuple(sorted({words(text) for text in part["headers"]}, key=lambda w: (-len(w), w))),
                    frozenset(_KINDS.get(kind, kind) for kind in part["kinds"]),
                    frozenset(part.get("not", ())),
                )
                for part in rule["parts"]
            ),
        )
        for rule in lexicon().rules
    )


def groups(columns: Sequence[ColumnFacts]) -> list[Group]:
    """The groups of one table, by the rules in their order; no column is in two."""
    found: list[Group] = []
    taken: set[int] = set()
    for rule in _rules():
        free = [i for i in range(len(columns)) if i not in taken]
        for group in _of_rule(rule, columns, free):
            found.append(group)
            taken.update(column for _, column in group.parts)
    return found


def _of_rule(rule: _Rule, columns: Sequence[ColumnFacts], free: Sequence[int]) -> list[Group]:
    matches = [match for i in free if (match := _match(rule, i, columns[i])) is not None]
    times = Counter(match.part for match in matches)
    if max(times.values(), default=0) <= 1:
        return _group(rule, matches)
    by_qualifier: dict[Words, list[_Match]] = defaultdict(list)
    for match in matches:
        by_qualifier[match.qualifier].append(match)
    return [group for some in by_qualifier.values() for group in _group(rule, some)]


def _group(rule: _Rule, matches: Sequence[_Match]) -> list[Group]:
    """One group of the surest column of each part, or none."""
    best: dict[int, _Match] = {}
    for match in sorted(matches, key=lambda m: (m.part, -m.sure, m.column)):
        best.setdefault(match.part, match)
    names = {rule.parts[part].name for part in best}
    anchored = not rule.anchors or names & rule.anchors
    if len(names) < rule.least or not rule.required <= names or not anchored:
        return []
    parts = tuple((rule.parts[part].name, match.column) for part, match in sorted(best.items()))
    sure = fsum(match.sure for match in best.values()) / len(best)
    return [Group(rule.name, _common([m.qualifier for m in best.values()]), parts, sure)]


def _common(qualifiers: Sequence[Words]) -> Words:
    return qualifiers[0] if len(set(qualifiers)) == 1 else ()


def _match(rule: _Rule, number: int, column: ColumnFacts) -> _Match | None:
    """Which part of the rule a column is, the surest; None if it is none."""
    found = []
    for position, part in enumerate(rule.parts):
        if column.kind and part.kinds and column.kind not in part.kinds:
            continue
        typed = column.confidence if column.type in part.types else 0.0
        phrase = _phrase(part, column.words)
        if (phrase is None and not typed) or _contradicted(part, column):
            continue
        qualifier = _qualifier(column, phrase or ())
        named = 0.0 if phrase is None else _QUALIFIED if qualifier else _EXACT
        found.append((1 - (1 - typed) * (1 - named), len(phrase or ()), -position, qualifier))
    if not found:
        return None
    sure, _, position, qualifier = max(found)
    return _Match(-position, number, qualifier, sure)


def _contradicted(part: _Part, column: ColumnFacts) -> bool:
    """Whether the column is sure to be of a type that is none of the part's."""
    if column.type is None or column.type in part.types or column.type in lexicon().generic_types:
        return False
    return bool(part.types)


def _phrase(part: _Part, header: Words) -> Words | None:
    """The longest of the part's phrases that the header ends in, words of time after it left aside."""
    ends = [header]
    while ends[-1] and ends[-1][-1] in _WHEN:
        ends.append(ends[-1][:-1])
    for phrase in part.headers:
        for end in ends:
            if end[len(end) - len(phrase) :] == phrase and len(end) >= len(phrase):
                before = end[: len(end) - len(phrase)]
                return None if part.never & set(before) else phrase
    return None


def _qualifier(column: ColumnFacts, phrase: Words) -> Words:
    """The words before the phrase, without the name of the table."""
    header = column.words
    for start in range(len(header)):
        if phrase and header[start : start + len(phrase)] == phrase:
            before = header[:start]
            return before[len(column.entity) :] if before[: len(column.entity)] == column.entity else before
    return ()
