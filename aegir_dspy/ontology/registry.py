"""Ontologies by name or file: what the terms of a composition are taken from.

Built in are

- ``schema`` (the default): schema.org, with this project's terms for technical values, so that every IRI
  of the vocabularies ``schema``, ``sotab82`` and ``sotab32`` has a term;
- ``dbpedia``: the DBpedia ontology, with every IRI of the vocabulary ``dbpedia``;
- ``cco``: BFO 2020 and the Common Core Ontologies.

schema.org's Text, Number, Date and their like are datatypes below those of XML Schema, and the ranges of
properties name the latter. All have the datatypes of `aegir_dspy.ontology.xml_schema`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from aegir_dspy.errors import VocabularyError
from aegir_dspy.ontology.names import iri_of, local_name, name_of, words
from aegir_dspy.ontology.terms import Kind, Ontology, Term
from aegir_dspy.ontology.xml_schema import DATATYPES

__all__ = ["ONTOLOGIES", "builtin", "contradictory", "iri_of", "load_ontology", "merged", "name_of"]

ONTOLOGIES: tuple[str, ...] = ("schema", "dbpedia", "cco")
"""The names of the built-in ontologies."""

KINDS: dict[str, Kind] = {
    "c": "class",
    "o": "object_property",
    "d": "data_property",
    "i": "individual",
    "t": "datatype",
}
"""Letter of a kind in the built-in files."""

EXTENSIONS: dict[str, str] = {
    ".ttl": "turtle",
    ".nt": "turtle",
    ".owl": "xml",
    ".rdf": "xml",
    ".xml": "xml",
    ".jsonld": "json-ld",
}
"""Extension of an ontology file → rdflib's name of its format; an ``.owl`` file may be Turtle as well."""

_OF_PREFIX = {"schema": "schema", "aegir": "schema", "dbo": "dbpedia", "bfo": "cco", "cco": "cco"}


def load_ontology(source: str | Path | Sequence[str | Path] = "schema") -> Ontology:
    """The built-in ontology of that name, or else the ontology in that file or those files.

    Files are Turtle, N-Triples, RDF/XML or JSON-LD, by their extension. Nothing is fetched: owl:imports are
    not followed, so give all files together, with the names of built-in ontologies where they are built
    upon. A built-in name wins over a file of the same name: write ``./schema`` for the file.

    Raises:
        VocabularyError: the name is unknown; a file cannot be read or parsed, imports itself through the
            files given, or has no class. The message has the file and, where known, the line.
    """
    if isinstance(source, str) and source in ONTOLOGIES:
        return builtin(source)
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise VocabularyError("expected an ontology, found an empty list of files; give 'schema' or a file")
    if all(isinstance(one, str) and one in ONTOLOGIES for one in sources):
        return merged([builtin(str(one)) for one in sources])
    for one in sources:
        _check_source(one)
    from aegir_dspy.ontology.files import read_files

    named = [builtin(str(one)) for one in sources if one in ONTOLOGIES]
    return merged([*named, read_files([Path(one) for one in sources if one not in ONTOLOGIES])])


def contradictory(ontology: Ontology) -> tuple[str, ...]:
    """Classes at or below two disjoint classes: nothing can be of them. Sorted by name."""
    pairs = [(t.name, other) for t in ontology if t.kind == "class" for other in t.disjoint]
    found = {
        term.name
        for term in ontology
        if term.kind == "class" and any({one, other} <= ontology.ancestors(term.name) for one, other in pairs)
    }
    return tuple(sorted(found))


def merged(parts: Sequence[Ontology]) -> Ontology:
    """One ontology of several: of terms with the same name the first counts."""
    if len(parts) == 1:
        return parts[0]
    terms = {term.name: term for part in reversed(parts) for term in part}
    prefixes = {prefix: space for part in reversed(parts) for prefix, space in part.prefixes}
    return Ontology(
        "+".join(part.name for part in parts),
        tuple(terms[name] for name in sorted(terms)),
        prefixes=tuple(sorted(prefixes.items())),
    )


def builtin_of_prefix(prefix: str) -> str | None:
    """The built-in ontology whose names have that prefix."""
    return _OF_PREFIX.get(prefix)


def _check_source(source: str | Path) -> None:
    if source in ONTOLOGIES or Path(source).is_file():
        return
    what = "a folder" if Path(source).is_dir() else "no such file"
    raise VocabularyError(
        f"expected a built-in ontology ({', '.join(ONTOLOGIES)}) or a file ({', '.join(EXTENSIONS)}), "
        f"found {source}: {what}"
    )


@cache
def builtin(name: str) -> Ontology:
    """The built-in ontology of that name, always the same object."""
    file = resources.files("aegir_dspy.assets") / f"ontology_{name}.json"
    rows = json.loads(file.read_text("utf-8"))["terms"]
    terms = [*map(_unpacked, rows), *DATATYPES]
    return Ontology(name, tuple(sorted(terms, key=lambda term: term.name)))


def _unpacked(row: list[Any]) -> Term:
    """The term of a row: name, letter of its kind, then the rest, empty ends left out."""
    name, letter, label, description, parents, domain, range_, disjoint, rigidity = row + _EMPTY[len(row) :]
    return Term(
        name,
        KINDS[letter],
        label or words(local_name(name)),
        description,
        tuple(parents),
        tuple(domain),
        tuple(range_),
        tuple(disjoint),
        rigidity or None,
    )


_EMPTY: list[Any] = ["", "", "", "", (), (), (), (), ""]
