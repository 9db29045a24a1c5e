"""RDF as a tree: named things with their properties, unnamed things and lists in place.

Turtle and JSON-LD are written from the same tree, so that they hold the same graph; everything is sorted, so
that equal content gives equal bytes. Text that no RDF file may hold is replaced: a half of a surrogate pair
by U+FFFD; in an IRI, what IRIs forbid is percent-encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from aegir_dspy.ontology.terms import PREFIXES

__all__ = ["NAMESPACES", "RDF_TYPE", "Graph", "Iri", "Items", "Literal", "Thing", "Value", "clean", "encoded"]

NAMESPACES: dict[str, str] = {
    **PREFIXES,
    "csvw": "http://www.w3.org/ns/csvw#",
    "dcterms": "http://purl.org/dc/terms/",
    "sh": "http://www.w3.org/ns/shacl#",
    "ax": "https://w3id.org/aegir/vocab#",
}
"""Prefix → namespace of exported files; the composition's own comes on top."""

RDF_TYPE = NAMESPACES["rdf"] + "type"

_FORBIDDEN = re.compile('[\x00-\x20\x7f-\xa0<>"{}|^`\\\\\ud800-\udfff\ufdd0-\ufdef\ufff0-\uffff]')
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOCAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def clean(text: str) -> str:
    """Text as UTF-8 can hold it."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def encoded(text: str, *, part: bool = False) -> str:
    """Text as an IRI can hold it; as a `part` of one, with its own ``%``, ``/``, ``?`` and ``#`` encoded."""
    text = re.sub(r"[%/?#:\[\]@!$&'()*+,;=]", _percent, text) if part else text
    return _FORBIDDEN.sub(_percent, text)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Iri:
    """A named thing, mentioned."""

    iri: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, or a value in the form of its datatype (an IRI)."""

    text: str
    datatype: str = ""


@dataclass(frozen=True, slots=True)
class Items:
    """An RDF list."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Thing:
    """An unnamed thing with its properties: pairs of an IRI and a value."""

    properties: tuple[tuple[str, Value], ...]


Value = Iri | Literal | Items | Thing


@dataclass(slots=True)
class Graph:
    """What is said, ready to be written.

    Attributes:
        namespaces: prefix → namespace.
    """

    namespaces: dict[str, str]
    _named: dict[str, dict[str, dict[str, Value]]] = field(default_factory=dict)
    _unnamed: dict[str, Thing] = field(default_factory=dict)

    def add(self, subject: str, prop: str, *values: Value) -> None:
        """Say that the named subject has the values; saying it twice is the same as once."""
        known = self._named.setdefault(subject, {}).setdefault(prop, {})
        for value in values:
            known.setdefault(self._turtle(value), value)

    def add_unnamed(self, thing: Thing) -> None:
        """Say something about an unnamed thing."""
        self._unnamed.setdefault(self._turtle(thing), thing)

    def turtle(self) -> str:
        """The graph as Turtle; https://www.w3.org/TR/turtle/."""
        blocks = ["".join(f"@prefix {p}: <{n}> .\n" for p, n in sorted(self.namespaces.items()))]
        for subject in sorted(self._named):
            lines = [
                f"    {self._predicate(prop)} {', '.join(sorted(values))}"
                for prop, values in sorted(self._named[subject].items(), key=_type_first)
            ]
            blocks.append(f"{self._name(subject)}\n" + " ;\n".join(lines) + " .\n")
        blocks += [f"{text} .\n" for text in sorted(self._unnamed)]
        return "\n".join(blocks)

    def jsonld(self) -> str:
        """The graph as JSON-LD 1.1; https://www.w3.org/TR/json-ld11/."""
        nodes: list[dict[str, object]] = []
        for subject in sorted(self._named):
            pairs = [
                (prop, values[text])
                for prop, values in sorted(self._named[subject].items(), key=_type_first)
                for text in sorted(values)
            ]
            nodes.append({"@id": encoded(subject), **self._json_properties(pairs)})
        nodes += [self._json_properties(self._unnamed[text].properties) for text in sorted(self._unnamed)]
        spaces = sorted(self.namespaces.items())
        context = {prefix: {"@id": space, "@prefix": True} for prefix, space in spaces if prefix}
        return json.dumps({"@context": context, "@graph": nodes}, ensure_ascii=False, indent=1) + "\n"

    def _name(self, iri: str) -> str:
        """An IRI in Turtle."""
        for prefix, space in self.namespaces.items():
            if iri.startswith(space) and _LOCAL.fullmatch(iri, len(space)):
                return f"{prefix}:{iri[len(space) :]}"
        return f"<{encoded(iri)}>"

    def _predicate(self, iri: str) -> str:
        return "a" if iri == RDF_TYPE else self._name(iri)

    def _turtle(self, value: Value) -> str:
        match value:
            case Iri(iri):
                return self._name(iri)
            case Literal(text, datatype):
                return _quoted(text) + (f"^^{self._name(datatype)}" if datatype else "")
            case Items(items):
                return f"( {' '.join(map(self._turtle, items))} )" if items else "()"
            case Thing(properties):
                pairs = (f"{self._predicate(prop)} {self._turtle(one)}" for prop, one in properties)
                return f"[ {' ; '.join(pairs)} ]"

    def _json_properties(self, pairs: Iterable[tuple[str, Value]]) -> dict[str, object]:
        found: dict[str, list[object]] = {}
        for prop, value in pairs:
            if prop == RDF_TYPE and isinstance(value, Iri):
                found.setdefault("@type", []).append(self._compact(value.iri))
            else:
                found.setdefault(self._compact(prop), []).append(self._json(value))
        return dict(found)

    def _compact(self, iri: str) -> str:
        name = self._name(iri)
        return encoded(iri) if name.startswith(("<", ":")) else name

    def _json(self, value: Value) -> dict[str, object]:
        match value:
            case Iri(iri):
                return {"@id": self._compact(iri)}
            case Literal(text, datatype):
                typed = {"@type": self._compact(datatype)} if datatype else {}
                return {"@value": clean(text), **typed}
            case Items(items):
                return {"@list": [self._json(one) for one in items]}
            case Thing(properties):
                return self._json_properties(properties)


def _type_first(pair: tuple[str, object]) -> tuple[bool, str]:
    return pair[0] != RDF_TYPE, pair[0]


def _quoted(text: str) -> str:
    """A literal in Turtle's double quotes."""
    return '"' + re.sub('[\x00-\x1f"\\\\\x7f]', _escape, clean(text)) + '"'


def _escape(match: re.Match[str]) -> str:
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return short.get(match[0], f"\\u{ord(match[0]):04X}")
