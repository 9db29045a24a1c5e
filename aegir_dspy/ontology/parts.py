"""Parts of a composition that can be judged one by one.

An axiom about a name of the composition's own (``:Orders``) that holds wherever nothing bears that name says
nothing about all the rest (it is ⊥-local: Cuenca Grau, Horrocks, Kazakov and Sattler, "Modular reuse of
ontologies", JAIR 31, 2008). So axioms that share no own name, directly or by others, cannot contradict each
other, and a composition of a hundred tables is a hundred small questions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from aegir_dspy.ontology.axioms import (
    Axiom,
    Disjoint,
    Domain,
    Functional,
    HasKey,
    Named,
    Range,
    SubClass,
    SubProperty,
)
from aegir_dspy.ontology.background import used_names

__all__ = ["independent_parts"]


def independent_parts(axioms: Sequence[Axiom]) -> tuple[tuple[int, ...], ...]:
    """Numbers of the axioms of each part, ascending; every axiom is in one part at least.

    Axioms that are not local, and those they share own names with, are in every part.
    """
    own = [_own(axiom) for axiom in axioms]
    group = _grouped(own)
    everywhere = {group[name] for i, a in enumerate(axioms) if not _local(a) for name in own[i]}
    core: list[int] = []
    parts: dict[str, list[int]] = defaultdict(list)
    for i, axiom in enumerate(axioms):
        root = group[min(own[i])] if own[i] else ""
        if not _local(axiom) or root in everywhere:
            core.append(i)
        else:
            parts[root].append(i)
    if not parts:
        return (tuple(core),) if core else ()
    return tuple(tuple(sorted(core + part)) for part in parts.values())


def _own(axiom: Axiom) -> frozenset[str]:
    return frozenset(name for _, name in used_names(axiom) if name.startswith(":"))


def _grouped(together: Iterable[frozenset[str]]) -> dict[str, str]:
    """Each name's group: names that stand in one axiom, directly or by others, have the same."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for names in together:
        first, *others = sorted(names) or [""]
        for other in others:
            parent[root(other)] = root(first)
        root(first)
    return {name: root(name) for name in parent}


def _local(axiom: Axiom) -> bool:
    """Whether the axiom holds wherever its own names are empty."""
    match axiom:
        case SubClass(sub=Named(name)):
            return name.startswith(":")
        case Disjoint(parts=parts):
            return sum(not (isinstance(p, Named) and p.name.startswith(":")) for p in parts) < 2
        case Domain(property=name) | Range(property=name) | Functional(property=name) | SubProperty(sub=name):
            return name.startswith(":")
        case HasKey(subject=name):
            return name.startswith(":")
        case _:
            return False
