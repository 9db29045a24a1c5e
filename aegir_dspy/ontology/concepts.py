"""Class expressions as numbers: equal expressions have equal numbers, the complement of `c` is ``c ^ 1``.

Negation normal form: an even number is an atom, a union or ``at least n``; its complement, odd, is a
negated atom, an intersection or ``at most n - 1``. ``some`` is ``at least 1``; ``only C`` is
``at most 0 of not C``. Nothing here recurses, so an expression may be nested as deep as memory allows.
"""

from __future__ import annotations

from collections.abc import Iterable

from aegir_dspy.ontology.axioms import (
    And,
    Cardinality,
    Expression,
    Named,
    Not,
    Only,
    Or,
    Some,
    Value,
)
from aegir_dspy.ontology.datatypes import LITERAL

__all__ = [
    "ATOM",
    "BOTTOM",
    "DATA",
    "DATA_OR_OBJECT",
    "MIN",
    "OBJECT",
    "TOP",
    "UNION",
    "BudgetExceeded",
    "Concepts",
]

ATOM, UNION, MIN = range(3)  # what an even number is; the odd one beside it is the complement
TOP, BOTTOM, DATA, OBJECT, DATA_OR_OBJECT = range(5)


class BudgetExceeded(Exception):
    """The work allowed was not enough to decide."""


class Concepts:
    """The expressions of one problem.

    Attributes:
        kind: by ``number >> 1``: ATOM, UNION or MIN.
        parts: by number: the parts of a union (even) or an intersection (odd).
        counted: by ``number >> 1``, of MIN: (count, property, filler).
        names: by ``number >> 1``, of an atom: its name; an individual's begins with ``"= "``.
        size: work done so far, in steps of about a microsecond.
    """

    def __init__(self, budget: int) -> None:
        self.kind: list[int] = []
        self.parts: list[tuple[int, ...]] = []
        self.counted: list[tuple[int, str, int]] = []
        self.names: list[str] = []
        self.size = 0
        self._budget = budget
        self._numbers: dict[object, int] = {}
        for name in ("owl:Thing", LITERAL):
            self.atom(name)
        self._numbers["owl:Nothing"] = BOTTOM
        self._new("data or object", UNION, (DATA, OBJECT))

    def atom(self, name: str) -> int:
        """The number of a class, a datatype or, with ``"= "`` before it, of the class of one individual."""
        number = self._numbers.get(name)
        return self._new(name, ATOM, name=name) if number is None else number

    def either(self, one: int, other: int) -> int:
        """The number of the union of two numbers of atoms or their complements, which differ."""
        key = (one, other) if one < other else (other, one)
        number = self._numbers.get(key)
        return self._new(key, UNION, key) if number is None else number

    def union(self, parts: Iterable[int]) -> int:
        """The number of the union, simplified."""
        found: dict[int, None] = {}
        for part in parts:
            if not part & 1 and self.kind[part >> 1] == UNION and part != DATA_OR_OBJECT:
                found |= dict.fromkeys(self.parts[part])
            elif part != BOTTOM:
                found[part] = None
        if TOP in found or any(part ^ 1 in found for part in found):
            return TOP
        if len(found) <= 1:
            return next(iter(found), BOTTOM)
        key = tuple(sorted(found))
        number = self._numbers.get(key)
        return self._new(key, UNION, key) if number is None else number

    def at_least(self, count: int, prop: str, filler: int) -> int:
        """The number of ``prop min count filler``; of ``max count - 1`` it is the complement."""
        if count <= 0:
            return TOP
        if filler == BOTTOM:
            return BOTTOM
        key = (count, prop, filler)
        number = self._numbers.get(key)
        return self._new(key, MIN, counted=key) if number is None else number

    def number(self, expression: Expression) -> int:
        """The number of an expression."""
        waiting: list[tuple[Expression, bool]] = [(expression, False)]
        done: list[int] = []
        while waiting:
            one, ready = waiting.pop()
            if isinstance(one, Named):
                self.spend(2)
                done.append(self.atom(one.name))
            elif isinstance(one, Value):
                self.spend(2)
                done.append(self.at_least(1, one.property, self.atom(f"= {one.individual}")))
            elif not ready:
                self.spend(2)
                waiting.append((one, True))
                waiting += [(part, False) for part in _inner(one)]
            else:
                self._close(one, done)
        return done[0]

    def _close(self, one: Expression, done: list[int]) -> None:
        """Replace the numbers of the parts, last in `done`, by the number of the whole."""
        if isinstance(one, And | Or):
            flip = isinstance(one, And)
            parts = [done.pop() ^ flip for _ in one.parts]
            done.append(self.union(parts) ^ flip)
            return
        last = done.pop()
        if isinstance(one, Not):
            done.append(last ^ 1)
        elif isinstance(one, Some):
            done.append(self.at_least(1, one.property, last))
        elif isinstance(one, Only):
            done.append(self.at_least(1, one.property, last ^ 1) ^ 1)
        elif isinstance(one, Cardinality):
            done.append(self._cardinality(one, last))

    def _cardinality(self, one: Cardinality, filler: int) -> int:
        low = self.at_least(one.count, one.property, filler) if one.bound != "max" else TOP
        high = self.at_least(one.count + 1, one.property, filler) ^ 1 if one.bound != "min" else TOP
        return self.union((low ^ 1, high ^ 1)) ^ 1

    def spend(self, steps: int) -> None:
        """Count work done on expressions; BudgetExceeded when it is more than allowed."""
        self.size += steps
        if self.size > self._budget:
            raise BudgetExceeded

    def _new(
        self,
        key: object,
        kind: int,
        parts: tuple[int, ...] = (),
        counted: tuple[int, str, int] = (0, "", 0),
        name: str = "",
    ) -> int:
        number = self._numbers[key] = 2 * len(self.kind)
        self.kind.append(kind)
        self.parts += [parts, tuple(part ^ 1 for part in parts)]
        self.counted.append(counted)
        self.names.append(name)
        return number


def _inner(one: Expression) -> tuple[Expression, ...]:
    """The expressions directly within one that is no name."""
    if isinstance(one, And | Or):
        return one.parts
    if isinstance(one, Not):
        return (one.part,)
    return () if isinstance(one, Named | Value) else (one.filler,)
