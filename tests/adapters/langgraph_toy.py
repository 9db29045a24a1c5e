"""Tasks that sleep, as the application of a graph: for tests that kill the process they run in.

``python langgraph_toy.py FOLDER TASKS SECONDS`` begins the run in FOLDER, or goes on with it, and writes its
result to FOLDER/result.json. Every attempt is a line in FOLDER/ran.log: ``began ID`` and ``done ID``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aegir_dspy.adapters.langgraph_app.application import Doubt, Verdict
from aegir_dspy.adapters.langgraph_app.drive import drive
from aegir_dspy.adapters.langgraph_app.folder import RunFolder
from aegir_dspy.errors import FailureRecord, InputError
from aegir_dspy.orchestrator.agent import Agent, Job, TaskError, Work
from aegir_dspy.orchestrator.artifacts import Artifacts
from aegir_dspy.orchestrator.decision import Decision, Decompose, GiveUp, Retry
from aegir_dspy.orchestrator.execution import Event, Execution, Run, Start
from aegir_dspy.orchestrator.plan import TablePlan
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.task import Task, TaskGraph


class Log:
    """Lines that are there even when the process is killed right after."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, line: str) -> None:
        os.write(self.file, f"{line}\n".encode())


class Sleeper:
    """Every tenth task is too big, every fifteenth fails once, the one called ``t7`` always fails."""

    name, skills, slots = "sleeper", frozenset({"sleep"}), 20

    def __init__(self, log: Callable[[str], None], seconds: float) -> None:
        self.log, self.seconds = log, seconds

    async def perform(self, job: Job) -> Work:
        task = job.task
        self.log(f"began {task.id}")
        number, part = int(task.id[1:].partition("/")[0]), "/" in task.id
        await asyncio.sleep(self.seconds * (1 + number * 37 % 19) / 10)  # they end one by one
        if number == 7:
            raise TaskError("resource", "expected luck, found none")
        if number % 15 == 0 and task.attempt == 1 and not part:
            raise TaskError("parse", "expected JSON, found half of it")
        if number % 10 == 0 and not part and not task.inputs.get("joined"):
            raise TaskError("context_overflow", "expected a small task, found a big one")
        said = json.dumps({"task": task.id, "inputs": job.inputs}, sort_keys=True)
        self.log(f"done {task.id}")
        return Work(hashlib.sha256(said.encode()).hexdigest(), tokens=number)


class Splitter:
    """Too big: in three parts. Failed: once more."""

    steps = 0

    async def decide(
        self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Agent]
    ) -> Decision:
        if task.attempt >= task.budget.attempts:
            return GiveUp("tried often enough")
        if failures[-1].failure_class == "context_overflow":
            parts = tuple(replace(task, id=f"{task.id}/{i}", needs=(), attempt=1) for i in range(3))
            return Decompose(parts, task.again(joined=True))
        return Retry(task.again())


class Toy:
    """Tasks in rows of 30, each after the one above it. Data ``["300"]`` are that many."""

    types: Mapping[str, Any] = {"sleep": str}
    labels = ("red", "blue")

    def __init__(self, log: Callable[[str], None], seconds: float, doubts: Sequence[Doubt] = ()) -> None:
        self.log, self.seconds, self._doubts = log, seconds, doubts

    def plan(self, data: Sequence[str]) -> TablePlan:
        self.log("planning")
        if not data[0].isdigit():
            raise InputError(f"expected a number of tasks, found {data[0]}")
        return TablePlan(TaskGraph([self._task(i) for i in range(int(data[0]))]))

    @staticmethod
    def _task(number: int) -> Task:
        after = (f"t{number - 30}",) if number >= 30 else ()
        return Task(f"t{number}", "sleep", needs=after, partial=number % 4 == 3)

    async def run(
        self, plan: TablePlan, artifacts: Artifacts, start: Start, on_event: Callable[[Event], None]
    ) -> Run:
        roster = Roster([Sleeper(self.log, self.seconds)])
        execution = Execution(plan.graph, roster, artifacts, Splitter(), on_event=on_event)
        return await execution.run(start)

    def doubts(self, plan: TablePlan, run: Run, artifacts: Artifacts) -> Sequence[Doubt]:
        return self._doubts

    def document(
        self, plan: TablePlan, run: Run, artifacts: Artifacts, verdicts: Mapping[str, Verdict]
    ) -> dict[str, Any]:
        outcomes = [
            {k: v for k, v in one.to_json().items() if k != "seconds"} for one in run.outcomes.values()
        ]
        values = [artifacts.get("sleep", o.artifact) for o in run.outcomes.values() if o.artifact]
        said = {name: f"{one.verdict} {one.value}" for name, one in verdicts.items()}
        usage = {k: v for k, v in run.usage.to_json().items() if k != "seconds"}
        return {
            "tables": [],
            "score": None,
            "failures": [one.to_json() for one in run.failures],
            "outcomes": outcomes,
            "values": values,
            "verdicts": said,
            "usage": usage,
        }


def main(folder: Path, tasks: str, seconds: float) -> None:
    folder.mkdir(exist_ok=True)
    toy = Toy(Log(folder / "ran.log"), seconds)
    run = asyncio.run(drive(toy, RunFolder(folder), [tasks], on_damage=print))
    document = toy.document(run.plan, run.run, run.artifacts, {})
    (folder / "result.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
