"""From what went wrong to a failure record: the classes a replanner tells apart, and the facts it goes by.

The evidence of a record is facts, then text: ``status=429; retry_after=2 | shop.csv:3``. Text comes from
outside and decides nothing; it cannot pass for facts.
"""

from __future__ import annotations

import re
from dataclasses import replace

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.agent import TaskError
from aegir_dspy.orchestrator.diagnosis import Diagnosis, diagnose
from aegir_dspy.orchestrator.masking import plain, shown
from aegir_dspy.orchestrator.task import Task

__all__ = ["FAILURE_CLASSES", "facts", "failure_class", "failure_of", "masked_record"]

FAILURE_CLASSES = (
    "context_overflow",
    "parse",
    "low_confidence",
    "timeout",
    "provider_down",
    "missing_dependency",
    "resource",
)
"""Besides ``gate:<name>`` and ``contradiction:<rule>``, of the verifier."""

_FOREVER = 1e9  # seconds
_VERIFIER = re.compile(r"(?:gate|contradiction):[\w.:-]{1,80}")
_FACT = r"(?:(?:error|status|errno|permanent)=\w+|retry_after=[\d.e+-]+)"
_FACTS = re.compile(rf"({_FACT}(?:; {_FACT})*)(?: \| .*)?", re.DOTALL)


def failure_class(error: BaseException) -> str:
    """The class of an exception, see `aegir_dspy.errors.FailureRecord`; ``resource`` where it is unknown."""
    found = getattr(error, "failure_class", None)
    if not isinstance(found, str):
        return diagnose(error).failure_class
    return found if found in FAILURE_CLASSES or _VERIFIER.fullmatch(found) else "resource"


def failure_of(error: BaseException, task: Task, agent: str) -> FailureRecord:
    """The record of an attempt that failed; nothing in it moves a terminal or is personal data."""
    found = _task_error(error) if isinstance(error, TaskError) else diagnose(error)
    text = shown(error.evidence) if isinstance(error, TaskError) else ""
    message = shown(found.message) or type(error).__name__
    evidence = _evidence(found, text)
    return FailureRecord(task.id, agent, failure_class(error), message, evidence, task.attempt)


def masked_record(record: FailureRecord) -> FailureRecord:
    """A record from elsewhere, for example of a file that could not be read: evidence may quote its lines."""
    return replace(record, message=plain(record.message), evidence=shown(record.evidence))


def facts(record: FailureRecord) -> dict[str, str]:
    """The facts in the evidence of a record; none where it is text only."""
    found = _FACTS.fullmatch(record.evidence)
    return dict(pair.split("=", 1) for pair in found[1].split("; ")) if found else {}


def _task_error(error: TaskError) -> Diagnosis:
    known = (
        {}
        if error.retry_after is None
        else {"retry_after": f"{min(max(error.retry_after, 0.0), _FOREVER):g}"}
    )
    known |= {"permanent": "yes"} if error.permanent else {}
    return Diagnosis(error.failure_class, str(error), known)


def _evidence(found: Diagnosis, text: str) -> str:
    known = "; ".join(f"{name}={value}" for name, value in found.facts.items())
    if known and text:
        return f"{known} | {text}"
    return known or (f"text: {text}" if _FACTS.fullmatch(text) else text)
