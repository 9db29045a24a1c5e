"""Which properties are of things, which of values: what axioms show of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from aegir_dspy.ontology.axioms import (
    And,
    Axiom,
    Disjoint,
    Domain,
    Expression,
    Functional,
    Named,
    Not,
    Or,
    Range,
    SubClass,
    SubProperty,
    Value,
)
from aegir_dspy.ontology.datatypes import is_datatype

__all__ = ["property_sorts"]


def property_sorts(
    axioms: Iterable[Axiom], known: Mapping[str, str], datatypes: Iterable[str]
) -> dict[str, str]:
    """Property → ``data``, ``object`` or ``mixed``, by what is `known` and by the fillers beside it."""
    typed = frozenset(datatypes)
    seen: dict[str, set[str]] = defaultdict(set)
    pairs: list[tuple[str, str]] = []
    for axiom in axioms:
        if isinstance(axiom, SubClass) and isinstance(axiom.sub, Named) and isinstance(axiom.super, Named):
            continue
        if isinstance(axiom, SubProperty):
            pairs.append((axiom.sub, axiom.super))
            seen[axiom.sub] |= set()  # each has an entry from now on
            seen[axiom.super] |= set()
            continue
        if isinstance(axiom, Domain | Functional):
            seen[axiom.property] |= set()
        for prop, filler in _fillers(axiom):
            seen[prop] |= _leaf_sorts(filler, typed)
    for prop, found in seen.items():
        found.update({known[prop]} if prop in known else ())
    changed = True
    while changed:
        changed = False
        for one, other in pairs:
            both = seen[one] | seen[other]
            changed |= both != seen[one] or both != seen[other]
            seen[one], seen[other] = set(both), set(both)
    return {p: "mixed" if len(s) > 1 else next(iter(s), "object") for p, s in seen.items()}


def _fillers(axiom: Axiom) -> list[tuple[str, Expression]]:
    """(property, filler or range) of every restriction in the axiom."""
    found: list[tuple[str, Expression]] = []
    waiting: list[Expression] = []
    if isinstance(axiom, Range):
        found.append((axiom.property, axiom.range))
    for name in ("super", "sub", "right", "left", "domain", "range", "type"):
        part = getattr(axiom, name, None)
        if part is not None and not isinstance(part, str):
            waiting.append(part)
    waiting += axiom.parts if isinstance(axiom, Disjoint) else ()
    while waiting:
        one = waiting.pop()
        if isinstance(one, And | Or):
            waiting += one.parts
        elif isinstance(one, Not):
            waiting.append(one.part)
        elif isinstance(one, Value):
            found.append((one.property, Named(f"= {one.individual}")))
        elif not isinstance(one, Named):
            found.append((one.property, one.filler))
            waiting.append(one.filler)
    return found


def _leaf_sorts(filler: Expression, datatypes: frozenset[str]) -> set[str]:
    """The sorts of the names in a filler, restrictions not entered: those are of things."""
    found: set[str] = set()
    waiting = [filler]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Named):
            if one.name not in ("owl:Thing", "owl:Nothing"):
                found.add("data" if is_datatype(one.name) or one.name in datatypes else "object")
        elif isinstance(one, And | Or):
            waiting += one.parts
        elif isinstance(one, Not):
            waiting.append(one.part)
        else:
            found.add("object")
    return found
