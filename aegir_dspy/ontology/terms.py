"""Terms of an ontology (classes, properties, what is known about them) and the ontology that holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from aegir_dspy.errors import VocabularyError

__all__ = ["PREFIXES", "Kind", "Ontology", "Rigidity", "Term"]

Kind = Literal["class", "object_property", "data_property", "individual", "datatype"]
Rigidity = Literal["rigid", "anti-rigid", "non-rigid"]

PREFIXES: dict[str, str] = {
    "schema": "https://schema.org/",
    "dbo": "http://dbpedia.org/ontology/",
    "bfo": "http://purl.obolibrary.org/obo/",
    "cco": "https://www.commoncoreontologies.org/",
    "aegir": "https://w3id.org/aegir/type/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
}
"""Prefix → namespace of the names used in compositions; the empty prefix is a composition's own namespace."""


@dataclass(frozen=True, slots=True)
class Term:
    """A class, property, individual or datatype.

    Attributes:
        name: prefixed name (`PREFIXES`), unique in its ontology: ``schema:Book``.
        kind: what it is.
        label: for people: ``book``.
        description: one sentence or two.
        parents: names of the direct super-terms of the same kind; of an individual, its classes.
        domain: names of the classes it is used on; any of them (schema.org's ``domainIncludes``).
        range: names of the classes or datatypes its values are of; any of them.
        disjoint: names of classes that share no individual with it.
        rigidity: OntoClean's meta-property of a class: ``rigid`` (a thing of it never stops being one),
            ``anti-rigid`` (a role or a phase) or None where it is not known. Guarino and Welty, "An overview
            of OntoClean", 2004.
    """

    name: str
    kind: Kind
    label: str = ""
    description: str = ""
    parents: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    range: tuple[str, ...] = ()
    disjoint: tuple[str, ...] = ()
    rigidity: Rigidity | None = None


@dataclass(frozen=True)
class Ontology:
    """Terms by name, with what follows from their hierarchy. Cycles in the hierarchy are tolerated.

    `prefixes` are pairs of prefix and namespace that its names have beyond `PREFIXES` (a user's file).
    """

    name: str
    terms: tuple[Term, ...]
    prefixes: tuple[tuple[str, str], ...] = ()
    _cache: dict[str, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.terms)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Term:
        """The term called `name`; VocabularyError when there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise VocabularyError(
                f"expected a term of ontology {self.name!r} ({len(self)} terms), found {name!r}"
            ) from None

    def get(self, name: str) -> Term | None:
        """The term called `name`, or None."""
        return self._by_name.get(name)

    def ancestors(self, name: str) -> frozenset[str]:
        """The term and everything above it, those that the ontology lacks left out."""
        if name not in self._cache:
            seen: set[str] = set()
            waiting = [name]
            while waiting:
                if (one := waiting.pop()) not in seen and one in self:
                    seen.add(one)
                    waiting += self[one].parents
            self._cache[name] = frozenset(seen)
        return self._cache[name]

    def is_a(self, name: str, other: str) -> bool:
        """Whether `name` is `other` or lies below it."""
        return other in self.ancestors(name)

    def any_is_a(self, name: str, others: tuple[str, ...]) -> bool:
        """Whether `name` lies at or below any of `others`; True if there are none, or with `owl:Thing`."""
        return not others or "owl:Thing" in others or not self.ancestors(name).isdisjoint(others)

    def disjoint(self, one: str, other: str) -> bool:
        """Whether two classes share no individual, by a disjointness of theirs or of any ancestors."""
        mine, theirs = self.ancestors(one), self.ancestors(other)
        return any(not theirs.isdisjoint(self[a].disjoint) for a in mine) or any(
            not mine.isdisjoint(self[b].disjoint) for b in theirs
        )

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What others made of it and keep, by their names; it stays in this process."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "derived"}

    @cached_property
    def sha256(self) -> str:
        """SHA-256, in hex, of the terms as canonical JSON."""
        names = sorted(one.name for one in fields(Term))
        # All fields are texts or tuples of texts: `asdict` would copy each of them, for a fifth of a second.
        terms = [{name: getattr(term, name) for name in names} for term in self.terms]
        text = json.dumps(terms, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, Term]:
        return {term.name: term for term in self.terms}
