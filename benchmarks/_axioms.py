"""Seeded random axioms, about half of whose sets contradict somewhere, and random entries of a catalog."""

from __future__ import annotations

import random
from typing import Literal

from aegir_dspy.ontology.axioms import (
    NOTHING,
    THING,
    And,
    Axiom,
    Cardinality,
    Disjoint,
    Domain,
    Equivalent,
    Expression,
    Functional,
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
from aegir_dspy.ontology.catalog import Catalog, Slot
from aegir_dspy.ontology.composition import Entry
from aegir_dspy.ontology.slots import KIND_OF
from aegir_dspy.ontology.terms import Ontology, Term

__all__ = ["random_axioms", "random_entries"]

_DATATYPES = (
    *("xsd:integer", "xsd:decimal", "xsd:string", "xsd:boolean", "xsd:dateTime", "xsd:double", "xsd:float"),
    *("xsd:nonNegativeInteger", "xsd:negativeInteger", "xsd:positiveInteger", "xsd:byte", "xsd:token"),
    *("xsd:unsignedByte", "xsd:anyURI", "rdfs:Literal", "xsd:nonPositiveInteger", "xsd:hexBinary"),
    *("xsd:language", "xsd:NCName", "xsd:normalizedString", "xsd:dateTimeStamp", "owl:real"),
)


_BOUNDS: tuple[Literal["min", "max", "exactly"], ...] = ("min", "max", "exactly")


class _Maker:
    """Axioms over a handful of names, drawn from one generator."""

    def __init__(self, rng: random.Random, *, individuals: bool) -> None:
        self.rng = rng
        self.classes = [f":C{i}" for i in range(rng.randint(2, 7))]
        self.objects = [f":p{i}" for i in range(rng.randint(1, 4))]
        self.data = [f":d{i}" for i in range(rng.randint(1, 2))]
        self.individuals = [f":i{i}" for i in range(rng.randint(1, 3))] if individuals else []

    def named(self) -> Expression:
        if self.rng.random() < 0.04:
            return self.rng.choice((THING, NOTHING))
        return Named(self.rng.choice(self.classes))

    def datatype(self, depth: int) -> Expression:
        if depth > 0 and self.rng.random() < 0.15:
            parts = (self.datatype(depth - 1), self.datatype(depth - 1))
            return self.rng.choice((Or(parts), And(parts), Not(parts[0])))
        return Named(self.rng.choice(_DATATYPES))

    def expression(self, depth: int) -> Expression:
        draw = self.rng.random()
        if depth <= 0 or draw < 0.3:
            return self.named()
        if draw < 0.38:
            return Not(self.expression(depth - 1))
        if draw < 0.54:
            parts = tuple(self.expression(depth - 1) for _ in range(self.rng.randint(2, 3)))
            return And(parts) if draw < 0.46 else Or(parts)
        return self.restriction(depth)

    def restriction(self, depth: int) -> Expression:
        if self.individuals and self.rng.random() < 0.3:
            return Value(self.rng.choice(self.objects), self.rng.choice(self.individuals))
        data = self.rng.random() < 0.25
        prop = self.rng.choice(self.data if data else self.objects)
        filler = self.datatype(1) if data else self.expression(depth - 1)
        draw = self.rng.random()
        if draw < 0.4:
            return Some(prop, filler)
        if draw < 0.65:
            return Only(prop, filler)
        if isinstance(filler, Or) and data:
            filler = filler.parts[0]  # HermiT errs here: see test_hermit_errs_on_bounded_unions_of_types
        count = self.rng.choice((0, 1, 1, 2, 2, 3))
        return Cardinality(self.rng.choice(_BOUNDS), prop, count, filler)

    def axiom(self) -> Axiom:
        draw = self.rng.random()
        if self.individuals and draw < 0.2:
            return Instance(self.rng.choice(self.individuals), self.expression(2))
        if draw < 0.6:
            sub = self.named() if self.rng.random() < 0.88 else self.expression(2)
            return SubClass(sub, self.expression(2))
        if draw < 0.7:
            return Equivalent(Named(self.rng.choice(self.classes)), self.expression(2))
        if draw < 0.82:
            return Disjoint(tuple(Named(c) for c in self.rng.sample(self.classes, 2)))
        if draw < 0.96:
            return self.about_property()
        one, other = self.rng.choices(self.objects, k=2)
        return SubProperty(one, other)

    def about_property(self) -> Axiom:
        data = self.rng.random() < 0.25
        prop = self.rng.choice(self.data if data else self.objects)
        draw = self.rng.random()
        if draw < 0.35:
            return Domain(prop, self.expression(1))
        if draw < 0.7:
            return Range(prop, self.datatype(1) if data else self.expression(1))
        if draw < 0.85 or len(self.data) < 2:
            return Functional(prop)
        return SubProperty(*self.data[:2])


def random_axioms(rng: random.Random) -> list[Axiom]:
    """A set of 2 to 12 axioms; one in eight speaks of individuals.

    A data property that no filler shows to be one has its range said, so that every reader agrees.
    """
    maker = _Maker(rng, individuals=rng.random() < 0.12)
    axioms = [maker.axiom() for _ in range(rng.randint(2, 12))]
    return [*axioms, *(Range(prop, Named("rdfs:Literal")) for prop in maker.data)]


def random_entries(rng: random.Random, catalog: Catalog, ontology: Ontology, most: int = 32) -> list[Entry]:
    """Templates filled by type and bound, from a few classes that are near each other or disjoint."""
    pool = _pool(rng, ontology)
    entries: list[Entry] = []
    for _ in range(rng.randint(1, most)):
        template = rng.choice(catalog.templates)
        fillers = [_filler(rng, slot, pool, ontology) for slot in template.slots]
        if None not in fillers:
            slots = zip(template.slot_names, fillers, strict=True)
            entries.append(Entry(template.id, tuple((name, filler or "") for name, filler in slots)))
    return entries


def _pool(rng: random.Random, ontology: Ontology) -> dict[str, list[Term]]:
    """A few terms of each kind."""
    kinds: dict[str, list[Term]] = {kind: [] for kind in KIND_OF.values()}
    for term in ontology:
        kinds[term.kind].append(term)
    apart = [term for term in kinds["class"] if term.disjoint]
    some = rng.choices(apart, k=2) + rng.choices(kinds["class"], k=3)
    names = {name for term in some for name in (*ontology.ancestors(term.name), *term.disjoint)}
    pool = {kind: rng.sample(terms, min(5, len(terms))) for kind, terms in kinds.items()}
    pool["class"] += [term for term in kinds["class"] if term.name in names]
    for kind in ("object_property", "data_property"):
        near = [t for t in kinds[kind] if not names.isdisjoint((*t.domain, *t.range))]
        pool[kind] += rng.sample(near, min(4, len(near)))
    return pool


def _filler(rng: random.Random, slot: Slot, pool: dict[str, list[Term]], ontology: Ontology) -> str | None:
    """What fills the slot; None where the pool has nothing."""
    if slot.type == "Integer":
        low, high = slot.span
        return str(rng.randint(low, min(high, low + 3)))
    terms = [t.name for t in pool[KIND_OF[slot.type]] if not slot.bound or ontology.is_a(t.name, slot.bound)]
    return rng.choice(terms) if terms else None
