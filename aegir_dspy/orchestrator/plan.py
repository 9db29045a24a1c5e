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

_BUDGET = TaskBudget()


@dataclass(frozen=True)
class TablePlan:
    """What is to be done, and what could not be planned: folders that cannot be listed."""

    graph: TaskGraph
    failures: tuple[FailureRecord, ...] = ()


def plan_files(
    paths: str | Path | Sequence[str | Path],
    *,
    deep: bool = False,
    consult: bool = False,
    budget: TaskBudget = _BUDGET,
) -> TablePlan:
    """The tasks for the files that the user named.

    Args:
        deep: whether columns that stay unsure are looked at longer.
        consult: whether others, remote models, are asked about those that are unsure even then.

    Raises:
        InputError: a path does not exist, a glob matches nothing, a folder holds no table file.
    """
    found = find_files(paths)
    reads = [Task(f"read:{path}", "read", {"path": str(path)}, budget=budget) for path, _ in found.files]
    return TablePlan(_plan(reads, deep, consult, budget), tuple(found.failures))


def plan_given(
    names: Sequence[str], *, deep: bool = False, consult: bool = False, budget: TaskBudget = _BUDGET
) -> TablePlan:
    """The tasks for tables that are there already, by the names they are given under; see `plan_files`."""
    reads = [Task(f"read:{name}", "given", {"name": name}, budget=budget) for name in names]
    return TablePlan(_plan(reads, deep, consult, budget))


def _plan(reads: Sequence[Task], deep: bool, consult: bool, budget: TaskBudget) -> TaskGraph:
    """What others say is not waited for in vain: without it the swarm's own types are related."""
    tasks = list(reads)
    every: list[str] = []
    for read in reads:
        name = read.id.partition(":")[2]
        needs: tuple[str, ...] = (read.id,)
        for kind in ("annotate", "deepen") if deep else ("annotate",):
            tasks.append(Task(f"{kind}:{name}", kind, needs=needs, budget=budget))
            needs = (read.id, f"{kind}:{name}")
        if consult:
            tasks.append(Task(f"consult:{name}", "consult", needs=needs, budget=budget))
            needs = (*needs, f"consult:{name}")
        tasks.append(Task(f"relate:{name}", "relate", needs=needs, partial=consult, budget=budget))
        every += [read.id, f"relate:{name}"]
    for kind, wanted in (
        ("elements", every),
        ("compose", [*every, "elements"]),
        ("verify", [*(read.id for read in reads), "compose"]),
    ):
        tasks.append(Task(kind, kind, needs=tuple(wanted), partial=True, budget=budget))
    return TaskGraph(tasks)
