"""From data to tasks: what has to be done to say what the columns of some tables mean.

For every source (a file, or tables that are there already)::

    read → annotate → [deepen] → relate ─┐
    read → annotate → [deepen] → relate ─┴→ elements → compose → verify

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

_BUDGET = TaskBudget()


@dataclass(frozen=True)
class TablePlan:
    """What is to be done, and what could not be planned: folders that cannot be listed."""

    graph: TaskGraph
    failures: tuple[FailureRecord, ...] = ()


def plan_files(
    paths: str | Path | Sequence[str | Path], *, deep: bool = False, budget: TaskBudget = _BUDGET
) -> TablePlan:
    """The tasks for the files that the user named.

    Raises:
        InputError: a path does not exist, a glob matches nothing, a folder holds no table file.
    """
    found = find_files(paths)
    reads = [Task(f"read:{path}", "read", {"path": str(path)}, budget=budget) for path, _ in found.files]
    return TablePlan(_plan(reads, deep, budget), tuple(found.failures))


def plan_given(names: Sequence[str], *, deep: bool = False, budget: TaskBudget = _BUDGET) -> TablePlan:
    """The tasks for tables that are there already, by the names they are given under."""
    reads = [Task(f"read:{name}", "given", {"name": name}, budget=budget) for name in names]
    return TablePlan(_plan(reads, deep, budget))


def _plan(reads: Sequence[Task], deep: bool, budget: TaskBudget) -> TaskGraph:
    """`deep` looks longer at columns that stay unsure."""
    tasks = list(reads)
    every: list[str] = []
    for read in reads:
        name, before = read.id.partition(":")[2], read.id
        for kind in ("annotate", "deepen", "relate") if deep else ("annotate", "relate"):
            needs = (read.id,) if before == read.id else (read.id, before)
            before = f"{kind}:{name}"
            tasks.append(Task(before, kind, needs=needs, budget=budget))
        every += [read.id, before]
    for kind, wanted in (
        ("elements", every),
        ("compose", [*every, "elements"]),
        ("verify", [*(read.id for read in reads), "compose"]),
    ):
        tasks.append(Task(kind, kind, needs=tuple(wanted), partial=True, budget=budget))
    return TaskGraph(tasks)
