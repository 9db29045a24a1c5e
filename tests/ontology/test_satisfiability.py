from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from aegir_dspy.ontology.axioms import (
    NOTHING,
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
from aegir_dspy.ontology.background import background
from aegir_dspy.ontology.datatypes import SPACES, colours, size
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.satisfiability import MOST_AXIOMS, Verdict, unsatisfiable_classes
from aegir_dspy.ontology.terms import Ontology, Term

A, B, C, D, E = (Named(f":{c}") for c in "ABCDE")
P, Q, R = ":p", ":q", ":r"


def xsd(name: str) -> Named:
    return Named(f"xsd:{name}")


def at_least(count: int, prop: str, filler: Expression = THING) -> Cardinality:
    return Cardinality("min", prop, count, filler)


def at_most(count: int, prop: str, filler: Expression = THING) -> Cardinality:
    return Cardinality("max", prop, count, filler)


EMPTY: dict[str, list[Axiom]] = {
    "disjoint parents": [SubClass(A, B), SubClass(A, C), Disjoint((B, C))],
    "some of nothing": [SubClass(A, Some(P, NOTHING))],
    "domain": [Domain(P, B), SubClass(A, Some(P, THING)), Disjoint((A, B))],
    "domain of a property above": [
        *(SubProperty(Q, P), Domain(P, B), SubClass(A, Some(Q, THING)), Disjoint((A, B))),
    ],
    "range": [Range(P, B), SubClass(A, Some(P, C)), Disjoint((B, C))],
    "some and only": [SubClass(A, Some(P, B)), SubClass(A, Only(P, C)), Disjoint((B, C))],
    "counts": [SubClass(A, at_least(3, P, B)), SubClass(A, at_most(2, P))],
    "large counts": [SubClass(A, at_least(9_000_000, P, B)), SubClass(A, at_most(8_999_999, P))],
    "counts by kind": [
        SubClass(A, at_least(2, P, B)),
        SubClass(A, at_least(2, P, C)),
        SubClass(A, at_most(3, P)),
        Disjoint((B, C)),
    ],
    "counts with a choice": [
        SubClass(A, at_least(2, P, Or((B, C)))),
        SubClass(A, at_most(0, P, And((Not(B), Not(D))))),
        SubClass(A, at_most(1, P, B)),
        Disjoint((D, Or((B, C)))),
    ],
    "functional": [Functional(P), SubClass(A, Some(P, B)), SubClass(A, Some(P, C)), Disjoint((B, C))],
    "union": [SubClass(A, Or((B, C))), Disjoint((A, B)), Disjoint((A, C))],
    "complement": [Equivalent(A, Not(B)), SubClass(A, B)],
    "equivalence read backwards": [Equivalent(B, Some(P, C)), SubClass(A, Some(P, C)), Disjoint((A, B))],
    "only read backwards": [Equivalent(B, Only(P, C)), SubClass(A, Only(P, NOTHING)), Disjoint((A, B))],
    "nested": [SubClass(A, Some(P, Some(Q, B))), SubClass(A, Only(P, Only(Q, Not(B))))],
    "circle": [SubClass(A, Some(P, A)), SubClass(A, Only(P, Only(P, B))), Disjoint((A, B))],
    "one individual, two roads": [
        SubClass(A, Value(P, ":i")),
        SubClass(A, Value(Q, ":i")),
        *(SubClass(A, Only(P, B)), SubClass(A, Only(Q, C)), Disjoint((B, C))),
    ],
    "what is said of an individual": [
        SubClass(A, Value(P, ":i")),
        Instance(":i", B),
        SubClass(A, Only(P, Not(B))),
    ],
    "value and count": [
        SubClass(A, Value(P, ":i")),
        SubClass(A, Value(P, ":j")),
        *(Functional(P), Instance(":i", B), Instance(":j", C), Disjoint((B, C))),
    ],
    "text is no number": [SubClass(A, Some(P, xsd("integer"))), SubClass(A, Only(P, xsd("string")))],
    "double is no decimal": [SubClass(A, Some(P, xsd("double"))), Range(P, xsd("decimal"))],
    "date is no dateTime": [SubClass(A, Some(P, xsd("date"))), Range(P, xsd("dateTime"))],
    "no integer is both": [SubClass(A, Some(P, xsd("positiveInteger"))), Range(P, xsd("negativeInteger"))],
    "three truth values": [SubClass(A, at_least(3, P, xsd("boolean")))],
    "two zeros": [
        *(
            SubClass(A, at_least(2, P)),
            Range(P, xsd("nonNegativeInteger")),
            Range(P, xsd("nonPositiveInteger")),
        ),
    ],
    "257 bytes": [SubClass(A, at_least(257, P, xsd("byte")))],
    "a thing is no text": [SubClass(A, Some(P, xsd("string"))), SubClass(A, Only(P, B))],
}

FULL: dict[str, list[Axiom]] = {
    "a domain in other words": [SubClass(A, Or((at_most(0, P), B))), Disjoint((A, B))],
    "a bound or not": [SubClass(A, Or((at_most(1, P, C), B))), Disjoint((A, B)), SubClass(A, at_least(1, P))],
    "two domains in other words": [
        *(SubClass(A, Or((at_most(0, P), at_most(0, Q)))), SubClass(A, Some(P, B)), SubClass(C, Some(Q, B))),
    ],
    "integer is decimal": [SubClass(A, Some(P, xsd("integer"))), Range(P, xsd("decimal"))],
    "two truth values": [SubClass(A, at_least(2, P, xsd("boolean")))],
    "256 bytes": [SubClass(A, at_least(256, P, xsd("byte")))],
    "circle": [SubClass(A, Some(P, A)), SubClass(A, Some(Q, A)), Functional(P), Functional(Q)],
    "merging": [SubClass(A, Some(P, B)), SubClass(A, Some(P, C)), Functional(P)],
    "merging two ways": [
        *(SubClass(A, at_least(2, P, B)), SubClass(A, at_least(2, P, C)), SubClass(A, at_most(2, P))),
    ],
    "large counts": [SubClass(A, at_least(500, P, B)), SubClass(A, at_most(600, P, B))],
    "another road": [SubClass(A, Or((B, C))), Disjoint((A, B))],
    "two individuals may be one": [SubClass(A, Value(P, ":i")), SubClass(A, Value(P, ":j")), Functional(P)],
    "only of nothing": [SubClass(A, Only(P, NOTHING)), SubClass(A, Only(P, B))],
    "key": [HasKey(":A", (P,)), SubClass(A, Some(P, xsd("string")))],
}


@pytest.mark.parametrize("name", EMPTY)
def test_contradictions_are_found_and_each_culprit_is_needed(name: str) -> None:
    axioms = EMPTY[name]
    verdict = unsatisfiable_classes(axioms)
    assert verdict.consistent
    assert ":A" in verdict.unsatisfiable
    assert not verdict.ok
    culprits = verdict.culprits[verdict.unsatisfiable[0]]
    assert culprits
    for left_out in culprits:
        rest = [axiom for i, axiom in enumerate(axioms) if i != left_out]
        assert verdict.unsatisfiable[0] not in unsatisfiable_classes(rest).unsatisfiable


@pytest.mark.parametrize("name", FULL)
def test_what_can_be_is_not_refused(name: str) -> None:
    verdict = unsatisfiable_classes(FULL[name])
    assert verdict.ok
    assert not verdict.vacuous
    assert ":A" in verdict.classes


def test_culprits_leave_out_what_does_not_matter() -> None:
    axioms: list[Axiom] = [
        SubClass(D, E),
        SubClass(A, B),
        SubClass(A, Some(P, D)),
        SubClass(A, C),
        Disjoint((B, C)),
    ]
    assert unsatisfiable_classes(axioms).culprits == {":A": (1, 3, 4)}


def test_inconsistency_empties_every_class() -> None:
    verdict = unsatisfiable_classes([Instance(":i", A), SubClass(A, NOTHING), SubClass(B, C)])
    assert verdict.consistent is False
    assert verdict.unsatisfiable == (":A", ":B", ":C")
    assert verdict.culprits == {"owl:Thing": (0, 1)}


@pytest.mark.parametrize("axioms", [[], [SubProperty(P, Q)], [Functional(P)]])
def test_passing_with_nothing_to_check_says_so(axioms: list[Axiom]) -> None:
    verdict = unsatisfiable_classes(axioms)
    assert verdict.ok
    assert verdict.vacuous


def test_the_ontology_is_heeded() -> None:
    ontology = Ontology(
        "test",
        (
            Term("x:Thing", "class"),
            Term("x:Person", "class", parents=("x:Thing",), disjoint=("x:Place",)),
            Term("x:Place", "class", parents=("x:Thing",)),
            Term("x:City", "class", parents=("x:Place",)),
            Term("x:Event", "class"),
            Term(
                "x:livesIn", "object_property", domain=("x:Person",), range=("x:Place",), parents=("x:near",)
            ),
            Term("x:near", "object_property", domain=("x:Person", "x:Event")),
            Term("x:height", "data_property", range=("xsd:decimal",)),
            Term("x:Length", "datatype", parents=("xsd:decimal",)),
        ),
    )

    def empty(*axioms: Axiom, domains: bool = True) -> tuple[str, ...]:
        return unsatisfiable_classes(axioms, ontology, domains=domains).unsatisfiable

    both = And((Named("x:Person"), Named("x:City")))
    assert empty(SubClass(A, both)) == (":A",)
    lives = SubClass(A, And((Named("x:City"), Some("x:livesIn", THING))))
    assert empty(lives) == (":A",)
    assert empty(lives, domains=False) == ()
    assert empty(SubClass(A, And((Named("x:City"), Some("x:near", THING))))) == ()
    no_event = SubClass(A, And((Named("x:City"), Some("x:near", THING), Not(Named("x:Event")))))
    assert empty(no_event) == (":A",)
    assert empty(SubClass(A, Some("x:height", xsd("string")))) == (":A",)
    assert empty(SubClass(A, Some("x:height", Named("x:Length")))) == ()
    behind = unsatisfiable_classes([SubClass(A, both)], ontology)
    assert behind.culprits == {":A": (0,)}
    assert SubClass(Named("x:City"), Named("x:Place")) in background(["x:City"], ontology)
    assert background(["x:unknown"], ontology) == []


def test_ranges_of_things_and_texts() -> None:
    author = Term("x:author", "object_property", range=("x:Person", "xsd:string"))
    ontology = Ontology(
        "test", (author, Term("x:Person", "class", disjoint=("x:Place",)), Term("x:Place", "class"))
    )

    def ok(filler: Expression) -> bool:
        return unsatisfiable_classes([SubClass(A, Some("x:author", filler))], ontology).ok

    assert ok(Named("x:Person"))
    assert ok(xsd("string"))
    assert not ok(xsd("integer"))
    assert not ok(Named("x:Place"))


def test_work_is_bounded(within: Callable[..., Verdict]) -> None:
    deep: Expression = A
    for i in range(100_000):
        deep = Not(deep) if i % 2 else Some(P, deep)
    hard: list[list[Axiom]] = [
        [SubClass(Named(f":C{i}"), Named(f":C{i + 1}")) for i in range(10_000)],
        [SubClass(B, deep)],
        [Disjoint(tuple(Named(f":C{i}") for i in range(3_000)))],
        [SubClass(A, at_least(400, P, B)), SubClass(A, at_least(400, P, C)), SubClass(A, at_most(500, P))],
    ]
    for axioms in hard:
        verdict = within(1, partial(unsatisfiable_classes, axioms))  # 0.04 s on an idle machine
        assert not verdict.ok
        assert verdict.consistent is None or verdict.unknown


def test_a_thousand_axioms_are_decided() -> None:
    chain: list[Axiom] = [SubClass(Named(f":C{i}"), Named(f":C{i + 1}")) for i in range(MOST_AXIOMS - 1)]
    verdict = unsatisfiable_classes([*chain, Disjoint((Named(":C0"), Named(f":C{MOST_AXIOMS - 1}")))])
    assert verdict.unsatisfiable == (":C0",)
    assert verdict.unknown == ()


def test_too_small_a_budget_is_unknown_not_a_pass() -> None:
    axioms = EMPTY["counts with a choice"]
    for budget in range(0, 400, 7):
        verdict = unsatisfiable_classes(axioms, budget=budget)
        assert not verdict.ok


def test_the_same_everywhere() -> None:
    script = (
        "import random, sys; sys.path.insert(0, 'tests/ontology')\n"
        "from test_satisfiability import EMPTY\n"
        "from aegir_dspy.ontology.satisfiability import unsatisfiable_classes\n"
        "print([unsatisfiable_classes(a) for a in EMPTY.values()])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1


def test_value_spaces() -> None:
    def within(one: str, other: str) -> bool:
        return SPACES[one] & ~SPACES[other] == 0

    assert within("xsd:integer", "xsd:decimal")
    assert within("xsd:byte", "xsd:int")
    assert within("xsd:language", "xsd:string")
    assert all(within(name, "rdfs:Literal") for name in SPACES)
    assert not within("xsd:unsignedByte", "xsd:byte")
    apart = (
        "xsd:decimal",
        "xsd:float",
        "xsd:double",
        "xsd:string",
        "xsd:boolean",
        "xsd:dateTime",
        "xsd:anyURI",
    )
    assert all(not SPACES[a] & SPACES[b] for a in apart for b in apart if a != b)
    assert size(SPACES["xsd:byte"]) == 256
    assert size(SPACES["xsd:unsignedByte"] & SPACES["xsd:byte"]) == 128
    assert size(SPACES["xsd:boolean"]) == 2


def test_colours() -> None:
    two = SPACES["xsd:boolean"]
    zero = SPACES["xsd:nonNegativeInteger"] & SPACES["xsd:nonPositiveInteger"]
    ring = {(0, 1), (1, 2), (2, 3), (3, 0)}
    assert colours([two] * 4, ring)
    assert not colours([two] * 3, {(0, 1), (1, 2), (0, 2)})
    assert colours([two, two, two | zero], {(0, 1), (1, 2), (0, 2)})
    assert not colours([zero, zero], {(0, 1)})
    assert colours([zero, two], {(0, 1)})


def test_a_verdict_is_remembered_and_the_memory_stays_here() -> None:
    ontology = pickle.loads(pickle.dumps(load_ontology("schema")))
    axioms = (SubClass(Named(":Row"), Named("schema:Book")),)
    first = unsatisfiable_classes(axioms, ontology, explain=1)
    assert first.ok and unsatisfiable_classes(list(axioms), ontology) is first
    assert unsatisfiable_classes(axioms, ontology, domains=False) is not first
    again = pickle.loads(pickle.dumps(ontology))
    assert again == ontology and not again.derived and unsatisfiable_classes(axioms, again) == first
