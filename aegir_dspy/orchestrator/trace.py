"""The trace of a run: what happened, in lines of JSON of which each holds the hash of the one before.

A line says who did what with what (inputs by hash, outputs by the key of the artifact), what came of it and
what was decided, never what cells or documents say. `TraceWriter` observes a run, also one that goes on after
it was killed; `read_trace` checks that nothing was changed or taken out since. That the end is missing cannot
be seen in the file: keep `TraceWriter.head` elsewhere to see it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegir_dspy.errors import FailureRecord, InputError
from aegir_dspy.orchestrator.decision import Decompose, GiveUp, Retry
from aegir_dspy.orchestrator.execution import Event
from aegir_dspy.orchestrator.masking import shown
from aegir_dspy.orchestrator.outcome import Outcome
from aegir_dspy.orchestrator.task import Task

__all__ = ["FILE", "Trace", "TraceWriter", "read_trace"]

FILE = "trace.jsonl"
"""Its name in the folder of a run."""

_SCHEMA = "aegir.trace/1"
_START = "0" * 64  # the hash before the first line


class TraceWriter:
    """An observer of events that writes them down.

    A line is written whole or not at all and at once, so that a process that is killed has written what
    happened. A disk that is full does not stop the run: how many lines are missing stands in the next one.

    Args:
        path: is continued where it is there; half a line at its end is cut off.

    Attributes:
        head: hash of the last line.
        lost: lines that could not be written since.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.lost = 0
        self._artifacts: dict[str, str | None] = {}
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, len(whole))
        self._size, self._count = len(whole), len(lines)
        self.head = hashlib.sha256(lines[-1]).hexdigest() if lines else _START
        self._remember(lines)
        if lines:
            self.note("resumed", torn=len(whole) < len(content))
        else:
            self.note("began", schema=_SCHEMA)

    def __call__(self, event: Event) -> None:
        """Write an event down; but not again that a task ended which had before the process was killed."""
        task = event.task
        said: dict[str, Any] = {"task": task.id, "kind": task.kind, "agent": event.agent}
        if event.kind == "started":
            said |= {"attempt": task.attempt, "inputs": self._inputs(task)}
        elif event.kind == "failed":
            said |= {**_failure(event.detail["failure"]), **_numbers(event.detail)}
        elif event.kind == "decided":
            said |= _decision(event.detail["decision"])
        elif event.kind == "ended":
            outcome: Outcome = event.detail["outcome"]
            if self._artifacts.get(task.id, "") == outcome.artifact:
                return
            self._artifacts[task.id] = outcome.artifact
            said |= {"needs": list(task.needs), **_outcome(outcome)}
        else:
            said |= _numbers(event.detail)
        self.note(event.kind, **said)

    def note(self, event: str, **said: Any) -> None:
        """Write down something that is no event of a task: a score, the end of the run. JSON values only."""
        if self.lost:
            said["lost"] = self.lost
        line = json.dumps(
            {"seq": self._count, "prev": self.head, "time": round(time.time(), 3), "event": event, **said},
            separators=(",", ":"),
        ).encode()
        if self._written(line + b"\n"):
            self.head = hashlib.sha256(line).hexdigest()
            self._count += 1
            self.lost = 0
        else:
            self.lost += 1

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)

    def _written(self, line: bytes) -> bool:
        """Whether all of it is in the file; a part of it is taken out again."""
        try:
            if os.write(self._file, line) == len(line):
                self._size += len(line)
                return True
        except OSError:
            pass
        os.ftruncate(self._file, self._size)
        return False

    def _inputs(self, task: Task) -> str:
        """Hash of what a task is given: its parameters, and what it needs by key."""
        given = [task.kind, dict(task.inputs), [self._artifacts.get(need) for need in task.needs]]
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()

    def _remember(self, lines: list[bytes]) -> None:
        """The tasks that have ended. A line that is none is left to `read_trace`."""
        for line in lines:
            try:
                said = json.loads(line)
                if said["event"] == "ended":
                    self._artifacts[said["task"]] = said["artifact"]
            except (ValueError, KeyError, TypeError):
                continue


@dataclass(frozen=True)
class Trace:
    """A trace that was checked.

    Attributes:
        entries: its lines as JSON objects: ``seq``, ``prev``, ``time``, ``event``, …
        head: hash of the last line.
        torn: whether half a line follows, because the process was killed while it wrote.
    """

    entries: tuple[Mapping[str, Any], ...]
    head: str
    torn: bool = False


def read_trace(path: Path) -> Trace:
    """The trace of a run.

    Raises:
        InputError: there is none, or it was changed; names the first line that does not follow.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"expected the trace of a run, found no {path}: {error.strerror}") from error
    *lines, rest = content.split(b"\n")
    entries, head = [], _START
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is None or entry.get("prev") != head or entry.get("seq") != number - 1:
            found = "no entry" if entry is None else f"{str(entry.get('prev'))[:12]}"
            raise InputError(
                f"expected line {number} of {path} to follow {head[:12]}, the hash of the line before, found "
                f"{found}: this line or the one before was changed, added or taken out"
            )
        entries.append(entry)
        head = hashlib.sha256(line).hexdigest()
    if not entries:
        raise InputError(f"expected the trace of a run in {path}, found no line")
    return Trace(tuple(entries), head, bool(rest))


def _entry(line: bytes) -> Mapping[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and isinstance(said.get("event"), str) else None


def _failure(failure: FailureRecord) -> dict[str, Any]:
    return {
        "attempt": failure.attempt,
        "class": failure.failure_class,
        "message": shown(failure.message),
        "evidence": shown(failure.evidence),
    }


def _decision(decision: Any) -> dict[str, Any]:
    match decision:
        case Retry():
            return {"decision": "retry", "avoid": sorted(decision.avoid), "wait": decision.wait}
        case Decompose():
            return {"decision": "decompose", "parts": [part.id for part in decision.parts]}
        case GiveUp():
            return {"decision": "give up", "reason": shown(decision.reason)}
    return {"decision": type(decision).__name__}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    names = ("artifact", "attempts", "steps", "serial_steps", "tokens", "cost", "agents", "seconds")
    said = {name: getattr(outcome, name) for name in names}
    return said if outcome.ok else {**said, "failures": [_failure(one) for one in outcome.failures]}


def _numbers(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What numbers an event comes with: scores, tokens, cost."""
    return {name: value for name, value in detail.items() if isinstance(value, int | float)}
