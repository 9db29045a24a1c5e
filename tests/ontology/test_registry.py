import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegir_dspy.errors import VocabularyError
from aegir_dspy.ontology import curation
from aegir_dspy.ontology.build import build, pack
from aegir_dspy.ontology.files import read_files
from aegir_dspy.ontology.graph import first_sentence
from aegir_dspy.ontology.names import words
from aegir_dspy.ontology.registry import ONTOLOGIES, contradictory, iri_of, load_ontology, name_of
from aegir_dspy.ontology.terms import PREFIXES, Ontology, Term
from aegir_dspy.ontology.vocabulary import VOCABULARIES, load_vocabulary

SOURCES = Path(__file__).parents[2].parent / "shared" / "data" / "ontologies"
ASSETS = Path(__file__).parents[2] / "aegir_dspy" / "assets"

SHOP = """@prefix shop: <https://shop.example/terms#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix schema: <https://schema.org/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
shop:Order a owl:Class ; rdfs:subClassOf schema:Order ; rdfs:label "order"@en , "Auftrag"@de ;
    rdfs:comment "A purchase. It has lines." ; owl:disjointWith shop:Line .
shop:Line a owl:Class .
shop:Rush rdfs:subClassOf shop:Order .
shop:line a owl:ObjectProperty ; rdfs:domain shop:Order ; rdfs:range shop:Line .
shop:total a owl:DatatypeProperty ; rdfs:range xsd:decimal ;
    rdfs:domain [ a owl:Class ; owl:unionOf ( shop:Order shop:Line ) ] .
shop:first a shop:Rush .
"""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


# --- built in


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_every_iri_of_a_vocabulary_has_a_term(vocabulary: str) -> None:
    ontology = load_ontology("dbpedia" if vocabulary == "dbpedia" else "schema")
    iris = [label.iri for label in load_vocabulary(vocabulary) if label.iri]
    assert len(iris) > 30
    assert [iri for iri in iris if (name_of(iri) or "") not in ontology] == []


@pytest.mark.parametrize("name", ONTOLOGIES)
def test_no_class_is_contradictory_and_all_references_are_terms(name: str) -> None:
    ontology = load_ontology(name)
    assert contradictory(ontology) == ()
    for term in ontology:
        assert {*term.parents, *term.domain, *term.range, *term.disjoint} <= {t.name for t in ontology}
        assert term.label
        assert all(term.name in ontology[other].disjoint for other in term.disjoint), term.name
    assert [t.name for t in ontology] == sorted({t.name for t in ontology})
    assert sum(bool(t.disjoint) for t in ontology) > 20


@pytest.mark.parametrize("name", ONTOLOGIES)
def test_nothing_rigid_lies_below_anything_anti_rigid(name: str) -> None:
    ontology = load_ontology(name)
    kinds = {t.name: t.rigidity for t in ontology if t.rigidity}
    assert sum(kind == "rigid" for kind in kinds.values()) >= 17
    assert sum(kind == "anti-rigid" for kind in kinds.values()) >= 4
    for term in ontology:
        if term.rigidity == "rigid":
            assert not any(kinds.get(above) == "anti-rigid" for above in ontology.ancestors(term.name))


def test_schema_says_what_schema_org_says() -> None:
    schema = load_ontology()
    assert schema is load_ontology("schema")
    assert schema.is_a("schema:Restaurant", "schema:Place")
    assert schema.is_a("schema:Restaurant", "schema:Organization")
    assert schema.disjoint("schema:Movie", "schema:Person")
    assert schema.disjoint("schema:Restaurant", "schema:Person")
    assert not schema.disjoint("schema:Book", "schema:Product")
    assert not schema.disjoint("schema:LocalBusiness", "schema:Place")
    assert schema["schema:author"].kind == "object_property"
    assert schema["schema:birthDate"].kind == "data_property"
    assert schema["schema:birthDate"].range == ("xsd:date",)
    assert schema["schema:weight"].kind == "object_property"
    assert schema["schema:Date"].kind == "datatype"
    assert schema["schema:Mass"].parents == ("schema:Quantity",)
    assert schema["schema:InStock"].kind == "individual"
    assert schema["schema:InStock"].parents == ("schema:ItemAvailability",)
    assert schema["aegir:IBAN"].parents == ("schema:PropertyValue",)
    assert schema["schema:Patient"].rigidity == "anti-rigid"
    assert "<" not in "".join(t.description for t in schema if t.kind == "class")


def test_dbpedia_and_cco_have_their_hierarchies() -> None:
    dbpedia, cco = load_ontology("dbpedia"), load_ontology("cco")
    assert dbpedia.is_a("dbo:SoccerPlayer", "dbo:Person")
    assert dbpedia.disjoint("dbo:Film", "dbo:City")
    assert dbpedia["dbo:birthDate"].range == ("xsd:date",)
    person = next(t for t in cco if t.label == "Person")
    assert cco.is_a(person.name, "bfo:BFO_0000040")
    assert cco.disjoint(person.name, "bfo:BFO_0000015")


def test_loading_is_fast_and_small() -> None:
    code = (
        "import time; from aegir_dspy.ontology.registry import load_ontology; a = time.process_time(); "
        "load_ontology(); b = time.process_time(); import sys; print(b - a, 'rdflib' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)
    ]
    assert min(float(seconds) for seconds, _ in runs) < 0.06
    assert {rdflib for _, rdflib in runs} == {"False"}
    assert sum((ASSETS / f"ontology_{name}.json").stat().st_size for name in ONTOLOGIES) < 1_200_000


@pytest.mark.parametrize("name", ONTOLOGIES)
def test_the_files_hold_one_term_a_line(name: str) -> None:
    lines = (ASSETS / f"ontology_{name}.json").read_text("utf-8").splitlines()
    rows = [json.loads(line.rstrip(",")) for line in lines[1:-1]]
    assert len(rows) == len(json.loads("\n".join(lines))["terms"])


@pytest.mark.skipif(not SOURCES.is_dir(), reason="the ontology sources are not beside the repository")
@pytest.mark.parametrize("name", ONTOLOGIES)
def test_the_files_are_what_the_build_makes(name: str) -> None:
    assert pack(build(name, SOURCES)) == (ASSETS / f"ontology_{name}.json").read_text("utf-8")


def test_the_build_refuses_curation_that_contradicts(monkeypatch: pytest.MonkeyPatch) -> None:
    from aegir_dspy.ontology import build as module

    schema = load_ontology()
    monkeypatch.setitem(curation.DISJOINT, "schema", (("Organization", "Place"),))
    monkeypatch.setattr(module, "DISJOINT", curation.DISJOINT)
    bare = Ontology("schema", tuple(Term(t.name, t.kind, parents=t.parents) for t in schema))
    with pytest.raises(VocabularyError, match="without contradictions, found schema:"):
        module._with_disjoint(bare)


def test_the_build_command_tells_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    from aegir_dspy.ontology.build import main

    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


# --- names


@given(st.sampled_from(sorted(PREFIXES)), st.from_regex(r"[A-Za-z0-9_]{1,12}", fullmatch=True))
def test_names_and_iris_round_trip(prefix: str, local: str) -> None:
    assert name_of(iri_of(f"{prefix}:{local}")) == f"{prefix}:{local}"


def test_names_that_cannot_be() -> None:
    assert name_of("http://schema.org/Book") == "schema:Book"
    assert name_of("https://schema.org/Book/x") is None
    assert name_of("https://example.org/a") is None
    assert name_of("https://schema.org/") is None
    assert iri_of("<https://example.org/a>") == "https://example.org/a"
    with pytest.raises(VocabularyError, match="prefixes aegir, bfo"):
        iri_of(":Order")
    with pytest.raises(VocabularyError, match="nope:x"):
        iri_of("nope:x")


def test_words_of_local_names() -> None:
    assert [words(w) for w in ("LocalBusiness", "TVEpisode", "URL", "birthDate", "gtin13")] == [
        "local business",
        "TV episode",
        "URL",
        "birth date",
        "gtin13",
    ]


def test_first_sentence_drops_markup() -> None:
    assert (
        first_sentence("A [[Book]], e.g. <b>this</b> [one](http://x). Another.") == "A Book, e.g. this one."
    )
    assert len(first_sentence("word " * 100)) <= 141


# --- files of the user


def test_a_turtle_file(tmp_path: Path) -> None:
    shop = load_ontology(write(tmp_path, "shop.ttl", SHOP))
    assert shop.name == "shop"
    order = shop["shop:Order"]
    assert (order.label, order.description, order.disjoint) == ("order", "A purchase.", ("shop:Line",))
    assert shop.is_a("shop:Rush", "schema:Intangible")
    assert shop["shop:line"].range == ("shop:Line",)
    assert shop["shop:total"].domain == ("shop:Line", "shop:Order")
    assert shop["shop:total"].range == ("xsd:decimal",)
    assert shop["shop:first"].parents == ("shop:Rush",)
    assert iri_of("shop:Order", shop) == "https://shop.example/terms#Order"
    assert name_of("https://shop.example/terms#Order", shop) == "shop:Order"


@pytest.mark.parametrize(
    ("suffix", "form"), [(".nt", "nt"), (".rdf", "xml"), (".owl", "xml"), (".owl", "turtle")]
)
def test_other_formats_say_the_same(tmp_path: Path, suffix: str, form: str) -> None:
    from rdflib import Graph

    graph = Graph().parse(data=SHOP, format="turtle")
    other = load_ontology(write(tmp_path, f"x{suffix}", graph.serialize(format=form)))
    shop = load_ontology(write(tmp_path, "x.ttl", SHOP))
    prefix = other.prefixes[0][0]
    text = json.dumps([repr(t) for t in other]).replace(f"{prefix}:", "shop:")
    assert sorted(json.loads(text)) == sorted(repr(t) for t in shop)


def test_json_ld(tmp_path: Path) -> None:
    document = {
        "@context": {"owl": PREFIXES["owl"], "rdfs": PREFIXES["rdfs"], "label": "rdfs:label"},
        "@id": "https://a.example/v/Order",
        "@type": "owl:Class",
        "label": "order",
    }
    ontology = load_ontology(write(tmp_path, "a.jsonld", json.dumps(document)))
    assert ontology["v:Order"].label == "order"


def test_schema_together_with_a_file(tmp_path: Path) -> None:
    both = load_ontology(["schema", write(tmp_path, "shop.ttl", SHOP)])
    assert both.name == "schema+shop"
    assert both.is_a("shop:Order", "schema:Order")
    assert "schema:Movie" in both
    assert iri_of("shop:Order", both).startswith("https://shop.example")


BROKEN = [
    ("a.ttl", "@prefix a: <http://a/> .\n\na:b a:c d:e .\n", r"Turtle at .*a\.ttl:3, found .*d:.*not bound"),
    ("a.ttl", '@prefix a: <http://a/> .\na:b a:c "open .\n', r"Turtle at .*a\.ttl:\d"),
    ("a.nt", "<http://a/b> <http://a/c> .\n", r"Turtle at .*a\.nt:1"),
    ("a.rdf", "<?xml version='1.0'?>\n<a>\n<b></a>", r"RDF/XML at .*a\.rdf:3, found mismatched tag"),
    ("a.jsonld", '{"@id":\n}', r"JSON-LD at .*a\.jsonld:2"),
    ("a.jsonld", '{\n"@context": "https://schema.org/"}', r"a\.jsonld:2, found the address"),
    ("a.jsonld", '{"@context": [{}, "http://x"]}', r"found the address 'http://x'"),
    ("a.jsonld", "[" * 100_000, r"a\.jsonld, found brackets nested too deep"),
    ("a.ttl", "", "at least one class"),
    ("a.ttl", "<http://a/b> <http://a/c> <http://a/d> .", "at least one class"),
    ("a.ttl", "a\0b", "binary data"),
    ("a.txt", "", r"expected an ontology file \(\.ttl"),
    ("a.ttl", "<http://a/b> a", r"a\.ttl:1"),
    (
        "a.ttl",
        f"@prefix owl: <{PREFIXES['owl']}> . @prefix rdf: <{PREFIXES['rdf']}> .\n"
        "<http://a/A> a owl:Class ; owl:equivalentClass [ owl:unionOf _:l ] .\n"
        "_:l rdf:first <http://a/B> ; rdf:rest _:l . [] a owl:AllDisjointClasses ; owl:members _:l .",
        r"no list in itself in .*a\.ttl",
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_broken_files_are_errors_with_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(VocabularyError, match=message) as caught:
        load_ontology(write(tmp_path, name, text))
    assert "\n" not in str(caught.value)


def test_not_utf8_and_missing_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.ttl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(VocabularyError, match="not UTF-8"):
        load_ontology(tmp_path / "a.ttl")
    with pytest.raises(VocabularyError, match=r"built-in ontology \(schema, dbpedia, cco\).*no such file"):
        load_ontology("schemaorg")
    with pytest.raises(VocabularyError, match="a folder"):
        load_ontology(tmp_path)
    with pytest.raises(VocabularyError, match="an empty list"):
        load_ontology([])


def ontology_file(name: str, *imports: str) -> str:
    lines = [f"@prefix owl: <{PREFIXES['owl']}> .", f"<https://x.example/{name}> a owl:Ontology ."]
    lines += [f"<https://x.example/{name}> owl:imports <{iri}> ." for iri in imports]
    return "\n".join([*lines, f"<https://x.example/{name}#C> a owl:Class .", ""])


def test_a_cycle_of_imports_is_an_error_with_its_place(tmp_path: Path) -> None:
    a = write(tmp_path, "a.ttl", ontology_file("a", "https://x.example/b"))
    b = write(tmp_path, "b.ttl", ontology_file("b", "https://x.example/c"))
    c = write(tmp_path, "c.ttl", ontology_file("c", "a.ttl"))
    with pytest.raises(VocabularyError, match=r"a\.ttl:3 imports b\.ttl, .*c\.ttl:3 imports a\.ttl"):
        load_ontology([a, b, c])
    with pytest.raises(VocabularyError, match=r"s\.ttl:3 imports s\.ttl"):
        load_ontology(write(tmp_path, "s.ttl", ontology_file("s", "https://x.example/s")))
    assert "a:C" in load_ontology([a, b])


def test_an_import_is_not_followed_but_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_ontology(write(tmp_path, "a.ttl", ontology_file("a", "https://x.example/b")))
    assert re.search(r"a\.ttl:3 imports https://x.example/b, which is not followed", caplog.text)


def test_a_cycle_of_classes_is_tolerated(tmp_path: Path) -> None:
    rdfs = PREFIXES["rdfs"]
    text = f"@prefix r: <{rdfs}> . @prefix a: <http://a/> . a:A r:subClassOf a:B . a:B r:subClassOf a:A ."
    ontology = load_ontology(write(tmp_path, "a.ttl", text))
    assert ontology.is_a("a:A", "a:B")
    assert ontology.is_a("a:B", "a:A")


def test_no_file_outside_is_read(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret.txt", "hidden words")
    text = (
        f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'
        f'<r:RDF xmlns:r="{PREFIXES["rdf"]}" xmlns:s="{PREFIXES["rdfs"]}">'
        '<s:Class r:about="http://a/A"><s:label>x&s;</s:label></s:Class></r:RDF>'
    )
    try:
        labels = [t.label for t in load_ontology(write(tmp_path, "a.rdf", text))]
    except VocabularyError as error:
        labels = [str(error)]
    assert not any("hidden" in label for label in labels)


def test_prefixes_that_clash_and_names_that_need_escapes(tmp_path: Path) -> None:
    text = (
        f"@prefix schema: <https://mine.example/s#> . @prefix : <https://mine.example/24/> . "
        f"@prefix owl: <{PREFIXES['owl']}> . schema:A a owl:Class . :B a owl:Class . <urn:x:y> a owl:Class . "
        "<https://mine.example/s#a%20b> a owl:Class ."
    )
    ontology = load_ontology(write(tmp_path, "my file.ttl", text))
    own = [t.name for t in ontology if t.kind == "class"]
    assert own == ["<https://mine.example/s#a%20b>", "<urn:x:y>", "example:B", "schema2:A"]
    assert [iri_of(name, ontology) for name in own][2:] == [
        "https://mine.example/24/B",
        "https://mine.example/s#A",
    ]


SNIPPETS = st.lists(st.sampled_from([*re.findall(r"\S+|\s", SHOP), *'[]()"<\\é\x01']))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(SNIPPETS.map(" ".join), st.text(), st.tuples(st.integers(0, len(SHOP)), st.text(max_size=3)))
)
def test_any_text_is_an_ontology_or_an_error(
    tmp_path: Path, within: Callable[..., None], text: str | tuple[int, str]
) -> None:
    if isinstance(text, tuple):
        text = SHOP[: text[0]] + text[1] + SHOP[text[0] + 1 :]
    path = tmp_path / "a.ttl"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    def outcome() -> None:
        try:
            assert len(read_files([path])) > 0
        except VocabularyError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)

    within(2, outcome)
