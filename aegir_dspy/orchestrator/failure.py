"""From what went wrong to a failure record: the classes a replanner tells apart."""

from __future__ import annotations

import asyncio
import json

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.agent import TaskError
from aegir_dspy.orchestrator.task import Task

__all__ = ["failure_class", "failure_of"]


def failure_class(error: BaseException) -> str:
    """The class of an exception, see `aegir_dspy.errors.FailureRecord`."""
    if isinstance(error, TaskError):
        return error.failure_class
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "provider_down"
    if isinstance(error, json.JSONDecodeError | UnicodeError):
        return "parse"
    return "resource"


def failure_of(error: BaseException, task: Task, agent: str) -> FailureRecord:
    """The record of an attempt that failed."""
    message = " ".join(str(error).split()) or type(error).__name__
    evidence = error.evidence if isinstance(error, TaskError) else type(error).__name__
    return FailureRecord(task.id, agent, failure_class(error), message, evidence, task.attempt)
