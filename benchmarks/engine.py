"""How fast is the engine? Tokens a second beside the `rwkv` package, and beside what the machine can do.

One run measures three things in turn, so that what else the machine does falls on all alike:

- **the ceilings** (`_ceilings.py`, with the formula): the rate of products and the bandwidth, through torch;
- **the package**, a greedy loop over its ``forward``, in float32 and bfloat16; what it is good for is the
  better of both. It has one stream and reads token by token: its tokens a second depend neither on the batch
  nor on the length of the prompt (``--quick`` has it read 64).
- **the engine** as a program uses it, by type of its weights: ``Engine.read`` of one prompt of 512 and of
  4096 tokens, and ``Engine.generate`` of B greedy streams that go on from states read before. A figure of
  decoding is about the tokens after the first: (n - 1)·B / (seconds for n tokens - seconds for one), with
  the choice of tokens and all bookkeeping in it; `start_ms` is what comes before, the admission of B states
  and the first token.

A ratio is the median of the ratios within a turn, a rate the median of the turns. `share` is the rate over
the ceiling of that type and batch. `MB_a_stream` is a state in the pool. What 300 idle streams cost is
measured as resident memory in a process of its own, and a training step beside torch's chunked form in two
processes that take turns.

With ``--llama PROGRAM``, llama.cpp's llama-batched-bench, there are its rows too, apart from the turns
(`_llama.py` says what that needs).

With ``--device cuda`` there is no package; the rows are B = 1 … 512 at the sizes of the published 0.1B and
1.5B models, and `share_memory` is the rate over what the bandwidth alone would allow.

    python benchmarks/engine.py [--quick] [--seed N] [--json FILE] [--threads N] [--device cpu|cuda]
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _ceilings import Ceilings
from _harness import Bench, main
from _llama import TYPES as LLAMA_TYPES
from _llama import timed, write_gguf
from parity import random_weights

from aegir_dspy.errors import InputError, PrerequisiteError
from aegir_dspy.rwkv import RWKV7, Engine, GenerationConfig, Geometry, State
from aegir_dspy.rwkv.engine import default_tokenizer
from aegir_dspy.rwkv.initialize import initialize
from aegir_dspy.rwkv.package_backend import package_class
from aegir_dspy.rwkv.tokenizer import tokenizer_named

SIZES = {
    "L12·D768": Geometry(12, 768, 64, 65536, 3072, 64, 64, 32, 128),
    "L6·D256": Geometry(6, 256, 64, 256, 1024, 64, 64, 32, 96),
}
CUDA_SIZES = {"0.1B": SIZES["L12·D768"], "1.5B": Geometry(24, 2048, 64, 65536, 8192, 96, 96, 64, 256)}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
PROMPTS = (512, 4096)
BATCHES = (1, 8, 32, 128, 300)
CUDA_BATCHES = (1, 8, 32, 64, 128, 256, 512)
TIMES_PACKAGE = {1: 3.0, 8: 10.0, 32: 23.0, 128: 34.0}  # goals
SHARE = {1: 0.6, 128: 0.6}
IDLE = 300
TRAINED = Geometry(4, 256, 64, 256, 1024, 64, 64, 32, 96)

Call = Callable[[], float]
"""Does something; tokens a second."""


def measure(bench: Bench) -> None:
    """tokens a second of the engine, of the rwkv package, and the ceilings of the machine"""
    device = bench.options.device
    if device == "cuda" and not torch.cuda.is_available():
        raise PrerequisiteError("expected a CUDA device for --device cuda; found none: use --device cpu")
    torch.set_num_threads(bench.options.threads)
    run = Run(bench)
    sizes = CUDA_SIZES if device == "cuda" else SIZES
    for name in list(sizes)[:1] if device == "cuda" and bench.options.quick else sizes:
        run.look()
        with checkpoint(sizes[name], bench.options.seed) as path:
            if device == "cuda":
                on_cuda(run, name, path)
                continue
            beside_package(run, name, path)
            if not bench.options.quick or sizes[name].width < 512:
                idle(bench, name, path)
            if bench.options.llama:
                llama(bench, name, path.with_suffix(".gguf"))
    run.look()
    if device == "cpu":
        training(bench)
    run.settle()


class Run:
    """Rows that get their ceiling at the end: the machine is looked at several times, and its best counts."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.ceilings = bench, Ceilings()
        self._open: list[tuple[dict[str, Any], Call]] = []
        self._goals: list[tuple[str, dict[str, Any], float]] = []

    def look(self) -> None:
        """Measure the ceilings, again."""
        self.ceilings.measure(self.bench.options.device, 1.0 if self.bench.options.quick else 6.0)

    def add(self, limits: Mapping[str, Call], **row: Any) -> dict[str, Any]:
        """A row about an arm, whose ceiling will be what `limits` says of it."""
        self.bench.row(**row)
        if row["arm"] in limits:
            self._open.append((self.bench.rows[-1], limits[row["arm"]]))
        return self.bench.rows[-1]

    def expect(self, name: str, row: dict[str, Any], share: float) -> None:
        """A goal for the share of a row."""
        self._goals.append((name, row, share))

    def settle(self) -> None:
        """Rows of the machine, shares of all others, and their checks."""
        for row, limit in self._open:
            row["ceiling"], row["share"] = limit(), row["tokens_per_second"] / limit()
        for name, row, share in self._goals:
            self.bench.check(name, row["share"], at_least=share)
        for unit, found in (("Gop/s", self.ceilings.products), ("GB/s", self.ceilings.readers)):
            for name, rate in found.items():
                self.bench.row(model="machine", work=name, ceiling=rate / 1e9, unit=unit)


@contextmanager
def checkpoint(geometry: Geometry, seed: int) -> Iterator[Path]:
    """A file of random weights under which no stream ends: what ends one is never the most probable."""
    weights = random_weights(geometry, seed)
    weights["head.weight"][list(tokenizer_named(default_tokenizer(geometry.vocab)).ends)] = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pth"
        torch.save(weights, path)
        del weights
        yield path


def beside_package(run: Run, name: str, path: Path) -> None:
    """Rows and checks of one model on a processor."""
    bench, quick = run.bench, run.bench.options.quick
    engines = loaded(path, ("bf16", "int8") if quick else ("fp32", "bf16", "int8"), "cpu")
    packages = {f"package {t}": package(path, t) for t in ("fp32", "bf16")}
    for tokens in PROMPTS[:1] if quick else PROMPTS:
        readers: dict[str, Call] = {
            p: partial(package_prefill, m, 64 if quick else tokens) for p, m in packages.items()
        }
        readers |= {t: partial(prefill, e, tokens) for t, e in engines.items()}
        found = in_turn(readers, turns=1 if quick or tokens > 512 else 3)
        limits = {t: partial(run.ceilings.prefill, SIZES[name], t, tokens) for t in engines}
        best = report(run, found, limits, model=name, work=f"prefill {tokens}", batch=1)
        if tokens == 512:
            bench.check(f"{name}: prefill 512, × the package", best["times_package"], at_least=8)
    alone = in_turn({p: partial(package_decode, m, 8) for p, m in packages.items()}, turns=2)
    slower, faster = sorted(alone, key=lambda p: statistics.median(alone[p]))
    report(run, {slower: alone[slower]}, {}, model=name, work="decode", batch=1)
    for batch in BATCHES[:-1] if quick else BATCHES:
        best = beside(run, name, batch, engines, {faster: packages[faster]})
        if batch in TIMES_PACKAGE:
            goal = TIMES_PACKAGE[batch]
            bench.check(f"{name}: decode B={batch}, × the package", best["times_package"], at_least=goal)
        if batch in SHARE:
            run.expect(f"{name}: decode B={batch}, share of the ceiling", best, SHARE[batch])


def beside(
    run: Run, name: str, batch: int, engines: Mapping[str, Engine], packages: Mapping[str, Any]
) -> dict[str, Any]:
    """Decode B streams in turn with the package's one: the row of the fastest."""
    quick = run.bench.options.quick
    count = 32 if quick else 64
    starts: dict[str, list[float]] = {t: [] for t in engines}
    calls: dict[str, Call] = {p: partial(package_decode, m, 8 if quick else 24) for p, m in packages.items()}
    calls |= {t: partial(decode, Streams(e, batch), count, starts[t]) for t, e in engines.items()}
    found = in_turn(calls, turns=(1 if batch > 32 else 2) if quick else (2 if batch > 32 else 3))
    limits = {t: partial(run.ceilings.decode, SIZES[name], t, batch) for t in engines}
    return report(run, found, limits, starts, model=name, work="decode", batch=batch)


def loaded(path: Path, types: tuple[str, ...], device: str) -> dict[str, Engine]:
    """An engine for each type of weights; int8 only where there are compiled kernels for it."""
    found = {}
    for name in types:
        try:
            found[name] = Engine.load(path, dtype=TYPES[name], device=device)
        except InputError as error:
            print(error, file=sys.stderr)
            continue
        found[name].max_batch = max(*BATCHES, *CUDA_BATCHES)
        found[name].read([prompt(8)])  # weights are packed when they are first used
    return found


def package(path: Path, name: str) -> Any:
    """The package's model, warm; its class is the one for RWKV-7, or this raises."""
    with redirect_stdout(sys.stderr):  # it prints what it loads
        model = package_class()(model=str(path.with_suffix("")), strategy=f"cpu {name}")
    package_decode(model, 3)  # its scripts compile in their first calls
    package_prefill(model, 4)
    return model


def in_turn(calls: Mapping[str, Call], turns: int) -> dict[str, list[float]]:
    """What each call returns in each turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            found[name].append(call())
    return found


def report(
    run: Run,
    found: Mapping[str, list[float]],
    limits: Mapping[str, Call],
    starts: Mapping[str, list[float]] | None = None,
    **what: str | int,
) -> dict[str, Any]:
    """A row for each arm; that of the engine's fastest, or of the first."""
    medians = {n: statistics.median(rates) for n, rates in found.items()}
    base = max((n for n in found if n not in limits), key=medians.__getitem__, default=None)
    rows = []
    for name, rates in found.items():
        times = base and statistics.median(a / b for a, b in zip(rates, found[base], strict=True))
        start = 1e3 * statistics.median(starts[name]) if starts and name in starts else None
        rows.append(run.add(limits, **what, arm=name, tokens_per_second=medians[name], unit="tokens/s",
                            times_package=times, start_ms=start))  # fmt: skip
    ours = [row for row in rows if row["arm"] in limits]
    return max(ours or rows[:1], key=lambda row: row["tokens_per_second"])


def prompt(tokens: int, which: int = 0) -> list[int]:
    return [1 + (7 * i + 31 * which + i * i // 5) % 255 for i in range(tokens)]


def prefill(engine: Engine, tokens: int) -> float:
    start = time.perf_counter()
    engine.read([prompt(tokens)])[0].tensors.kv[0, 0, 0, 0, 0].item()
    return tokens / (time.perf_counter() - start)


def package_prefill(model: Any, tokens: int) -> float:
    start = time.perf_counter()
    model.forward(prompt(tokens), None)
    return tokens / (time.perf_counter() - start)


@torch.no_grad()
def package_decode(model: Any, tokens: int) -> float:
    logits, state = model.forward(prompt(2), None)
    start = time.perf_counter()
    for _ in range(tokens):
        logits, state = model.forward(int(logits.argmax()), state)
    return tokens / (time.perf_counter() - start)


class Streams:
    """B streams of an engine that have read a few tokens each."""

    def __init__(self, engine: Engine, batch: int) -> None:
        self.engine = engine
        self.states: list[State] = engine.read([prompt(4, which) for which in range(batch)])
        self.generate(1)

    def generate(self, tokens: int) -> float:
        """Seconds to continue every stream by so many tokens."""
        start = time.perf_counter()
        found = self.engine.generate(
            [[]] * len(self.states), states=self.states, config=GenerationConfig(max_tokens=tokens)
        )
        seconds = time.perf_counter() - start
        if any(len(one.tokens) < tokens for one in found):
            raise RuntimeError("a stream ended early: its tokens would be counted as decoded")
        return seconds


def decode(streams: Streams, tokens: int, starts: list[float]) -> float:
    """Tokens a second after the first one; notes the seconds of the first.

    A start that was slow by chance must not make the rest look fast: at least half of the time is the rest's.
    """
    first, whole = min(streams.generate(1), streams.generate(1)), streams.generate(tokens)
    starts.append(first)
    return (tokens - 1) * len(streams.states) / max(whole - first, whole / 2)


def llama(bench: Bench, name: str, path: Path) -> None:
    """Rows of llama.cpp, by type of its weights; at most 256 streams."""
    threads, quick = bench.options.threads, bench.options.quick
    bench_llama = partial(timed, bench.options.llama, path, threads=threads)
    for kind in LLAMA_TYPES:
        write_gguf(path, random_weights(SIZES[name], bench.options.seed), SIZES[name], kind)
        for tokens in PROMPTS[:1] if quick else PROMPTS:
            rate, _ = bench_llama(prompt=tokens, tokens=1, batch=1)
            bench.row(model=name, work=f"prefill {tokens}", batch=1, arm=f"llama.cpp {kind}",
                      tokens_per_second=rate)  # fmt: skip
        for batch in BATCHES[:-1]:
            _, rate = bench_llama(prompt=4, tokens=16 if quick else 32, batch=batch)
            bench.row(model=name, work="decode", batch=batch, arm=f"llama.cpp {kind}", tokens_per_second=rate)


def idle(bench: Bench, name: str, path: Path) -> None:
    """What streams that do nothing cost, in a fresh process: beyond their states, at most a tenth."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        grown, alone = pool.submit(resident, path, IDLE).result()
    bench.row(model=name, work="idle streams", batch=IDLE, MB_a_stream=grown / IDLE / 1e6,
              MB_a_state=alone / 1e6)  # fmt: skip
    bench.check(f"{name}: memory of {IDLE} idle streams, × their states", grown / IDLE / alone, at_most=1.1)


def resident(path: Path, count: int) -> tuple[float, float]:
    """By how many bytes reading `count` streams and keeping their states grows this process; of one state."""
    torch.set_num_threads(1)
    engine = Engine.load(path)
    kept = engine.read([prompt(8, 0)] * 64)  # whatever is only allocated once
    kept.clear()
    before = resident_bytes()
    for first in range(0, count, 50):
        kept += engine.read([prompt(8, which) for which in range(first, min(first + 50, count))])
    grown = resident_bytes() - before
    return grown, 4.0 * engine.identity.geometry.state_floats


def resident_bytes() -> float:
    """Resident memory of this process, what the allocator could give back not counted."""
    import ctypes

    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    raise PrerequisiteError("expected Linux, which tells the resident memory; found none")


def training(bench: Bench) -> None:
    """Forward, backward and AdamW: the compiled recurrence and torch's chunked form, in turn."""
    context, threads = multiprocessing.get_context("spawn"), bench.options.threads
    with (
        ProcessPoolExecutor(1, context, prepare, ("", threads)) as ours,
        ProcessPoolExecutor(1, context, prepare, ("torch", threads)) as chunks,
    ):
        arms = {"engine": ours, "chunks in torch": chunks}
        calls = {n: lambda pool=pool: pool.submit(train_step, bench.options.seed).result()
                 for n, pool in arms.items()}  # fmt: skip
        in_turn(calls, turns=1)
        found = in_turn(calls, turns=2 if bench.options.quick else 9)
    pairs = list(zip(*found.values(), strict=True))
    for name, rates in found.items():
        bench.row(model="L4·D256", work="training, B=8, T=128", arm=name,
                  tokens_per_second=statistics.median(rates))  # fmt: skip
    times = statistics.median(a / b for a, b in pairs)
    bench.check("training step, × the chunked form", times, at_least=1.4)


def prepare(kernels: str, threads: int) -> None:
    """Of a process: which kernels it uses; read at their first use."""
    os.environ["AEGIR_KERNELS"] = kernels
    torch.set_num_threads(threads)


_TRAINED: list[tuple[RWKV7, torch.optim.Optimizer]] = []


def train_step(seed: int) -> float:
    """Tokens a second of one step, in a process of its own."""
    if not _TRAINED:
        model = initialize(RWKV7(TRAINED), seed)
        _TRAINED.append((model, torch.optim.AdamW(model.parameters(), 1e-3)))
    model, optimizer = _TRAINED[0]
    tokens = torch.tensor([prompt(129, which) for which in range(8)])
    start = time.perf_counter()
    hidden, _ = model(tokens[:, :-1])
    loss = torch.nn.functional.cross_entropy(model.logits(hidden).flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return 8 * 128 / (time.perf_counter() - start)


def on_cuda(run: Run, name: str, path: Path) -> None:
    """Rows of one model on a GPU, by type of its weights, without goals."""
    quick, geometry = run.bench.options.quick, CUDA_SIZES[name]
    for dtype, engine in loaded(path, ("fp16",) if quick else ("fp16", "bf16"), "cuda").items():
        for tokens in PROMPTS:
            prefill(engine, tokens)  # compiles
            found = in_turn({dtype: partial(prefill, engine, tokens)}, turns=3)
            limit = {dtype: partial(run.ceilings.prefill, geometry, dtype, tokens)}
            report(run, found, limit, model=name, work=f"prefill {tokens}", batch=1)
        for batch in CUDA_BATCHES:
            streams, starts = Streams(engine, batch), {dtype: list[float]()}
            found = in_turn({dtype: partial(decode, streams, 32 if quick else 128, starts[dtype])}, turns=3)
            limit = {dtype: partial(run.ceilings.decode, geometry, dtype, batch)}
            row = report(run, found, limit, starts, model=name, work="decode", batch=batch)
            row["share_memory"] = row["tokens_per_second"] / run.ceilings.memory(geometry, dtype, batch)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of all engines (%(default)s)")
    parser.add_argument("--llama", type=Path, metavar="PROGRAM", help="llama-batched-bench, for its rows")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")


if __name__ == "__main__":
    sys.exit(main("engine", measure, arguments))
