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
from aegir_dspy.ontology.terms import Ontology, Term
from aegir_dspy.ontology.vocabulary import Label, Vocabulary
from aegir_dspy.verifier.gates import MOST_REASONS
from aegir_dspy.verifier.profiles import GATES
from aegir_dspy.verifier.verifier import Verifier


def test_a_good_composition_passes_every_gate(verifier: Verifier, sample: Any) -> None:
    score = verifier.score(sample.good, [sample.orders])
    assert [gate.name for gate in score.gates] == list(GATES)
    assert score.ok and score.R > 0.7


def of_term(**changed: str) -> OwnTerm:
    term = OwnTerm(":Thing", "class", "rush order", "An order that is sent on the day it is placed.")
    return replace(term, **changed)


def axiom(template: str, **slots: str) -> Entry:
    return Entry(template, tuple(slots.items()))


ROW = ":PlacedOrder"
REFUSED: list[tuple[str, str, Any]] = [
    ("vocabulary", "vocabulary.unknown_type", lambda s: s.table(columns=(ColumnType(0, "Bookk"),))),
    ("vocabulary", "vocabulary.unknown_template", lambda s: s.plus(axiom("some.thing", A=ROW))),
    (
        "vocabulary",
        "vocabulary.unknown_term",
        lambda s: s.plus(axiom("subclass.named", A=ROW, B="schema:No")),
    ),
    ("vocabulary", "vocabulary.undeclared", lambda s: s.plus(axiom("subclass.named", A=":Rush", B=ROW))),
    ("vocabulary", "vocabulary.undeclared", lambda s: s.table(term=":Rush")),
    ("vocabulary", "vocabulary.unknown_term", lambda s: s.table(term="schema:price")),
    (
        "vocabulary",
        "vocabulary.unknown_property",
        lambda s: s.table(relations=(Related(0, 1, "schema:Book"),)),
    ),
    (
        "vocabulary",
        "vocabulary.own_name",
        lambda s: replace(s.good, terms=(*s.good.terms, of_term(name="Rush"))),
    ),
    (
        "vocabulary",
        "vocabulary.own_kind",
        lambda s: replace(s.good, terms=(*s.good.terms, of_term(kind="role"))),
    ),
    ("vocabulary", "vocabulary.other_ontology", lambda s: replace(s.good, ontology="cco")),
    ("vocabulary", "vocabulary.other_vocabulary", lambda s: replace(s.good, vocabulary="dbpedia")),
    ("slots", "slots.missing", lambda s: s.plus(axiom("subclass.named", A=ROW))),
    (
        "slots",
        "slots.extra",
        lambda s: s.plus(axiom("some.any", A=ROW, p="schema:customer", q="schema:seller")),
    ),
    ("slots", "slots.empty", lambda s: s.plus(axiom("some.any", A=ROW, p=""))),
    ("slots", "slots.type", lambda s: s.plus(axiom("some.any", A=ROW, p="schema:price"))),
    ("slots", "slots.type", lambda s: s.plus(axiom("some.any", A="schema:price", p="schema:customer"))),
    (
        "slots",
        "slots.type",
        lambda s: s.plus(
            axiom("cardinality.at_least", A=ROW, p="schema:customer", n="two", B="schema:Person")
        ),
    ),
    (
        "bounds",
        "bounds.filler",
        lambda s: s.plus(axiom("cardinality.at_least", A=ROW, p="schema:customer", n="0", B="schema:Person")),
    ),
    (
        "bounds",
        "bounds.filler",
        lambda s: s.plus(
            axiom(
                *("data_element.geo_coordinates",),
                **{"A": "schema:Book", "latitude": "schema:latitude", "longitude": "schema:longitude"},
                D="xsd:decimal",
            )
        ),
    ),
    (
        "satisfiable",
        "satisfiable.empty_class",
        lambda s: s.plus(axiom("subclass.named", A=ROW, B="schema:Person")),
    ),
    (
        "satisfiable",
        "satisfiable.empty_class",
        lambda s: s.plus(axiom("only.empty", A=ROW, p="schema:customer")),
    ),
    ("acyclic", "acyclic.cycle", lambda s: s.plus(axiom("subclass.named", A="schema:Order", B=ROW))),
    (
        "acyclic",
        "acyclic.cycle",
        lambda s: s.plus(axiom("subclass.named", A="schema:Thing", B="schema:Book")),
    ),
    (
        "acyclic",
        "acyclic.cycle",
        lambda s: s.plus(axiom("domain_range.sub_property", p="schema:customer", q="schema:customer")),
    ),
    (
        "rigidity",
        "rigidity.rigid_below_role",
        lambda s: s.plus(axiom("subclass.named", A="schema:Person", B="schema:Patient")),
    ),
    ("duplicates", "duplicates.entry", lambda s: s.plus(s.good.axioms[3])),
    (
        "duplicates",
        "duplicates.axiom",
        lambda s: s.plus(
            axiom("union.either", A=ROW, B="schema:Order", C="schema:Invoice"),
            axiom("union.either", A=ROW, B="schema:Invoice", C="schema:Order"),
        ),
    ),
    ("duplicates", "duplicates.term", lambda s: replace(s.good, terms=s.good.terms * 2)),
    ("duplicates", "duplicates.relation", lambda s: s.table(relations=s.good.tables[0].relations * 2)),
    ("duplicates", "duplicates.element", lambda s: replace(s.good, elements=s.good.elements * 2)),
    (
        "duplicates",
        "duplicates.member",
        lambda s: replace(s.good, elements=(Element("card", (Member("orders", 0), Member("orders", 0))),)),
    ),
    ("stubs", "stubs.label", lambda s: replace(s.good, terms=(replace(s.good.terms[0], label="TODO"),))),
    (
        "stubs",
        "stubs.definition",
        lambda s: replace(s.good, terms=(replace(s.good.terms[0], definition="foo"),)),
    ),
    (
        "stubs",
        "stubs.definition",
        lambda s: replace(s.good, terms=(replace(s.good.terms[0], definition="Placed order."),)),
    ),
    ("stubs", "stubs.name", lambda s: replace(s.good, terms=(*s.good.terms, of_term(name=":Class1")))),
    ("stubs", "stubs.element", lambda s: replace(s.good, elements=(Element("xxx", (Member("orders", 0),)),))),
    (
        "stubs",
        "stubs.reason",
        lambda s: s.table(columns=(*s.good.tables[0].columns[:3], ColumnType(3, None, "n/a"))),
    ),
    ("coverage", "coverage.missing_table", lambda s: replace(s.good, tables=())),
    (
        "coverage",
        "coverage.unknown_table",
        lambda s: replace(s.good, tables=(*s.good.tables, TableTypes("o", ()))),
    ),
    ("coverage", "coverage.repeated_table", lambda s: replace(s.good, tables=s.good.tables * 2)),
    ("coverage", "coverage.missing_column", lambda s: s.table(columns=s.good.tables[0].columns[1:])),
    (
        "coverage",
        "coverage.repeated_column",
        lambda s: s.table(columns=(*s.good.tables[0].columns, ColumnType(0, "orderNumber"))),
    ),
    (
        "coverage",
        "coverage.unknown_column",
        lambda s: s.table(columns=(*s.good.tables[0].columns, ColumnType(4, "orderNumber"))),
    ),
    ("coverage", "coverage.unknown_column", lambda s: s.table(subject=9)),
    ("coverage", "coverage.unknown_column", lambda s: s.table(relations=(Related(0, 9, "schema:price"),))),
    (
        "coverage",
        "coverage.reflexive_relation",
        lambda s: s.table(relations=(Related(2, 2, "schema:price"),)),
    ),
    (
        "coverage",
        "coverage.no_reason",
        lambda s: s.table(columns=(*s.good.tables[0].columns[:3], ColumnType(3, None, " "))),
    ),
    (
        "coverage",
        "coverage.unknown_member",
        lambda s: replace(s.good, elements=(Element("order total", (Member("orders", 9),)),)),
    ),
]


@pytest.mark.parametrize(
    ("gate", "code", "broken"), REFUSED, ids=[f"{c} {i}" for i, (_, c, _) in enumerate(REFUSED)]
)
def test_each_gate_refuses_with_a_reason(
    verifier: Verifier, sample: Any, gate: str, code: str, broken: Any
) -> None:
    score = verifier.score(broken(sample), [sample.orders])
    assert gate in sample.closed(score)
    assert code in sample.codes(score)
    assert score.R == 0 and score.components == {}
    assert all("\n" not in one.message for one in score.diagnostics)


def test_all_gates_speak_at_once(verifier: Verifier, sample: Any) -> None:
    bad = replace(sample.good, tables=(), axioms=(sample.axiom("no.such"), *sample.good.axioms[:1] * 2))
    assert {"vocabulary", "duplicates", "coverage"} <= set(
        sample.closed(verifier.score(bad, [sample.orders]))
    )


def test_culprits_of_a_contradiction_are_named(verifier: Verifier, sample: Any) -> None:
    score = verifier.score(sample.plus(axiom("subclass.named", A=ROW, B="schema:Person")), [sample.orders])
    reason = next(one for one in score.diagnostics if one.code == "satisfiable.empty_class")
    assert reason.evidence == ("axiom 0", "axiom 6")


def test_a_long_cycle_is_found_and_its_surroundings_are_not_blamed(verifier: Verifier, sample: Any) -> None:
    names = [f":Stage{letter}" for letter in "abcdefgh"]
    terms = tuple(of_term(name=name, label=f"stage {name[-1]} of delivery") for name in names)
    ring = [axiom("subclass.named", A=a, B=b) for a, b in zip(names, names[1:] + names[:1], strict=True)]
    bad = replace(sample.plus(*ring), terms=(*sample.good.terms, *terms))
    score = verifier.score(bad, [sample.orders])
    blamed = {one.subject for one in score.diagnostics if one.code == "acyclic.cycle"}
    assert blamed == {f"axiom {i}" for i in range(6, 14)}


def test_two_names_for_one_class_are_no_cycle(verifier: Verifier, sample: Any) -> None:
    two = sample.plus(
        axiom("equivalence.named", A=":Purchase", B=ROW),
        axiom("subclass.named", A=":Purchase", B="schema:Order"),
    )
    two = replace(two, terms=(*two.terms, of_term(name=":Purchase")))
    assert "acyclic" not in sample.closed(verifier.score(two, [sample.orders]))


def test_an_own_class_meets_a_bound_by_its_superclass(verifier: Verifier, sample: Any) -> None:
    point = axiom(
        "data_element.geo_coordinates",
        A=":Spot",
        latitude="schema:latitude",
        longitude="schema:longitude",
        D="xsd:decimal",
    )
    spot = of_term(name=":Spot", label="delivery spot")
    loose = replace(sample.plus(point), terms=(*sample.good.terms, spot))
    assert "bounds" in sample.closed(verifier.score(loose, [sample.orders]))
    below = axiom("subclass.named", A=":Spot", B="schema:GeoCoordinates")
    bound = replace(loose, axioms=(*loose.axioms, below))
    assert "bounds" not in sample.closed(verifier.score(bound, [sample.orders]))


def test_a_role_below_a_rigid_class_is_fine_and_chains_are_followed(verifier: Verifier, sample: Any) -> None:
    fine = sample.plus(axiom("subclass.named", A="schema:Patient", B="schema:Person"))
    assert "rigidity" not in sample.closed(verifier.score(fine, [sample.orders]))
    chain = sample.plus(
        axiom("subclass.named", A="schema:Person", B=":Guest"),
        axiom("subclass.named", A=":Guest", B="schema:Patient"),
    )
    chain = replace(chain, terms=(*chain.terms, of_term(name=":Guest")))
    assert "rigidity" in sample.closed(verifier.score(chain, [sample.orders]))


def test_relations_are_those_of_the_vocabulary_of_relations(sample: Any) -> None:
    relations = Vocabulary("few", (Label("email", "https://schema.org/email"),))
    score = Verifier(relations=relations).score(sample.good, [sample.orders])
    assert sample.closed(score) == ["vocabulary"]
    assert "vocabulary.unknown_relation" in sample.codes(score)


def test_what_cannot_be_decided_is_refused(verifier: Verifier, sample: Any) -> None:
    crowd = {"A": ROW, "p": "schema:customer", "n": "100"}
    score = verifier.score(
        sample.plus(
            axiom("cardinality.at_least", **crowd, B="schema:Person"),
            axiom("cardinality.at_least", **crowd, B="schema:Organization"),
            axiom("cardinality.at_most", **crowd, B="schema:Thing"),
        ),
        [sample.orders],
    )
    assert "satisfiable.unknown" in sample.codes(score)
    assert score.R == 0


def test_two_tables_of_one_name_are_matched_in_order(verifier: Verifier, sample: Any) -> None:
    twice = replace(sample.good, tables=sample.good.tables * 2, elements=())
    score = verifier.score(twice, [sample.orders, sample.orders])
    assert "coverage" not in sample.closed(score)


def test_reasons_of_a_gate_are_cut_and_the_cut_is_told(verifier: Verifier, sample: Any) -> None:
    columns = tuple(ColumnType(i, "nonsense") for i in range(500))
    score = verifier.score(sample.table(columns=columns), [sample.orders])
    told = [one for one in score.diagnostics if one.code.startswith("vocabulary.")]
    assert len(told) == MOST_REASONS + 1
    assert "vocabulary.more" in sample.codes(score)


def test_an_ontology_without_domains_or_rigidity_works(sample: Any) -> None:
    terms = (Term("schema:Order", "class", "order"), Term("schema:Person", "class", "person"))
    bare = Verifier(ontology=Ontology("bare", terms))
    types = replace(sample.good.tables[0], relations=(), term="schema:Order")
    composition = Composition(tables=(types,), ontology="bare")
    assert bare.score(composition, [sample.orders]).ok
