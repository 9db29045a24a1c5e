"""The tableau: builds a model of a class step by step, or finds that there is none.

The logic is SHOQ without transitivity, with datatypes (Horrocks and Sattler, "Ontology reasoning in the
SHOQ(D) description logic", 2001): things are nodes, what is known of a node is its label; a node whose
label is within that of an older one is blocked. Every fact carries the choices and axioms it rests on as
the bits of one integer: a contradiction is undone back to the last choice it rests on, and the bits that
remain in the end say which axioms are to blame.
"""

from __future__ import annotations

import math
from collections.abc import KeysView
from dataclasses import dataclass, field
from typing import Any, Final

from aegir_dspy.ontology.clauses import Clause, Clauses
from aegir_dspy.ontology.concepts import (
    ATOM,
    BOTTOM,
    DATA,
    DATA_OR_OBJECT,
    MIN,
    OBJECT,
    TOP,
    UNION,
    BudgetExceeded,
)
from aegir_dspy.ontology.datatypes import LITERAL, SPACES, colours, size

__all__ = ["Budget", "Tableau"]

_MISSING: Final = object()
_MOST_COPIES = 64  # nodes that one "at least n" makes where they have to be told apart
_EVERY_VALUE = SPACES[LITERAL]

Option = tuple[str, int, int]  # ("add", node, number) or ("merge", node, node)


@dataclass(slots=True)
class Budget:
    """Work left, in steps of about a microsecond."""

    left: int

    def spend(self, steps: int = 1) -> None:
        """Use up some; BudgetExceeded when there is none left."""
        self.left -= steps
        if self.left < 0:
            raise BudgetExceeded


class _Clash(Exception):
    """A contradiction, and the bits of what it rests on."""

    def __init__(self, reasons: int) -> None:
        super().__init__()
        self.reasons = reasons


@dataclass(slots=True)
class _Branch:
    """A choice that was made: where everything stood, what else there is."""

    mark: tuple[int, ...]
    options: list[Option]
    reasons: int
    taken: int = 0


@dataclass(slots=True)
class _Node:
    """A thing, or a value.

    Attributes:
        parent: the node it was made for, or -1.
        name: of an individual, else "".
        copies: how many like it there are.
        label: number → reasons.
        edges: node → property → reasons.
        properties: property it has a value of → reasons.
        upper: the ``at most 0`` numbers of the label → property.
        space: (cells its value may lie in, reasons), in a dict so that it can be undone.
    """

    parent: int
    name: str = ""
    copies: int = 1
    label: dict[int, int] = field(default_factory=dict)
    edges: dict[int, dict[str, int]] = field(default_factory=dict)
    properties: dict[str, int] = field(default_factory=dict)
    upper: dict[int, str] = field(default_factory=dict)
    space: dict[str, tuple[int, int]] = field(default_factory=dict)


class Tableau:
    """One test of satisfiability: `Tableau(clauses, axioms, budget).run(number, individuals=…)`.

    Axioms of the bits `without` are passed over.
    """

    def __init__(self, clauses: Clauses, axioms: int, budget: Budget, without: int = 0) -> None:
        self._clauses = clauses
        self._concepts = clauses.concepts
        self._shift = axioms  # bits below are axioms, bits above are choices
        self._budget = budget
        self._without = without
        self._nodes: list[_Node] = []
        self._dead: dict[int, tuple[int, int]] = {}  # node → (the one it became part of or -1, reasons)
        self._named: dict[str, int] = {}
        self._apart: dict[tuple[int, int], int] = {}
        self._made: dict[tuple[int, int], bool] = {}  # (node, at least n) that has its nodes
        self._trail: list[tuple[dict[Any, Any], Any, Any]] = []
        self._queue: list[tuple[int, int]] = []
        self._choices: list[tuple[int, int]] = []
        self._bounds: list[tuple[int, int]] = []
        self._makers: list[tuple[int, int]] = []
        self._branches: list[_Branch] = []

    def run(self, number: int, *, individuals: bool) -> int | None:
        """None if something may be a `number` (and the individuals be as said), else the axioms to blame."""
        try:
            try:
                self._start(number, individuals)
            except _Clash as clash:
                return clash.reasons
            while True:
                try:
                    self._propagate()
                    if not (self._choose() or self._bound() or self._values() or self._make()):
                        return None
                except _Clash as clash:
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
        root = self._node(_Node(-1))
        self._add(root, OBJECT, 0)
        self._add(root, number, 0)

    def _atoms(self) -> set[int]:
        """The atoms of the nodes that belong to the model found."""
        blocked = self._blocked()
        found: set[int] = set()
        for i, node in enumerate(self._nodes):
            if i not in self._dead and node.parent not in blocked:
                found |= node.label.keys()
        return found

    # What is known, and taking it back

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._trail.append((table, key, table.get(key, _MISSING)))
        table[key] = value

    def _mark(self) -> tuple[int, ...]:
        return (
            *(len(self._trail), len(self._nodes), len(self._choices)),
            *(len(self._bounds), len(self._makers)),
        )

    def _undo(self, mark: tuple[int, ...]) -> None:
        while len(self._trail) > mark[0]:
            table, key, value = self._trail.pop()
            if value is _MISSING:
                del table[key]
            else:
                table[key] = value
        lists: tuple[list[Any], ...] = (self._nodes, self._choices, self._bounds, self._makers)
        for each, length in zip(lists, mark[1:], strict=True):
            del each[length:]
        self._queue.clear()

    def _node(self, node: _Node) -> int:
        self._nodes.append(node)
        self._budget.spend(5)
        return len(self._nodes) - 1

    def _individual(self, name: str) -> int:
        """The node of an individual, made if need be; follow `_becomes` for what became of it."""
        if name not in self._named:
            node = self._node(_Node(-1, name))
            self._set(self._named, name, node)
            self._add(node, OBJECT, 0)
            self._add(node, self._concepts.atom(f"= {name}"), 0)
        return self._named[name]

    def _becomes(self, node: int) -> tuple[int, int]:
        """The living node that an individual's node was merged into, and why."""
        reasons = 0
        while node in self._dead:
            node, more = self._dead[node]
            reasons |= more
        return node, reasons

    def _add(self, node: int, number: int, reasons: int) -> None:
        """The node is a `number`."""
        label = self._nodes[node].label
        if number in label:
            return
        self._budget.spend()
        if number == BOTTOM:
            raise _Clash(reasons)
        if number ^ 1 in label:
            raise _Clash(reasons | label[number ^ 1])
        self._set(label, number, reasons)
        self._queue.append((node, number))

    # Rules without a choice

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
                raise _Clash(why | reasons)

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

    # Rules with a choice

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
            raise _Clash(reasons)
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
            except _Clash as clash:
                reasons = clash.reasons
            else:
                return None
        return reasons

    # Making and merging nodes

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
            made.append(self._node(_Node(node, copies=1 if told_apart else count)))
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
                    raise _Clash(reasons | why | above[of])
        if count > _MOST_COPIES:
            raise BudgetExceeded

    def _separate(self, one: int, two: int, reasons: int) -> None:
        """The two are different things."""
        pair = (min(one, two), max(one, two))
        if pair not in self._apart:
            self._set(self._apart, pair, reasons)

    def _merge(self, one: int, two: int, reasons: int) -> None:
        """The two are one thing: the individual, else the older node, stays."""
        stays, goes = sorted((one, two), key=lambda i: (not self._nodes[i].name, i))
        if (pair := (min(one, two), max(one, two))) in self._apart:
            raise _Clash(reasons | self._apart[pair])
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

    def _kill(self, goes: int, stays: int, reasons: int) -> None:
        """Drop a node with everything made for it; what the one that stays needs is made anew."""
        self._set(self._dead, goes, (stays, reasons))
        gone = {goes}
        for i in range(len(self._nodes)):  # parents come before their children
            node = self._nodes[i]
            if node.parent in gone and i not in self._dead:
                self._set(self._dead, i, (-1, reasons))
            if node.parent in gone:
                gone.add(i)

    # When there is nothing left to make

    def _blocked(self) -> set[int]:
        """Nodes that need no values of their own.

        They, or a node above them, are like an older node: what that has will do for them. Without
        inverse properties any older node may serve, not only those above, so long as it is made for none
        of the blocked.
        """
        blocked: set[int] = set()
        models: list[KeysView[int]] = []
        for i in sorted({node for node, _ in self._makers}):
            node = self._nodes[i]
            if i in self._dead or node.name:
                continue
            label = node.label.keys()
            self._budget.spend(1 + len(models) // 4)
            if node.parent in blocked or any(label <= other for other in models):
                blocked.add(i)
            else:
                models.append(label)
        return blocked

    def _values(self) -> bool:
        """Check that values that must differ can, where a datatype has few. Never opens a choice."""
        few: list[int] = []
        spaces: list[int] = []
        why = 0
        for i, node in enumerate(self._nodes):
            if node.space and i not in self._dead and DATA in node.label:
                cells, reasons = node.space[""]
                count = size(cells)
                if count < node.copies:
                    raise _Clash(reasons | node.label[DATA] | self._copied(i))
                if count < math.inf:
                    few.append(i)
                    spaces.append(cells)
                    why |= reasons
        if len(few) < 2 or not self._apart:
            return False
        place = {node: k for k, node in enumerate(few)}
        apart = {(place[a], place[b]) for a, b in self._apart if a in place and b in place}
        self._budget.spend(len(apart))
        if not colours(spaces, apart):
            raise _Clash(why | self._reasons_apart(place))
        return False

    def _copied(self, node: int) -> int:
        """Why there are as many copies of the node as there are."""
        parent = self._nodes[self._nodes[node].parent]
        why = 0
        for reasons in parent.edges[node].values():
            why |= reasons
        return why

    def _reasons_apart(self, place: dict[int, int]) -> int:
        why = 0
        for (a, b), reasons in self._apart.items():
            if a in place and b in place:
                why |= reasons
        return why
