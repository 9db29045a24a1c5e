"""R_B, density: how much the axioms say about the tables, against random compositions of the same size.

Complexity counts what restricts: every some, only, cardinality, value, and, or, not counts 1; an axiom other
than ``A ⊑ B`` (equivalence, disjointness, domain, range, key, …) counts 1 more, a plain ``A ⊑ B`` of two
names 1/2. The same restriction (property and filler) counts once, wherever it stands.

Only *anchored* axioms count: those that mention a row class, a term that a column type stands for, a property
of a relation, or an own term that such an axiom mentions. Axioms about something else add nothing.

R_B = min(1, complexity / size ÷ p95), where size is the greater of the numbers of columns and entries, and
p95 the 95th percentile of complexity / size of 200 random type-correct compositions of that size, whose
axioms all count (`aegir_dspy.verifier.nulls`).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from aegir_dspy.ontology.axioms import (
    And,
    Axiom,
    Cardinality,
    Expression,
    Named,
    Not,
    Only,
    Or,
    Some,
    SubClass,
    Value,
)
from aegir_dspy.verifier.case import Case, named_classes, parts, tops
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.nulls import Nulls
from aegir_dspy.verifier.score import Finding, quantised

__all__ = ["complexity", "density"]


def complexity(axioms: Iterable[Axiom]) -> float:
    """Constructors and defining axioms, each restriction once; a multiple of 1/2."""
    seen: set[Expression] = set()
    halves = 0
    for axiom in axioms:
        match axiom:
            case SubClass(Named(), Named()):
                halves += 1
            case SubClass():
                pass
            case _:
                halves += 2
        for top in tops(axiom):
            for part in parts(top):
                if isinstance(part, And | Or | Not):
                    halves += 2
                elif isinstance(part, Some | Only | Cardinality | Value) and part not in seen:
                    seen.add(part)
                    halves += 2
    return halves / 2


def anchored(case: Case) -> list[tuple[Axiom, ...]]:
    """The axioms, by entry, that are about the tables; () for an entry that is not."""
    about = set(case.row_classes | case.type_terms)
    about |= {one.property for types in case.composition.tables for one in types.relations}
    names_of = iter(case.mentioned)
    mentioned = [frozenset().union(*islice(names_of, len(axioms))) for axioms in case.entries]
    waiting = [i for i, names in enumerate(mentioned) if names]
    kept: set[int] = set()
    while more := [i for i in waiting if not about.isdisjoint(mentioned[i])]:
        kept.update(more)
        waiting = [i for i in waiting if i not in kept]
        about |= {name for i in more for name in mentioned[i] if name.startswith(":")}
    return [axioms if i in kept else () for i, axioms in enumerate(case.entries)]


def density(case: Case, nulls: Nulls) -> Finding:
    """R_B, and the entries that are about nothing in the tables."""
    kept = anchored(case)
    columns = sum(len(types.columns) for types in case.composition.tables)
    size = max(columns, len(kept), 1)
    high = nulls.density(size)
    found = complexity(axiom for axioms in kept for axiom in axioms) / size
    value = quantised(min(1.0, found / high))
    return Finding(value, tuple(_reasons(case, kept, found, high)))


def _reasons(case: Case, kept: list[tuple[Axiom, ...]], found: float, high: float) -> Iterable[Diagnostic]:
    if not case.axioms:
        yield Diagnostic(
            "density.no_axioms",
            "composition",
            "expected axioms about the tables, found none",
            suggestion="say what every row has: a template of family some, only or cardinality a column",
        )
    elif found < high / 2:
        yield Diagnostic(
            "density.low",
            "composition",
            f"expected about {high:.1f} restrictions a column, found {found:.1f}",
            suggestion="say of more columns what their values are and how many a row has",
        )
    for i, (axioms, all_of_it) in enumerate(zip(kept, case.entries, strict=True)):
        if all_of_it and not axioms:
            names = sorted({name for axiom in all_of_it for name in named_classes(axiom)})
            yield Diagnostic(
                "density.unanchored",
                f"axiom {i}",
                "expected an axiom about a row class or a column's type, found neither in it",
                tuple(names[:5]),
                "name the class of the rows in it, or leave it out",
            )
