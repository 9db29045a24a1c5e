from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.axioms import (
    THING,
    And,
    Axiom,
    Cardinality,
    Disjoint,
    Domain,
    Equivalent,
    Expression,
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
from aegir_dspy.ontology.manchester import MAX_DEPTH, parse_axioms, parse_expression, render, render_axiom
from aegir_dspy.ontology.verbalise import verbalise

A, B, C = Named("schema:Book"), Named("schema:Person"), Named(":Order")
LOCALS = st.from_regex(r"[A-Za-z_][\w.-]{0,8}", fullmatch=True) | st.sampled_from(
    ["some", "and", "Class", "not", "1", "a/b", "min"]
)
NAMES = st.builds("{}:{}".format, st.sampled_from(["schema", "dbo", "xsd", "", "Class"]), LOCALS)
ATOMS = st.builds(Named, NAMES) | st.just(THING) | st.builds(Value, NAMES, NAMES)


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=2, max_size=4).map(tuple)
    counted = st.builds(
        Cardinality, st.sampled_from(["min", "max", "exactly"]), NAMES, st.integers(0, 999_999_999), inner
    )
    quantified = st.builds(Some, NAMES, inner) | st.builds(Only, NAMES, inner)
    return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several) | quantified | counted


EXPRESSIONS = st.recursive(ATOMS, larger, max_leaves=12)
AXIOMS: st.SearchStrategy[Any] = st.one_of(
    st.builds(SubClass, EXPRESSIONS, EXPRESSIONS),
    st.builds(Equivalent, EXPRESSIONS, EXPRESSIONS),
    st.builds(Disjoint, st.lists(EXPRESSIONS, min_size=2, max_size=4).map(tuple)),
    st.builds(Domain, NAMES, EXPRESSIONS),
    st.builds(Range, NAMES, EXPRESSIONS),
    st.builds(Functional, NAMES),
    st.builds(SubProperty, NAMES, NAMES),
    st.builds(HasKey, NAMES, st.lists(NAMES, min_size=1, max_size=4).map(tuple)),
    st.builds(Instance, NAMES, EXPRESSIONS),
)


@given(EXPRESSIONS)
def test_expressions_are_read_as_they_were_written(expression: Expression) -> None:
    assert parse_expression(render(expression)) == expression


@given(st.lists(AXIOMS, min_size=1, max_size=3))
def test_axioms_are_read_as_they_were_written(axioms: list[Axiom]) -> None:
    assert parse_axioms("\n".join(map(render_axiom, axioms))) == tuple(axioms)


TOKENS = st.sampled_from(
    ["Class:", "SubClassOf:", "a:b", "(", ")", "some", "not", "and", ",", "p:q", "3", "min"]
)


@given(st.text(max_size=60) | st.lists(TOKENS, max_size=12).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        axioms = parse_axioms(text)
    except InputError:
        return
    assert parse_axioms("\n".join(map(render_axiom, axioms))) == axioms


@given(AXIOMS)
def test_axioms_can_be_said(axiom: Axiom) -> None:
    sentence = verbalise(axiom)
    assert sentence[0] == sentence[0].upper() and sentence.endswith(".") and "Named(" not in sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("schema:Book or :Order and schema:Person", Or((A, And((C, B))))),
        ("(schema:Book or :Order) and schema:Person", And((Or((A, C)), B))),
        ("not schema:Book and :Order", And((Not(A), C))),
        ("a:p some b:q only :Order", Some("a:p", Only("b:q", C))),
        ("a:p some not :Order", Some("a:p", Not(C))),
        ("a:p max 1", Cardinality("max", "a:p", 1, THING)),
        ("a:p max 1 and :Order", And((Cardinality("max", "a:p", 1, THING), C))),
        ("a:p min 2 (not :Order)", Cardinality("min", "a:p", 2, Not(C))),
        ("a:p\n value\tschema:InStock", Value("a:p", "schema:InStock")),
        ("((((:Order))))", C),
    ],
)
def test_expressions_mean_what_the_standard_says(text: str, expected: Expression) -> None:
    assert parse_expression(text) == expected


def test_frames_give_one_axiom_for_each_thing_said() -> None:
    text = """
    Class: :Order SubClassOf: schema:Book, a:p some schema:Person EquivalentTo: schema:Person
      DisjointWith: schema:Book HasKey: a:p b:q HasKey: a:p, b:q
    ObjectProperty: a:p Domain: :Order Range: schema:Book Characteristics: Functional SubPropertyOf: b:q, c:r
    DataProperty: d:d Range: xsd:date
    Individual: a:x Types: :Order
    DisjointClasses: :Order, schema:Book, schema:Person
    EquivalentClasses: :Order, schema:Book or schema:Person
    Class: (a:p some :Order) SubClassOf: schema:Book
    """
    assert parse_axioms(text) == (
        SubClass(C, A),
        SubClass(C, Some("a:p", B)),
        Equivalent(C, B),
        Disjoint((C, A)),
        HasKey(":Order", ("a:p", "b:q")),
        HasKey(":Order", ("a:p", "b:q")),
        Domain("a:p", C),
        Range("a:p", A),
        Functional("a:p"),
        SubProperty("a:p", "b:q"),
        SubProperty("a:p", "c:r"),
        Range("d:d", Named("xsd:date")),
        Instance("a:x", C),
        Disjoint((C, A, B)),
        Equivalent(C, Or((A, B))),
        SubClass(Some("a:p", C), A),
    )


def test_data_properties_have_frames_of_their_own() -> None:
    axiom = Range("schema:isbn", Named("xsd:string"))
    assert render_axiom(axiom, {"schema:isbn"}) == "DataProperty: schema:isbn Range: xsd:string"
    assert render_axiom(axiom) == "ObjectProperty: schema:isbn Range: xsd:string"


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("", "line 1, column 1", "one of Class:"),
        ("Class: Book SubClassOf: a:b", "line 1, column 8", "a class expression"),
        ("Class: a:b\n  SubClassOf: c:d and", "line 2, column 22", "found the end"),
        ("Class: a:b SubClassOf: (c:d", "line 1, column 28", "')'"),
        ("Class: a:b Domain: c:d", "line 1, column 12", "a section of Class:"),
        ("Class: (a:b or c:d) HasKey: e:f", "line 1, column 21", "a named class"),
        ("ObjectProperty: a:b Characteristics: Transitive", "line 1, column 38", "Functional"),
        ("Class: a:b SubClassOf: a:p max 1234567890 c:d", "line 1, column 32", "a number below 1e9"),
        ("Class: a:b SubClassOf: a:p max x:y", "line 1, column 32", "a whole number"),
        ("Class: a:b SubClassOf: {A:Class}", "line 1, column 24", "a class expression"),
        ("DisjointClasses: a:b", "line 1, column 21", "two or more expressions"),
        ("EquivalentClasses: a:b, c:d, e:f", "line 1, column 33", "exactly two expressions"),
        ("Class: a:b SubClassOf: c:d c:e", "line 1, column 28", "one of Class:"),
    ],
)
def test_errors_say_where_and_what(text: str, place: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_axioms(text)
    assert place in str(caught.value) and expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", ["(", "not ", "a:p some ", "a:p min 2 (", "a:p only (not "])
def test_deep_text_is_refused(step: str) -> None:
    with pytest.raises(InputError, match=f"at most {MAX_DEPTH} deep"):
        parse_expression(step * 100_000 + "a:b")


def test_depth_in_text_is_depth_of_values() -> None:
    chain: list[Expression] = [C]
    for step in range(MAX_DEPTH):
        inner = chain[-1]
        wraps: tuple[Expression, ...] = (Not(inner), Some("a:p", inner), And((inner, A)), Or((B, inner)))
        chain.append(wraps[step % 4])
    for deep in chain[:MAX_DEPTH]:
        assert parse_expression(render(deep)) == deep
    with pytest.raises(InputError, match=f"at most {MAX_DEPTH} deep"):
        render(chain[-1])
    with pytest.raises(InputError, match=f"at most {MAX_DEPTH} deep"):
        verbalise(SubClass(A, Not(Not(chain[-1]))))
