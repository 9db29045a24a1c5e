"""Builds the built-in ontologies from their sources.

``python -m aegir_dspy.ontology.build FOLDER OUT``: FOLDER holds ``schemaorg/``, ``dbpedia/``, ``bfo/`` and
``cco/`` as published; OUT gets ``ontology_schema.json``, ``ontology_dbpedia.json`` and
``ontology_cco.json``, one term a line. Superseded terms stay, as data uses them; names that need
escapes in Turtle are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Set
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rdflib import Graph

from aegir_dspy.errors import InputError, VocabularyError
from aegir_dspy.ontology.curation import CLASSES_ANYWAY, DISJOINT, OWN, RIGIDITY, SCHEMA_DATATYPES
from aegir_dspy.ontology.graph import GraphTerms
from aegir_dspy.ontology.names import iri_of, local_name, name_of, words
from aegir_dspy.ontology.registry import KINDS, contradictory
from aegir_dspy.ontology.terms import Ontology, Term
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.ontology.xml_schema import DATATYPES

__all__ = ["build", "main"]

_SOURCES = {
    "schema": ("schemaorg/schemaorg-current-https.ttl",),
    "dbpedia": ("dbpedia/dbo-snapshots.ttl",),
    "cco": ("bfo/bfo-core.ttl", "cco/CommonCoreOntologiesMerged.ttl"),
}
_PREFIXES = {"schema": ("schema",), "dbpedia": ("dbo",), "cco": ("bfo", "cco")}
_CREDIT = {
    "schema": "schema.org 30.0, https://schema.org, CC BY-SA 3.0; shortened, aegir: added",
    "dbpedia": "DBpedia ontology, https://www.dbpedia.org, CC BY-SA 3.0; shortened, aegir: added",
    "cco": "BFO 2020, https://basic-formal-ontology.org, CC BY 4.0; Common Core Ontologies 2.1, "
    "https://www.commoncoreontologies.org, BSD-3-Clause, see NOTICE; shortened, aegir: added",
}
_TEXT_TYPES = ("engineConfiguration", "valvetrain")  # the datatypes of DBpedia's ranges that are no numbers


def build(name: str, folder: Path) -> Ontology:
    """One ontology from the sources below `folder`.

    Raises:
        InputError: a source is missing.
        VocabularyError: what is curated names a class that is not there, or leaves a class without instances.
    """
    graph = Graph(bind_namespaces="none")
    for source in _SOURCES[name]:
        if not (folder / source).is_file():
            raise InputError(f"expected the ontology source {folder / source}, found no such file")
        graph.parse(folder / source, format="turtle")
    terms = GraphTerms(graph, _namer(name), map(iri_of, CLASSES_ANYWAY)).terms()
    own = [_described(term) for term in OWN[name]]
    kept = {term.name: term for term in [*map(_mapped, terms), *own]}
    known = kept.keys() | {term.name for term in DATATYPES}
    ontology = Ontology(name, tuple(_only_known(kept[n], known) for n in sorted(kept)))
    return _with_rigidity(_with_disjoint(_without_contradictions(ontology)))


def pack(ontology: Ontology) -> str:
    """The text of a built-in file: a JSON object, each term on a line of its own."""
    rows = ",\n".join(
        json.dumps(_packed(t), ensure_ascii=False, separators=(",", ":")) for t in ontology.terms
    )
    columns = [field.name for field in fields(Term)]
    head = json.dumps({"source": _CREDIT[ontology.name], "columns": columns}, ensure_ascii=False)
    return f'{head[:-1]},"terms":[\n{rows}\n]}}\n'


def main(arguments: list[str]) -> int:
    """The command; 0 when all three files were written."""
    if len(arguments) != 2:
        print("usage: python -m aegir_dspy.ontology.build FOLDER OUT", file=sys.stderr)
        return 2
    folder, out = map(Path, arguments)
    texts = {name: pack(build(name, folder)) for name in _SOURCES}
    for name, text in texts.items():
        path = out / f"ontology_{name}.json"
        path.write_text(text, "utf-8")
        print(f"{path.name}: {text.count(chr(10)) - 2} terms, {len(text.encode())} bytes")
    return 0


def _namer(ontology: str) -> Callable[[str], str | None]:
    """Names of the ontology's own namespaces and of datatypes; None for all else."""
    own = (*_PREFIXES[ontology], "xsd", "rdf", "rdfs")

    def name(iri: str) -> str | None:
        if ontology == "dbpedia" and "/datatype/" in iri:
            return "xsd:string" if local_name(iri) in _TEXT_TYPES else "xsd:double"
        found = name_of(iri)
        return found if found and found.split(":")[0] in own else None

    return name


def _mapped(term: Term) -> Term:
    """The term with schema.org's datatypes as ranges replaced, and these below XML Schema's."""
    xsd = {f"schema:{one}": f"xsd:{other}" for one, other in SCHEMA_DATATYPES.items()}
    ranges = tuple(sorted({xsd.get(one, one) for one in term.range}))
    if term.kind == "datatype":
        return replace(term, parents=(xsd[term.name],) if term.name in xsd else (), range=ranges)
    if term.name in CLASSES_ANYWAY:
        return replace(term, parents=(CLASSES_ANYWAY[term.name],))
    return replace(term, range=ranges)


def _described(term: Term) -> Term:
    labels = [label for v in ("schema", "dbpedia") for label in load_vocabulary(v) if label.iri]
    of = {name_of(label.iri or ""): label for label in labels}.get(term.name)
    text = term.description or (of.description if of else "")
    return replace(term, label=term.label or words(local_name(term.name)), description=text)


def _only_known(term: Term, known: Set[str]) -> Term:
    def kept(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name in known)

    return replace(
        term,
        parents=kept(term.parents),
        domain=kept(term.domain),
        range=kept(term.range),
        disjoint=kept(term.disjoint),
    )


def _without_contradictions(ontology: Ontology) -> Ontology:
    """The ontology without those stated disjoint pairs that leave any class without instances."""
    while bad := contradictory(ontology):
        above = ontology.ancestors(bad[0])
        terms = (
            replace(t, disjoint=tuple(d for d in t.disjoint if d not in above)) if t.name in above else t
            for t in ontology
        )
        ontology = Ontology(ontology.name, tuple(terms))
    return ontology


def _with_disjoint(ontology: Ontology) -> Ontology:
    name_of_class = _curated_names(ontology)
    more: dict[str, set[str]] = {}
    for one, other in DISJOINT[ontology.name]:
        more.setdefault(name_of_class(one), set()).add(name_of_class(other))
        more.setdefault(name_of_class(other), set()).add(name_of_class(one))
    terms = (
        replace(t, disjoint=tuple(sorted({*t.disjoint, *more[t.name]}))) if t.name in more else t
        for t in ontology
    )
    result = Ontology(ontology.name, tuple(terms))
    if bad := contradictory(result):
        pairs = [(a, b) for a in sorted(more) for b in sorted(more[a]) if {a, b} <= result.ancestors(bad[0])]
        raise VocabularyError(
            f"expected curated disjointness without contradictions, found {bad[0]} below {pairs}"
        )
    return result


def _with_rigidity(ontology: Ontology) -> Ontology:
    name_of_class = _curated_names(ontology)
    found = {name_of_class(name): value for name, value in RIGIDITY[ontology.name].items()}
    return Ontology(ontology.name, tuple(replace(t, rigidity=found.get(t.name)) for t in ontology))


def _curated_names(ontology: Ontology) -> Callable[[str], str]:
    """The name of a class as `curation` writes it: by its label in ``cco``, else without prefix."""
    classes = [term for term in ontology if term.kind == "class"]
    if ontology.name == "cco":
        names = {term.label.replace(" ", "_"): term.name for term in classes}
    else:
        names = {local_name(term.name): term.name for term in classes}

    def name(curated: str) -> str:
        if curated not in names:
            raise VocabularyError(f"expected a class of {ontology.name!r} in curation, found {curated!r}")
        return names[curated]

    return name


def _packed(term: Term) -> list[Any]:
    letter = next(letter for letter, kind in KINDS.items() if kind == term.kind)
    label = "" if term.label == words(local_name(term.name)) else term.label
    row: list[Any] = [term.name, letter, label, term.description, term.parents, term.domain, term.range]
    row += [term.disjoint, term.rigidity or ""]
    while not row[-1]:
        row.pop()
    return row


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
