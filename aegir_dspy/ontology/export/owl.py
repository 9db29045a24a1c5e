"""Axioms as RDF; https://www.w3.org/TR/owl2-mapping-to-rdf/."""

from __future__ import annotations

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
    Or,
    Range,
    Some,
    SubClass,
    SubProperty,
    Value,
)
from aegir_dspy.ontology.export.names import Names
from aegir_dspy.ontology.export.rdf import NAMESPACES, RDF_TYPE, Graph, Iri, Items, Literal, Thing
from aegir_dspy.ontology.export.rdf import Value as Node

__all__ = ["add_axioms", "add_declarations", "owl", "rdfs"]

_DECLARED = {
    "class": "Class",
    "object_property": "ObjectProperty",
    "data_property": "DatatypeProperty",
    "individual": "NamedIndividual",
}
_BOUNDS = {
    "min": "minQualifiedCardinality",
    "max": "maxQualifiedCardinality",
    "exactly": "qualifiedCardinality",
}
_COUNT = NAMESPACES["xsd"] + "nonNegativeInteger"


def owl(name: str) -> str:
    """IRI of a term of OWL."""
    return NAMESPACES["owl"] + name


def rdfs(name: str) -> str:
    """IRI of a term of RDF Schema."""
    return NAMESPACES["rdfs"] + name


def add_declarations(graph: Graph, names: Names) -> None:
    """What every term is, with its label and definition."""
    own = {term.name: term for term in names.composition.terms}
    for name, kind in names.kinds.items():
        iri = names.iri(name)
        graph.add(iri, RDF_TYPE, Iri(owl(_DECLARED[kind]) if kind in _DECLARED else rdfs("Datatype")))
        known = None if names.ontology is None else names.ontology.get(name)
        label = own[name].label if name in own else known.label if known else ""
        definition = own[name].definition if name in own else ""
        if label:
            graph.add(iri, rdfs("label"), Literal(label))
        if definition:
            graph.add(iri, rdfs("comment"), Literal(definition))


def add_axioms(graph: Graph, names: Names) -> None:
    """Everything that the axioms say."""
    writer = _Writer(graph, names)
    for axiom in names.axioms:
        writer.axiom(axiom)


class _Writer:
    def __init__(self, graph: Graph, names: Names) -> None:
        self._graph = graph
        self._names = names

    def axiom(self, one: Axiom) -> None:
        match one:
            case SubClass(sub, other):
                self._relate(sub, rdfs("subClassOf"), self.expression(other))
            case Equivalent(left, right):
                if not isinstance(left, Named):
                    left, right = right, left
                self._relate(left, owl("equivalentClass"), self.expression(right))
            case Disjoint((left, right)):
                self._relate(left, owl("disjointWith"), self.expression(right))
            case Disjoint(parts):
                members = Items(tuple(map(self.expression, parts)))
                kind = (RDF_TYPE, Iri(owl("AllDisjointClasses")))
                self._graph.add_unnamed(Thing((kind, (owl("members"), members))))
            case HasKey(subject, properties):
                keys = Items(tuple(self._iri(name) for name in properties))
                self._graph.add(self._names.iri(subject), owl("hasKey"), keys)
            case Instance(individual, kind_of):
                self._graph.add(self._names.iri(individual), RDF_TYPE, self.expression(kind_of))
            case _:
                self._property(one)

    def _property(self, one: Domain | Range | Functional | SubProperty) -> None:
        iri = self._names.iri(one.sub if isinstance(one, SubProperty) else one.property)
        match one:
            case Domain(_, domain):
                self._graph.add(iri, rdfs("domain"), self.expression(domain))
            case Range(prop, range_):
                self._graph.add(iri, rdfs("range"), self.expression(range_, data=self._is_data(prop)))
            case Functional():
                self._graph.add(iri, RDF_TYPE, Iri(owl("FunctionalProperty")))
            case SubProperty(_, other):
                self._graph.add(iri, rdfs("subPropertyOf"), self._iri(other))

    def _relate(self, subject: Expression, prop: str, value: Node) -> None:
        """Say something about a class, or about an expression, which has no name."""
        if isinstance(subject, Named):
            self._graph.add(self._names.iri(subject.name), prop, value)
        else:
            node = self.expression(subject)
            if isinstance(node, Thing):
                self._graph.add_unnamed(Thing((*node.properties, (prop, value))))

    def expression(self, one: Expression, *, data: bool = False) -> Node:
        """A class expression or, of `data`, a data range."""
        kind = (RDF_TYPE, Iri(rdfs("Datatype") if data else owl("Class")))
        match one:
            case Named(name):
                return self._iri("rdfs:Literal" if data and name == "owl:Thing" else name)
            case Not(part):
                prop = owl("datatypeComplementOf" if data else "complementOf")
                return Thing((kind, (prop, self.expression(part, data=data))))
            case And(parts) | Or(parts):
                prop = owl("intersectionOf" if isinstance(one, And) else "unionOf")
                return Thing((kind, (prop, Items(tuple(self.expression(p, data=data) for p in parts)))))
        head = ((RDF_TYPE, Iri(owl("Restriction"))), (owl("onProperty"), self._iri(one.property)))
        if isinstance(one, Value):
            return Thing((*head, (owl("hasValue"), self._iri(one.individual))))
        is_data = self._is_data(one.property)
        filler = self.expression(one.filler, data=is_data)
        if isinstance(one, Cardinality):
            count = (owl(_BOUNDS[one.bound]), Literal(str(one.count), _COUNT))
            return Thing((*head, count, (owl("onDataRange" if is_data else "onClass"), filler)))
        return Thing((*head, (owl("someValuesFrom" if isinstance(one, Some) else "allValuesFrom"), filler)))

    def _iri(self, name: str) -> Iri:
        return Iri(self._names.iri(name))

    def _is_data(self, prop: str) -> bool:
        return self._names.kinds.get(prop) == "data_property"
