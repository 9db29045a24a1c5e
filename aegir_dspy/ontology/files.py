"""Ontologies in files of the user, read by rdflib; nothing is ever fetched.

owl:imports are not followed: an import of a file that was not given is logged, a cycle of imports among
the files given is an error. A JSON-LD file whose context is an address is refused for the same reason.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax import SAXParseException

from rdflib import OWL, RDF, Graph, URIRef
from rdflib.plugins.parsers.notation3 import BadSyntax

from aegir_dspy.errors import VocabularyError
from aegir_dspy.ontology.graph import GraphTerms
from aegir_dspy.ontology.names import LOCAL, name_of
from aegir_dspy.ontology.registry import EXTENSIONS, builtin, builtin_of_prefix
from aegir_dspy.ontology.terms import PREFIXES, Ontology, Term
from aegir_dspy.ontology.xml_schema import DATATYPES

__all__ = ["read_files"]

_LOG = logging.getLogger(__name__)
_PLACE = re.compile(r":(\d+):\d+: *")  # in rdflib's messages about RDF/XML


@dataclass(frozen=True)
class _File:
    path: Path
    text: str
    graph: Graph

    @property
    def iris(self) -> set[str]:
        """What the file may be imported as."""
        own = set(self.graph.subjects(RDF.type, OWL.Ontology))
        versions = {v for one in own for v in self.graph.objects(one, OWL.versionIRI)}
        return {_base(self.path), *(str(iri).rstrip("#") for iri in own | versions)}

    @property
    def imports(self) -> list[str]:
        return sorted({str(iri).rstrip("#") for iri in self.graph.objects(None, OWL.imports)})

    def place(self, iri: str) -> str:
        """``file:line`` of the first mention of an imported IRI, or of any import."""
        lines = list(enumerate(self.text.splitlines(), start=1))
        first = next((number for number, line in lines if "imports" in line), 0)
        for wanted in (iri, iri.removeprefix("file:///"), "imports"):
            found = [number for number, line in lines if wanted in line and number >= first]
            if found:
                return f"{self.path}:{found[0]}"
        return str(self.path)


def read_files(paths: list[Path]) -> Ontology:
    """One ontology of all files, named after them.

    Names have the prefixes of the files; a namespace without one gets one made of its last part. Classes of
    built-in ontologies that the files build upon come along with what is above them.

    Raises:
        VocabularyError: a file is unreadable or broken, the files import each other in a cycle, or there is
            no class in any; with the file and, where known, the line.
    """
    files = [_parsed(path) for path in paths]
    _check_imports(files)
    union = Graph(bind_namespaces="none")
    for file in files:
        union += file.graph
    where = ", ".join(map(str, paths))
    prefixes = _prefixes(union, [pair for file in files for pair in file.graph.namespaces()])
    try:
        terms = GraphTerms(union, _namer(prefixes)).terms()
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"expected no list in itself in {where}, found one") from error
    if not any(term.kind == "class" for term in terms):
        raise VocabularyError(f"expected at least one class in {where}, found {len(terms)} other terms")
    known = {term.name: term for term in (*DATATYPES, *_borrowed(terms), *terms)}
    name = "+".join(path.stem for path in paths)
    return Ontology(name, tuple(known[n] for n in sorted(known)), prefixes=tuple(sorted(prefixes.items())))


def _parsed(path: Path) -> _File:
    text = _text(path)
    form = _form(path, text)
    graph = Graph(bind_namespaces="none")
    try:
        if form == "json-ld":
            _check_contexts(json.loads(text), path, text)
        graph.parse(data=text, format=form, publicID=_base(path))
    except VocabularyError:
        raise
    except Exception as error:  # rdflib's parsers have no error in common
        raise VocabularyError(_message(path, form, text, error)) from error
    return _File(path, text, graph)


def _form(path: Path, text: str) -> str:
    """rdflib's name of the file's format; N-Triples are Turtle, whose parser says the line."""
    suffix = path.suffix.lower()
    if suffix not in EXTENSIONS:
        raise VocabularyError(f"expected an ontology file ({', '.join(EXTENSIONS)}), found {path}")
    found = EXTENSIONS[suffix]
    return (
        "turtle" if found == "xml" and not text.lstrip().startswith("<?xml") and "@prefix" in text else found
    )


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise VocabularyError(f"expected a readable ontology file, found {path}: {reason}") from error
    if "\0" in text:
        raise VocabularyError(f"expected a text file as ontology, found binary data in {path}")
    return text


def _base(path: Path) -> str:
    """What relative IRIs of a file are taken from; without its folder, which is not part of a name."""
    return "file:///" + path.name.replace(" ", "%20")


def _message(path: Path, form: str, text: str, error: Exception) -> str:
    kind = {"turtle": "Turtle", "xml": "RDF/XML", "json-ld": "JSON-LD"}[form]
    line, reason = _line_and_reason(error)
    if isinstance(error, IndexError):  # rdflib's Turtle parser read on behind the end
        line, reason = text.count("\n") + 1, "the end inside a statement"
    place = f"{path}:{line}" if line else str(path)
    return f"expected {kind} at {place}, found {reason[:160]}"


def _line_and_reason(error: Exception) -> tuple[int, str]:
    if isinstance(error, BadSyntax):
        return error.lines + 1, _one_line(error._why)
    if isinstance(error, json.JSONDecodeError):
        return error.lineno, error.msg
    if isinstance(error, SAXParseException):
        return error.getLineNumber() or 0, _one_line(error.getMessage())
    if isinstance(error, RecursionError):
        return 0, "brackets nested too deep"
    text = _one_line(str(error)) or type(error).__name__
    place = _PLACE.search(text)
    return (int(place[1]), text[place.end() :]) if place else (0, text)


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())


def _check_contexts(value: Any, path: Path, text: str) -> None:
    """Refuses contexts that would have to be fetched."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            contexts = one.get("@context")
            parts = contexts if isinstance(contexts, list) else [contexts]
            remote = [p for p in [*parts, one.get("@import")] if isinstance(p, str)]
            if remote:
                lines = text.splitlines()
                line = next((n for n, row in enumerate(lines, start=1) if remote[0] in row), 1)
                raise VocabularyError(
                    f"expected a context written out at {path}:{line}, found the address {remote[0]!r}, "
                    "which is not fetched; put the context itself into the file"
                )
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def _check_imports(files: list[_File]) -> None:
    """Refuses a cycle of imports among the files; logs those that lead elsewhere."""
    edges = {
        i: [(iri, j) for iri in file.imports for j, other in enumerate(files) if iri in other.iris]
        for i, file in enumerate(files)
    }
    for i, file in enumerate(files):
        if way := _way_back(i, edges):
            steps = [f"{files[a].place(iri)} imports {files[b].path.name}" for a, iri, b in way]
            raise VocabularyError(f"expected imports without a cycle, found {', '.join(steps)}")
        given = {iri for iri, _ in edges[i]}
        for iri in file.imports:
            if iri not in given:
                _LOG.warning("%s imports %s, which is not followed; give it too", file.place(iri), iri)


def _way_back(start: int, edges: dict[int, list[tuple[str, int]]]) -> list[tuple[int, str, int]]:
    """The shortest way of imports from a file to itself, empty if there is none."""
    ways: dict[int, list[tuple[int, str, int]]] = {start: []}
    waiting = [start]
    for one in waiting:
        for iri, other in edges[one]:
            way = [*ways[one], (one, iri, other)]
            if other == start:
                return way
            if other not in ways:
                ways[other] = way
                waiting.append(other)
    return []


def _prefixes(graph: Graph, bound: Iterable[tuple[str, URIRef]]) -> dict[str, str]:
    """Prefix → namespace for every namespace of the graph's subjects that `PREFIXES` lacks."""
    spaces = sorted({_namespace(str(s)) for s in graph.subjects() if isinstance(s, URIRef)})
    given: dict[str, str] = {}
    for prefix, iri in bound:
        if prefix and LOCAL.fullmatch(prefix):
            given.setdefault(str(iri), prefix)
    found: dict[str, str] = {}
    for space in spaces:
        if space and name_of(space + "x") is None:
            wanted = given.get(space) or _made_prefix(space)
            found[_free(wanted, {*PREFIXES, *found})] = space
    return found


def _namespace(iri: str) -> str:
    return iri[: max(iri.rfind("#"), iri.rfind("/")) + 1]


def _made_prefix(space: str) -> str:
    """``https://example.org/2024/shop.ttl#`` → ``shop``."""
    parts = re.findall(r"[A-Za-z][\w-]*", re.sub(r"\.\w+[#/]?$", "", space.partition(":")[2].lower()))
    return parts[-1].rstrip("-") if parts else "ns"


def _free(wanted: str, taken: set[str]) -> str:
    names: Iterator[str] = (wanted if n == 1 else f"{wanted}{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _namer(prefixes: dict[str, str]) -> Any:
    known = Ontology("", (), prefixes=tuple(prefixes.items()))

    def name(iri: str) -> str:
        return name_of(iri, known) or f"<{iri}>"

    return name


def _borrowed(terms: Iterable[Term]) -> list[Term]:
    """Terms of built-in ontologies that the given ones refer to and lack, with their ancestors."""
    terms = list(terms)
    known = {term.name for term in terms}
    used = {n for t in terms for names in (t.parents, t.domain, t.range, t.disjoint) for n in names} - known
    found: dict[str, Term] = {}
    for name in sorted(used):
        if source := builtin_of_prefix(name.partition(":")[0]):
            ontology = builtin(source)
            found |= {above: ontology[above] for above in ontology.ancestors(name)}
    return list(found.values())
