from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rdflib
from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.ontology.catalog import load_catalog
from aegir_dspy.ontology.compose import compose
from aegir_dspy.ontology.composition import (
    ColumnType,
    Composition,
    Element,
    Member,
    Related,
    TableTypes,
)
from aegir_dspy.ontology.composition_json import composition_to_json, parse_composition
from aegir_dspy.ontology.export import to_manchester, to_turtle
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.verbalise import plain_label, verbalise_entry
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.verifier.profiles import PROFILES
from aegir_dspy.verifier.verifier import Verifier

VOCABULARY, ONTOLOGY, CATALOG = load_vocabulary("schema"), load_ontology("schema"), load_catalog()
DATA = Path(__file__).parents[3] / "shared" / "data" / "train_dev"


@pytest.fixture(scope="module")
def gates() -> Verifier:
    """Only the gates matter here."""
    return Verifier(PROFILES["annotation"].only("R_C"))


def composed(labels: dict[int, str | None], table: Table, **said: Any) -> Composition:
    columns = tuple(ColumnType(i, label, "" if label else "too few cells") for i, label in labels.items())
    return compose([TableTypes(table.name, columns, **said)], VOCABULARY, ONTOLOGY, data=[table])


def books() -> Table:
    columns = {
        "Title": ("Emma", "Ulysses", "Faust", "Dune", "Solaris"),
        "ISBN": ("9780141439587", "9780141182803", "9780199536207", "9780441013593", "9780156027601"),
        "Author": ("Jane Austen", "James Joyce", "Goethe", "Frank Herbert", ""),
        "Price": ("7.99", "9.50", "", "12.00", "8.25"),
        "Published on": ("1815-12-23", "1922-02-02", "1808-01-01", "1965-08-01", "1961-01-01"),
    }
    return Table("Book shop stock", "", tuple(Column(i, n, v) for i, (n, v) in enumerate(columns.items())))


LABELS = {0: "Book/name", 1: "isbn", 2: "Person/name", 3: "price", 4: "Date"}


def said(composition: Composition) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for entry in composition.axioms:
        found[entry.template].append(dict(entry.slots))
    return found


def test_rows_are_of_the_subjects_class_and_columns_are_said(gates: Verifier) -> None:
    table = books()
    composition = composed(LABELS, table, subject=0)  # type: ignore[arg-type]
    row = ":BookShopStock"
    assert composition.tables[0].term == row
    axioms = said(composition)
    assert axioms["subclass.named"] == [{"A": row, "B": "schema:Book"}]
    assert axioms["key.required"] == [{"A": row, "d": "schema:isbn", "D": "xsd:string"}]
    # A book has no price of its own: the way to it is found.
    assert axioms["some.reference"] == [
        {"A": row, "p": "schema:offers", "B": "schema:Offer", "key": "schema:price", "D": "xsd:decimal"}
    ]
    assert {"A": row, "p": ":author", "B": "schema:Person"} in axioms["some.object"]
    assert {"A": row, "d": ":publishedOn", "D": "schema:Date"} in axioms["some.data"]
    own = {term.name: term for term in composition.terms}
    assert own[row].definition.startswith("A book of the table book shop stock that has")
    assert own[":publishedOn"].kind == "data_property" and own[":publishedOn"].label == "published on"
    assert gates.score(composition, [table]).ok


def test_a_relation_names_the_property(gates: Verifier) -> None:
    table = books()
    relations = (Related(0, 2, "schema:author"), Related(0, 4, "schema:datePublished"))
    composition = composed(LABELS, table, subject=0, relations=relations)  # type: ignore[arg-type]
    axioms = said(composition)
    assert {"A": ":BookShopStock", "p": "schema:author", "B": "schema:Person"} in axioms["some.object"]
    assert "schema:datePublished" in json.dumps(axioms)
    assert '":author"' not in json.dumps(axioms)
    assert gates.score(composition, [table]).components["R_C"] == 1


def test_an_always_filled_column_is_required_and_another_is_not() -> None:
    columns = (
        Column(0, "name", ("a", "b")),
        Column(1, "telephone", ("1", "2")),
        Column(2, "email", ("x", "")),
    )
    composition = composed(
        {0: "Organization", 1: "telephone", 2: "email"}, Table("firms", "", columns), subject=0
    )
    axioms = said(composition)
    assert [one["d"] for one in axioms["cardinality.one_data"]] == ["schema:telephone"]
    assert [one["d"] for one in axioms["cardinality.optional_data"]] == ["schema:email"]
    unseen = compose(composition.tables, VOCABULARY, ONTOLOGY)
    assert {one["d"] for one in said(unseen)["some.data"]} == {"schema:telephone", "schema:email"}


def test_without_a_subject_most_columns_decide() -> None:
    labels = {0: "Recipe/description", 1: "Recipe/name", 2: "Duration"}
    table = Table("sheet 7", "", tuple(Column(i, None, ("x",)) for i in labels))
    assert said(composed(labels, table))["subclass.named"][0]["B"] == "schema:Recipe"  # type: ignore[arg-type]
    alone = Table("sheet 7", "", (Column(0, None, ("x",)),))
    assert said(composed({0: "URL"}, alone))["subclass.named"][0]["B"] == "schema:Thing"
    given = said(composed({0: "URL"}, alone, term="schema:Hotel"))
    assert given["subclass.named"][0]["B"] == "schema:Hotel"


@pytest.mark.parametrize(
    "name", ["", "1234-5", "foo", "Table1", "顧客", "TODO", "x" * 300, "xqzv kjwq zzpt vbnx"]
)
def test_any_table_name_gives_a_row_class(gates: Verifier, name: str) -> None:
    table = Table(name, "", (Column(0, name, ("a", "b")),))
    composition = composed({0: "Book/name"}, table, subject=0)
    assert gates.score(composition, [table]).ok
    assert parse_composition(composition_to_json(composition)).composition == composition


def test_tables_of_one_name_get_classes_of_their_own(gates: Verifier) -> None:
    table = books()
    types = TableTypes(table.name, tuple(ColumnType(i, label) for i, label in LABELS.items()), subject=0)
    composition = compose([types, types], VOCABULARY, ONTOLOGY, data=[table])
    assert [one.term for one in composition.tables] == [":BookShopStock", ":BookShopStock_2"]
    assert gates.score(composition, [table, table]).ok


def test_abstentions_have_reasons_and_elements_are_kept(gates: Verifier) -> None:
    table = books()
    columns = tuple(
        ColumnType(i, None, reason) for i, reason in enumerate(("", "n/a", "TODO", "too short", " "))
    )
    element = Element("book identity", (Member(table.name, 0), Member(table.name, 1)))
    composition = compose([TableTypes(table.name, columns)], VOCABULARY, ONTOLOGY, elements=[element])
    reasons = [column.reason for column in composition.tables[0].columns]
    assert reasons[3] == "too short" and len(set(reasons)) == 2
    assert composition.elements == (element,)
    assert gates.score(composition, [table]).ok


# --- data elements ------------------------------------------------------------------------------

CUSTOMERS = {
    "Name": "Person/name", "Street": "streetAddress", "City": "addressLocality", "ZIP": "postalCode",
    "cardNumber": "CreditCardNumber", "Card holder": None, "Expiry": "Date", "Last_name": "familyName",
    "First_name": "givenName",
}  # fmt: skip
SHOPS = {
    "Shop": "LocalBusiness/name", "Street": "streetAddress", "Town": "addressLocality",
    "Lat": "latitude", "Lon": "longitude", "Country": "Country", "Fee": "price", "Currency": "currency",
    "Open from": "Date", "Until": "Date",
}  # fmt: skip


def typed(name: str, columns: dict[str, str | None]) -> tuple[TableTypes, Table]:
    types = tuple(ColumnType(i, one, "" if one else "too few") for i, one in enumerate(columns.values()))
    cells = tuple(Column(i, header, ("a", "b")) for i, header in enumerate(columns))
    return TableTypes(name, types, subject=0), Table(name, "", cells)


def element(name: str, *members: tuple[str, int]) -> Element:
    return Element(name, tuple(Member(table, column) for table, column in members))


def with_elements(*elements: Element) -> Composition:
    types, data = zip(typed("customers", CUSTOMERS), typed("shops", SHOPS), strict=True)
    return compose(types, VOCABULARY, ONTOLOGY, data=data, elements=elements)


ADDRESS = element(
    "PostalAddress", ("customers", 1), ("customers", 2), ("customers", 3), ("shops", 1), ("shops", 2)
)
ELEMENTS = (
    ADDRESS,
    element("PaymentCard", ("customers", 4), ("customers", 5), ("customers", 6)),
    element("PersonName", ("customers", 7), ("customers", 8)),
    element("GeoCoordinates", ("shops", 3), ("shops", 4)),
    element("MonetaryAmount", ("shops", 6), ("shops", 7)),
    element("Period", ("shops", 8), ("shops", 9)),
)


def test_what_columns_of_several_tables_are_parts_of_is_a_class(gates: Verifier) -> None:
    composition, address = with_elements(ADDRESS), ":PostalAddressOfCustomers"
    axioms = said(composition)
    assert {"A": address, "B": "schema:PostalAddress"} in axioms["subclass.named"]
    assert axioms["data_element.postal_address"] == [
        {
            "A": address, "street": "schema:streetAddress", "city": "schema:addressLocality",
            "code": "schema:postalCode",
        }
    ]  # fmt: skip
    for row in (":Customers", ":Shops"):  # both lead there
        assert {"A": row, "p": ":postalAddress", "B": address} in axioms["some.object"]
    own = {term.name: term for term in composition.terms}
    assert own[address].label == "postal address of customers"
    assert own[address].definition == (
        "A postal address whose street address and address locality are columns of customers and shops."
    )
    labels = {term.name: term.label for term in composition.terms}
    [entry] = [one for one in composition.axioms if one.template == "data_element.postal_address"]
    spoken = verbalise_entry(
        CATALOG[entry.template], entry, lambda name: labels.get(name) or plain_label(name)
    )
    assert spoken == (
        "A postal address of customers is made of a street address, an address locality and, "
        "where there is one, a postal code."
    )
    assert gates.score(composition, [typed("customers", CUSTOMERS)[1], typed("shops", SHOPS)[1]]).ok


def test_every_form_is_said_and_exported() -> None:
    composition = with_elements(*ELEMENTS)
    axioms = said(composition)
    forms = {template for template in axioms if template.startswith("data_element.")}
    assert forms == {
        "data_element.postal_address", "data_element.payment_card", "data_element.person_name",
        "data_element.geo_coordinates", "data_element.money", "data_element.period",
    }  # fmt: skip
    assert axioms["data_element.payment_card"] == [
        {
            "A": ":PaymentCardOfCustomers", "Kind": "schema:PaymentCard", "number": ":cardNumber_2",
            "holder": ":cardHolder", "expiry": ":expiry_2", "D": "xsd:date",
        }
    ]  # fmt: skip
    assert {"d": ":cardHolder", "D": "xsd:string"} in axioms["domain_range.range_data"]
    assert {"A": ":Shops", "p": "schema:geo", "B": ":GeoCoordinatesOfShops"} in axioms["some.object"]
    data = [typed("customers", CUSTOMERS)[1], typed("shops", SHOPS)[1]]
    verifier = Verifier()
    score = verifier.score(composition, data)
    assert score.ok, verifier.feedback(score)
    silent = replace(with_elements(), elements=composition.elements)
    assert score.R >= verifier.score(silent, data).R
    assert parse_composition(composition_to_json(composition)).composition == composition
    manchester = to_manchester(composition, CATALOG, ontology=ONTOLOGY)
    graph = rdflib.Graph().parse(data=to_turtle(composition, CATALOG, ontology=ONTOLOGY), format="turtle")
    for name in ("PaymentCardOfCustomers", "GeoCoordinatesOfShops", "PeriodOfShops"):
        assert f"Class: :{name}" in manchester, manchester[:3000]
        [term] = {s for s in graph.subjects(rdflib.RDF.type, rdflib.OWL.Class) if str(s).endswith(name)}
        assert list(graph.objects(term, rdflib.RDFS.subClassOf))


@pytest.mark.parametrize(
    "silent",
    [
        element("city", ("customers", 2), ("shops", 2)),  # the same thing, no parts
        element(
            "PostalAddress", ("customers", 1), ("customers", 2), ("shops", 1), ("shops", 5)
        ),  # no city here
        element("Period", ("shops", 8), ("shops", 0)),
        element("PostalAddress", ("customers", 1), ("customers", 77), ("gone", 1), ("gone", 2)),
    ],
)
def test_an_element_without_its_parts_says_nothing_more(silent: Element) -> None:
    assert with_elements(silent) == replace(with_elements(), elements=(silent,))


def test_other_ontologies_have_no_terms_for_elements() -> None:
    types, data = typed("customers", CUSTOMERS)
    ontology = load_ontology("dbpedia")
    composition = compose([types], VOCABULARY, ontology, data=[data], elements=[ELEMENTS[1]])
    assert not [entry for entry in composition.axioms if entry.template.startswith("data_element.")]


@settings(max_examples=30)
@given(st.data())
def test_any_elements_composed_pass_all_gates(gates: Verifier, data: st.DataObject) -> None:
    headers = [*CUSTOMERS, *SHOPS, "IBAN", "Bank", "unit", "quantity", "", "x"]
    kinds = st.none() | st.sampled_from(
        [*filter(None, [*CUSTOMERS.values(), *SHOPS.values()]), "IBAN", "BIC"]
    )
    column = st.tuples(st.sampled_from(headers), kinds)
    tables = []
    for name in ("customers", "t1"):
        columns = data.draw(st.lists(column, min_size=2, max_size=8))
        types = tuple(ColumnType(i, one, "" if one else "rare") for i, (_, one) in enumerate(columns))
        cells = tuple(Column(i, header, ("a", "b")) for i, (header, _) in enumerate(columns))
        tables.append((TableTypes(name, types, subject=0), Table(name, "", cells)))
    places = data.draw(st.permutations([(types.name, c.index) for types, _ in tables for c in types.columns]))
    cut = data.draw(st.integers(2, len(places) - 2))
    elements = [element("PostalAddress", *sorted(places[:cut])), element("Größe", *sorted(places[cut:]))]
    read = [table for _, table in tables]
    made = compose([types for types, _ in tables], VOCABULARY, ONTOLOGY, data=read, elements=elements)
    score = gates.score(made, read)
    assert score.ok, gates.feedback(score)
    assert made.elements == tuple(elements)


# A composition's JSON has no NUL.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
COLUMN = st.tuples(
    st.none() | st.sampled_from(["name", "Order ID", "price_eur", "x1", "", "Größe", "value", "foo"]) | TEXT,
    st.lists(st.sampled_from(["", "a", "17", "4.50", "2020-01-02", "Berlin", "x@y.org"]), max_size=6),
    st.none() | st.sampled_from(VOCABULARY.names),
)
PROPERTIES = [t.name for t in ONTOLOGY if t.kind in ("object_property", "data_property")]


@st.composite
def annotated(draw: st.DrawFn) -> tuple[TableTypes, Table]:
    columns = draw(st.lists(COLUMN, min_size=1, max_size=12))
    name = draw(st.sampled_from(["orders", "t1", "Spring sale 2020", "foo", "99"]) | TEXT)
    table = Table(name, "", tuple(Column(i, n, tuple(v)) for i, (n, v, _) in enumerate(columns)))
    indices = st.integers(0, len(columns) - 1)
    subject = draw(st.none() | indices)
    related = draw(st.dictionaries(indices, st.sampled_from(PROPERTIES), max_size=4))
    relations = tuple(Related(subject or 0, o, p) for o, p in related.items() if o != (subject or 0))
    types = tuple(
        ColumnType(i, t, "" if t else draw(st.sampled_from(["", "rare"])))
        for i, (*_, t) in enumerate(columns)
    )
    return TableTypes(table.name, types, relations, subject), table


@settings(max_examples=60)
@given(st.lists(annotated(), min_size=1, max_size=3, unique_by=lambda one: one[1].name))
def test_any_annotation_composed_passes_all_gates(
    gates: Verifier, tables: list[tuple[TableTypes, Table]]
) -> None:
    data = [table for _, table in tables]
    composition = compose([types for types, _ in tables], VOCABULARY, ONTOLOGY, data=data)
    score = gates.score(composition, data)
    assert score.ok, gates.feedback(score)
    assert parse_composition(composition_to_json(composition)).composition == composition


def test_a_catalog_without_templates_says_less() -> None:
    catalog = load_catalog()
    few = type(catalog)(tuple(template for template in catalog if template.id == "subclass.named"))
    table = books()
    types = TableTypes(table.name, tuple(ColumnType(i, label) for i, label in LABELS.items()), subject=0)
    composition = compose([types], VOCABULARY, ONTOLOGY, few, data=[table])
    assert [entry.template for entry in composition.axioms] == ["subclass.named"]


@pytest.mark.parametrize("name", ["dbpedia", "cco"])
def test_other_ontologies_and_vocabularies(name: str) -> None:
    vocabulary = load_vocabulary("dbpedia" if name == "dbpedia" else "schema")
    verifier = Verifier(PROFILES["annotation"].only("R_C"), vocabulary=vocabulary, ontology=name)
    columns = tuple(ColumnType(i, label) for i, label in enumerate(vocabulary.names[:12]))
    table = Table("towns", "", tuple(Column(i, f"h{i}", ("x", "y")) for i in range(12)))
    composition = compose([TableTypes("towns", columns, subject=0)], vocabulary, verifier.standard.ontology)
    assert verifier.score(composition, [table]).ok


@pytest.mark.skipif(not DATA.exists(), reason="the labelled tables are not there")
def test_compositions_of_labelled_tables_pass_all_gates(gates: Verifier) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    source = "sotabv2_cta_val82"
    labels: dict[str, dict[int, str]] = defaultdict(dict)
    with (DATA / "labels.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["source"] == source and line["task"] == "CTA":
                labels[line["table"]][int(line["column_index"])] = line["label"]
    tables = parquet.read_table(DATA / "tables" / f"{source}.parquet").to_pylist()[:60]
    for one in tables:
        cells = [tuple(str(row[i] or "") for row in one["rows"]) for i in range(len(one["columns"]))]
        table = Table(one["table"], "", tuple(Column(i, None, v) for i, v in enumerate(cells)))
        found = labels[one["table"]]
        known = {i: found[i] if found.get(i) in VOCABULARY else None for i in range(len(cells))}
        score = gates.score(composed(known, table, subject=0), [table])
        assert score.ok, gates.feedback(score)
