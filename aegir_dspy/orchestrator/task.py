"""Tasks and their graph: what is to be done, by which skill, after what, within which budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from aegir_dspy.errors import InputError

__all__ = ["Task", "TaskBudget", "TaskGraph", "critical_path"]


@dataclass(frozen=True, slots=True)
class TaskBudget:
    """What one task may take.

    Attributes:
        attempts: how often it is tried, on whatever agents.
        seconds: wall time of one attempt, None for no limit.
        stall: seconds without a heartbeat of its agent after which the task is given to another one.
        tokens: tokens an agent may read and write for it, None for no limit.
    """

    attempts: int = 3
    seconds: float | None = None
    stall: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do. Tasks are values: an attempt with other parameters is another `Task` of the same id.

    Attributes:
        id: unique in its graph, for people too: ``annotate:orders``.
        kind: what is done: ``read``, ``annotate``, ``relate``, …
        inputs: its own parameters, JSON values only, never cell values.
        needs: ids of the tasks whose outputs it is given.
        partial: whether it is done also where some of what it needs could not be; it is then given the rest.
        steps: readings or calls of a model that it takes at least, 0 for what needs no model.
        skill: what an agent must be able to do; by default the kind.
        budget: what it may take.
        attempt: 1 for the first try.
    """

    id: str
    kind: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    partial: bool = False
    steps: int = 1
    skill: str = ""
    budget: TaskBudget = TaskBudget()
    attempt: int = 1

    @property
    def wanted(self) -> str:
        """The skill that does it."""
        return self.skill or self.kind

    def again(self, **inputs: Any) -> Task:
        """The next attempt, with some parameters changed."""
        return replace(self, inputs={**self.inputs, **inputs}, attempt=self.attempt + 1)

    def to_json(self) -> dict[str, Any]:
        """JSON form, read back by `from_json`."""
        return {**asdict(self), "inputs": dict(self.inputs), "needs": list(self.needs)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Task:
        """Inverse of `to_json`. Raises InputError for anything else."""
        try:
            budget = TaskBudget(**said.get("budget", {}))
            fields = {**said, "needs": tuple(said.get("needs", ())), "budget": budget}
            return cls(**fields)
        except (TypeError, AttributeError, ValueError) as error:
            raise InputError(f"expected a task with id, kind, inputs, needs, found: {error}") from error


class TaskGraph(Mapping[str, Task]):
    """Tasks by id, in an order in which every task comes after what it needs.

    Raises:
        InputError: two tasks have one id, a task needs one that is not there, or tasks need each other.
    """

    def __init__(self, tasks: Sequence[Task] = ()) -> None:
        self._tasks: dict[str, Task] = {}
        given = {task.id: task for task in tasks}
        if len(given) != len(tasks):
            twice = sorted({t.id for t in tasks if given[t.id] is not t})
            raise InputError(f"expected one task an id, found several of {', '.join(twice)}: name them apart")
        for task in tasks:
            if missing := [need for need in task.needs if need not in given]:
                raise InputError(f"expected the tasks that {task.id} needs, found no {', '.join(missing)}")
        self._order(given)

    def _order(self, given: dict[str, Task]) -> None:
        """Kahn's algorithm; among tasks that are ready the order given."""
        waiting = {name: len(set(task.needs)) for name, task in given.items()}
        dependents: dict[str, list[str]] = {name: [] for name in given}
        for name, task in given.items():
            for need in dict.fromkeys(task.needs):
                dependents[need].append(name)
        ready = [name for name, count in waiting.items() if not count]
        for name in ready:  # grows while it is walked
            self._tasks[name] = given[name]
            for dependent in dependents[name]:
                waiting[dependent] -= 1
                if not waiting[dependent]:
                    ready.append(dependent)
        if len(self._tasks) < len(given):
            circle = ", ".join(sorted(name for name, count in waiting.items() if count)[:5])
            raise InputError(f"expected tasks that can be ordered, found some that need each other: {circle}")
        self.dependents: Mapping[str, Sequence[str]] = dependents

    def __getitem__(self, key: str) -> Task:
        return self._tasks[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def with_tasks(self, tasks: Sequence[Task]) -> TaskGraph:
        """This graph and more tasks, which may need those that are here."""
        return TaskGraph([*self._tasks.values(), *tasks])

    def to_json(self) -> list[dict[str, Any]]:
        """JSON form, read back by `from_json`."""
        return [task.to_json() for task in self.values()]

    @classmethod
    def from_json(cls, said: Sequence[Mapping[str, Any]]) -> TaskGraph:
        """Inverse of `to_json`. Raises InputError for what is no graph."""
        return cls([Task.from_json(one) for one in said])


def critical_path(graph: TaskGraph, cost: Callable[[str], float]) -> tuple[tuple[str, ...], float]:
    """The chain of tasks that takes longest, and what it takes; `cost` is that of one task, >= 0."""
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for name, task in graph.items():
        last = max(task.needs, key=ends.__getitem__, default=None)
        before[name] = last
        ends[name] = cost(name) + (ends[last] if last is not None else 0.0)
    step = max(ends, key=ends.__getitem__, default=None)
    total = ends[step] if step is not None else 0.0
    chain: list[str] = []
    while step is not None:
        chain.append(step)
        step = before[step]
    return tuple(reversed(chain)), total
