"""Which IRI every name of a composition has, and what kind of thing it names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from aegir_dspy.ontology.axioms import Axiom
from aegir_dspy.ontology.background import used_names
from aegir_dspy.ontology.composition import Composition, Entry
from aegir_dspy.ontology.composition_json import dump_composition
from aegir_dspy.ontology.datatypes import is_datatype
from aegir_dspy.ontology.export.rdf import NAMESPACES, encoded
from aegir_dspy.ontology.names import iri_of
from aegir_dspy.ontology.sorts import property_sorts
from aegir_dspy.ontology.terms import Kind, Ontology

__all__ = ["Instantiates", "Names"]

_BASE = "https://w3id.org/aegir/composition/"
_BUILT_IN = ("owl:Thing", "owl:Nothing")


class Instantiates(Protocol):
    """What export needs of a catalog."""

    def instantiate(self, entry: Entry) -> tuple[Axiom, ...]:
        """The axioms that an entry states."""
        ...


@dataclass(frozen=True)
class Names:
    """The names of one composition.

    Attributes:
        composition: what is exported.
        axioms: what its entries state.
        ontology: of its terms, where it is known.
    """

    composition: Composition
    axioms: tuple[Axiom, ...]
    ontology: Ontology | None = None
    _iris: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, composition: Composition, catalog: Instantiates, ontology: Ontology | None) -> Names:
        """Names of a composition, its entries instantiated; errors are the catalog's."""
        axioms = tuple(axiom for entry in composition.axioms for axiom in catalog.instantiate(entry))
        return cls(composition, axioms, ontology)

    @cached_property
    def document(self) -> str:
        """IRI of the exported ontology: by the content of the composition, its comment left out."""
        text = dump_composition(replace(self.composition, comment=""))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{_BASE}{digest[:16]}"

    @cached_property
    def namespaces(self) -> dict[str, str]:
        """Prefix → namespace: those of every export, the ontology's, and the composition's own as ``""``."""
        own = {} if self.ontology is None else dict(self.ontology.prefixes)
        return {**own, **NAMESPACES, "": f"{self.document}#"}

    def iri(self, name: str) -> str:
        """The IRI of a name; VocabularyError when its prefix is unknown."""
        if name not in self._iris:
            own = name.startswith(":")
            self._iris[name] = self.own(name[1:]) if own else encoded(iri_of(name, self.ontology))
        return self._iris[name]

    def own(self, *parts: str) -> str:
        """An IRI in the composition's namespace."""
        return f"{self.document}#" + "/".join(encoded(part, part=True) for part in parts)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """Name → kind of every term that the axioms use or the composition adds, built-in ones left out."""
        terms = {term.name: term.kind for term in self.composition.terms}
        found = dict(self._own_kinds(terms))
        for axiom in self.axioms:
            for role, name in used_names(axiom):
                if name not in found and name not in _BUILT_IN and not is_datatype(name):
                    found[name] = self._kind(role, name)
        return dict(sorted(found.items()))

    def _own_kinds(self, terms: dict[str, str]) -> Iterator[tuple[str, Kind]]:
        known: Sequence[Kind] = ("class", "object_property", "data_property", "individual", "datatype")
        for name, kind in terms.items():
            yield name, next((one for one in known if one == kind), "class")

    def _kind(self, role: str, name: str) -> Kind:
        term = None if self.ontology is None else self.ontology.get(name)
        if term is not None and (role != "property") != term.kind.endswith("property"):
            return term.kind
        if role == "property":
            return "data_property" if self._sorts.get(name) == "data" else "object_property"
        return "individual" if role == "individual" else "class"

    @cached_property
    def _sorts(self) -> dict[str, str]:
        terms = () if self.ontology is None else self.ontology
        datatypes = [term.name for term in terms if term.kind == "datatype"]
        return property_sorts(self.axioms, {}, datatypes)
