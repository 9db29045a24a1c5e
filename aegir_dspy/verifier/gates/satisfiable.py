"""Gate satisfiable: there can be something of every class that the axioms name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aegir_dspy.ontology.axioms import Axiom
from aegir_dspy.ontology.parts import independent_parts
from aegir_dspy.ontology.satisfiability import Verdict, unsatisfiable_classes
from aegir_dspy.verifier.case import Case, Standard
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["satisfiable"]

_MOST_KNOWN = 4096  # verdicts that are remembered


def satisfiable(case: Case) -> Iterator[Diagnostic]:
    """Classes that can have no members, with the axioms at fault; "not known in time" is refused too."""
    entry_of = [i for i, axioms in enumerate(case.entries) for _ in axioms]
    found: dict[Diagnostic, None] = {}  # a class can be empty in several parts
    for part in independent_parts(case.axioms):
        found.update(dict.fromkeys(_of_part(case, part, entry_of)))
    yield from found


def _of_part(case: Case, part: Sequence[int], entry_of: Sequence[int]) -> Iterator[Diagnostic]:
    verdict = _verdict(case.standard, tuple(case.axioms[i] for i in part))
    for name in verdict.unsatisfiable:
        # Where the whole is inconsistent, the axioms at fault stand under what is everything.
        blamed = verdict.culprits.get(name, verdict.culprits.get("owl:Thing", ()))
        culprits = sorted({entry_of[part[i]] for i in blamed})
        yield Diagnostic(
            "satisfiable.empty_class",
            f"axiom {culprits[0]}" if culprits else f"term {name}",
            f"expected that something can be a {name}, found that nothing can",
            tuple(f"axiom {i}" for i in culprits),
            "leave one of these axioms out" if culprits else "see which axioms on it contradict each other",
        )
    if verdict.consistent is False and not verdict.unsatisfiable:
        yield Diagnostic(
            "satisfiable.inconsistent",
            "composition",
            "expected axioms that can hold at once, found that they cannot",
        )
    if verdict.unknown or verdict.consistent is None:
        yield Diagnostic(
            "satisfiable.unknown",
            f"axiom {entry_of[part[0]]}",
            f"expected to know if {len(part)} axioms can hold at once, found no answer in the budget",
            tuple(verdict.unknown[:5]),
            "use fewer axioms, or smaller numbers in cardinalities",
        )


def _verdict(standard: Standard, axioms: tuple[Axiom, ...]) -> Verdict:
    known = standard.verdicts
    if axioms not in known:
        if len(known) >= _MOST_KNOWN:
            known.pop(next(iter(known)))
        known[axioms] = unsatisfiable_classes(axioms, standard.ontology)
    return known[axioms]
