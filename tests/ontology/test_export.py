from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import rdflib
from hypothesis import given
from hypothesis import strategies as st
from rdflib.collection import Collection
from rdflib.compare import isomorphic
from rdflib.namespace import OWL, RDF, RDFS, SH, XSD

from aegir_dspy.errors import InputError, VocabularyError
from aegir_dspy.ontology.axioms import (
    THING,
    And,
    Axiom,
    Cardinality,
    Disjoint,
    Domain,
    Equivalent,
    Functional,
    HasKey,
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
from aegir_dspy.ontology.catalog import load_catalog
from aegir_dspy.ontology.composition import (
    ColumnType,
    Composition,
    Element,
    Entry,
    Member,
    OwnTerm,
    Related,
    TableTypes,
)
from aegir_dspy.ontology.export import to_jsonld, to_manchester, to_shacl, to_turtle
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.satisfiability import unsatisfiable_classes
from aegir_dspy.tables.table import Column, Table

SCHEMA = rdflib.Namespace("https://schema.org/")
CSVW = rdflib.Namespace("http://www.w3.org/ns/csvw#")
AX = rdflib.Namespace("https://w3id.org/aegir/vocab#")
A, B, C = Named(":A"), Named(":B"), Named("schema:Book")
TEXT = Named("xsd:string")

AXIOMS: tuple[Axiom, ...] = (
    SubClass(A, And((B, Some(":p", Or((C, Not(A))))))),
    SubClass(A, And((Only(":d", TEXT), Cardinality("exactly", ":d", 1, TEXT)))),
    SubClass(A, Cardinality("min", ":p", 2, B)),
    SubClass(Some(":p", B), Value(":p", ":i")),
    Equivalent(And((A, C)), B),
    Equivalent(Or((A, B)), And((A, C))),
    Disjoint((A, C)),
    Disjoint((A, B, Named(":D"))),
    Disjoint((Not(A), And((A, B)))),
    Domain(":p", Or((A, B))),
    Range(":d", Or((TEXT, Not(Named("xsd:decimal"))))),
    Range(":p", B),
    Functional(":d"),
    Functional(":p"),
    SubProperty(":q", ":p"),
    HasKey(":A", (":d", ":p")),
    HasKey(":A", (":q",)),
    Instance(":i", And((A, Not(B)))),
    SubClass(B, Cardinality("max", ":d", 3, THING)),
)


class Given:
    """A catalog whose only template states the axioms given."""

    def __init__(self, axioms: tuple[Axiom, ...] = AXIOMS) -> None:
        self._axioms = axioms

    def instantiate(self, entry: Entry) -> tuple[Axiom, ...]:
        return self._axioms


ENTRY = (Entry("given", ()),)
TABLE = Table(
    "or ders",
    "data/or ders.csv",
    (
        Column(0, 'ti"tle', ("Dune", "Emma")),
        Column(1, "land", ("DE", "")),
        Column(2, None, ("x",)),
        Column(3, "score", ("3", "4"), inferred_type="integer"),
    ),
)
COMPOSITION = Composition(
    tables=(
        TableTypes(
            "or ders",
            (
                ColumnType(0, "Book/name", confidence=1 / 3),
                ColumnType(1, "Country"),
                ColumnType(2, None, "too few cells"),
                ColumnType(3, "Rating"),
            ),
            (Related(0, 1, "schema:countryOfOrigin"),),
            subject=0,
            term="schema:Book",
        ),
    ),
    elements=(Element("work", (Member("or ders", 0), Member("or ders", 3))),),
    terms=(
        OwnTerm(":A", "class", 'An "A"\n\\ and', "line\r\nline\ttab"),
        OwnTerm(":d", "data_property", "d"),
    ),
    axioms=ENTRY,
)


def turtle(text: str) -> rdflib.Graph:
    return rdflib.Graph().parse(data=text, format="turtle")


def jsonld(text: str) -> rdflib.Graph:
    return rdflib.Graph().parse(data=text, format="json-ld")


def own(graph: rdflib.Graph) -> rdflib.Namespace:
    (document,) = graph.subjects(RDF.type, OWL.Ontology)
    return rdflib.Namespace(f"{document}#")


@pytest.fixture(scope="module")
def graph() -> rdflib.Graph:
    return turtle(to_turtle(COMPOSITION, Given(), tables=[TABLE], ontology=load_ontology()))


def test_turtle_and_jsonld_are_the_same_graph(graph: rdflib.Graph) -> None:
    text = to_jsonld(COMPOSITION, Given(), tables=[TABLE], ontology=load_ontology())
    assert isomorphic(graph, jsonld(text))
    assert "@context" in json.loads(text)


def test_declarations_and_labels(graph: rdflib.Graph) -> None:
    space = own(graph)
    assert (space.A, RDF.type, OWL.Class) in graph
    assert (space.p, RDF.type, OWL.ObjectProperty) in graph
    assert (space.d, RDF.type, OWL.DatatypeProperty) in graph
    assert (space.i, RDF.type, OWL.NamedIndividual) in graph
    assert (space.A, RDFS.label, rdflib.Literal('An "A"\n\\ and')) in graph
    assert (space.A, RDFS.comment, rdflib.Literal("line\r\nline\ttab")) in graph
    assert (SCHEMA.Book, RDFS.label, rdflib.Literal("book")) in graph


def test_axioms_by_the_mapping_to_rdf(graph: rdflib.Graph) -> None:
    space = own(graph)
    assert (space.A, OWL.disjointWith, SCHEMA.Book) in graph
    assert (space.q, RDFS.subPropertyOf, space.p) in graph
    assert (space.d, RDF.type, OWL.FunctionalProperty) in graph
    keys = {tuple(Collection(graph, key)) for key in graph.objects(space.A, OWL.hasKey)}
    assert keys == {(space.d, space.p), (space.q,)}
    (exact,) = graph.subjects(OWL.qualifiedCardinality)
    assert graph.value(exact, OWL.onDataRange) == XSD.string
    count = graph.value(exact, OWL.qualifiedCardinality)
    assert isinstance(count, rdflib.Literal)
    assert count.datatype == XSD.nonNegativeInteger
    (most,) = graph.subjects(OWL.maxQualifiedCardinality)
    assert graph.value(most, OWL.onDataRange) == RDFS.Literal
    (together,) = graph.subjects(RDF.type, OWL.AllDisjointClasses)
    members = graph.value(together, OWL.members)
    assert members is not None
    assert set(Collection(graph, members)) == {space.A, space.B, space.D}
    general = [s for s in graph.subjects(RDFS.subClassOf) if isinstance(s, rdflib.BNode)]
    assert [graph.value(s, OWL.someValuesFrom) for s in general] == [space.B]
    assert {graph.value(None, OWL.hasValue), *graph.objects(None, OWL.hasValue)} == {None, space.i}
    (range_,) = graph.objects(space.d, RDFS.range)
    assert (range_, RDF.type, RDFS.Datatype) in graph


def test_tables_columns_and_elements(graph: rdflib.Graph) -> None:
    (table,) = graph.subjects(RDF.type, CSVW.Table)
    assert graph.value(table, CSVW.url) == rdflib.Literal("data/or ders.csv", datatype=XSD.anyURI)
    assert graph.value(table, AX.rowClass) == SCHEMA.Book
    schema = graph.value(table, CSVW.tableSchema)
    listed = graph.value(schema, CSVW.column)
    assert listed is not None
    title, land, nothing, score = Collection(graph, listed)
    assert graph.value(title, CSVW.title) == rdflib.Literal('ti"tle')
    assert graph.value(title, AX.type) == SCHEMA.Book
    assert str(graph.value(title, AX.confidence)) == "0.333333"
    assert str(graph.value(land, CSVW.propertyUrl)) == str(SCHEMA.countryOfOrigin)
    assert graph.value(land, AX.relatedTo) == title
    assert graph.value(nothing, AX.abstained) == rdflib.Literal("too few cells")
    assert graph.value(nothing, AX.label) is None
    assert graph.value(score, CSVW.datatype) == XSD.integer
    (element,) = graph.subjects(RDF.type, AX.DataElement)
    assert set(graph.objects(element, AX.member)) == {title, score}


def test_shapes() -> None:
    text = to_shacl(COMPOSITION, tables=[TABLE], ontology=load_ontology())
    shapes = turtle(text)
    (shape,) = shapes.subjects(RDF.type, SH.NodeShape)
    assert shapes.value(shape, SH.targetClass) == SCHEMA.Book
    by_order = {int(str(shapes.value(p, SH.order))): p for p in shapes.objects(shape, SH.property)}
    assert sorted(by_order) == [0, 1, 3]
    assert shapes.value(by_order[1], SH.path) == SCHEMA.countryOfOrigin
    assert shapes.value(by_order[0], SH.minCount) == rdflib.Literal(1)
    assert shapes.value(by_order[1], SH.minCount) is None
    assert all(shapes.value(p, SH.maxCount) == rdflib.Literal(1) for p in by_order.values())
    assert shapes.value(by_order[1], SH.datatype) == XSD.string
    assert shapes.value(by_order[1], AX.unique) == rdflib.Literal(False)
    assert len({shapes.value(p, SH.path) for p in by_order.values()}) == 3


def test_columns_with_one_property_do_not_share_a_path() -> None:
    table = TableTypes("t", (ColumnType(0, "Book/description"), ColumnType(1, "Book/description")))
    shapes = turtle(to_shacl(Composition(tables=(table,))))
    assert len(set(shapes.objects(None, SH.path))) == 2
    one = turtle(to_shacl(Composition(tables=(replace(table, columns=table.columns[:1]),))))
    assert set(one.objects(None, SH.path)) == {SCHEMA.description}


def test_every_template_of_the_catalog_is_exported() -> None:
    catalog, ontology = load_catalog(), load_ontology()
    entries = tuple(Entry(template.id, template.example) for template in catalog)
    composition = Composition(axioms=entries)
    first = turtle(to_turtle(composition, catalog, ontology=ontology))
    second = jsonld(to_jsonld(composition, catalog, ontology=ontology))
    assert len(first) == len(second) > 1_000
    text = to_manchester(composition, catalog, ontology=ontology)
    assert all(f"{word}:" in text for word in ("SubClassOf", "EquivalentTo", "HasKey", "DisjointClasses"))


def test_bytes_depend_on_the_content_only() -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests/ontology')\n"
        "from test_export import *\n"
        "o = load_ontology(); print(to_turtle(COMPOSITION, Given(), tables=[TABLE], ontology=o))\n"
        "print(to_jsonld(COMPOSITION, Given(), ontology=o), to_manchester(COMPOSITION, Given()))\n"
        "print(to_shacl(COMPOSITION))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ".", "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "5")
    }
    assert len(outputs) == 1
    again = replace(COMPOSITION, comment="something else")
    assert to_turtle(again, Given()) == to_turtle(COMPOSITION, Given())
    other = replace(COMPOSITION, ontology="dbpedia")
    assert own(turtle(to_turtle(other, Given()))) != own(turtle(to_turtle(COMPOSITION, Given())))


def test_what_cannot_be_exported_is_said() -> None:
    with pytest.raises(VocabularyError, match="nowhere:X"):
        to_turtle(Composition(axioms=ENTRY), Given((SubClass(A, Named("nowhere:X")),)))
    with pytest.raises(VocabularyError, match="template"):
        to_turtle(Composition(axioms=(Entry("no.such", ()),)), load_catalog())
    deep: And = And((A, B))
    for _ in range(40):
        deep = And((deep, B))
    with pytest.raises(InputError, match="deep"):
        to_manchester(Composition(axioms=ENTRY), Given((SubClass(A, deep),)))


anything = st.text(st.characters(), max_size=12)  # surrogates and control characters too


@given(anything, anything, anything, anything)
def test_odd_text_survives(label: str, header: str, table: str, term: str) -> None:
    composition = Composition(
        tables=(TableTypes(table, (ColumnType(0, None, label),)),),
        elements=(Element(table, (Member(table, 0),)),),
        terms=(OwnTerm(f":{term}", "class", label, header),),
        axioms=ENTRY,
    )
    axioms = (SubClass(Named(f":{term}"), Named(":\u202eA b<>\"'{}|\\^`%20\ud800\n")),)
    tables = [Table(table, header, (Column(0, header),))]
    text = to_turtle(composition, Given(axioms), tables=tables)
    text.encode("utf-8")
    first = turtle(text)
    second = jsonld(to_jsonld(composition, Given(axioms), tables=tables))
    assert isomorphic(first, second)
    shown = "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in label)
    assert not label or rdflib.Literal(shown) in set(first.objects(None, AX.abstained))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.serialize(format="nt", encoding="utf-8")
    turtle(to_shacl(composition, tables=tables))
    to_manchester(composition, Given(axioms)).encode("utf-8")


def test_different_names_have_different_iris() -> None:
    names = [":a b", ":a%20b", ":a/b", ":a%2Fb", ":a_b", ":\ud800", ":\ufffd", ":?"]
    axioms = tuple(SubClass(Named(name), A) for name in names)
    exported = turtle(to_turtle(Composition(axioms=ENTRY), Given(axioms)))
    assert len(set(exported.subjects(RDFS.subClassOf))) == len(names)


@pytest.mark.skipif(
    importlib.util.find_spec("owlready2") is None or shutil.which("java") is None,
    reason="owlready2 or Java is missing",
)
def test_other_tools_read_the_same_axioms(tmp_path: Path) -> None:
    import owlready2

    axioms = (
        *(SubClass(A, B), SubClass(Some(":p", B), C), SubClass(A, Some(":p", A)), Disjoint((A, C))),
        *(HasKey(":B", (":d", ":p")), Range(":d", TEXT), SubClass(Named(":D"), Some(":d", Named("xsd:int")))),
        Equivalent(Or((B, Named(":E"))), Not(And((B, Named(":E"))))),
    )
    expected = {name[1:] for name in unsatisfiable_classes(axioms).unsatisfiable}
    assert expected == {"A", "D"}
    composition = Composition(axioms=ENTRY, tables=COMPOSITION.tables)
    text = to_turtle(composition, Given(axioms), tables=[TABLE])
    (tmp_path / "a.ttl").write_text(text, encoding="utf-8")
    (tmp_path / "a.omn").write_text(to_manchester(composition, Given(axioms)), encoding="utf-8")
    folder = Path(owlready2.__file__).parent / "hermit"
    command = ["java", "-cp", f"{folder}:{folder / 'HermiT.jar'}", "org.semanticweb.HermiT.cli.CommandLine"]
    for name in ("a.ttl", "a.omn"):
        run = [*command, "-N", "-U", name]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
        found = {line.strip("<> \t").rpartition("#")[2] for line in done.stdout.splitlines()[1:]}
        assert found - {"Nothing"} == expected, name
    loaded = owlready2.World().get_ontology("http://example.org/x")
    triples = turtle(text).serialize(format="nt", encoding="utf-8")
    assert isinstance(triples, bytes)
    loaded.load(fileobj=io.BytesIO(triples))
    assert {c.name for c in loaded.classes()} >= {"A", "B", "D", "E"}
