"""The tableau: builds a model of a class step by step, or finds that there is none.

The logic is SHOQ without transitivity, with datatypes (Horrocks and Sattler, "Ontology reasoning in the
SHOQ(D) description logic", 2001): things are nodes, what is known of a node is its label; a node whose
label is within that of an older one is blocked. Every fact carries the choices and axioms it rests on as
the bits of one integer: a contradiction is undone back to the last choice it rests on, and the bits that
remain in the end say which axioms are to blame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aegir_dspy.ontology.clauses import Clause, Clauses
from aegir_dspy.ontology.completion import Budget, Clash, Completion, Node
from aegir_dspy.ontology.concepts import (
    ATOM,
    DATA,
    DATA_OR_OBJECT,
    MIN,
    OBJECT,
    TOP,
    UNION,
    BudgetExceeded,
)
from aegir_dspy.ontology.datatypes import LITERAL, SPACES

__all__ = ["Budget", "Tableau"]

_MOST_COPIES: Final = 64  # nodes that one "at least n" makes where they have to be told apart
_EVERY_VALUE: Final = SPACES[LITERAL]

Option = tuple[str, int, int]  # ("add", node, number) or ("merge", node, node)


@dataclass(slots=True)
class _Branch:
    """A choice that was made: where everything stood, what else there is."""

    mark: tuple[int, ...]
    options: list[Option]
    reasons: int
    taken: int = 0


class Tableau(Completion):
    """One test of satisfiability: `Tableau(clauses, axioms, budget).run(number, individuals=…)`.

    Axioms of the bits `without` are passed over.
    """

    def __init__(self, clauses: Clauses, axioms: int, budget: Budget, without: int = 0) -> None:
        super().__init__(clauses, axioms, budget, without)
        self._branches: list[_Branch] = []

    def run(self, number: int, *, individuals: bool) -> int | None:
        """None if something may be a `number` (and the individuals be as said), else the axioms to blame."""
        try:
            try:
                self._start(number, individuals)
            except Clash as clash:
                return clash.reasons
            while True:
                try:
                    self._propagate()
                    if not (self._choose() or self._bound() or self._values() or self._make()):
                        return None
                except Clash as clash:
                    reasons = self._jump(clash.reasons)
                    if reasons is not None:
                        return reasons
        finally:
            self.seen = self._atoms()

    def _start(self, number: int, individuals: bool) -> None:
        for name, types in self._clauses.individuals.items() if individuals else ():
            node = self._individual(name)
            for one, reasons in types:
                if not reasons & self._without:
                    self._add(node, one, reasons)
        root = self._node(Node(-1))
        self._add(root, OBJECT, 0)
        self._add(root, number, 0)

    def _propagate(self) -> None:
        while self._queue:
            node, number = self._queue.pop()
            if node not in self._dead:
                self._expand(node, number, self._nodes[node].label[number])

    def _expand(self, node: int, number: int, reasons: int) -> None:
        kind = self._concepts.kind[number >> 1]
        if kind == ATOM:
            self._expand_atom(node, number, reasons)
        elif kind == UNION and number & 1:
            for part in self._concepts.parts[number]:
                self._add(node, part, reasons)
        elif kind == UNION:
            self._choices.append((node, number))
        elif not number & 1:
            self._makers.append((node, number))
        else:
            count, prop, filler = self._concepts.counted[number >> 1]
            if count > 1:
                self._bounds.append((node, number))
                return
            self._set(self._nodes[node].upper, number, prop)
            for other, properties in list(self._nodes[node].edges.items()):
                if prop in properties and other not in self._dead:
                    self._add(other, filler ^ 1, reasons | properties[prop])

    def _expand_atom(self, node: int, number: int, reasons: int) -> None:
        for clause in self._clauses.by_atom.get(number, ()):
            self._fire(node, clause)
        name = self._concepts.names[number >> 1]
        if name in SPACES and number not in (DATA, OBJECT, TOP):
            self._narrow(node, SPACES[name], number, reasons)
        elif not number & 1 and name.startswith("= "):
            home, more = self._becomes(self._individual(name[2:]))
            if home != node:
                self._merge(node, home, reasons | more)

    def _narrow(self, node: int, cells: int, number: int, reasons: int) -> None:
        """A value of the node lies in these cells; outside them, of a complement."""
        if number & 1:
            cells = _EVERY_VALUE & ~cells
        else:
            self._add(node, DATA, reasons)
        space = self._nodes[node].space
        old, why = space.get("", (_EVERY_VALUE, 0))
        if old & cells != old:
            self._set(space, "", (old & cells, why | reasons))
            if not old & cells:  # of a thing, only complements are said: they always leave other values
                raise Clash(why | reasons)

    def _fire(self, node: int, clause: Clause) -> None:
        """Conclude what a clause says if all that it waits for is there."""
        here = self._nodes[node]
        reasons = clause.reasons
        if reasons & self._without:
            return
        for atom in clause.body:
            if atom not in here.label:
                return
            reasons |= here.label[atom]
        for prop in clause.properties:
            if prop not in here.properties:
                return
            reasons |= here.properties[prop]
        self._add(node, clause.head, reasons)

    def _connect(self, node: int, other: int, prop: str, reasons: int) -> None:
        """`other` is a value of the property, and of those above it, of the node."""
        here = self._nodes[node]
        if other not in here.edges:
            self._set(here.edges, other, {})
        edge = here.edges[other]
        for above, why in self._clauses.above[prop].items():
            if above in edge or why & self._without:
                continue
            self._budget.spend()
            self._set(edge, above, reasons | why)
            self._add_sort(other, above, reasons | why)
            if above not in here.properties:
                self._set(here.properties, above, reasons | why)
                for clause in self._clauses.by_property.get(above, ()):
                    self._fire(node, clause)
            for number, more in self._clauses.ranges.get(above, ()):
                if not more & self._without:
                    self._add(other, number, reasons | why | more)
            for number, of in list(here.upper.items()):
                if of == above:
                    filler = self._concepts.counted[number >> 1][2]
                    self._add(other, filler ^ 1, reasons | why | here.label[number])

    def _add_sort(self, node: int, prop: str, reasons: int) -> None:
        sort = {"data": DATA, "mixed": DATA_OR_OBJECT}.get(self._clauses.sorts.get(prop, ""), OBJECT)
        self._add(node, sort, reasons)

    def _choose(self) -> bool:
        """Settle a union: the one with fewest alternatives left. False when all are settled."""
        best: tuple[int, int, list[int], int] | None = None
        for node, number in self._choices:
            if node in self._dead:
                continue
            label = self._nodes[node].label
            parts = self._concepts.parts[number]
            self._budget.spend()
            if any(part in label for part in parts):
                continue
            open_ = [part for part in parts if part ^ 1 not in label]
            if best is None or len(open_) < len(best[2]):
                why = label[number]
                for part in parts:
                    why |= label.get(part ^ 1, 0)
                best = (node, number, open_, why)
                if len(open_) <= 1:
                    break
        if best is None:
            return False
        node, _, open_, why = best
        open_.sort(key=self._cost)
        self._branch([("add", node, part) for part in open_], why)
        return True

    def _cost(self, number: int) -> tuple[int, int]:
        """What to try first: what makes no nodes and no further choices."""
        kind = self._concepts.kind[number >> 1]
        making = kind == MIN and not number & 1
        return (3 if making else 2 if kind == UNION and not number & 1 else 0 if kind == ATOM else 1, number)

    def _bound(self) -> bool:
        """Settle an ``at most n``, n > 0: False when all hold."""
        for node, number in self._bounds:
            if node in self._dead:
                continue
            count, prop, filler = self._concepts.counted[number >> 1]
            edges = self._nodes[node].edges
            others = [o for o, properties in edges.items() if prop in properties and o not in self._dead]
            self._budget.spend(1 + len(others))
            if len(others) >= count and self._settle(node, number, others, prop, filler):
                return True
        return False

    def _settle(self, node: int, number: int, others: list[int], prop: str, filler: int) -> bool:
        """Say of each value whether it counts; if too many do, merge two of them."""
        label = self._nodes[node].label
        counted: list[int] = []
        why = label[number]
        for other in others:
            theirs = self._nodes[other].label
            if filler == TOP or filler in theirs:
                counted.append(other)
                why |= self._nodes[node].edges[other][prop] | theirs.get(filler, 0)
            elif filler ^ 1 not in theirs:
                self._branch([("add", other, filler ^ 1), ("add", other, filler)], 0)
                return True
        if len(counted) < self._concepts.counted[number >> 1][0]:
            return False
        pairs = [(one, two) for i, one in enumerate(counted) for two in counted[i + 1 :]]
        self._budget.spend(len(pairs))
        options: list[Option] = []
        for one, two in pairs:
            apart = self._apart.get((min(one, two), max(one, two)))
            if apart is None:
                options.append(("merge", one, two))
            else:
                why |= apart
        self._branch(options, why)
        return True

    def _branch(self, options: list[Option], reasons: int) -> None:
        """Take the first option, keeping the others for when it fails."""
        if not options:
            raise Clash(reasons)
        self._take(_Branch(self._mark(), options, reasons))

    def _take(self, branch: _Branch) -> None:
        """Take the branch's next option; the last one is no choice any more."""
        reasons = branch.reasons
        self._budget.spend(3)
        if branch.taken < len(branch.options) - 1:
            reasons |= 1 << (self._shift + len(self._branches))
            self._branches.append(branch)
        for kind, one, two in branch.options[: branch.taken]:
            if kind == "merge":
                self._separate(one, two, branch.reasons)
            elif self._concepts.kind[two >> 1] == ATOM:
                self._add(one, two ^ 1, branch.reasons)
        kind, one, two = branch.options[branch.taken]
        if kind == "merge":
            self._merge(one, two, reasons)
        else:
            self._add(one, two, reasons)

    def _jump(self, reasons: int) -> int | None:
        """Back to the last choice that a contradiction rests on; its reasons if there is none."""
        while choices := reasons >> self._shift:
            level = choices.bit_length() - 1
            branch = self._branches[level]
            del self._branches[level:]
            self._undo(branch.mark)
            branch.reasons |= reasons & ~(1 << (self._shift + level))
            branch.taken += 1
            try:
                self._take(branch)
            except Clash as clash:
                reasons = clash.reasons
            else:
                return None
        return reasons

    def _make(self) -> bool:
        """Give a node a value that it must have; False when every node has its own or is blocked."""
        open_ = [one for one in self._makers if one not in self._made and one[0] not in self._dead]
        self._budget.spend(1 + len(self._makers) // 4)
        blocked = self._blocked() if open_ else set()
        for node, number in open_:
            if node in blocked:
                continue
            count, prop, filler = self._concepts.counted[number >> 1]
            self._set(self._made, (node, number), True)
            if count > 1 or not self._has(node, prop, filler):
                self._make_values(node, number, count, prop, filler)
                return True
        return False

    def _has(self, node: int, prop: str, filler: int) -> bool:
        edges = self._nodes[node].edges.items()
        return any(
            prop in properties
            and other not in self._dead
            and (filler == TOP or filler in self._nodes[other].label)
            for other, properties in edges
        )

    def _make_values(self, node: int, number: int, count: int, prop: str, filler: int) -> None:
        reasons = self._nodes[node].label[number]
        name = self._concepts.names[filler >> 1]
        if not filler & 1 and name.startswith("= "):
            home, more = self._becomes(self._individual(name[2:]))
            self._connect(node, home, prop, reasons | more)
            return
        told_apart = not self._clauses.counted.isdisjoint(self._clauses.above[prop])
        if told_apart and count > 1:
            self._refute_count(node, count, prop, filler, reasons)
        made: list[int] = []
        for _ in range(count if told_apart else 1):
            made.append(self._node(Node(node, copies=1 if told_apart else count)))
            for other in made[:-1]:
                self._separate(other, made[-1], reasons)
            self._add(made[-1], filler, reasons)
            self._connect(node, made[-1], prop, reasons)

    def _refute_count(self, node: int, count: int, prop: str, filler: int, reasons: int) -> None:
        """See without making them that `count` values are too many, or too many to make."""
        for other, why in self._nodes[node].label.items():
            if other & 1 and self._concepts.kind[other >> 1] == MIN:
                least, of, what = self._concepts.counted[other >> 1]
                above = self._clauses.above[prop]
                if of in above and what in (TOP, filler) and least <= count:
                    raise Clash(reasons | why | above[of])
        if count > _MOST_COPIES:
            raise BudgetExceeded

    def _merge(self, one: int, two: int, reasons: int) -> None:
        """The two are one thing: the individual, else the older node, stays."""
        stays, goes = sorted((one, two), key=lambda i: (not self._nodes[i].name, i))
        if (pair := (min(one, two), max(one, two))) in self._apart:
            raise Clash(reasons | self._apart[pair])
        self._budget.spend(5 + len(self._nodes))
        self._kill(goes, stays, reasons)
        for number, why in list(self._nodes[goes].label.items()):
            self._add(stays, number, why | reasons)
        for (a, b), why in list(self._apart.items()):
            if goes in (a, b):
                self._separate(stays, b if a == goes else a, why | reasons)
        for i, node in enumerate(self._nodes):
            if goes in node.edges and i not in self._dead:
                for prop, why in list(node.edges[goes].items()):
                    self._connect(i, stays, prop, why | reasons)
