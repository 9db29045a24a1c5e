"""What can go wrong, as exceptions and as records.

Every message is one line: what was expected, what was found, and what to do next::

    AegirError
    ├── InputError            a file, folder, table or argument the user gave cannot be used
    │   └── VocabularyError   a vocabulary file or name cannot be used
    ├── CheckpointError       a weights file is not an RWKV-7 checkpoint
    ├── StateError            a recurrent state does not belong to this model
    ├── ConstraintError       no output satisfies the constraint
    ├── PrerequisiteError     an optional package is missing; the message names the install line
    └── RunError              what is kept of a run cannot be written
        └── DamagedRunError   what was kept of a run is not what was written
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "AegirError",
    "CheckpointError",
    "ConstraintError",
    "DamagedRunError",
    "FailureRecord",
    "InputError",
    "PrerequisiteError",
    "RunError",
    "StateError",
    "VocabularyError",
]


class AegirError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(AegirError):
    """A file, folder, table or argument cannot be used."""


class VocabularyError(InputError):
    """A vocabulary name or file cannot be used."""


class CheckpointError(AegirError):
    """A weights file is not an RWKV-7 checkpoint."""


class StateError(AegirError):
    """A recurrent state does not belong to the model it was given to."""


class ConstraintError(AegirError):
    """No output satisfies the constraint."""


class PrerequisiteError(AegirError):
    """An optional package is missing."""


class RunError(AegirError):
    """What is kept of a run cannot be written: it stops, and goes on when there is room."""


class DamagedRunError(RunError):
    """What was kept of a run is not what was written."""


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Something that was asked for and could not be done; nothing is dropped silently.

    Attributes:
        task: what was attempted, for example ``"read:orders.csv"`` or ``"annotate:orders[3]"``.
        agent: who attempted it, for example ``"tables.csv"`` or ``"primary"``.
        failure_class: ``parse``, ``resource``, ``missing_dependency``, ``low_confidence``,
            ``context_overflow``, ``timeout``, ``provider_down``, ``gate:<name>`` or
            ``contradiction:<rule>``.
        message: one line for a person.
        evidence: where and what: for a file ``"path:line: text"`` where a line is known.
        attempt: 1 for the first try.
    """

    task: str
    agent: str
    failure_class: str
    message: str
    evidence: str = ""
    attempt: int = 1

    @property
    def undone(self) -> bool:
        """Whether something was not done.

        A type that is not sure and a gate that refuses are answers; others who were consulted and did not
        answer leave the swarm's own.
        """
        answered = self.failure_class == "low_confidence" or self.failure_class.startswith("gate:")
        return not answered and not self.task.startswith("consult:")

    def to_json(self) -> dict[str, Any]:
        """The record as the ``failures`` entry of ``aegir.result/1``."""
        return {
            "task": self.task,
            "agent": self.agent,
            "class": self.failure_class,
            "message": self.message,
            "evidence": self.evidence,
            "attempt": self.attempt,
        }
