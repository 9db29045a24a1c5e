"""A run as its trace tells it: tasks with who did them, the tree they make, the critical path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.outcome import Outcome
from aegir_dspy.orchestrator.task import Task, TaskGraph, critical_path
from aegir_dspy.orchestrator.trace import Trace

__all__ = ["Difference", "TracedRun", "TracedTask", "differences"]


@dataclass
class TracedTask:
    """What is known of one task.

    Attributes:
        id, kind, needs: as planned. part_of: the task it is a part of, or empty.
        agents: who tried it, in their order; an agent that tried twice stands there twice.
        failures: of attempts: ``attempt``, ``agent``, ``class``, ``message``, ``evidence``.
        artifact: what it made; None where it was not done. ended: whether it came to an end.
        seconds, steps, tokens, cost: as in `aegir_dspy.orchestrator.outcome.Outcome`.
        end: time of its end, s since 1970.
    """

    id: str
    kind: str
    needs: tuple[str, ...] = ()
    part_of: str = ""
    agents: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    artifact: str | None = None
    ended: bool = False
    attempts: int = 0
    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    cost: float = 0.0
    end: float = 0.0

    @property
    def status(self) -> str:
        """``done``, ``failed`` or ``open``: it had not ended when the trace did."""
        if not self.ended:
            return "open"
        return "failed" if self.artifact is None else "done"

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        texts = ("id", "kind", "part_of", "agents", "artifact")
        numbers = ("attempts", "seconds", "steps", "tokens", "cost")
        said = {name: getattr(self, name) for name in (*texts, *numbers)}
        return {**said, "status": self.status, "needs": list(self.needs), "failures": self.failures}


class TracedRun:
    """A run, from its trace.

    Attributes:
        tasks: by id, in the order in which they are first named.
        seconds: from the first line to the last.

    Raises:
        InputError: its tasks make no graph.
    """

    def __init__(self, trace: Trace) -> None:
        self.tasks: dict[str, TracedTask] = {}
        for entry in trace.entries:
            if "task" in entry:
                self._learn(entry)
        self.seconds = round(trace.entries[-1]["time"] - trace.entries[0]["time"], 3)

    def _learn(self, entry: Mapping[str, Any]) -> None:
        try:
            task = self.tasks.setdefault(entry["task"], TracedTask(entry["task"], entry["kind"]))
            match entry["event"]:
                case "started":
                    task.agents.append(entry["agent"])
                case "failed":
                    names = ("attempt", "agent", "class", "message", "evidence")
                    task.failures.append({name: entry[name] for name in names})
                case "decided":
                    for part in entry.get("parts", ()):
                        self.tasks[part] = TracedTask(part, task.kind, part_of=task.id)
                case "ended":
                    self._end(task, entry)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"expected an entry of a trace in line {entry.get('seq')}: {error!r}") from error

    def _end(self, task: TracedTask, entry: Mapping[str, Any]) -> None:
        task.ended, task.end, task.needs = True, entry["time"], tuple(entry["needs"])
        for name in ("artifact", "attempts", "seconds", "steps", "tokens", "cost"):
            setattr(task, name, entry[name])
        if not task.failures:
            task.failures = [{"agent": entry["agent"], **one} for one in entry.get("failures", ())]

    @cached_property
    def critical_path(self) -> tuple[tuple[str, ...], float]:
        """The chain of tasks that took longest, and how long, s."""
        known = [task for task in self.tasks.values() if not task.part_of]
        names = {task.id for task in known}
        graph = TaskGraph(
            [Task(t.id, t.kind, needs=tuple(need for need in t.needs if need in names)) for t in known]
        )
        return critical_path(graph, lambda name: self.tasks[name].seconds)

    def children(self) -> dict[str, list[str]]:
        """The tasks as a tree, under ``""``.

        A task stands below the one it waited for longest: of those it needs the one that ended last. Parts
        stand below the task they are parts of.
        """
        tree: dict[str, list[str]] = {"": []}
        for task in self.tasks.values():
            needs = [self.tasks[need] for need in task.needs if need in self.tasks]
            last = max(needs, key=lambda one: (one.end, one.id), default=None)
            tree.setdefault(task.part_of or (last.id if last else ""), []).append(task.id)
        return tree

    def walk(self) -> Iterator[tuple[int, TracedTask]]:
        """The tree in its order, with depths from 0."""
        tree = self.children()
        stack = [(0, name) for name in reversed(tree[""])]
        while stack:
            depth, name = stack.pop()
            yield depth, self.tasks[name]
            stack += [(depth + 1, child) for child in reversed(tree.get(name, []))]

    def to_json(self) -> dict[str, Any]:
        """JSON form, tasks in the order of the tree."""
        path, seconds = self.critical_path
        return {
            "seconds": self.seconds,
            "critical_path": {"tasks": list(path), "seconds": round(seconds, 4)},
            "tasks": [{**task.to_json(), "depth": depth} for depth, task in self.walk()],
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """A task that made something else when it was done again; None where it was not done."""

    task: str
    before: str | None
    after: str | None


def differences(before: TracedRun, after: Mapping[str, Outcome]) -> Sequence[Difference]:
    """What differs between a traced run and another one of the same tasks, by the keys of what they made.

    Tasks that the trace leaves open are not compared.
    """
    ended = [task for task in before.tasks.values() if task.ended and not task.part_of]
    found = [
        Difference(task.id, task.artifact, after[task.id].artifact if task.id in after else None)
        for task in ended
    ]
    new = [Difference(name, None, one.artifact) for name, one in after.items() if name not in before.tasks]
    return [one for one in (*found, *new) if one.before != one.after]
