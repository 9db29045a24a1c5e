from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aegir_dspy.ontology.axioms import And, Named, Not, Some, SubClass
from aegir_dspy.ontology.catalog import load_catalog
from aegir_dspy.ontology.composition import ColumnType
from aegir_dspy.verifier.abstention import ABSTAINED, with_abstentions
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.completeness import completeness
from aegir_dspy.verifier.density import complexity, density
from aegir_dspy.verifier.nulls import SIZES, Nulls, made, text_of
from aegir_dspy.verifier.score import Finding
from aegir_dspy.verifier.verifier import Verifier


def case_of(verifier: Verifier, sample: Any, composition: Any) -> Case:
    return Case(verifier.standard, composition, (sample.orders,))


# --- density --------------------------------------------------------------------------------------


def test_complexity_counts_constructors_and_each_restriction_once() -> None:
    a, b, c = Named(":A"), Named(":B"), Named(":C")
    has = Some("schema:about", b)
    assert complexity([SubClass(a, b)]) == 0.5
    assert complexity([SubClass(a, has)]) == 1
    assert complexity([SubClass(a, has), SubClass(c, has)]) == 1
    assert complexity([SubClass(a, And((b, Not(c))))]) == 2


def test_axioms_about_something_else_add_nothing(verifier: Verifier, sample: Any) -> None:
    found = density(case_of(verifier, sample, sample.good), verifier.nulls)
    stuffed = sample.plus(
        sample.axiom("some.object", A="schema:Recipe", p="schema:recipeCategory", B="schema:Thing"),
        sample.axiom("some.object", A="schema:Movie", p="schema:actor", B="schema:Person"),
    )
    more = density(case_of(verifier, sample, stuffed), verifier.nulls)
    assert more.value < found.value
    assert [one.subject for one in more.diagnostics if one.code == "density.unanchored"] == [
        "axiom 6",
        "axiom 7",
    ]


def test_density_is_nothing_without_axioms_and_one_at_most(verifier: Verifier, sample: Any) -> None:
    none = density(case_of(verifier, sample, replace(sample.good, axioms=())), verifier.nulls)
    assert none.value == 0 and none.diagnostics[0].code == "density.no_axioms"
    rich = sample.axiom(
        "data_element.trip",
        **{"A": ":PlacedOrder", "Kind": "schema:Trip", "from": "schema:fromLocation", "B": "schema:Place"},
        **{"to": "schema:toLocation", "C": "schema:City", "leaves": "schema:departureTime"},
        **{"D": "xsd:dateTime", "arrives": "schema:arrivalTime"},
    )
    one = replace(sample.table(columns=(ColumnType(0, "orderNumber"),)), axioms=(rich,))
    assert density(case_of(verifier, sample, one), verifier.nulls).value == 1


def test_shipped_nulls_are_those_of_the_catalog(verifier: Verifier) -> None:
    assert text_of(made(load_catalog())) == text_of(verifier.nulls)


def test_nulls_are_interpolated_and_fall_with_size() -> None:
    nulls = Nulls("", tuple(float(len(SIZES) - i) for i in range(len(SIZES))))
    assert nulls.density(1) == 12 and nulls.density(10_000) == 1
    assert nulls.density(5) == pytest.approx(8.5)


# --- completeness ---------------------------------------------------------------------------------


def missing(verifier: Verifier, sample: Any, composition: Any) -> set[str]:
    found = completeness(case_of(verifier, sample, composition))
    return {one.code.removeprefix("completeness.") for one in found.diagnostics}


def test_completeness_names_what_is_missing(verifier: Verifier, sample: Any) -> None:
    good = sample.good
    assert missing(verifier, sample, good) == {"column_unsaid"}
    bare = replace(good, axioms=())
    assert {"no_genus", "no_differentia", "row_class_undefined"} <= missing(verifier, sample, bare)
    mute = replace(good, terms=(replace(good.terms[0], label="", definition=""),))
    assert {"no_label", "no_definition"} <= missing(verifier, sample, mute)
    beside = replace(good, terms=(replace(good.terms[0], definition="Somebody sails to Corfu in spring."),))
    assert {"genus_unsaid", "differentia_unsaid"} <= missing(verifier, sample, beside)
    assert "no_row_class" in missing(verifier, sample, sample.table(term=None))
    assert "relation_unsaid" in missing(verifier, sample, replace(good, axioms=good.axioms[:2]))


def test_length_does_not_count(verifier: Verifier, sample: Any) -> None:
    good = sample.good
    padded = replace(
        good,
        terms=(replace(good.terms[0], definition=good.terms[0].definition + " It is kept on file." * 9),),
    )
    one, other = (completeness(case_of(verifier, sample, c)).value for c in (good, padded))
    assert one == other


def test_siblings_need_differentiae_of_their_own(verifier: Verifier, sample: Any) -> None:
    twin = replace(sample.good.terms[0], name=":Twin", label="twin order")
    same = [
        replace(entry, slots=tuple((n, ":Twin" if f == ":PlacedOrder" else f) for n, f in entry.slots))
        for entry in sample.good.axioms[:5]
    ]
    both = replace(sample.plus(*same), terms=(*sample.good.terms, twin))
    assert "no_differentia" in missing(verifier, sample, both)
    apart = replace(
        both,
        axioms=(*both.axioms, sample.axiom("some.any", A=":Twin", p="schema:broker")),
    )
    subjects = {
        one.subject
        for one in completeness(case_of(verifier, sample, apart)).diagnostics
        if one.code == "completeness.no_differentia"
    }
    assert subjects == {"term :PlacedOrder"}


def test_nothing_named_is_nothing_defined(verifier: Verifier, sample: Any) -> None:
    empty = replace(sample.good, tables=(), terms=(), axioms=(), elements=())
    found = completeness(case_of(verifier, sample, empty))
    assert found.value == 0 and found.diagnostics


# --- abstention -----------------------------------------------------------------------------------


def test_an_abstention_counts_between_support_and_contradiction(verifier: Verifier, sample: Any) -> None:
    columns = sample.good.tables[0].columns

    def r_e(changed: ColumnType) -> float:
        told = tuple(changed if one.index == changed.index else one for one in columns)
        return verifier.score(sample.table(columns=told), [sample.orders]).components["R_E"]

    abstained = ColumnType(1, None, "two types are as probable")
    assert r_e(ColumnType(1, "email")) > r_e(abstained) > r_e(ColumnType(1, "DateTime"))


def test_abstaining_everywhere_is_worth_little(verifier: Verifier, sample: Any) -> None:
    columns = tuple(ColumnType(i, None, "too few rows to tell") for i in range(4))
    case = case_of(verifier, sample, sample.table(columns=columns))
    found = with_abstentions(case, Finding(0.0))
    assert found.value == pytest.approx((3 * ABSTAINED + 0.5) / 4)
    assert [one.code for one in found.diagnostics] == ["instances.abstained"]
    full = case_of(verifier, sample, sample.table(columns=tuple(ColumnType(i, "email") for i in range(4))))
    assert with_abstentions(full, Finding(0.25)).value == 0.25
