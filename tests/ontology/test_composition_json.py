from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from aegir_dspy.errors import InputError
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
from aegir_dspy.ontology.composition_json import (
    FORMAT,
    MAX_AXIOMS,
    MAX_BYTES,
    MAX_ITEMS,
    MAX_TEXT,
    composition_schema,
    composition_to_json,
    dump_composition,
    parse_composition,
)
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.terms import Kind
from aegir_dspy.ontology.vocabulary import load_vocabulary

CATALOG, VOCABULARY, SCHEMA = load_catalog(), load_vocabulary("schema"), load_ontology("schema")
EXAMPLE = Composition(
    tables=(
        TableTypes(
            "orders",
            (
                ColumnType(0, "IdentifierAT"),
                ColumnType(1, "Person/name", confidence=0.75),
                ColumnType(2, None, "empty column"),
            ),
            (Related(0, 1, "schema:customer"),),
            subject=0,
            term=":Order",
        ),
        TableTypes("cards", (ColumnType(0, "CreditCardNumber"),)),
    ),
    elements=(Element("PaymentCard", (Member("orders", 2), Member("cards", 0))),),
    terms=(OwnTerm(":Order", "class", "Bestellung", "What a customer ordered; grüße, 注文."),),
    axioms=(
        Entry("subclass.named", (("A", ":Order"), ("B", "schema:Order"))),
        Entry("some.object", (("A", ":Order"), ("p", "schema:customer"), ("B", "schema:Person"))),
    ),
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
INDICES = st.integers(0, 999_999)
COLUMNS = st.builds(ColumnType, INDICES, st.none() | TEXTS, TEXTS, st.floats(0, 1))
TABLES = st.builds(
    TableTypes,
    TEXTS,
    st.lists(COLUMNS, max_size=4).map(tuple),
    st.lists(st.builds(Related, INDICES, INDICES, TEXTS), max_size=3).map(tuple),
    st.none() | INDICES,
    st.none() | TEXTS,
)
ELEMENTS = st.builds(Element, TEXTS, st.lists(st.builds(Member, TEXTS, INDICES), max_size=3).map(tuple))
OWN_NAMES = st.text("abcXYZ_019-", max_size=8).map(":_{}".format)
OWN = st.builds(OwnTerm, OWN_NAMES, st.sampled_from(get_args(Kind)), TEXTS, TEXTS)
ENTRIES = st.builds(Entry, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=4).map(lambda d: tuple(d.items())))
COMPOSITIONS: st.SearchStrategy[Any] = st.builds(
    Composition,
    st.lists(TABLES, max_size=3).map(tuple),
    st.lists(ELEMENTS, max_size=2).map(tuple),
    st.lists(OWN, max_size=2).map(tuple),
    st.lists(ENTRIES, max_size=3).map(tuple),
    TEXTS,
    TEXTS,
    TEXTS,
)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | OWN_NAMES | st.sampled_from([0.5, -0.5, 1e400])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PLAIN_SCHEMA = Draft202012Validator(composition_schema())


@given(COMPOSITIONS)
def test_what_is_written_is_read(composition: Composition) -> None:
    text = dump_composition(composition)
    for form in (text, text.encode(), composition_to_json(composition), dump_composition(composition, 2)):
        parsed = parse_composition(form)
        assert parsed.problems == ()
        assert parsed.composition == composition
        assert parsed.composition.comment == composition.comment
        assert dump_composition(parsed.composition) == text
    assert list(PLAIN_SCHEMA.iter_errors(json.loads(text))) == []


@given(st.text() | VALUES.map(json.dumps) | st.integers(0, 6000).map("1".__mul__))
def test_any_text_is_read_or_refused(text: str) -> None:
    parsed = parse_composition(text)
    assert (parsed.composition is None) == bool(parsed.problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    parsed = parse_composition(content)
    assert (parsed.composition is None) == bool(parsed.problems)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in items for place in places(one, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A deep copy in which `change(container, key)` was applied to one place."""
    copy = json.loads(json.dumps({"": value}))
    container, keys = copy, ("", *path)
    for key in keys[:-1]:
        container = container[key]
    change(container, keys[-1])
    return copy.get("")


@settings(max_examples=400)
@given(COMPOSITIONS, st.data(), VALUES)
def test_mutants_are_read_as_the_schema_says(composition: Composition, data: st.DataObject, new: Any) -> None:
    """A place of a composition replaced, removed or added to: parsed just if the schema admits it."""
    good = composition_to_json(composition)
    path = data.draw(st.sampled_from(places(good)))

    def replace(container: Any, key: Any) -> None:
        container[key] = new

    def remove(container: Any, key: Any) -> None:
        del container[key]

    def add(container: Any, key: Any) -> None:
        if isinstance(container[key], dict):
            container[key]["added"] = new
        elif isinstance(container[key], list):
            container[key].append(new)

    mutant = changed(good, path, data.draw(st.sampled_from([replace, remove, add])))
    parsed = parse_composition(mutant)
    assert (parsed.composition is None) == bool(parsed.problems)
    assert (parsed.problems == ()) == PLAIN_SCHEMA.is_valid(mutant)


@settings(max_examples=300)
@given(st.data())
def test_damaged_text_is_read_or_refused(data: st.DataObject) -> None:
    text = dump_composition(EXAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        until = min(len(text), at + data.draw(st.integers(0, 8)))
        text = text[:at] + data.draw(st.text('{}[]",:\\0-.eNaN\ud800\x00', max_size=4)) + text[until:]
    parsed = parse_composition(text)
    assert (parsed.composition is None) == bool(parsed.problems)
    if parsed.composition:
        assert parse_composition(dump_composition(parsed.composition)).composition == parsed.composition


def test_the_canonical_text_is_fixed() -> None:
    text = dump_composition(Composition(axioms=(Entry("t", (("b", "1"), ("a", "2"))),)))
    assert text == (
        '{"schema":"aegir.composition/1","ontology":"schema","vocabulary":"schema","comment":"","tables":[],'
        '"elements":[],"terms":[],"axioms":[{"template":"t","slots":{"b":"1","a":"2"}}]}'
    )
    assert parse_composition(dump_composition(EXAMPLE)).composition == EXAMPLE


def test_defaults_may_be_left_out() -> None:
    tables = '[{"name": "t", "columns": [{"index": 0, "type": null}]}]'
    text = f'\ufeff{{"schema": "aegir.composition/1", "tables": {tables}}}'
    parsed = parse_composition(text.encode())
    assert parsed.composition == Composition(tables=(TableTypes("t", (ColumnType(0, None),)),))
    assert parse_composition(b'{"schema": "aegir.composition/1"}').composition == Composition()


def problems_of(content: Any) -> list[tuple[str, str]]:
    parsed = parse_composition(content)
    assert parsed.composition is None
    assert all(
        "\n" not in p.message and len(p.message) < 300 and "expected" in p.message for p in parsed.problems
    )
    return [(problem.path, problem.code) for problem in parsed.problems]


@pytest.mark.parametrize(
    ("path", "new", "place", "code"),
    [
        (("schema",), "aegir.composition/2", "$.schema", "value"),
        (("tables",), {}, "$.tables", "type"),
        (("tables", 0, "name"), 3, "$.tables[0].name", "type"),
        (("tables", 0, "columns", 2, "index"), True, "$.tables[0].columns[2].index", "value"),
        (("tables", 0, "columns", 2, "index"), 1.0, "$.tables[0].columns[2].index", "value"),
        (("tables", 0, "columns", 2, "index"), -1, "$.tables[0].columns[2].index", "value"),
        (("tables", 0, "columns", 2, "index"), 10**30, "$.tables[0].columns[2].index", "value"),
        (("tables", 0, "columns", 1, "confidence"), math.nan, "$.tables[0].columns[1].confidence", "value"),
        (("tables", 0, "columns", 1, "confidence"), 1.01, "$.tables[0].columns[1].confidence", "value"),
        (("tables", 0, "columns", 1, "confidence"), "1", "$.tables[0].columns[1].confidence", "value"),
        (("tables", 1, "columns", 0), None, "$.tables[1].columns[0]", "type"),
        (("tables", 1, "extra key"), None, "$.tables[1]['extra key']", "unknown_key"),
        (("tables", 0, "relations", 0, "property"), None, "$.tables[0].relations[0].property", "type"),
        (("elements", 0, "members", 1, "column"), "2", "$.elements[0].members[1].column", "value"),
        (("terms", 0, "kind"), "klass", "$.terms[0].kind", "value"),
        (("terms", 0, "name"), "Order", "$.terms[0].name", "value"),
        (("terms", 0, "name"), ":A b", "$.terms[0].name", "value"),
        (("terms", 0, "label"), "a\ud800", "$.terms[0].label", "value"),
        (("terms", 0, "label"), "a\0", "$.terms[0].label", "value"),
        (("terms", 0, "definition"), "a" * (MAX_TEXT + 1), "$.terms[0].definition", "limit"),
        (("axioms", 1), ["some.object"], "$.axioms[1]", "type"),
        (("axioms", 1, "slots", "p"), 3, "$.axioms[1].slots.p", "type"),
        (("axioms", 1, "slots"), [], "$.axioms[1].slots", "type"),
        (("axioms",), [{}] * 10_000, "$.axioms", "limit"),
        (("elements",), [{}] * (MAX_ITEMS + 1), "$.elements", "limit"),
        (("ontology",), None, "$.ontology", "type"),
    ],
)
def test_each_problem_has_its_place(path: tuple[Any, ...], new: Any, place: str, code: str) -> None:
    mutant = composition_to_json(EXAMPLE)
    container: Any = mutant
    for key in path[:-1]:
        container = container[key]
    container[path[-1]] = new
    assert problems_of(mutant) == [(place, code)]
    assert problems_of(json.dumps(mutant)) == [(place, code)]


def test_huge_numbers_are_refused() -> None:
    mutant = composition_to_json(EXAMPLE)
    mutant["tables"][0]["subject"] = 10**5000
    assert problems_of(mutant) == [("$.tables[0].subject", "value")]
    text = dump_composition(EXAMPLE).replace('"subject":0,"term"', '"subject":' + "9" * 5000 + ',"term"')
    assert problems_of(text) == [("$.tables[0].subject", "value")]


def test_what_is_missing_is_named() -> None:
    assert problems_of({}) == [("$.schema", "missing")]
    mutant = {"schema": FORMAT, "axioms": [{"template": "a"}, {"slots": {}}]}
    assert problems_of(mutant) == [("$.axioms[0].slots", "missing"), ("$.axioms[1].template", "missing")]


@pytest.mark.parametrize(
    ("content", "place", "code"),
    [
        (b'{"schema":"\xff"}', "$", "encoding"),
        ("", "$", "syntax"),
        ("[]", "$", "type"),
        ("null", "$", "type"),
        ("1" * 10_000, "$", "type"),
        ('{"schema": "aegir.composition/1",}', "$", "syntax"),
        ("{'schema': 1}", "$", "syntax"),
        ("[" * 100_000, "$", "depth"),
        ('{"schema":' * 50_000, "$", "depth"),
        (" " * (MAX_BYTES + 1), "$", "size"),
        ("[" + "1," * 500_000 + "1]", "$", "limit"),
        ('{"schema":"aegir.composition/1","schema":"aegir.composition/1"}', "$.schema", "duplicate_key"),
        (
            '{"schema":"aegir.composition/1","axioms":[{"template":"t","slots":{"A":"x","A":"x"}}]}',
            "$.axioms[0].slots.A",
            "duplicate_key",
        ),
        ('{"schema":"aegir.composition/1","axioms":[NaN]}', "$.axioms[0]", "type"),
        (3, "$", "type"),
        (None, "$", "type"),
        ({1: 2}, "$", "type"),
    ],
)
def test_bad_text_is_refused(content: Any, place: str, code: str) -> None:
    assert problems_of(content) == [(place, code)]


def test_items_are_counted_over_all_lists() -> None:
    column = {"index": 0, "type": "a"}
    tables = [{"name": f"t{i}", "columns": [column] * 1000} for i in range(MAX_ITEMS // 1000)]
    place, code = problems_of({"schema": FORMAT, "tables": tables})[0]
    assert (code, place) == ("limit", f"$.tables[{len(tables) - 1}].columns")
    assert parse_composition({"schema": FORMAT, "tables": tables[:-1]}).composition is not None
    axioms = [{"template": "t", "slots": {}}] * MAX_AXIOMS
    assert parse_composition({"schema": FORMAT, "axioms": axioms}).composition is not None


def test_no_more_problems_are_listed_than_anyone_reads() -> None:
    found = problems_of({"schema": FORMAT, "axioms": [3] * 1000})
    assert len(found) == 101 and found[-1] == ("$", "more") and found[41] == ("$.axioms[41]", "type")


def test_what_the_form_cannot_say_is_not_written() -> None:
    with pytest.raises(InputError, match="each slot once in axiom 0"):
        dump_composition(Composition(axioms=(Entry("t", (("A", "x"), ("A", "y"))),)))
    with pytest.raises(InputError, match="finite"):
        dump_composition(Composition(tables=(TableTypes("t", (ColumnType(0, "a", "", math.nan),)),)))


def column_text(count: int) -> str:
    column = '{"index":1,"type":"a","reason":"","confidence":0.5}'
    return f'{{"schema":"{FORMAT}","tables":[{{"name":"t","columns":[{",".join([column] * count)}]}}]}}'


MEGABYTE = {
    "columns": column_text(MAX_ITEMS - 1),
    "digits": '{"schema":' + "1" * 1_000_000 + "}",
    "keys": "{" + ",".join(f'"k{i}":1' for i in range(74_000)) + "}",
    "same key": "{" + ",".join('"k":1' for _ in range(74_000)) + "}",
    "last key twice": "{" + ",".join(f'"k{i}":1' for i in range(74_000)) + ',"k73999":2}',
    "lists": '{"schema":' + "[" * 900 + "]," * 74_000,
    "escapes": f'{{"schema":"{FORMAT}","comment":"' + "\\ud83d" * 160_000 + '"}',
    "wrong entries": f'{{"schema":"{FORMAT}","elements":[' + "{}," * 14_000 + "{}]}",
}


@pytest.mark.parametrize("case", MEGABYTE)
def test_a_megabyte_is_read_or_refused_quickly(case: str, within: Callable[..., object]) -> None:
    within(0.1, lambda: parse_composition(MEGABYTE[case]))


def test_schemas_are_schemas() -> None:
    for schema in (composition_schema(), composition_schema(CATALOG, VOCABULARY, SCHEMA)):
        Draft202012Validator.check_schema(schema)
    assert len(json.dumps(composition_schema(CATALOG, VOCABULARY, SCHEMA))) < 1_000_000


def full_schema() -> Draft202012Validator:
    return Draft202012Validator(composition_schema(CATALOG, VOCABULARY, SCHEMA))


def test_the_full_schema_admits_the_catalog() -> None:
    entries = tuple(Entry(template.id, template.example) for template in CATALOG)
    document = composition_to_json(Composition(EXAMPLE.tables, EXAMPLE.elements, EXAMPLE.terms, entries))
    assert [error.message for error in full_schema().iter_errors(document)] == []


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (("axioms", 1, "template"), "some.thing"),
        (("axioms", 1, "slots", "B"), "schema:Persona"),
        (("axioms", 1, "slots", "B"), "schema:author"),
        (("axioms", 1, "slots", "p"), "schema:isbn"),
        (("axioms", 1, "slots", "extra"), "schema:Person"),
        (("axioms", 1, "slots"), {"A": ":Order", "p": "schema:customer"}),
        (("tables", 0, "columns", 1, "type"), "Person name"),
        (("tables", 0, "relations", 0, "property"), "schema:Customer"),
        (("tables", 0, "term"), "Order"),
    ],
)
def test_the_full_schema_refuses_other_terms(path: tuple[Any, ...], new: Any) -> None:
    document: Any = composition_to_json(EXAMPLE)
    assert full_schema().is_valid(document)
    container = document
    for key in path[:-1]:
        container = container[key]
    container[path[-1]] = new
    assert not full_schema().is_valid(document)


def test_bounds_and_numbers_are_spelled_out() -> None:
    schema = composition_schema(CATALOG, ontology=SCHEMA)
    choices = schema["properties"]["axioms"]["items"]["oneOf"]
    entries = {choice["properties"]["template"]["const"]: choice for choice in choices}
    assert list(entries) == list(CATALOG.ids)
    slots = entries["cardinality.at_least"]["properties"]["slots"]["properties"]
    assert slots["n"]["enum"][:2] == ["1", "2"] and slots["n"]["enum"][-1] == "100"
    bounded = entries["data_element.located_place"]["properties"]["slots"]["properties"]["Kind"]["$ref"]
    allowed = schema["$defs"][bounded.removeprefix("#/$defs/")]["anyOf"][0]["enum"]
    assert "schema:Beach" in allowed and "schema:Place" in allowed and "schema:Person" not in allowed
