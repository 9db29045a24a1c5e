"""The part of an ontology that bears on some axioms: what lies above the names they use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aegir_dspy.ontology.axioms import (
    THING,
    And,
    Axiom,
    Disjoint,
    Domain,
    Equivalent,
    Expression,
    Functional,
    HasKey,
    Instance,
    Named,
    Not,
    Or,
    Range,
    SubClass,
    SubProperty,
    Value,
)
from aegir_dspy.ontology.datatypes import LITERAL, is_datatype
from aegir_dspy.ontology.terms import Ontology, Term

__all__ = ["Statement", "background", "statements_behind", "used_names"]


def used_names(axiom: Axiom) -> Iterator[tuple[str, str]]:
    """(kind, name) of every name in the axiom, in order; kind is ``class`` (or datatype), ``property``
    or ``individual``."""
    names, expressions = _outer(axiom)
    yield from names
    waiting = list(reversed(expressions))
    while waiting:
        one = waiting.pop()
        if isinstance(one, Named):
            yield "class", one.name
        elif isinstance(one, And | Or):
            waiting += reversed(one.parts)
        elif isinstance(one, Not):
            waiting.append(one.part)
        else:
            yield "property", one.property
            if isinstance(one, Value):
                yield "individual", one.individual
            else:
                waiting.append(one.filler)


def _outer(axiom: Axiom) -> tuple[list[tuple[str, str]], tuple[Expression, ...]]:  # noqa: PLR0911
    """The names that an axiom has outside expressions, as `used_names`, and its expressions."""
    match axiom:
        case SubClass():
            return [], (axiom.sub, axiom.super)
        case Equivalent():
            return [], (axiom.left, axiom.right)
        case Disjoint():
            return [], axiom.parts
        case Domain():
            return [("property", axiom.property)], (axiom.domain,)
        case Range():
            return [("property", axiom.property)], (axiom.range,)
        case Functional():
            return [("property", axiom.property)], ()
        case SubProperty():
            return [("property", axiom.sub), ("property", axiom.super)], ()
        case HasKey():
            return [("class", axiom.subject), *(("property", p) for p in axiom.properties)], ()
        case Instance():
            return [("individual", axiom.individual)], (axiom.type,)


@dataclass(frozen=True, slots=True)
class Statement:
    """An axiom of an ontology, and its `used_names`."""

    axiom: Axiom
    names: tuple[tuple[str, str], ...]


def background(names: Iterable[str], ontology: Ontology, *, domains: bool = True) -> list[Axiom]:
    """What `ontology` says about the names and everything above them, in a fixed order.

    Several domains or ranges of a property mean any of them; they are left out where one is `owl:Thing`
    and, all of them, without `domains`.
    """
    return [one.axiom for one in statements_behind(names, ontology, domains=domains)]


def statements_behind(names: Iterable[str], ontology: Ontology, *, domains: bool = True) -> list[Statement]:
    """The axioms of `background`, with their names; what an ontology says of a term is read once."""
    found: dict[str, Term] = {}
    waiting = list(dict.fromkeys(names))[::-1]
    while waiting:
        term = ontology.get(waiting.pop())
        if term is None or term.name in found:
            continue
        found[term.name] = term
        waiting += reversed(term.parents)
        if domains and term.kind in ("object_property", "data_property"):
            waiting += (*reversed(term.range), *reversed(term.domain))
    known = ontology.derived.setdefault(f"statements, domains {domains}", {})
    axioms: list[Statement] = []
    for term in found.values():
        if term.name not in known:
            said = _about(term, domains=domains)
            known[term.name] = [Statement(one, tuple(used_names(one))) for one in said]
        for one in known[term.name]:
            if not isinstance(one.axiom, Disjoint) or one.names[1][1] in found:
                axioms.append(one)
    return axioms


def _about(term: Term, *, domains: bool) -> Iterator[Axiom]:
    """What an ontology says about one term."""
    if is_datatype(term.name):
        return  # what it holds is known
    if term.kind in ("class", "datatype"):
        for parent in term.parents:
            yield SubClass(Named(term.name), Named(parent))
        for other in term.disjoint:
            yield Disjoint((Named(term.name), Named(other)))
        if term.kind == "datatype":
            yield SubClass(Named(term.name), Named(LITERAL))
    elif term.kind == "individual":
        for parent in term.parents:
            yield Instance(term.name, Named(parent))
    else:
        for parent in term.parents:
            yield SubProperty(term.name, parent)
        if domains and term.domain and THING.name not in term.domain:
            yield Domain(term.name, _any(term.domain))
        if domains and term.range and THING.name not in term.range:
            yield Range(term.name, _any(term.range))


def _any(names: tuple[str, ...]) -> Expression:
    return Named(names[0]) if len(names) == 1 else Or(tuple(Named(name) for name in names))
