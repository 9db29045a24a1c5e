"""All gates of a profile, asked of one composition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.gates.coverage import coverage
from aegir_dspy.verifier.gates.duplicates import duplicates
from aegir_dspy.verifier.gates.hierarchy import acyclic, rigidity
from aegir_dspy.verifier.gates.satisfiable import satisfiable
from aegir_dspy.verifier.gates.slots import bounds, slots
from aegir_dspy.verifier.gates.stubs import stubs
from aegir_dspy.verifier.gates.vocabulary import vocabulary
from aegir_dspy.verifier.original import filled

__all__ = ["MOST_REASONS", "refusals"]

MOST_REASONS = 32
"""A gate gives this many reasons at most, and one more that says that there are others."""

_GATES: dict[str, Callable[[Case], Iterator[Diagnostic]]] = {
    "vocabulary": vocabulary,
    "slots": slots,
    "bounds": bounds,
    "satisfiable": satisfiable,
    "acyclic": acyclic,
    "rigidity": rigidity,
    "duplicates": duplicates,
    "stubs": stubs,
    "coverage": coverage,
    "original": filled,
}


def refusals(case: Case, names: Iterable[str]) -> dict[str, tuple[Diagnostic, ...]]:
    """Gate → why it refuses the composition, () when it does not; ``parse`` has let it through."""
    return {name: _some(name, _GATES[name](case)) if name in _GATES else () for name in names}


def _some(name: str, reasons: Iterator[Diagnostic]) -> tuple[Diagnostic, ...]:
    found = tuple(islice(reasons, MOST_REASONS))
    if next(reasons, None) is None:
        return found
    message = f"expected none, found more than the {MOST_REASONS} reasons given"
    return (*found, Diagnostic(f"{name}.more", "composition", message))
