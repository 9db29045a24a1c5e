"""Axioms as rules "where all of these hold of a thing, so does that", ready for the tableau.

Absorption: ``A and (p some B) SubClassOf D`` waits for A and for a p-edge instead of opening a choice
at every thing (as in Motik, Shearer and Horrocks, "Hypertableau reasoning for description logics", 2009).
An atom that was not derived counts as false, which is sound since rules wait for positive atoms only.

Most of a schema never takes part in a contradiction. An atom is *inert* if neither its complement occurs
nor a rule waits for it; a rule whose conclusion an inert atom satisfies is dropped, which makes more
atoms inert. What is left after that is often nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from aegir_dspy.ontology.axioms import (
    Axiom,
    Disjoint,
    Domain,
    Equivalent,
    Functional,
    Instance,
    Named,
    Range,
    SubClass,
    SubProperty,
)
from aegir_dspy.ontology.concepts import (
    ATOM,
    BOTTOM,
    DATA,
    DATA_OR_OBJECT,
    MIN,
    OBJECT,
    TOP,
    UNION,
    Concepts,
)
from aegir_dspy.ontology.datatypes import is_datatype

__all__ = ["Clause", "Clauses"]

_MOST_SPLITS = 64  # clauses that one axiom may become


class Clause(NamedTuple):
    """Where a thing is of all of `body` and has a value of all of `properties`, it is a `head`.

    `reasons` has bit i set where axiom i says so.
    """

    body: tuple[int, ...]
    properties: tuple[str, ...]
    head: int
    reasons: int


@dataclass(slots=True)
class Clauses:
    """Everything that a tableau reads; build one with `Clauses.of`.

    Attributes:
        concepts: the numbers.
        above: property → itself and every property above it → reasons.
        sorts: property → ``data``, ``object`` or ``mixed``.
        by_atom: clauses that wait for this number.
        by_property: clauses that wait for a value of this property.
        ranges: property → (what its values are, reasons).
        individuals: name → what it is, with reasons.
        counted: properties with an upper bound above 0 that may be exceeded.
        nominals: whether a class mentions an individual.
    """

    concepts: Concepts
    sorts: Mapping[str, str]
    above: dict[str, dict[str, int]] = field(default_factory=dict)
    by_atom: dict[int, list[Clause]] = field(default_factory=lambda: defaultdict(list))
    by_property: dict[str, list[Clause]] = field(default_factory=lambda: defaultdict(list))
    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    individuals: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    nominals: bool = False

    @classmethod
    def of(
        cls,
        axioms: Iterable[tuple[Axiom, int]],
        sorts: Mapping[str, str],
        classes: Iterable[str],
        budget: int,
    ) -> Clauses:
        """The clauses of axioms, each with its reasons; `classes` are the names known to be classes.

        Raises:
            BudgetExceeded: that took more than `budget` steps.
        """
        found = cls(Concepts(budget), sorts)
        clauses: list[Clause] = []
        for axiom, reasons in axioms:
            found._read(axiom, reasons, clauses)
        if "mixed" in sorts.values():
            clauses += [Clause((found.concepts.atom(c),), (), OBJECT, 0) for c in classes]
        found._close_properties()
        found._keep(clauses)
        return found

    def _read(self, axiom: Axiom, reasons: int, clauses: list[Clause]) -> None:
        """Add what one axiom says."""
        number = self.concepts.number
        if isinstance(axiom, SubClass):
            if isinstance(axiom.sub, Named) and isinstance(axiom.super, Named):
                self._below(axiom.sub.name, axiom.super.name, reasons, clauses)
                return
            self._imply(number(axiom.sub), number(axiom.super), reasons, clauses)
        elif isinstance(axiom, Equivalent):
            left, right = number(axiom.left), number(axiom.right)
            self._imply(left, right, reasons, clauses)
            self._imply(right, left, reasons, clauses)
        elif isinstance(axiom, Disjoint):
            parts = [number(part) for part in axiom.parts]
            for one, other in combinations(parts, 2):
                self._imply(one, other ^ 1, reasons, clauses)
        elif isinstance(axiom, Domain):
            self._imply(
                self.concepts.at_least(1, axiom.property, TOP), number(axiom.domain), reasons, clauses
            )
        elif isinstance(axiom, Range):
            self.ranges[axiom.property].append((number(axiom.range), reasons))
        elif isinstance(axiom, Functional):
            most = self.concepts.at_least(2, axiom.property, TOP) ^ 1
            clauses.append(Clause((), (axiom.property,), most, reasons))
        elif isinstance(axiom, SubProperty):
            self.above.setdefault(axiom.sub, {}).setdefault(axiom.super, reasons)
        elif isinstance(axiom, Instance):
            self.individuals.setdefault(axiom.individual, []).append((number(axiom.type), reasons))

    def _below(self, sub: str, sup: str, reasons: int, clauses: list[Clause]) -> None:
        """Add the clause of "every sub is a sup", as `_imply` would: the most usual axiom by far."""
        one, other = self.concepts.atom(sub), self.concepts.atom(sup)
        self.concepts.spend(4)
        if one == other or min(one, other) <= DATA_OR_OBJECT or is_datatype(sub):
            self._imply(one, other, reasons, clauses)
            return
        self.concepts.spend(6)
        self.concepts.either(one ^ 1, other)
        clauses.append(Clause((one,), (), other, reasons))

    def _imply(self, sub: int, sup: int, reasons: int, clauses: list[Clause]) -> None:
        """Add the clauses of "every sub is a sup"."""
        waiting = [self.concepts.union((sub ^ 1, sup))]
        made = 0
        while waiting:
            one = waiting.pop()
            made += 1
            self.concepts.spend(6)
            if one == TOP:
                continue
            split = self._intersection(one) if made < _MOST_SPLITS else None
            if split is None:
                clauses.append(self._clause(one, reasons))
            else:
                rest, parts = split
                waiting += [self.concepts.union((*rest, part)) for part in parts]

    def _intersection(self, one: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The first intersection among the alternatives of `one`: (the others, its parts)."""
        alternatives = self._alternatives(one)
        for i, part in enumerate(alternatives):
            if part & 1 and self.concepts.kind[part >> 1] == UNION:
                return alternatives[:i] + alternatives[i + 1 :], self.concepts.parts[part]
        return None

    def _alternatives(self, one: int) -> tuple[int, ...]:
        if one & 1 or self.concepts.kind[one >> 1] != UNION:
            return (one,)
        return self.concepts.parts[one]

    def _clause(self, one: int, reasons: int) -> Clause:
        """A union as a clause: negated atoms and upper bounds of it become what the clause waits for."""
        body: list[int] = []
        properties: list[str] = []
        head: list[int] = []
        for part in self._alternatives(one):
            kind = self.concepts.kind[part >> 1]
            if part & 1 and kind == ATOM and self._is_class(part >> 1):
                body.append(part ^ 1)
                continue
            if part & 1 and kind == MIN:
                count, prop, filler = self.concepts.counted[part >> 1]
                properties.append(prop)
                if count == 1 and filler == TOP:
                    continue
            head.append(part)
        if body and len(head) == 1 and head[0] & 1 and self.concepts.kind[head[0] >> 1] == MIN:
            properties = []  # an upper bound and nothing else: better known before there are values
        if not body and not properties:
            body.append(OBJECT)  # of everything but literals
        return Clause(tuple(body), tuple(dict.fromkeys(properties)), self.concepts.union(head), reasons)

    def _is_class(self, index: int) -> bool:
        """Whether the atom is derived where it holds: a built-in datatype may hold underived."""
        return not is_datatype(self.concepts.names[index])

    def _close_properties(self) -> None:
        """Make `above` reflexive and transitive; give ranges to the properties below."""
        direct = self.above
        self.above = {}
        for prop in dict.fromkeys((*direct, *self.sorts)):
            found = {prop: 0}
            waiting = [prop]
            while waiting:
                one = waiting.pop()
                for other, reasons in direct.get(one, {}).items():
                    if other not in found:
                        found[other] = found[one] | reasons
                        waiting.append(other)
            self.above[prop] = found

    def _keep(self, clauses: Sequence[Clause]) -> None:
        """Index the clauses and ranges that can take part in a contradiction."""
        ranges = [(prop, one) for prop, found in self.ranges.items() for one in found]
        self.ranges = defaultdict(list)
        heads = [clause.head for clause in clauses] + [one[0] for _, one in ranges]
        active = self._negated((*heads, *(c for found in self.individuals.values() for c, _ in found)))
        missing = [
            {p for p in self._alternatives(head) if self.concepts.kind[p >> 1] == ATOM and not p & 1} - active
            for head in heads
        ]
        waits: dict[int, list[int]] = defaultdict(list)
        for i, atoms in enumerate(missing):
            for atom in atoms:
                waits[atom].append(i)
        ready = [i for i in range(len(heads) - 1, -1, -1) if not missing[i]]
        kept: set[int] = set()
        while ready:
            i = ready.pop()
            kept.add(i)
            for atom in clauses[i].body if i < len(clauses) else ():
                if atom not in active:
                    active.add(atom)
                    for j in waits[atom]:
                        missing[j].discard(atom)
                        if not missing[j]:
                            ready.append(j)
        for i in sorted(kept):
            if i < len(clauses):
                self._index(clauses[i])
            else:
                prop, one = ranges[i - len(clauses)]
                self.ranges[prop].append(one)

    def _index(self, clause: Clause) -> None:
        for atom in clause.body:
            self.by_atom[atom].append(clause)
        for prop in clause.properties:
            self.by_property[prop].append(clause)

    def _negated(self, numbers: Iterable[int]) -> set[int]:
        """Atoms whose complement a tableau may derive from `numbers`, and those with a meaning of their own.

        Notes on the way which properties are counted and whether individuals are mentioned.
        """
        concepts = self.concepts
        active = {TOP, BOTTOM, DATA, OBJECT}
        for index, name in enumerate(concepts.names):
            if name.startswith("= "):
                self.nominals = True
                active.add(2 * index)
            elif name and not self._is_class(index):
                active.add(2 * index)
        caps: list[tuple[str, int]] = []
        needs: list[tuple[str, int]] = []
        seen: set[int] = set()
        waiting = list(numbers)
        while waiting:
            one = waiting.pop()
            if one in seen or one == DATA_OR_OBJECT:
                continue
            seen.add(one)
            kind = concepts.kind[one >> 1]
            if kind == ATOM and one & 1:
                active.add(one ^ 1)
            elif kind == UNION:
                waiting += concepts.parts[one]
            elif kind == MIN:
                count, prop, filler = concepts.counted[one >> 1]
                waiting += (filler ^ 1, filler) if one & 1 and count > 1 else (filler ^ (one & 1),)
                (caps if one & 1 else needs).append((prop, count))
        self.counted = self._binding(caps, needs)
        return active

    def _binding(self, caps: list[tuple[str, int]], needs: list[tuple[str, int]]) -> set[str]:
        """Properties of which a thing may need more values than an upper bound above 0 allows.

        `caps` are (property, bound + 1), `needs` (property, least number), each once.
        """
        least: dict[str, int] = {}
        for prop, count in caps:
            if count > 1:
                least[prop] = min(count, least.get(prop, count))
        total = dict.fromkeys(least, 0)
        for prop, count in needs:
            for above in self.above[prop]:
                if above in total:
                    total[above] += count
        return {prop for prop, count in least.items() if total[prop] >= count}
