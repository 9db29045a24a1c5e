"""`aegir serve` under load: a server process on loopback, OpenAI's own client in others, random weights.

What continuous batching gains: 64 clients at once beside one at a time, and beside 64 at a server that
decodes one answer after the other (`--max-batch 1`). What it costs those who ask for little: the time of a
short completion while 64 others are served, beside an idle server. Both are measured in turns, and the median
of the turns counts, so that what else the machine does falls on all alike. Then a long run of requests of all
kinds, in which the memory must not grow, with malformed ones all along, none of which may be answered by 5xx.

    python benchmarks/serving.py [--quick] [--seed N] [--json FILE] [--minutes M] [--model FILE] [--threads N]
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import torch
from _clients import Kind, every_kind, load, short_ones, streamed, whole
from _harness import Bench, main
from _malformed import malformed, tried
from _server import Server, started
from parity import random_weights

from aegir_dspy.adapters.openai_server import Limits
from aegir_dspy.errors import InputError
from aegir_dspy.rwkv import Geometry, save_weights

CLIENTS = 64
GEOMETRY = Geometry(6, 256, 64, 256, 1024, 64, 64, 32, 96)
LEAST_GAIN, MOST_WAIT = 8.0, 10.0  # throughput of 64 over one; p99 of a short completion under load over idle
MOST_GROWTH = 0.5  # MiB a minute, in the second half of the long run
KINDS: dict[str, Kind] = {"whole": whole, "streamed": streamed}


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    turns: int = 3
    alone: int = 10  # requests one at a time in a turn
    each: int = 2  # of each of 64 clients in a turn
    short: int = 60  # short completions in a turn
    malformed: int = 10_000
    minutes: float = 10.0
    most_growth: float = MOST_GROWTH


QUICK = Scale(turns=1, alone=3, each=1, short=15, malformed=300, minutes=0.15, most_growth=500.0)


def measure(bench: Bench) -> None:
    """throughput, waiting, memory and robustness of aegir serve"""
    scale = QUICK if bench.options.quick else Scale()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        if bench.options.model is None:
            save_weights(path, random_weights(GEOMETRY, bench.options.seed), {}, torch.float32)
        else:
            path.symlink_to(bench.options.model.resolve())
        options, threads = ("--model", str(path)), bench.options.threads
        with started(*options, "--max-batch", "1", threads=threads) as server:
            run = _run(server, whole, CLIENTS, CLIENTS if scale.turns > 1 else CLIENTS // 8)
            _row(bench, f"{CLIENTS} at once, no batching", [run])
        with started(*options, threads=threads) as server:
            throughput(bench, server, scale)
            waiting(bench, server, scale)
            lasting(bench, server, scale)


@dataclass(frozen=True)
class Run:
    """Clients served: tokens a second of all, what the server's processors took, seconds of each answer."""

    rate: float
    processor: float  # seconds a token
    times: Sequence[float]


def _run(server: Server, kind: Kind, clients: int, requests: int) -> Run:
    busy, start = server.processor_seconds, time.perf_counter()
    done = load(server.address, kind, clients, lambda number: number >= requests)
    tokens, taken = sum(tokens for tokens, _ in done), time.perf_counter() - start
    return Run(tokens / taken, (server.processor_seconds - busy) / tokens, [seconds for _, seconds in done])


def throughput(bench: Bench, server: Server, scale: Scale) -> None:
    """Tokens a second of all clients together."""
    runs: dict[tuple[str, int], list[Run]] = {(kind, count): [] for kind in KINDS for count in (1, CLIENTS)}
    for _ in range(scale.turns):
        for (kind, count), found in runs.items():
            requests = scale.alone if count == 1 else CLIENTS * scale.each
            found.append(_run(server, KINDS[kind], count, requests))
    for (kind, count), found in runs.items():
        _row(bench, f"{f'{count} at once' if count > 1 else 'one at a time'}, {kind}", found)
    for kind in KINDS:
        pairs = zip(runs[kind, CLIENTS], runs[kind, 1], strict=True)
        gain = statistics.median(together.rate / alone.rate for together, alone in pairs)
        bench.check(f"{CLIENTS} clients over one at a time, {kind}", gain, at_least=LEAST_GAIN)


def _row(bench: Bench, name: str, runs: Sequence[Run]) -> None:
    times = [seconds for run in runs for seconds in run.times]
    bench.row(arm=name, answers=len(times), tokens_per_second=statistics.median(run.rate for run in runs),
              processor_ms_a_token=1e3 * statistics.median(run.processor for run in runs),
              p50_ms=1e3 * statistics.median(times), p99_ms=1e3 * _p99(times))  # fmt: skip


def waiting(bench: Bench, server: Server, scale: Scale) -> None:
    """The time of a short completion, alone and while 64 others are served."""
    idle, loaded = list[float](), list[float]()
    for _ in range(scale.turns):
        idle += short_ones(server.address, scale.short)
        with _busy(server, whole):
            loaded += short_ones(server.address, scale.short)
    for name, times in (("idle", idle), (f"{CLIENTS} others", loaded)):
        bench.row(arm=f"short completion, {name}", answers=len(times),
                  p50_ms=1e3 * statistics.median(times), p99_ms=1e3 * _p99(times))  # fmt: skip
    bench.check(
        "p99 of a short completion under load over idle", _p99(loaded) / _p99(idle), at_most=MOST_WAIT
    )


def lasting(bench: Bench, server: Server, scale: Scale) -> None:
    """Memory over minutes of all kinds of requests, right and malformed."""
    minutes = bench.options.minutes or scale.minutes
    known = server.metric("aegir_request_seconds_count")
    began, before, over = time.monotonic(), server.mib, threading.Event()
    samples: list[tuple[float, float]] = []  # (minutes, MiB)

    def watch() -> None:
        while not over.wait(minutes * 60 / 400):
            samples.append(((time.monotonic() - began) / 60, server.mib))

    watching = threading.Thread(target=watch)
    watching.start()
    with _busy(server, every_kind):
        requests = malformed(bench.options.seed, scale.malformed, "model", Limits().body_bytes)
        found = tried(server.address, requests, {})
        while time.monotonic() - began < minutes * 60:
            time.sleep(0.1)
    over.set()
    watching.join()
    taken = (time.monotonic() - began) / 60
    half = [(at, mib) for at, mib in samples if at > taken / 2]
    growth = statistics.linear_regression(*zip(*half, strict=True)).slope
    bench.row(arm="all kinds of requests", answers=int(server.metric("aegir_request_seconds_count") - known),
              minutes=taken, mib_before=before, mib_after=server.mib, mib_a_minute=growth)  # fmt: skip
    statuses = {f"status_{status // 100}xx": 0 for status in found}
    for status, count in found.items():
        statuses[f"status_{status // 100}xx"] += count
    bench.row(arm="malformed requests", answers=found.total(), **statuses)
    bench.check("growth of memory in the second half, MiB a minute", growth, at_most=scale.most_growth)
    bench.check("malformed requests answered by 5xx", statuses.get("status_5xx", 0), at_most=0)
    bench.check("server alive at the end", server.alive, at_least=1)


def _p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[98]


@contextmanager
def _busy(server: Server, kind: Kind) -> Iterator[None]:
    """64 clients in a process of their own."""
    context = multiprocessing.get_context("spawn")
    over = context.Event()
    process = context.Process(target=_keep_busy, args=(server.address, kind, over), daemon=True)
    process.start()
    try:
        while process.is_alive() and server.metric("aegir_answers_open") < CLIENTS * 3 / 4:
            time.sleep(0.05)
        yield
    finally:
        over.set()
        process.join()
    if process.exitcode:
        raise InputError(f"expected {CLIENTS} clients that are served; found them failed, as said above")


def _keep_busy(address: str, kind: Kind, over: Event) -> None:
    load(address, kind, CLIENTS, lambda _: over.is_set())


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the server (%(default)s)")
    parser.add_argument("--minutes", type=float, metavar="M", help="of the long run (10; --quick: 0.15)")
    parser.add_argument("--model", type=Path, metavar="FILE", help="weights (random, L6·D256)")


if __name__ == "__main__":
    sys.exit(main("serving", measure, arguments))
