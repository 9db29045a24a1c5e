from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from aegir_dspy.errors import InputError, VocabularyError
from aegir_dspy.ontology.axioms import (
    Cardinality,
    HasKey,
    Named,
    Some,
    SubClass,
)
from aegir_dspy.ontology.catalog import FAMILIES, Catalog, Slot, Template, load_catalog, slot_problems
from aegir_dspy.ontology.composition import Entry
from aegir_dspy.ontology.manchester import parse_axioms, render_axiom
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.satisfiability import unsatisfiable_classes
from aegir_dspy.ontology.verbalise import plain_label, verbalise, verbalise_entry

CATALOG = load_catalog()
SCHEMA = load_ontology("schema")
each_template = pytest.mark.parametrize("template", CATALOG, ids=CATALOG.ids)


def kind_of(name: str) -> str | None:
    term = SCHEMA.get(name)
    return term.kind if term else None


def example(template: Template) -> Entry:
    return Entry(template.id, template.example)


def entry(id: str, **slots: str) -> Entry:
    return Entry(id, tuple(slots.items()))


def codes(made: Entry) -> list[tuple[str, str]]:
    problems = slot_problems(CATALOG[made.template], made, kind_of, SCHEMA.is_a)
    return [(problem.slot, problem.code) for problem in problems]


def test_there_are_enough_templates_in_every_family() -> None:
    assert len(CATALOG) >= 80
    assert set(CATALOG.families) == set(FAMILIES)
    assert all(len(templates) >= 8 for templates in CATALOG.families.values())
    assert sum(template.complex for template in CATALOG) >= 50
    assert len(set(CATALOG.ids)) == len(CATALOG)


def test_no_template_is_a_copy_of_another() -> None:
    """Equal once slots are named by their position, with the same types and bounds: a copy."""
    alike = defaultdict(list)
    for template in CATALOG:
        numbered = tuple((slot.name, str(at)) for at, slot in enumerate(template.slots))
        shape = CATALOG.instantiate(Entry(template.id, numbered))
        alike[shape, tuple((s.type, s.bound) for s in template.slots)].append(template.id)
    assert [ids for ids in alike.values() if len(ids) > 1] == []
    assert max(Counter(template.verbalisation for template in CATALOG).values()) == 1


@each_template
def test_examples_are_well_typed_and_possible(template: Template) -> None:
    assert codes(example(template)) == []
    verdict = unsatisfiable_classes(CATALOG.instantiate(example(template)), SCHEMA)
    assert verdict.ok, verdict
    named = {slot.bound for slot in template.slots if slot.type != "Integer"} | {template.anchor_class}
    assert all(name in SCHEMA for name in named - {""})


@each_template
def test_templates_mean_their_text(template: Template) -> None:
    """Putting fillers into the parsed pattern is reading the text with the fillers in it."""
    text = template.manchester
    for (name, filler), slot in zip(template.example, template.slots, strict=True):
        declared = f"{{{name}:{slot.type}:{slot.bound}}}" if slot.bound else f"{{{name}:{slot.type}}}"
        assert text.count(declared) == 1
        text = text.replace(declared, filler).replace(f"{{{name}}}", filler)
    axioms = CATALOG.instantiate(example(template))
    assert axioms == parse_axioms(text)
    assert parse_axioms("\n".join(map(render_axiom, axioms))) == axioms


@each_template
def test_sentences_say_what_fills_the_slots(template: Template) -> None:
    sentence = verbalise_entry(template, example(template))
    assert "{" not in sentence and sentence.endswith(".") and sentence[0].isupper()
    for (_, filler), slot in zip(template.example, template.slots, strict=True):
        label = filler if slot.type == "Integer" else plain_label(filler)
        assert label.lower() in sentence.lower()
    assert " a a" not in sentence and "  " not in sentence


def test_slots_are_read_from_the_text() -> None:
    template = CATALOG["cardinality.between"]
    assert template.slots == (
        Slot("A", "Class"),
        Slot("p", "ObjectProperty"),
        Slot("low", "Integer", "0..100"),
        Slot("B", "Class"),
        Slot("high", "Integer", "1..100"),
    )
    assert template.slots[2].span == (0, 100) and template.anchor == "A" and template.complex
    assert not CATALOG["some.object"].complex
    kinds = [slot for slot in CATALOG["data_element.located_place"].slots if slot.bound]
    assert kinds[0] == Slot("Kind", "Class", "schema:Place")


def test_an_entry_becomes_its_axioms() -> None:
    made = entry("some.object", p="schema:author", B="schema:Person", A=":Order")
    assert CATALOG.instantiate(made) == (
        SubClass(Named(":Order"), Some("schema:author", Named("schema:Person"))),
    )
    assert CATALOG.ordered(made).slots == (("A", ":Order"), ("p", "schema:author"), ("B", "schema:Person"))
    counted = entry("cardinality.at_least", A=":Order", p="a:p", n="7", B=":Line")
    assert CATALOG.instantiate(counted) == (
        SubClass(Named(":Order"), Cardinality("min", "a:p", 7, Named(":Line"))),
    )
    key = CATALOG.instantiate(entry("key.required", A=":Order", d="a:number", D="xsd:string"))
    assert key[1] == HasKey(":Order", ("a:number",))


def test_fillers_are_names_and_never_syntax() -> None:
    odd = ":A SubClassOf: owl:Nothing Class: :B"
    (axiom,) = CATALOG.instantiate(entry("some.object", A=odd, p="{B}", B="{A}"))
    assert axiom == SubClass(Named(odd), Some("{B}", Named("{A}")))


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (entry("some.object", A=":A", p=":p"), "A, p"),
        (entry("some.object", A=":A", p=":p", B=":B", C=":C"), "A, p, B, C"),
        (entry("some.object"), "none"),
        (Entry("some.object", (("A", ":A"), ("p", ":p"), ("B", ":B"), ("B", ":C"))), "A, p, B, B"),
        (Entry("some.object", (("A", ":A"), ("p", ":p"), ("p", ":B"))), "A, p, p"),
        (entry("cardinality.at_least", A=":A", p=":p", n="1.5", B=":B"), "1.5"),
        (entry("cardinality.at_least", A=":A", p=":p", n="9" * 5000, B=":B"), "999"),
        (entry("cardinality.at_least", A=":A", p=":p", n="-1", B=":B"), "-1"),
    ],
)
def test_slots_that_do_not_fit_are_refused(made: Entry, found: str) -> None:
    with pytest.raises(InputError, match=r"expected .* found") as caught:
        CATALOG.instantiate(made)
    assert found in str(caught.value).partition("found")[2]


def test_unknown_templates_are_refused() -> None:
    with pytest.raises(VocabularyError, match=r"expected a template of the catalog .* found 'some.thing'"):
        CATALOG.instantiate(entry("some.thing"))
    assert CATALOG.get("some.thing") is None and "some.thing" not in CATALOG and "some.object" in CATALOG


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (entry("some.object", A="schema:Book", p="schema:author"), [("B", "missing")]),
        (
            entry("some.object", A="schema:Book", p="schema:author", B="schema:Person", X="schema:Y"),
            [("X", "extra")],
        ),
        (entry("some.object", A=" ", p="schema:author", B="schema:Person"), [("A", "empty")]),
        (entry("some.object", A="schema:Buch", p="schema:author", B="schema:Person"), [("A", "unknown")]),
        (
            entry("some.object", A="schema:author", p="schema:isbn", B="xsd:string"),
            [("A", "type"), ("p", "type"), ("B", "type")],
        ),
        (entry("some.data", A="schema:Book", d="schema:isbn", D="xsd:string"), []),
        (entry("some.data", A="owl:Thing", d="schema:isbn", D="xsd:text"), [("D", "unknown")]),
        (entry("subclass.individual", x="schema:InStock", A="schema:ItemAvailability"), []),
        (
            entry("cardinality.at_least", A="schema:Book", p="schema:author", n="0", B="schema:Person"),
            [("n", "bound")],
        ),
        (
            entry("cardinality.at_least", A="schema:Book", p="schema:author", n="two", B="schema:Person"),
            [("n", "type")],
        ),
    ],
)
def test_slot_problems(made: Entry, expected: list[tuple[str, str]]) -> None:
    assert codes(made) == expected


def test_fillers_outside_their_bound_are_named() -> None:
    template = CATALOG["data_element.located_place"]
    fillers = dict(template.example) | {"Kind": "schema:Person"}
    made = Entry(template.id, tuple(fillers.items()))
    assert codes(made) == [("Kind", "bound")]
    (problem,) = slot_problems(template, made, kind_of, SCHEMA.is_a)
    assert "schema:Place" in problem.message and "schema:Person" in problem.message
    below = Entry(template.id, tuple((dict(template.example) | {"Kind": "schema:Beach"}).items()))
    assert codes(below) == []


def test_a_slot_filled_twice_is_a_problem() -> None:
    made = Entry("some.any", (("A", "schema:Book"), ("p", "schema:author"), ("p", "schema:editor")))
    assert codes(made) == [("p", "missing")]


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    assert len(CATALOG.sha256) == 64
    assert Catalog(CATALOG.templates[:-1]).sha256 != CATALOG.sha256
    assert Catalog(CATALOG.templates).sha256 == CATALOG.sha256
    assert load_catalog(write(tmp_path, [good()])).sha256 != CATALOG.sha256


def good(**changes: Any) -> dict[str, Any]:
    return {
        "id": "some.mine",
        "family": "some",
        "manchester": "Class: {A:Class} SubClassOf: {p:ObjectProperty} some {A}",
        "verbalisation": "Every {A} has a {p} of its kind.",
        "anchor": "A",
        "example": {"A": "schema:Person", "p": "schema:knows"},
    } | changes


def write(folder: Path, content: Any) -> Path:
    path = folder / "catalog.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_catalogs_of_the_user_are_read(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, [good()]))
    made = entry("some.mine", A=":A", p=":p")
    assert catalog.instantiate(made) == (SubClass(Named(":A"), Some(":p", Named(":A"))),)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[", "expected a readable catalog"),
        ("[" * 100_000, "expected a readable catalog"),
        ({}, "a JSON list of templates"),
        ([], "a JSON list of templates"),
        ([{"id": "some.mine"}], "template 1"),
        ([good(), good()], "'some.mine' twice"),
        ([good(family="sums")], "an id that begins with its family"),
        ([good(id="only.mine")], "an id that begins with its family"),
        ([good(verbalisation="Every {A}.")], "in the verbalisation"),
        ([good(verbalisation="{A} {p} {q}")], "in the verbalisation"),
        ([good(anchor="B")], "an anchor among A, p"),
        ([good(example={"A": "schema:Person"})], "an example of them"),
        ([good(manchester="Class: {A:Class} SubClassOf: {p:ObjectProperty} some")], "line 1, column 53"),
        ([good(manchester="Class: {A:Class} SubClassOf: {p} some {A}")], "{name:Type}"),
        ([good(manchester="Class: {A:Klass} SubClassOf: {p:ObjectProperty} some {A}")], "expected a type"),
        ([good(manchester="Class: {A:Class} SubClassOf: {p:Class} some {A}")], "a slot for a property"),
        ([good(manchester="Class: {A:Class} SubClassOf: {p:ObjectProperty} max {p} {A}")], "for a number"),
        (
            [good(manchester="Class: {A:Class} SubClassOf: {A:Class} some {A}")],
            "once",
        ),
        ([good(manchester="Class: {A:Class} SubClassOf: :p max {p:Integer:one} {A}")], "such as 1..10"),
    ],
)
def test_bad_catalogs_are_refused(tmp_path: Path, content: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        load_catalog(write(tmp_path, content))
    message = str(caught.value)
    assert expected in message and "\n" not in message and "catalog.json" in message


def test_a_missing_catalog_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a readable catalog"):
        load_catalog(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "Class: a:Book SubClassOf: a:author some a:Person",
            "Every book has an author that is a person.",
        ),
        ("Class: :Order SubClassOf: a:line min 1", "Every order has at least 1 line."),
        ("Class: :Order DisjointWith: :Invoice", "No order is an invoice."),
        (
            "Class: :Order HasKey: a:number b:year",
            "No two of the class order share the same number and year.",
        ),
        ("DataProperty: a:price Range: xsd:decimal", "Whatever is a price of something is a decimal number."),
        (
            "Class: :A EquivalentTo: :B and (:C or :D)",
            "An a is precisely what is a b and (is a c or is a d).",
        ),
        ("Class: :Union SubClassOf: :Unit", "Every union is a unit."),
        ("Class: :Order SubClassOf: a:p some (not :User)", "Every order has a p that is not a user."),
        ("Class: :Order SubClassOf: a:p value a:urn", "Every order has urn as p."),
        ("Class: (a:p some :Umbrella) SubClassOf: :B", "Whatever has a p that is an umbrella also is a b."),
    ],
)
def test_axioms_in_english(text: str, sentence: str) -> None:
    (axiom,) = parse_axioms(text)
    assert verbalise(axiom) == sentence


def test_names_are_given_labels() -> None:
    labels = {":Order": "Auftrag", "schema:customer": "Kunde", "schema:Person": "Person"}
    made = entry("some.object", A=":Order", p="schema:customer", B="schema:Person")
    assert verbalise_entry(CATALOG["some.object"], made, labels.__getitem__) == (
        "Every Auftrag has a Kunde that is a Person."
    )
    (axiom,) = CATALOG.instantiate(made)
    assert verbalise(axiom, labels.__getitem__) == "Every Auftrag has a Kunde that is a Person."
