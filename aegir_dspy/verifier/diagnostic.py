"""What the verifier says besides numbers: reasons that people, the replanner and optimizers read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Diagnostic"]


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One reason.

    Attributes:
        code: stable, dotted, beginning with the gate or component: ``vocabulary.unknown_type``.
        subject: what it is about: ``orders[3]`` (table, 0-based column), ``axiom 4``, ``term :Order``.
        message: one line for a person: what was expected, what was found.
        evidence: the values or axioms at fault, cut, and masked where they look like personal data.
        suggestion: the next thing to try, one line; "" when there is none.
    """

    code: str
    subject: str
    message: str
    evidence: tuple[str, ...] = ()
    suggestion: str = ""

    def to_json(self) -> dict[str, Any]:
        """The entry of ``score.diagnostics`` in ``aegir.result/1``."""
        return {**asdict(self), "evidence": list(self.evidence)}
