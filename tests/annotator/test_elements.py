"""Data elements: which columns are found to denote one thing, in any order of the tables."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.annotator.annotation import ColumnAnnotation, TableAnnotation
from aegir_dspy.annotator.b_cubed import b_cubed, labels_of
from aegir_dspy.annotator.element_columns import facts, kind_of
from aegir_dspy.annotator.element_links import link
from aegir_dspy.annotator.element_matrices import Cells
from aegir_dspy.annotator.element_words import entity, lexicon, shortenings, words
from aegir_dspy.annotator.elements import DataElement, ElementsConfig, find_elements
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.composition import Element, Member
from aegir_dspy.ontology.vocabulary import VOCABULARIES, load_vocabulary
from aegir_dspy.tables.infer import infer_type
from aegir_dspy.tables.table import Column, ForeignKey, Table

SAME, PARTS = ElementsConfig(parts=False), ElementsConfig(same=False)


def table(name: str, /, **columns: list[str]) -> Table:
    made = (Column(i, header, tuple(v), None, infer_type(v)) for i, (header, v) in enumerate(columns.items()))
    return Table(name, f"{name}.csv", tuple(made))


def ddl(name: str, columns: str, /, keys: tuple[ForeignKey, ...] = (), primary: str = "") -> Table:
    """A table without rows: ``"id int, name text"``."""
    split = (line.split() for line in columns.split(", "))
    made = tuple(Column(i, n, declared_type=t, inferred_type="empty") for i, (n, t) in enumerate(split))
    return Table(name, "script.sql", made, None, (primary,) if primary else (), keys)


def typed(one: Table, *labels: str | None) -> TableAnnotation:
    columns = (
        ColumnAnnotation(c.index, c.name, label, None, 0.9 if label else 0.0, label is None)
        for c, label in zip(one.columns, labels, strict=True)
    )
    return TableAnnotation(one.name, one.source, tuple(columns))


def members(tables: list[Table], found: tuple[DataElement, ...]) -> dict[str, set[str]]:
    """Name → ``table.header`` of its columns."""
    named = {(t.name, c.index): f"{t.name}.{c.name}" for t in tables for c in t.columns}
    return {one.name: {named[m.table, m.column] for m in one.members} for one in found}


def people(first: int, last: int) -> dict[str, list[str]]:
    """Cells of some people, by number."""
    each = range(first, last)
    return {"key": [f"K{n:05d}" for n in each], "mail": [f"person{n}@example.org" for n in each]}


SOME, MORE = people(0, 40), people(20, 60)
SHOP = [
    table(
        "customers",
        id=SOME["key"],
        first_name=["Ann", "Bob"] * 20,
        last_name=["Berg", "Stein", "Wald", "See"] * 10,
        email=SOME["mail"],
        street=[f"Weg {n}" for n in range(40)],
        city=["Ulm", "Bonn"] * 20,
        zip=[f"{n + 10000}" for n in range(40)],
        card_number=[f"4111 {n:04d}" for n in range(40)],
        card_expiry=["01/27", "02/28"] * 20,
    ),
    table(
        "orders",
        id=[f"{n}" for n in range(40)],
        cust_id=MORE["key"],
        contact_mail=MORE["mail"],
        amount=[f"{n}.50" for n in range(40)],
        currency=["EUR", "USD"] * 20,
        valid_from=["2021-01-02"] * 40,
        valid_to=["2022-01-02"] * 40,
    ),
    table("suppliers", id=[f"S{n:04d}" for n in range(40)], city=["Riga", "Oslo"] * 20),
    table("Invoices", no=[f"R{n}" for n in range(40)], note=["7"] * 40, customerKey=SOME["key"]),
]


def test_keys_copies_and_parts_are_found() -> None:
    found = members(SHOP, find_elements(SHOP))
    assert found["customer id"] == {"customers.id", "orders.cust_id", "Invoices.customerKey"}
    assert found["PersonName"] == {"customers.first_name", "customers.last_name"}
    assert found["PostalAddress"] == {"customers.street", "customers.city", "customers.zip"}
    assert found["PaymentCard"] == {"customers.card_number", "customers.card_expiry"}
    assert found["MonetaryAmount"] == {"orders.amount", "orders.currency"}
    assert found["Period"] == {"orders.valid_from", "orders.valid_to"}
    mail = next(columns for columns in found.values() if "customers.email" in columns)
    assert mail == {"customers.email", "orders.contact_mail"}
    assert not any("suppliers.city" in columns for columns in found.values())


@given(st.permutations(range(len(SHOP))), st.booleans())
def test_the_order_of_the_tables_does_not_matter(order: list[int], annotated: bool) -> None:
    kinds = {"customers": ["SurrogateKey", "givenName", "familyName", "email", "streetAddress", *[None] * 4]}
    types = [typed(t, *kinds.get(t.name, [None] * len(t.columns))) for t in SHOP] if annotated else []
    expected = find_elements(SHOP, types)
    shuffled = find_elements([SHOP[i] for i in order], [types[i] for i in order] if annotated else [])
    assert shuffled == expected


NAMES = st.sampled_from(["id", "name", "email", "cust_no", "customer_id", "price", "date", "zip", "a1", "ß"])
CELLS = st.lists(st.sampled_from(["", "1", "2", "3", "a@b.de", "Ulm", "x y", "null", "K7"]), max_size=6)


@st.composite
def collections(draw: st.DrawFn) -> list[Table]:
    """Some tables with what columns may be: without a header, without cells, twice the same."""
    found = []
    for number in range(draw(st.integers(0, 4))):
        columns = draw(st.lists(st.tuples(st.none() | NAMES, CELLS), max_size=5))
        made = (Column(i, h, tuple(v), None, infer_type(v)) for i, (h, v) in enumerate(columns))
        name = draw(st.sampled_from(["orders", "customers", "t", "dim_Items"])) + str(number)
        found.append(Table(name, f"{number}.csv", tuple(made)))
    return found


@given(collections(), st.randoms(use_true_random=False))
def test_any_tables_give_elements_apart_from_each_other(tables: list[Table], rng: random.Random) -> None:
    found = find_elements(tables)
    columns = {(t.name, c.index) for t in tables for c in t.columns}
    places = [(m.table, m.column) for one in found for m in one.members]
    assert len(places) == len(set(places))
    assert set(places) <= columns
    assert all(len(one.members) > 1 and 0 < one.confidence <= 1 and one.name for one in found)
    assert len({one.name for one in found}) == len(found)
    shuffled = rng.sample(tables, len(tables))
    assert find_elements(shuffled) == found


def test_tables_without_rows_are_told_by_their_names() -> None:
    tables = [
        ddl("public.customers", "id int, name varchar, region_code varchar"),
        ddl("regions", "code varchar, name varchar"),
        ddl("visit_occurrence", "visit_occurrence_id int, preceding_visit_occurrence_id int, row_id int"),
        ddl("orders", "row_id int, customer_no int, cust_note text, visit_occurrence_id int"),
        ddl("merchants", "mid int, name text"),
        ddl("sales", "merchant_id int, created_at timestamp"),
    ]
    assert members(tables, find_elements(tables)) == {
        "merchant id": {"merchants.mid", "sales.merchant_id"},
        "customer id": {"public.customers.id", "orders.customer_no"},
        "region id": {"public.customers.region_code", "regions.code"},
        "visit occurrence id": {
            "visit_occurrence.visit_occurrence_id",
            "visit_occurrence.preceding_visit_occurrence_id",
            "orders.visit_occurrence_id",
        },
    }


def test_declared_keys_are_believed_whatever_they_are_called() -> None:
    key = ForeignKey(("holder", "other"), "B", ("nr", "nothing"))
    tables = [ddl("a", "holder int, other int", keys=(key,)), ddl("s.b", "nr int, x text")]
    (found,) = find_elements(tables)
    assert {(m.table, m.column) for m in found.members} == {("a", 0), ("s.b", 0)}
    assert find_elements([replace(tables[0], foreign_keys=()), tables[1]]) == ()


def test_types_tell_what_headers_and_cells_do_not() -> None:
    tables = [table("people", contact_mail=["x1", "x2"]), table("staff", mail=["y1", "y2"])]
    assert find_elements(tables) == ()
    (found,) = find_elements(tables, [typed(one, "email") for one in tables])
    assert found.name == "email"
    assert find_elements(tables, [typed(tables[0], "email"), typed(tables[1], "URL")]) == ()


def test_parts_are_told_by_types_as_well() -> None:
    one = table("t", a=["12.1", "13.2"], b=["50.1", "51.2"], c=["x", "y"])
    assert find_elements([one]) == ()
    (found,) = find_elements([one], [typed(one, "longitude", "latitude", None)])
    assert (found.name, found.confidence) == ("GeoCoordinates", 0.9)
    assert found.members == (Member("t", 0), Member("t", 1))


def test_a_type_speaks_against_a_header() -> None:
    one = table("t", address=["a@b.de", "c@d.de"], city=["Ulm", "Bonn"])
    assert [e.name for e in find_elements([one])] == ["PostalAddress"]
    assert find_elements([one], [typed(one, "email", None)]) == ()
    for header in ("email_address", "ip_address"):
        other = replace(one, columns=(replace(one.columns[0], name=header), one.columns[1]))
        assert find_elements([other], (), PARTS) == ()


def test_parts_that_occur_twice_go_by_what_is_before_them() -> None:
    headers = ["billing_street", "billing_city", "ship_street", "ship_city", "start_date", "end_date"]
    one = Table("orders", "x", tuple(Column(i, h) for i, h in enumerate(headers)))
    found = members([one], find_elements([one]))
    assert found == {
        "PostalAddress (billing)": {"orders.billing_street", "orders.billing_city"},
        "PostalAddress (ship)": {"orders.ship_street", "orders.ship_city"},
        "Period": {"orders.start_date", "orders.end_date"},
    }


def test_groups_of_several_tables_are_one_where_their_parts_are_the_same() -> None:
    cells = {"street": [f"Weg {n}" for n in range(30)], "city": [f"Ort {n}" for n in range(30)]}
    others = {"street": [f"Rue {n}" for n in range(30)], "city": [f"Lieu {n}" for n in range(30)]}
    keys = {"id": [f"{n}" for n in range(30)]}
    tables = [
        table("customers", **keys, **cells),
        table("crm", **cells),
        table("suppliers", **keys, **others),
    ]
    found = members(tables, find_elements(tables))
    assert found["PostalAddress"] == {"customers.street", "customers.city", "crm.street", "crm.city"}
    assert found["PostalAddress of supplier"] == {"suppliers.street", "suppliers.city"}


def test_the_kinds_of_elements_can_be_had_apart() -> None:
    same, parts = ({one.name for one in find_elements(SHOP, (), c)} for c in (SAME, PARTS))
    assert "customer id" in same and "PaymentCard" not in same
    assert "PaymentCard" in parts and "customer id" not in parts


def test_annotations_of_other_tables_are_refused() -> None:
    types = [typed(t, *[None] * len(t.columns)) for t in SHOP]
    with pytest.raises(InputError, match="found 'orders' for 'customers'"):
        find_elements(SHOP, types[1:])
    with pytest.raises(InputError, match="found 3 for 4 tables"):
        find_elements(SHOP, types[:3])


def test_an_element_as_json_and_in_a_composition() -> None:
    element = DataElement("customer id", (Member("a", 0), Member("b", 3)), 0.91)
    assert element.to_json() == {
        "name": "customer id",
        "members": [{"table": "a", "column": 0}, {"table": "b", "column": 3}],
        "confidence": 0.91,
    }
    assert element.to_composition() == Element("customer id", element.members)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("custEMailAddr_2", "customer mail 2"),
        ("CUSTOMER_NR", "customer number"),
        ("Prénom du client", "prenom du customer"),
        ("dateOfBirth", "birth date"),
        ("categories", "category"),
        ("ZIPCode", "postal code"),
        ("  ", ""),
    ],
)
def test_headers_as_words(name: str, expected: str) -> None:
    assert " ".join(words(name)) == expected


def test_tables_are_named_after_their_rows() -> None:
    named = (entity(Table(n, "", ())) for n in ("tbl_Customers_2021", "mimic.d_items", "data", "v_m_x"))
    assert list(named) == [("customer",), ("product",), ("data",), ("x",)]


def test_words_cut_short_are_read_where_only_one_is_meant() -> None:
    found = shortenings([("customer",), ("store",), ("storage",)], [("cus", "crrncy", "sto", "customer")])
    assert found == {"cus": "customer", "crrncy": "currency"}


def test_kinds_come_from_cells_then_from_declarations() -> None:
    assert kind_of(Column(0, "a", ("1", "2"), inferred_type="integer")) == "number"
    assert kind_of(Column(0, "a", ("1", "2.5", ""))) == "number"  # nobody looked at the cells
    assert kind_of(Column(0, "a", ("", "null"), "TIMESTAMP WITH TIME ZONE", "empty")) == "date"
    assert kind_of(Column(0, "a", (), "varchar(20)", "empty")) == "text"
    assert kind_of(Column(0, "a", (), None, "empty")) == ""


def test_shared_cells_are_counted_the_same_in_both_ways() -> None:
    rng = random.Random(0)
    tables = [table(f"t{n}", a=[str(rng.randrange(30)) for _ in range(20)], b=["x"]) for n in range(12)]
    columns = facts(tables, [None] * 12)
    cells = Cells(columns)
    pairs = np.array([(i, j) for j in range(24) for i in range(j)])
    expected = [len(columns[i].values & columns[j].values) for i, j in pairs.tolist()]
    assert cells._of_all(pairs).tolist() == cells._of_each(pairs).tolist() == expected


def test_no_chain_of_alike_pairs_makes_a_cluster() -> None:
    """Average linkage: a → b → c → d, each like the next only, are not all together."""
    each = [[f"value {n}" for n in range(10 * i, 10 * i + 20)] for i in range(8)]
    columns = facts([table(f"t{i}", **{f"h{'abcdefgh'[i]}": v}) for i, v in enumerate(each)], [None] * 8)
    clusters = link(columns).clusters
    assert clusters
    assert max(map(len, clusters)) < 4


def test_the_words_and_rules_that_ship_fit_the_vocabularies() -> None:
    known = {name for vocabulary in VOCABULARIES for name in load_vocabulary(vocabulary).names}
    for rule in lexicon().rules:
        names = [part["part"] for part in rule["parts"]]
        assert len(set(names)) == len(names)
        assert {*rule["required"], *rule.get("anchors", ())} <= set(names)
        assert 2 <= rule["least"] <= len(names)
        for part in rule["parts"]:
            assert set(part["types"]) <= known
            assert part["types"] or part["headers"]
    assert lexicon().generic_types <= known | {"Text"}


CLUSTERS = st.dictionaries(st.integers(0, 12), st.integers(0, 4), min_size=1)


@given(CLUSTERS, CLUSTERS)
def test_b_cubed(gold: dict[int, int], found: dict[int, int]) -> None:
    score = b_cubed(gold, found)
    assert all(0 < value <= 1 for value in score)
    renamed = {item: f"cluster {label}" for item, label in found.items()}
    assert b_cubed(gold, renamed) == score
    assert b_cubed(gold, gold) == (1, 1, 1)
    turned = {item: found.get(item, f"alone {item}") for item in gold}
    assert b_cubed(turned, gold) == pytest.approx((score.recall, score.precision, score.f1))
    assert b_cubed(gold, {}).precision == 1
    assert b_cubed(gold, dict.fromkeys(gold, 0)).recall == 1


def test_b_cubed_by_hand() -> None:
    gold = labels_of([["a", "b", "c"], ["d"]])
    score = b_cubed(gold, labels_of([["a", "b"], ["c", "d"]]))
    assert score.precision == pytest.approx((1 + 1 + 1 / 2 + 1 / 2) / 4)
    assert score.recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1) / 4)
    with pytest.raises(InputError, match="at least one item"):
        b_cubed({}, {})
