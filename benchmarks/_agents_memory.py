"""Memory of one process: ``states`` holds the states of columns, ``agents`` has agents read many columns.

    python benchmarks/_agents_memory.py states|agents AGENTS COLUMNS

Prints, in MB: ``base`` before anything is read (a first reading apart), ``peak`` over all, ``states`` the
size of the states. Peak from the kernel's count of this process.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import torch

from aegir_dspy.annotator.bundle import default_bundle
from aegir_dspy.latent.specialist import FrozenSpecialist
from aegir_dspy.orchestrator.agent import Job, Work
from aegir_dspy.orchestrator.artifacts import MemoryArtifacts
from aegir_dspy.orchestrator.execution import Execution
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.task import Task, TaskGraph

_BYTES = 60


class _Reader:
    """Reads a column, keeps its state while others are read, forgets it."""

    name, skills = "reader", frozenset({"read"})

    def __init__(self, specialist: FrozenSpecialist, slots: int) -> None:
        self.specialist, self.slots = specialist, slots
        self.full = asyncio.Event()
        self.there = 0

    async def perform(self, job: Job) -> Work:
        states = self.specialist.read([_column(job.task.inputs["number"])]).states
        self.there += 1
        if self.there == self.slots:  # all agents hold a state at the same moment
            self.full.set()
        await self.full.wait()
        return Work(states.batch)


def _column(number: int) -> bytes:
    return (f"value {number:06d} of a column, " * 4).encode()[:_BYTES] + b"\x1d"


def _memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) / 1024


def _main(mode: str, agents: int, columns: int) -> None:
    bundle = default_bundle()
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    one = specialist.read([_column(0)]).states
    gc.collect()
    print("base", _memory("VmRSS"))
    if mode == "states":
        held = [specialist.read([_column(i)]).states for i in range(agents)]
        size = sum(tensor.numel() * tensor.element_size() for tensor in one)
        print("states", len(held) * size / 2**20)
    else:
        asyncio.run(_run(specialist, agents, columns))
    print("peak", _memory("VmHWM"))


async def _run(specialist: FrozenSpecialist, agents: int, columns: int) -> None:
    graph = TaskGraph([Task(f"read{i}", "read", {"number": i}) for i in range(columns)])
    roster = Roster([_Reader(specialist, agents)], agents)
    run = await Execution(graph, roster, MemoryArtifacts(), RuleReplanner()).run()
    assert not run.failures and len(run.outcomes) == columns


if __name__ == "__main__":
    torch.set_num_threads(1)
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
