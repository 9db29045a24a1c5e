"""What a tableau knows: nodes, what is known of each, which differ; and taking it back.

Every fact carries the choices and axioms it rests on as the bits of one integer.
"""

from __future__ import annotations

import math
from collections.abc import KeysView
from dataclasses import dataclass, field
from typing import Any, Final

from aegir_dspy.ontology.clauses import Clauses
from aegir_dspy.ontology.concepts import BOTTOM, DATA, OBJECT, BudgetExceeded
from aegir_dspy.ontology.datatypes import colours, size

__all__ = ["Budget", "Clash", "Completion", "Node"]

_MISSING: Final = object()


@dataclass(slots=True)
class Budget:
    """Work left, in steps of about a microsecond."""

    left: int

    def spend(self, steps: int = 1) -> None:
        """Use up some; BudgetExceeded when there is none left."""
        self.left -= steps
        if self.left < 0:
            raise BudgetExceeded


class Clash(Exception):
    """A contradiction, and the bits of what it rests on."""

    def __init__(self, reasons: int) -> None:
        super().__init__()
        self.reasons = reasons


@dataclass(slots=True)
class Node:
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


class Completion:
    """The nodes of one test; a `Tableau` adds the rules."""

    def __init__(self, clauses: Clauses, axioms: int, budget: Budget, without: int = 0) -> None:
        self._clauses = clauses
        self._concepts = clauses.concepts
        self._shift = axioms  # bits below are axioms, bits above are choices
        self._budget = budget
        self._without = without
        self._nodes: list[Node] = []
        self._dead: dict[int, tuple[int, int]] = {}  # node → (the one it became part of or -1, reasons)
        self._named: dict[str, int] = {}
        self._apart: dict[tuple[int, int], int] = {}
        self._made: dict[tuple[int, int], bool] = {}  # (node, at least n) that has its nodes
        self._trail: list[tuple[dict[Any, Any], Any, Any]] = []
        self._queue: list[tuple[int, int]] = []
        self._choices: list[tuple[int, int]] = []
        self._bounds: list[tuple[int, int]] = []
        self._makers: list[tuple[int, int]] = []

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

    def _node(self, node: Node) -> int:
        self._nodes.append(node)
        self._budget.spend(5)
        return len(self._nodes) - 1

    def _individual(self, name: str) -> int:
        """The node of an individual, made if need be; follow `_becomes` for what became of it."""
        if name not in self._named:
            node = self._node(Node(-1, name))
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
            raise Clash(reasons)
        if number ^ 1 in label:
            raise Clash(reasons | label[number ^ 1])
        self._set(label, number, reasons)
        self._queue.append((node, number))

    def _separate(self, one: int, two: int, reasons: int) -> None:
        """The two are different things."""
        pair = (min(one, two), max(one, two))
        if pair not in self._apart:
            self._set(self._apart, pair, reasons)

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

    def _atoms(self) -> set[int]:
        """The atoms of the nodes that belong to the model found."""
        blocked = self._blocked()
        found: set[int] = set()
        for i, node in enumerate(self._nodes):
            if i not in self._dead and node.parent not in blocked:
                found |= node.label.keys()
        return found

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
                    raise Clash(reasons | node.label[DATA] | self._copied(i))
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
            raise Clash(why | self._reasons_apart(place))
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
