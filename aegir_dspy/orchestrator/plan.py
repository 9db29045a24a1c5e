"""From data to tasks: what has to be done to say what the columns of some tables mean.

For every source (a file, or tables that are there already)::

    read → annotate → [deepen] → [consult] → relate ─┐
    read → annotate → [deepen] → [consult] → relate ─┴→ elements → compose → verify

The plan depends on the names of the sources alone, never on what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.task import Task, TaskBudget, TaskGraph
from aegir_dspy.tables.files import find_files

__all__ = ["TablePlan", "plan_files", "plan_given"]


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """What a plan provides for.

    Attributes:
        deep: whether columns that stay unsure are looked at longer.
        consult: whether others, remote models, are asked about those that are unsure even then.
        steps: readings, one after the other, that annotating a table takes.
        budget: of every task.
    """

    deep: bool = False
    consult: bool = False
    steps: int = 1
    budget: TaskBudget = TaskBudget()


_DEFAULT = PlanConfig()


@dataclass(frozen=True)
class TablePlan:
    """What is to be done, and what could not be planned: folders that cannot be listed."""

    graph: TaskGraph
    failures: tuple[FailureRecord, ...] = ()


def plan_files(paths: str | Path | Sequence[str | Path], config: PlanConfig = _DEFAULT) -> TablePlan:
    """The tasks for the files that the user named.

    Raises:
        InputError: a path does not exist, a glob matches nothing, a folder holds no table file.
    """
    found = find_files(paths)
    reads = [
        Task(f"read:{path}", "read", {"path": str(path)}, steps=0, budget=config.budget)
        for path, _ in found.files
    ]
    return TablePlan(_plan(reads, config), tuple(found.failures))


def plan_given(names: Sequence[str], config: PlanConfig = _DEFAULT) -> TablePlan:
    """The tasks for tables that are there already, by the names they are given under."""
    reads = [Task(f"read:{name}", "given", {"name": name}, steps=0, budget=config.budget) for name in names]
    return TablePlan(_plan(reads, config))


def _plan(reads: Sequence[Task], config: PlanConfig) -> TaskGraph:
    """What others say is not waited for in vain: without it the swarm's own types are related."""
    tasks = list(reads)
    every: list[str] = []

    def add(kind: str, name: str, needs: Sequence[str], steps: int = 0, *, partial: bool = False) -> str:
        id = f"{kind}:{name}" if name else kind
        budget = config.budget
        tasks.append(Task(id, kind, needs=tuple(needs), partial=partial, steps=steps, budget=budget))
        return id

    for read in reads:
        name = read.id.partition(":")[2]
        needs = [read.id, add("annotate", name, [read.id], config.steps)]
        if config.deep:
            needs = [read.id, add("deepen", name, needs)]
        if config.consult:
            needs.append(add("consult", name, needs, 1))
        every += [read.id, add("relate", name, needs, partial=config.consult)]
    elements = add("elements", "", every, partial=True)
    compose = add("compose", "", [*every, elements], partial=True)
    add("verify", "", [*(read.id for read in reads), compose], partial=True)
    return TaskGraph(tasks)
