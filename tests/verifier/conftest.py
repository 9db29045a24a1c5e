"""A table of orders, a good composition about it, and one verifier for all tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

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
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.verifier.score import Score
from aegir_dspy.verifier.verifier import Verifier


def axiom(template: str, **slots: str) -> Entry:
    return Entry(template, tuple(slots.items()))


ORDERS = Table(
    "orders",
    "orders.csv",
    (
        Column(0, "order_number", tuple(f"SO-10{i:03}" for i in range(8))),
        Column(1, "customer_email", tuple(f"customer{i}@example.org" for i in range(8))),
        Column(2, "total_price", ("12.50", "7.00", "99.90", "3.20", "45.00", "18.75", "60.00", "5.10")),
        Column(3, "note", ("", "", "", "", "", "", "", "")),
    ),
)
GOOD = Composition(
    tables=(
        TableTypes(
            "orders",
            (
                ColumnType(0, "orderNumber"),
                ColumnType(1, "email"),
                ColumnType(2, "price"),
                ColumnType(3, None, "the column is empty"),
            ),
            relations=(Related(0, 2, "schema:price"),),
            subject=0,
            term=":PlacedOrder",
        ),
    ),
    elements=(Element("order total", (Member("orders", 2),)),),
    terms=(
        OwnTerm(
            ":PlacedOrder",
            "class",
            "placed order",
            "An order that a customer placed, with its number and price.",
        ),
    ),
    axioms=(
        axiom("subclass.named", A=":PlacedOrder", B="schema:Order"),
        axiom("key.required", A=":PlacedOrder", d="schema:orderNumber", D="xsd:string"),
        axiom(
            "some.reference",
            A=":PlacedOrder",
            p="schema:acceptedOffer",
            B="schema:Offer",
            key="schema:price",
            D="xsd:decimal",
        ),
        axiom(
            "some.path",
            A=":PlacedOrder",
            p="schema:customer",
            q="schema:contactPoint",
            B="schema:ContactPoint",
        ),
        axiom("cardinality.one", A=":PlacedOrder", p="schema:customer", B="schema:Person"),
        axiom("domain_range.data_column", d="schema:email", A="schema:Person", D="xsd:string"),
    ),
)


class Sample:
    """What the tests of this folder share."""

    good = GOOD
    orders = ORDERS
    axiom = staticmethod(axiom)

    @staticmethod
    def table(**changed: Any) -> Composition:
        """The good composition with other values of its table."""
        return replace(GOOD, tables=(replace(GOOD.tables[0], **changed),))

    @staticmethod
    def plus(*entries: Entry) -> Composition:
        """The good composition with more axioms."""
        return replace(GOOD, axioms=(*GOOD.axioms, *entries))

    @staticmethod
    def closed(score: Score) -> list[str]:
        """The gates that refuse."""
        return [gate.name for gate in score.gates if not gate.ok]

    @staticmethod
    def codes(score: Score) -> set[str]:
        """The codes of the reasons."""
        return {diagnostic.code for diagnostic in score.diagnostics}


@pytest.fixture(scope="session")
def sample() -> type[Sample]:
    return Sample


@pytest.fixture(scope="session")
def verifier() -> Verifier:
    return Verifier()
