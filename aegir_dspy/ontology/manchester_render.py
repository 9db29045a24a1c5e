"""Manchester syntax of axioms and class expressions; `aegir_dspy.ontology.manchester` reads it."""

from __future__ import annotations

from collections.abc import Container

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.axioms import (
    And,
    Axiom,
    Cardinality,
    Disjoint,
    Domain,
    Equivalent,
    Expression,
    Functional,
    HasKey,
    Instance,
    Named,
    Not,
    Only,
    Or,
    Range,
    Some,
    SubClass,
    SubProperty,
    Value,
)

__all__ = ["MAX_DEPTH", "render", "render_axiom"]

MAX_DEPTH = 32
"""How deep expressions may be nested, in text and in values."""


def render(expression: Expression, depth: int = 1) -> str:
    """The text of a class expression; `parse_expression` reads it back as the same value.

    Raises:
        InputError: it is nested deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"expected expressions at most {MAX_DEPTH} deep, found a deeper one: name its parts")
    match expression:
        case Named(name):
            return name
        case Not(part):
            return f"not {_bracketed(part, depth)}"
        case And(parts) | Or(parts):
            word = " and " if isinstance(expression, And) else " or "
            return word.join(_bracketed(part, depth) for part in parts)
        case Value(name, individual):
            return f"{name} value {individual}"
        case Cardinality(bound, name, count, filler):
            return f"{name} {bound} {count} {_bracketed(filler, depth)}"
        case Some(name, filler) | Only(name, filler):
            word = "some" if isinstance(expression, Some) else "only"
            return f"{name} {word} {_bracketed(filler, depth)}"


def render_axiom(axiom: Axiom, data: Container[str] = frozenset()) -> str:
    """The text of an axiom as a frame of its own, on one line; `parse_axioms` reads it back.

    `data` holds the names of the data properties; all others are taken for object properties.

    Raises:
        InputError: as `render`.
    """
    match axiom:
        case SubClass() | Equivalent() | Disjoint():
            return _classes(axiom)
        case HasKey(subject, properties):
            return f"Class: {subject} HasKey: {' '.join(properties)}"
        case Instance(individual, type_):
            return f"Individual: {individual} Types: {render(type_)}"
        case _:
            return _property(axiom, data)


def _classes(axiom: SubClass | Equivalent | Disjoint) -> str:
    match axiom:
        case SubClass(sub, other):
            return f"Class: {_bracketed(sub, 0)} SubClassOf: {render(other)}"
        case Equivalent(Named(name), right):
            return f"Class: {name} EquivalentTo: {render(right)}"
        case Equivalent(left, right):
            return f"EquivalentClasses: {render(left)}, {render(right)}"
        case Disjoint((Named(one), Named(other))):
            return f"Class: {one} DisjointWith: {other}"
        case Disjoint(parts):
            return "DisjointClasses: " + ", ".join(render(part) for part in parts)


def _property(axiom: Domain | Range | Functional | SubProperty, data: Container[str]) -> str:
    name = axiom.sub if isinstance(axiom, SubProperty) else axiom.property
    head = f"{'DataProperty' if name in data else 'ObjectProperty'}: {name}"
    match axiom:
        case Domain(_, domain):
            return f"{head} Domain: {render(domain)}"
        case Range(_, range_):
            return f"{head} Range: {render(range_)}"
        case SubProperty(_, other):
            return f"{head} SubPropertyOf: {other}"
        case Functional():
            return f"{head} Characteristics: Functional"


def _bracketed(part: Expression, depth: int) -> str:
    text = render(part, depth + 1)
    return text if isinstance(part, Named) else f"({text})"
