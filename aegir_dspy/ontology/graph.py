"""An RDF graph (OWL, RDFS or schema.org's own style) read as terms.

What a `Term` cannot say is approximated from above, so that nothing is forbidden which the ontology
allows: a domain or range that is an intersection counts as one of its named parts, one with a
complement or restriction inside a union as unrestricted; restrictions above a class are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Set
from dataclasses import replace
from itertools import chain

from rdflib import OWL, RDF, RDFS, SKOS, BNode, Graph, Literal, URIRef
from rdflib.collection import Collection
from rdflib.namespace import DCTERMS
from rdflib.term import Node

from aegir_dspy.ontology.names import local_name, words
from aegir_dspy.ontology.terms import Kind, Term

__all__ = ["GraphTerms", "first_sentence"]

_SCHEMA = ("https://schema.org/", "http://schema.org/")
_CLASS = (OWL.Class, RDFS.Class)
_DESCRIPTIONS = (SKOS.definition, RDFS.comment, DCTERMS.description)
_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)[.!?] +(?=[A-Z\"'(\[])")
_MARKUP = (
    (r"<[^<>]*>", ""),
    (r"!?\[([^][]*)\]\([^()]*\)", r"\1"),
    (r"\[\[(\w+)\]\]", r"\1"),
    (r"\\n|\s+", " "),
)
_XSD = "http://www.w3.org/2001/XMLSchema#"


def first_sentence(text: str, limit: int = 140) -> str:
    """The first sentence of a text without its markup, cut to `limit` characters at a word."""
    for pattern, by in _MARKUP:
        text = re.sub(pattern, by, text)
    text = text.strip()
    end = _SENTENCE.search(text)
    text = text[: end.start() + 1] if end else text
    return text if len(text) <= limit else text[:limit].rpartition(" ")[0].rstrip(",;:") + "…"


class GraphTerms:
    """The terms of one graph.

    Args:
        graph: with everything that is to be read.
        name: the name of an IRI, or None for an IRI to leave out.
        classes_anyway: IRIs of classes that the graph calls datatypes.
    """

    def __init__(self, graph: Graph, name: Callable[[str], str | None], classes_anyway: Iterable[str] = ()):
        self.graph, self._name = graph, name
        anyway: set[Node] = {URIRef(iri) for iri in classes_anyway}
        self._datatypes = self._find_datatypes(anyway)
        typed = set(chain.from_iterable(graph.subjects(RDF.type, kind) for kind in _CLASS))
        implied = {s for s in graph.subjects(RDFS.subClassOf) if isinstance(s, URIRef)}
        self._classes = {c for c in (typed | implied | anyway) - self._datatypes if self.named(c)}
        self._properties = {p: kind for p, kind in self._find_properties() if self.named(p)}
        self._disjoint = self._find_disjoint()

    def terms(self) -> tuple[Term, ...]:
        """Every class, property, individual and datatype with a name, sorted by name."""
        found = [self._class(c) for c in self._classes]
        found += [self._property(p, kind) for p, kind in self._properties.items()]
        found += [self._term(d, "datatype", self._named(self._supers(d))) for d in self._own_datatypes()]
        found += [self._term(i, "individual", types) for i, types in self._individuals()]
        return tuple(sorted(found, key=lambda term: term.name))

    def named(self, node: Node) -> str | None:
        """The name of a node, None for one without."""
        return self._name(str(node)) if isinstance(node, URIRef) else None

    # --- what there is

    def _find_datatypes(self, not_these: Set[Node]) -> set[Node]:
        found = set(self.graph.subjects(RDF.type, RDFS.Datatype))
        for base in _SCHEMA:
            found |= {URIRef(base + "DataType"), *self.graph.subjects(RDF.type, URIRef(base + "DataType"))}
        found -= not_these
        waiting = list(found)
        while waiting:
            below = set(self.graph.subjects(RDFS.subClassOf, waiting.pop())) - found - not_these
            found |= below
            waiting += below
        return found

    def _own_datatypes(self) -> list[Node]:
        known = self._datatypes & set(self.graph.subjects())
        return [
            d for d in known if (name := self.named(d)) and not name.startswith(("xsd:", "rdf:", "rdfs:"))
        ]

    def _find_properties(self) -> Iterable[tuple[Node, Kind]]:
        plain = set(self.graph.subjects(RDF.type, RDF.Property)) | set(
            self.graph.subjects(RDFS.subPropertyOf)
        )
        plain -= set(self.graph.subjects(RDF.type, OWL.AnnotationProperty))
        datatype = set(self.graph.subjects(RDF.type, OWL.DatatypeProperty))
        objects = set(self.graph.subjects(RDF.type, OWL.ObjectProperty)) - datatype
        yield from ((p, "object_property") for p in objects)
        yield from ((p, "data_property") for p in datatype)
        for p in plain - objects - datatype:
            ranges = set(self._values(p, RDFS.range, "rangeIncludes"))
            all_data = bool(ranges) and all(self._is_datatype(r) for r in ranges)
            yield p, "data_property" if all_data else "object_property"

    def _individuals(self) -> Iterable[tuple[Node, tuple[str, ...]]]:
        known = self._classes | self._properties.keys() | self._datatypes
        subjects = {
            s for c in (*self._classes, OWL.NamedIndividual) for s in self.graph.subjects(RDF.type, c)
        }
        for one in subjects - known:
            if self.named(one):
                yield one, self._named(t for t in self.graph.objects(one, RDF.type) if t in self._classes)

    def _is_datatype(self, node: Node) -> bool:
        return node in self._datatypes or node == RDFS.Literal or str(node).startswith((_XSD, str(RDF)))

    # --- what is said about it

    def _class(self, node: Node) -> Term:
        disjoint = tuple(sorted(self._disjoint.get(node, ())))
        return replace(self._term(node, "class", self._named(self._supers(node))), disjoint=disjoint)

    def _property(self, node: Node, kind: Kind) -> Term:
        return replace(
            self._term(node, kind, self._named(self.graph.objects(node, RDFS.subPropertyOf))),
            domain=self._any_of(self._values(node, RDFS.domain, "domainIncludes")),
            range=self._any_of(self._values(node, RDFS.range, "rangeIncludes")),
        )

    def _term(self, node: Node, kind: Kind, parents: tuple[str, ...]) -> Term:
        name = self.named(node) or ""
        above = tuple(p for p in parents if p not in (name, "owl:Thing"))
        label, local = self._text(node, (RDFS.label, SKOS.prefLabel)), local_name(name)
        description = first_sentence(self._text(node, _DESCRIPTIONS))
        return Term(name, kind, words(local) if label in ("", local) else label, description, above)

    def _values(self, node: Node, predicate: URIRef, includes: str) -> list[Node]:
        schema = (URIRef(base + includes) for base in _SCHEMA)
        return [v for p in (predicate, *schema) for v in self.graph.objects(node, p)]

    def _supers(self, node: Node) -> list[Node]:
        """Named classes above: direct ones, and named parts of intersections above or equivalent."""
        found: list[Node] = []
        for predicate in (RDFS.subClassOf, OWL.equivalentClass):
            for above in self.graph.objects(node, predicate):
                found += self._list(above, OWL.intersectionOf) if isinstance(above, BNode) else [above]
        return [*found, *self._list(node, OWL.intersectionOf)]

    def _any_of(self, nodes: Iterable[Node]) -> tuple[str, ...]:
        bounds = [self._bound(node) for node in nodes]
        known = [name for names in bounds if names is not None for name in names]
        return () if None in bounds else tuple(sorted(set(known)))

    def _bound(self, node: Node) -> tuple[str, ...] | None:
        """Names one of which covers the node, or None when it has no such names."""
        if name := self.named(node):
            return (name,)
        if parts := self._list(node, OWL.unionOf):
            return self._any_of(parts) or None
        bounds = [b for part in self._list(node, OWL.intersectionOf) if (b := self._bound(part))]
        return min(bounds, key=lambda names: (len(names), names), default=None)

    def _find_disjoint(self) -> dict[Node, set[str]]:
        found: dict[Node, set[str]] = {}
        for group in self._disjoint_groups():
            for one in group:
                found.setdefault(one, set()).update(
                    name for other in group if other != one and (name := self.named(other))
                )
        return found

    def _disjoint_groups(self) -> Iterable[list[Node]]:
        yield from ([a, b] for a, b in self.graph.subject_objects(OWL.disjointWith))
        for one in self.graph.subjects(RDF.type, OWL.AllDisjointClasses):
            yield self._list(one, OWL.members)
        for one in self.graph.subjects(OWL.disjointUnionOf):
            yield self._list(one, OWL.disjointUnionOf)
        for predicate in (RDFS.subClassOf, OWL.equivalentClass):
            for one, above in self.graph.subject_objects(predicate):
                yield from ([one, other] for other in self.graph.objects(above, OWL.complementOf))

    def _list(self, node: Node, predicate: URIRef) -> list[Node]:
        head = self.graph.value(node, predicate)
        return [] if head is None else list(Collection(self.graph, head))

    def _named(self, nodes: Iterable[Node]) -> tuple[str, ...]:
        return tuple(sorted({name for node in nodes if (name := self.named(node))}))

    def _text(self, node: Node, predicates: Iterable[URIRef]) -> str:
        """The English text of the first predicate that has any; else that without language, else any."""
        for predicate in predicates:
            texts = [o for o in self.graph.objects(node, predicate) if isinstance(o, Literal)]
            order = {"en": 0, None: 1}
            ranked = sorted(texts, key=lambda t: (order.get(t.language, 2), t.language or "", str(t)))
            if ranked:
                return " ".join(str(ranked[0]).split())
        return ""
