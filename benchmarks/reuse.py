"""What is a reading worth that is used again: for other targets of the table, and in the next run?

    python benchmarks/reuse.py [--quick] [--cpu-time] [--checkpoint FILE] [--seed N] [--json FILE]

Tables of N generated columns of 200 rows, one at a time, every column a target whose context is all others.
Rows: sequential reading, each target after the concatenation of its context; every column read once, the
states fused for each target; what `aegir_dspy.latent.choose_reading` picks of the two; the same tables again
with a `StateStore`, as a new process would find it; and one pass that reads each table once in file order,
which informs a column only of those before it. Arms take turns, figures are medians of the runs, or with
`--cpu-time` of the processor time of all threads, for a machine that has other work.

Goals at 16 columns: fused 5 times and the second run 20 times as fast as sequential; the planner's pick at
most 1.2 times the better of the two at any width.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from _harness import Bench, main
from annotate import checkpoint_option, generated

from aegir_dspy.annotator.bundle import Bundle, default_bundle, load_bundle
from aegir_dspy.latent import FrozenSpecialist, ReadingPlan, StateStore, choose_reading, read_in_context
from aegir_dspy.tables.serialize import serialize_column

WIDTHS = (2, 3, 4, 8, 16)
Tables = Sequence[Sequence[bytes]]


def measure(bench: Bench) -> None:
    """milliseconds a table: sequential, fused, planned, from the store"""
    file = bench.options.checkpoint
    bundle = load_bundle(Path(file)) if file else default_bundle()
    for width in WIDTHS:
        _width(bench, bundle, width)


def _width(bench: Bench, bundle: Bundle, width: int) -> None:
    count, runs = (1, 2) if bench.options.quick else (8, 7)
    tables = [
        [serialize_column(column, bundle.config.serialize) for column in table.columns]
        for table in generated(bench.options.seed, count, rows=200, columns=width)
    ]
    members = ~torch.eye(width, dtype=torch.bool)
    clock = time.process_time if bench.options.cpu_time else time.perf_counter
    plain = FrozenSpecialist(bundle.model, bundle.identity)
    read = partial(_read, plain, tables, members)
    with tempfile.TemporaryDirectory() as folder:
        stored = partial(_from_store, bundle, Path(folder), tables, members)
        arms: dict[str, Callable[[], object]] = {
            "sequential per target": lambda: [
                read_in_context(plain, t, members, "sequential") for t in tables
            ],
            "read once, fused": partial(read, "fused"),
            "planned": read,
            "second run, from the store": stored,
            "one pass, no later columns": lambda: [plain.read([b"".join(t)]) for t in tables],
        }
        took: dict[str, list[float]] = {arm: [] for arm in arms}
        for run in range(runs + 1):  # the first fills the store and pays for what later ones share
            for arm, call in arms.items():
                began = clock()
                call()
                if run:
                    took[arm].append((clock() - began) * 1000 / count)
    _report(bench, tables, {arm: statistics.median(times) for arm, times in took.items()})


def _read(
    specialist: FrozenSpecialist, tables: Tables, members: torch.Tensor, plan: ReadingPlan | None = None
) -> None:
    for pieces in tables:
        read_in_context(specialist, pieces, members, plan)


def _from_store(bundle: Bundle, folder: Path, tables: Tables, members: torch.Tensor) -> None:
    """Opens the store too, which a new process has to."""
    specialist = FrozenSpecialist(bundle.model, bundle.identity, store=StateStore(folder))
    _read(specialist, tables, members)


def _report(bench: Bench, tables: Tables, took: dict[str, float]) -> None:
    width = len(tables[0])
    length = sum(map(len, (piece for pieces in tables for piece in pieces))) / len(tables)
    sequential, fused = took["sequential per target"], took["read once, fused"]
    for arm, milliseconds in took.items():
        bench.row(
            columns=width,
            bytes=round(length),
            arm=arm,
            ms_per_table=milliseconds,
            times_as_fast=sequential / milliseconds,
        )
    members = ~torch.eye(width, dtype=torch.bool)
    plans = [choose_reading([len(piece) for piece in pieces], members) for pieces in tables]
    bench.row(columns=width, arm=f"plans: {plans.count('sequential')} sequential of {len(plans)}")
    slower = took["planned"] / min(sequential, fused)
    bench.check(f"planned over the better of the two, {width} columns", slower, at_most=1.2)
    if width == WIDTHS[-1]:
        bench.check(f"fused over sequential, {width} columns", sequential / fused, at_least=5)
        again = sequential / took["second run, from the store"]
        bench.check(f"second run over sequential, {width} columns", again, at_least=20)


def _options(parser: argparse.ArgumentParser) -> None:
    checkpoint_option(parser)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, of all threads together")


if __name__ == "__main__":
    sys.exit(main("reuse", measure, _options))
