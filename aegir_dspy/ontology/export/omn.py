"""A composition as a document in Manchester syntax; https://www.w3.org/TR/owl2-manchester-syntax/."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from aegir_dspy.ontology.axioms import (
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
from aegir_dspy.ontology.export.names import Names
from aegir_dspy.ontology.export.rdf import clean
from aegir_dspy.ontology.manchester_render import render
from aegir_dspy.ontology.names import LOCAL

__all__ = ["manchester_document"]

_FRAMES = {
    "class": "Class",
    "object_property": "ObjectProperty",
    "data_property": "DataProperty",
    "individual": "Individual",
    "datatype": "Datatype",
}


def manchester_document(names: Names) -> str:
    """Prefixes, a frame for every term, then what is of no term; everything in a fixed order."""
    document = _Document(names)
    for axiom in names.axioms:
        document.axiom(axiom)
    return document.text()


class _Document:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._frames: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
        self._loose: dict[str, None] = {}

    def text(self) -> str:
        prefixes = [f"Prefix: {p}: <{n}>" for p, n in sorted(self._names.namespaces.items())]
        blocks = ["\n".join(prefixes), f"Ontology: <{self._names.document}>"]
        blocks += [f"AnnotationProperty: {name}" for name in ("rdfs:label", "rdfs:comment")]
        for name, kind in self._names.kinds.items():
            lines = [f"{_FRAMES[kind]}: {self._name(name)}", *self._annotations(name)]
            for section, values in sorted(self._frames[name].items()):
                between = "\n    HasKey: " if section == "HasKey" else ",\n        "  # keys are not listed
                lines.append(f"    {section}: " + between.join(sorted(values)))
            blocks.append("\n".join(lines))
        blocks += sorted(self._loose)
        return "\n\n".join(blocks) + "\n"

    def _annotations(self, name: str) -> list[str]:
        own = next((term for term in self._names.composition.terms if term.name == name), None)
        known = None if self._names.ontology is None else self._names.ontology.get(name)
        label = own.label if own else known.label if known else ""
        texts = (("rdfs:label", label), ("rdfs:comment", own.definition if own else ""))
        pairs = [f"{prop} {_quoted(text)}" for prop, text in texts if text]
        return [f"    Annotations: {', '.join(pairs)}"] if pairs else []

    def axiom(self, one: Axiom) -> None:
        """Put an axiom into the frame it belongs to; what has no frame of its own stands at the end."""
        match one:
            case SubClass(Named(name), other) if name in self._names.kinds:
                self._add(name, "SubClassOf", self._render(other))
            case SubClass(sub, other):  # a frame needs a name: the same in other words
                self._loose[f"DisjointClasses: {self._render(sub)}, {self._render(Not(other))}"] = None
            case Equivalent(Named(name), other) if name in self._names.kinds:
                self._add(name, "EquivalentTo", self._render(other))
            case Equivalent(left, right):
                self._loose[f"EquivalentClasses: {self._render(left)}, {self._render(right)}"] = None
            case Disjoint(parts):
                self._loose[f"DisjointClasses: {', '.join(map(self._render, parts))}"] = None
            case HasKey(subject, properties):
                self._add(subject, "HasKey", ", ".join(map(self._name, properties)))  # as Protégé reads it
            case Instance(individual, kind_of):
                self._add(individual, "Types", self._render(kind_of))
            case Domain(prop, domain):
                self._add(prop, "Domain", self._render(domain))
            case Range(prop, range_):
                self._add(prop, "Range", self._render(range_, data=self._is_data(prop)))
            case Functional(prop):
                self._add(prop, "Characteristics", "Functional")
            case SubProperty(sub, other):
                self._add(sub, "SubPropertyOf", self._name(other))

    def _add(self, name: str, section: str, text: str) -> None:
        self._frames[name][section][text] = None

    def _render(self, one: Expression, *, data: bool = False) -> str:
        text = render(self._renamed(one, data=data))
        return text if isinstance(one, Named) else f"({text})"

    def _renamed(self, one: Expression, *, data: bool) -> Expression:
        """The expression with names as they are written in the document."""
        match one:
            case Named(name):
                return Named("rdfs:Literal" if data and name == "owl:Thing" else self._name(name))
            case Not(part):
                return Not(self._renamed(part, data=data))
            case And(parts) | Or(parts):
                return replace(one, parts=tuple(self._renamed(part, data=data) for part in parts))
            case Value(prop, individual):
                return Value(self._name(prop), self._name(individual))
        filler = self._renamed(one.filler, data=self._is_data(one.property))
        return replace(one, property=self._name(one.property), filler=filler)

    def _name(self, name: str) -> str:
        """A name as it is if nothing in it needs an escape, else its IRI."""
        prefix, _, local = name.partition(":")
        plain = LOCAL.fullmatch(local) and local.isascii() and prefix in self._names.namespaces
        return name if plain else f"<{self._names.iri(name)}>"

    def _is_data(self, prop: str) -> bool:
        return self._names.kinds.get(prop) == "data_property"


def _quoted(text: str) -> str:
    """A literal; Manchester syntax escapes quotes and backslashes and nothing else."""
    text = "".join(c if c.isprintable() or c in "\t\n" else " " for c in clean(text))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
