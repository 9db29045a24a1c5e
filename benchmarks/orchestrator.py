"""What does the orchestrator cost, what does it save, and does looking deeper help?

    python benchmarks/orchestrator.py [--quick] [--seed N] [--json FILE] [--data DIR] [--only PART ...]

Parts:

- ``overhead``: 300 agents at once, 3,000 tasks, against `asyncio.gather` of the same agent's calls with the
  same 300 at once; without a checkpoint (processor time a task beyond gather; goal 1 ms) and as durable tasks
  of LangGraph with SQLite (goal 3 ms).
- ``memory``: 300 agents of the local swarm, each reading a column to a state, 3,000 of them; peak memory of a
  process of its own over that of one that holds the same 300 states without agents (goal 1.2).
- ``latency``: 300 agents against a simulated provider, see `_providers.latency` (goals 1.15 × the critical
  path, 100 × serial).
- ``replanning``: accepted share with the rules and with retries alone, see `_replanning` (goals .98, .9).
- ``routing``: cost and score of routing between two simulated providers, see `_providers.routing` (goals 60 %
  of always-dear's cost at 98 % of its score).
- ``deep``: labelled columns of sotab82 dev (and the decile of lowest confidence) before and after deep
  search; whom the router asks, fitted crosswise by host, against nobody, everybody, and chance. Goals: the
  decile gains; the router is neither always on nor always off, and not worse than everybody by over 0.5.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypedDict

import torch
from _harness import Bench, labelled_folder, main
from _providers import latency, routing
from _replanning import replanning
from cta import sample

from aegir_dspy.annotator.bundle import default_bundle
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.orchestrator.agent import Agent, Job, Work
from aegir_dspy.orchestrator.artifacts import FolderArtifacts, MemoryArtifacts
from aegir_dspy.orchestrator.deep_search import DeepSearch
from aegir_dspy.orchestrator.execution import Execution, Start, at_once
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.task import Task, TaskGraph
from aegir_dspy.training.router import Readings, RouterConfig, crosswise_routes
from aegir_dspy.training.split import sotab82_split

AGENTS, TASKS = 300, 3000
_MEMORY = Path(__file__).with_name("_agents_memory.py")


def measure(bench: Bench) -> None:
    """the orchestrator: overhead, memory, latency, replanning, routing, deep search"""
    parts: dict[str, Callable[[Bench], None]] = {
        "overhead": _overhead,
        "memory": _memory,
        "latency": _latency,
        "replanning": _replanning,
        "routing": _routing,
        "deep": _deep,
    }
    for name in bench.options.only or parts:
        parts[name](bench)


# --- overhead -------------------------------------------------------------------------------------


class _Asleep:
    """An agent that costs next to nothing."""

    name, skills, slots = "asleep", frozenset({"work"}), AGENTS

    async def perform(self, job: Job) -> Work:
        await asyncio.sleep(0.01)
        return Work(job.task.id)


def _overhead(bench: Bench) -> None:
    tasks = [Task(f"task{i}", "work") for i in range(TASKS)]
    rounds = 3 if bench.options.quick else 7
    ways: dict[str, Callable[[], Awaitable[None]]] = {
        "asyncio.gather": lambda: _gathered(tasks),
        "orchestrator": lambda: _executed(tasks, at_once),
        "orchestrator, LangGraph and SQLite": lambda: _durable(tasks),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            asyncio.run(_awaited(way()))
            spent[name].append(1000 * (time.process_time() - began) / TASKS)
    bare = spent.pop("asyncio.gather")
    bench.row(part="overhead", arm="asyncio.gather", tasks=TASKS, ms_a_task=statistics.median(bare))
    for (name, times), goal in zip(spent.items(), (1.0, 3.0), strict=True):
        beyond = statistics.median(a - b for a, b in zip(times, bare, strict=True))
        bench.row(part="overhead", arm=name, tasks=TASKS, ms_a_task=statistics.median(times))
        bench.check(f"ms a task beyond gather: {name}", beyond, at_most=goal)


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _gathered(tasks: list[Task]) -> None:
    agent, free = _Asleep(), asyncio.Semaphore(AGENTS)

    async def one(task: Task) -> Work:
        async with free:
            return await agent.perform(Job(task))

    await asyncio.gather(*(one(task) for task in tasks))


async def _executed(tasks: list[Task], start: Start, folder: Path | None = None) -> None:
    agent: Agent = _Asleep()
    artifacts = FolderArtifacts(folder, {"work": str}) if folder else MemoryArtifacts()
    run = await Execution(TaskGraph(tasks), Roster([agent], AGENTS), artifacts, RuleReplanner()).run(start)
    assert len(run.outcomes) == len(tasks) and not run.failures


async def _durable(tasks: list[Task]) -> None:
    """The same inside a node of a graph that is checkpointed in SQLite, artifacts in a folder."""
    from langgraph.graph import START, StateGraph

    from aegir_dspy.adapters.langgraph_app.durable import durable
    from aegir_dspy.adapters.langgraph_app.saver import open_saver

    class State(TypedDict, total=False):
        done: bool

    with tempfile.TemporaryDirectory() as folder:
        kept = FolderArtifacts(Path(folder) / "artifacts", {"work": str})

        async def working(state: State) -> State:
            agent: Agent = _Asleep()
            execution = Execution(TaskGraph(tasks), Roster([agent], AGENTS), kept, RuleReplanner())
            run = await execution.run(durable(kept))
            return {"done": len(run.outcomes) == len(tasks) and not run.failures}

        graph = StateGraph(State)
        graph.add_node("working", working)
        graph.add_edge(START, "working")
        async with open_saver(Path(folder) / "checkpoint.sqlite") as saver:
            config: Any = {"configurable": {"thread_id": "1"}}
            said = await graph.compile(checkpointer=saver).ainvoke({}, config)
        assert said["done"]


# --- memory ---------------------------------------------------------------------------------------


def _memory(bench: Bench) -> None:
    columns = 600 if bench.options.quick else TASKS
    held, ran = (_peak(mode, columns) for mode in ("states", "agents"))
    for arm, peak in ((f"{AGENTS} states held", held), (f"{AGENTS} agents, {columns} columns", ran)):
        bench.row(part="memory", arm=arm, base_mb=peak["base"], peak_mb=peak["peak"])
    states = held["states"]
    bench.row(part="memory", arm="size of the states", peak_mb=states)
    limit = 1.2 * (states + max(ran["base"], held["base"]))
    bench.check(f"peak of {AGENTS} agents over base and states + 20 %", ran["peak"] / limit, at_most=1.0)


def _peak(mode: str, columns: int) -> dict[str, float]:
    """MB of a process of its own."""
    done = subprocess.run(
        [sys.executable, str(_MEMORY), mode, str(AGENTS), str(columns)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


# --- providers and replanning ---------------------------------------------------------------------


def _measured(bench: Bench, part: str, measured: Callable[[int, bool], dict[str, Any]]) -> dict[str, Any]:
    """What a part of its own module found, its rows added."""
    found = measured(bench.options.seed, bench.options.quick)
    for row in found["rows"]:
        bench.row(part=part, **row)
    return found


def _latency(bench: Bench) -> None:
    found = _measured(bench, "latency", latency)
    bench.check("wall time over the critical path", found["overhead"], at_most=1.15)
    bench.check("serial time over wall time", found["speedup"], at_least=100)


def _replanning(bench: Bench) -> None:
    found = _measured(bench, "replanning", replanning)
    bench.check("accepted with the replanner", found["rules"], at_least=0.98)
    bench.check("accepted with retries alone", found["retry_only"], at_most=0.9)


def _routing(bench: Bench) -> None:
    found = _measured(bench, "routing", routing)
    bench.check("cost of routing over always dear", found["cost_share"], at_most=0.6)
    bench.check("score of routing over always dear", found["score_share"], at_least=0.98)


# --- deep search and the router -------------------------------------------------------------------


def _deep(bench: Bench) -> None:
    dev = sotab82_split(labelled_folder(bench)).dev
    if bench.options.quick:
        dev = sample(dev, 40, bench.options.seed)
    bundle, vocabulary = default_bundle(), load_vocabulary("sotab82")
    annotator = ColumnTypeAnnotator(bundle, vocabulary)
    tables = [labelled.table for labelled in dev]
    annotations = [annotation for annotation, _ in annotator.annotate(tables)]
    # All columns are answered, so that a threshold for abstentions plays no part.
    deep = DeepSearch(vocabulary, 0.0)
    deepened = [deep.deepen(t, a) for t, a in zip(tables, annotations, strict=True)]
    confidence, wide_right, deep_right = [], [], []
    for labelled, before, after in zip(dev, annotations, deepened, strict=True):
        for gold in labelled.labels:
            first, second = (one.columns[gold.column_index] for one in (before, after))
            confidence.append(first.confidence)
            wide_right.append(first.candidates[0].type == gold.labels[0])
            deep_right.append(second.candidates[0].type == gold.labels[0])
    lowest = sorted(range(len(confidence)), key=confidence.__getitem__)[: max(1, len(confidence) // 10)]
    gain = {}
    for name, rows in (("all columns", range(len(confidence))), ("lowest decile", lowest)):
        wide, both = (statistics.mean(right[i] for i in rows) for right in (wide_right, deep_right))
        gain[name] = both - wide
        for arm, value in (("wide", wide), ("wide + deep", both)):
            bench.row(part="deep", arm=f"{arm}, {name}", columns=len(rows), accuracy=value)
    slack = 0.1 if bench.options.quick else 0.0
    bench.check("deep search: gain in the lowest decile", gain["lowest decile"], at_least=0.001 - slack)
    bench.check("deep search: gain over all", gain["all columns"], at_least=-0.002 - slack)
    _router(bench, Readings(bundle, dev))


def _router(bench: Bench, readings: Readings) -> None:
    routed = crosswise_routes(readings, RouterConfig())
    labelled, shares = readings.labelled, routed.double().mean(0)
    chance = torch.rand(routed.shape, generator=torch.Generator().manual_seed(bench.options.seed)) < shares
    found = {}
    for arm, asked in (
        ("router: nobody", readings.everywhere()),
        ("router: crosswise", routed),
        ("router: chance, as often", chance),
        ("router: everybody", readings.everywhere(*readings.readers)),
    ):
        right = readings.decided(asked).argmax(1) == readings.gold
        found[arm] = float(right[labelled].double().mean())
        readings_a_column = float(asked[labelled].double().sum(1).mean())
        bench.row(part="deep", arm=arm, accuracy=found[arm], readings_a_column=readings_a_column)
    on = float(routed[labelled].double().mean())
    slack = 0.05 if bench.options.quick else 0.0
    bench.check("share of readings the router asks for", on, at_least=0.02, at_most=0.9)
    loss = found["router: everybody"] - found["router: crosswise"]
    bench.check("accuracy lost against everybody", loss, at_most=0.005 + slack)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parts = ("overhead", "memory", "latency", "replanning", "routing", "deep")
    parser.add_argument("--only", nargs="+", choices=parts, metavar="PART", help=", ".join(parts))


if __name__ == "__main__":
    sys.exit(main("orchestrator", measure, _arguments))
