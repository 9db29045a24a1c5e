from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
from collections.abc import Sequence

import pytest

from aegir_dspy.errors import AegirError, PrerequisiteError
from aegir_dspy.ontology.axioms import (
    Axiom,
    Cardinality,
    Disjoint,
    Equivalent,
    Instance,
    Named,
    Not,
    Only,
    Or,
    Range,
    Some,
    SubClass,
)
from aegir_dspy.ontology.hermit import HermitOracle
from aegir_dspy.ontology.satisfiability import unsatisfiable_classes

pytestmark = pytest.mark.usefixtures("import_benchmark")
A, B, C = Named(":A"), Named("<http://example.org/ B>"), Named("ö:C")

missing = [name for name in ("java",) if shutil.which(name) is None]
missing += [name for name in ("owlready2",) if importlib.util.find_spec(name) is None]
with_hermit = pytest.mark.skipif(bool(missing), reason=f"HermiT needs {', '.join(missing)}")


@with_hermit
def test_answers_by_set() -> None:
    sets: list[list[Axiom]] = [
        [SubClass(A, B), Disjoint((A, B)), SubClass(C, A)],
        [SubClass(A, B), Disjoint((A, B)), Instance(":i", A)],
        [SubClass(A, B)],
        [SubClass(A, Some(":p", Named("xsd:string"))), Range(":p", Named("xsd:integer"))],
        [SubClass(A, Only(":p", Named("xsd:string"))), Instance(":i", Named("owl:Nothing"))],
        [],
        [Disjoint((A, A)), Equivalent(B, B), Disjoint((C, B, C))],
    ]
    assert HermitOracle().check(sets) == [(":A", "ö:C"), None, (), (":A",), None, (), (":A", "ö:C")]


@with_hermit
def test_a_set_that_it_refuses_is_named() -> None:
    dates: list[Axiom] = [SubClass(A, Some(":p", Named("xsd:date")))]
    with pytest.raises(AegirError, match=r"set 1, found: .*"):
        HermitOracle().check([[SubClass(A, B)], dates])


@with_hermit
def test_hermit_errs_on_bounded_unions_of_types() -> None:
    """What fulfils `none` fulfils `one`, yet it allows `none` and not `one`: random axioms avoid these."""
    integers = Or((Named("xsd:nonPositiveInteger"), Named("xsd:positiveInteger")))
    others: Axiom = SubClass(A, Cardinality("min", ":d", 2, Not(Named("xsd:integer"))))
    one: list[Axiom] = [others, SubClass(A, Cardinality("max", ":d", 1, integers))]
    none: list[Axiom] = [others, SubClass(A, Only(":d", Not(integers)))]
    assert HermitOracle().check([one, none]) == [(":A",), ()]
    assert unsatisfiable_classes(one).ok
    assert unsatisfiable_classes(none).ok


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match=r"aegir-dspy\[hermit\]"):
        HermitOracle()


def compare(sets: Sequence[Sequence[Axiom]]) -> tuple[int, int]:
    """(decided, contradictory) of sets on which both agree."""
    verdicts = [unsatisfiable_classes(axioms) for axioms in sets]
    known = [i for i, v in enumerate(verdicts) if v.consistent is not None and not v.unknown]
    for i, answer in zip(known, HermitOracle().check([sets[i] for i in known]), strict=True):
        ours = None if verdicts[i].consistent is False else verdicts[i].unsatisfiable
        assert ours == answer, sets[i]
    return len(known), sum(bool(verdicts[i].unsatisfiable) for i in known)


@with_hermit
@pytest.mark.slow
def test_agreement_on_random_axioms() -> None:
    from _axioms import random_axioms

    rng = random.Random(17)
    decided, contradictory = compare([random_axioms(rng) for _ in range(320)])
    assert decided >= 310
    assert 0.2 * decided < contradictory < 0.8 * decided


@with_hermit
@pytest.mark.slow
def test_agreement_on_the_catalog_with_what_ontologies_say() -> None:
    from _harness import Bench
    from satisfiability import catalog_cases, compare_group

    bench = Bench("satisfiability", argparse.Namespace())
    rng = random.Random(5)
    cases = [case for name in ("schema", "dbpedia", "cco") for case in catalog_cases(rng, name, 8)]
    compared, agreed = compare_group(bench, "catalog", cases, HermitOracle())
    assert compared == agreed
    assert compared >= 20
