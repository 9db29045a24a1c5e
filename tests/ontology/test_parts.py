from __future__ import annotations

import random

from aegir_dspy.ontology.axioms import Disjoint, Domain, Equivalent, Named, Not, Range, Some, SubClass
from aegir_dspy.ontology.parts import independent_parts
from aegir_dspy.ontology.satisfiability import unsatisfiable_classes

A, B, C, D = (Named(f":{x}") for x in "ABCD")
BOOK, PLACE = Named("schema:Book"), Named("schema:Place")


def test_tables_that_share_no_name_are_apart():
    axioms = [SubClass(A, BOOK), SubClass(B, PLACE), SubClass(A, Some(":p", C)), Range(":p", BOOK)]
    assert independent_parts(axioms) == ((0, 2, 3), (1,))


def test_what_speaks_about_foreign_terms_is_everywhere():
    axioms = [SubClass(A, BOOK), SubClass(B, PLACE), Domain("schema:name", C), SubClass(C, Not(D))]
    assert independent_parts(axioms) == ((0, 2, 3), (1, 2, 3))
    assert independent_parts([Equivalent(A, BOOK), SubClass(B, PLACE)]) == ((0, 1),)
    assert independent_parts([Domain("schema:name", BOOK)]) == ((0,),)
    assert independent_parts([]) == ()


def test_disjointness_with_one_foreign_class_stays_local():
    axioms = [Disjoint((A, BOOK)), SubClass(B, BOOK), Disjoint((A, BOOK, PLACE))]
    assert independent_parts(axioms[:2]) == ((0,), (1,))
    assert independent_parts(axioms) == ((0, 1, 2),)


def test_parts_find_what_the_whole_finds():
    names = [Named(f":{x}") for x in "ABCDEF"] + [BOOK, PLACE]
    for seed in range(150):
        rng = random.Random(seed)
        axioms = []
        for _ in range(rng.randint(1, 8)):
            one, other = rng.sample(names, 2)
            made = (
                SubClass(one, other),
                SubClass(one, Not(other)),
                SubClass(one, Some(rng.choice((":p", "schema:about")), other)),
                Disjoint((one, other)),
                Equivalent(one, other),
                Range(rng.choice((":p", "schema:about")), one),
                Domain(rng.choice((":p", "schema:about")), one),
            )
            axioms.append(rng.choice(made))
        whole = unsatisfiable_classes(axioms)
        parts = [unsatisfiable_classes([axioms[i] for i in part]) for part in independent_parts(axioms)]
        assert set(whole.unsatisfiable) == {n for part in parts for n in part.unsatisfiable}, (seed, axioms)
