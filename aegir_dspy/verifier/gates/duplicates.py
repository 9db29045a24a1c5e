"""Gate duplicates: nothing is said twice, also not in another order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, TypeVar, cast

from aegir_dspy.ontology.axioms import And, Axiom, Disjoint, Equivalent, Expression, HasKey, Or
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["duplicates", "ordered"]

_P = TypeVar("_P", bound=Axiom | Expression)


def duplicates(case: Case) -> Iterator[Diagnostic]:
    """Entries, axioms, own terms, relations and members of elements that occur twice."""
    composition = case.composition
    entries = [
        ((entry.template, tuple(sorted(entry.slots))), f"axiom {i}")
        for i, entry in enumerate(composition.axioms)
    ]
    yield from _repeated("duplicates.entry", "entry", entries)
    again = {where for group in _groups(entries) for where in group[1:]}
    axioms = [
        (ordered(axiom), f"axiom {i}")
        for i, found in enumerate(case.entries)
        if f"axiom {i}" not in again
        for axiom in found
    ]
    yield from _repeated("duplicates.axiom", "axiom", axioms)
    terms = [(term.name, f"term {term.name}") for term in composition.terms]
    yield from _repeated("duplicates.term", "term", terms)
    for types in composition.tables:
        relations = [
            ((one.subject, one.object, one.property), f"{types.name}.relations[{i}]")
            for i, one in enumerate(types.relations)
        ]
        yield from _repeated("duplicates.relation", "relation", relations)
    elements = [(element.name, f"element {element.name}") for element in composition.elements]
    yield from _repeated("duplicates.element", "name", elements)
    members = [
        ((member.table, member.column), f"element {element.name}")
        for element in composition.elements
        for member in element.members
    ]
    yield from _repeated("duplicates.member", "column", members)


def _groups(things: Iterable[tuple[Hashable, str]]) -> list[list[str]]:
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for thing, where in things:
        groups[thing].append(where)
    return list(groups.values())


def _repeated(code: str, noun: str, things: Iterable[tuple[Hashable, str]]) -> Iterator[Diagnostic]:
    for where in _groups(things):
        for other in where[1:]:
            yield Diagnostic(
                code,
                other,
                f"expected every {noun} once, found that of {where[0]} again",
                suggestion="leave it out",
            )


def ordered(part: _P) -> _P:
    """An axiom or expression with the parts of and, or, disjointness, equivalence and key in one order."""
    return cast(_P, _ordered(part))


def _ordered(part: Any) -> Any:
    match part:
        case str() | int():
            return part
        case And() | Or() | Disjoint():
            return type(part)(tuple(sorted({_ordered(one) for one in part.parts}, key=repr)))
        case Equivalent():
            return Equivalent(*sorted((_ordered(part.left), _ordered(part.right)), key=repr))
        case HasKey():
            return HasKey(part.subject, tuple(sorted(set(part.properties))))
    return type(part)(*[_ordered(getattr(part, name)) for name in part.__slots__])
