"""Gates slots and bounds: the slots of every template are filled, with what they are for and in its bounds.

Templates and terms that nothing knows are the gate vocabulary's.
"""

from __future__ import annotations

from collections.abc import Iterator

from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["bounds", "slots"]


def slots(case: Case) -> Iterator[Diagnostic]:
    """Slots that are missing, unknown, empty, filled twice, or with a term of another kind."""
    for i, template, problem in case.slot_problems:
        if problem.code in ("missing", "extra", "empty", "type"):
            yield Diagnostic(
                f"slots.{problem.code}",
                f"axiom {i}",
                problem.message,
                suggestion=f"the template says: {template.manchester}",
            )


def bounds(case: Case) -> Iterator[Diagnostic]:
    """Numbers outside the bounds of their slot, terms that do not lie below its bound."""
    for i, template, problem in case.slot_problems:
        if problem.code == "bound":
            slot = next(slot for slot in template.slots if slot.name == problem.slot)
            filler = dict(case.composition.axioms[i].slots)[slot.name]
            hint = f"add an axiom that puts {filler} below {slot.bound}" if filler.startswith(":") else ""
            yield Diagnostic("bounds.filler", f"axiom {i}", problem.message, suggestion=hint)
