"""What constrained decoding costs, and what it is good for: random weights, which conform to nothing.

Batches of 32 streams decode at the same time, one step of each in turn: without a constraint, with a JSON
schema, with regular expressions. The cost is what a step takes longer outside the model, the median of the
differences within a turn, as a share of a whole step without a constraint; beside it the same in processor
time, which counts what another core does while the model computes. Steps in which a stream ends are left
out, since texts without a constraint do not end. Conformity is counted on whole answers, beside the same
prompts without a constraint.

    python benchmarks/structured.py [--quick] [--seed N] [--json FILE] [--threads N]
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import jsonschema
import torch
from _harness import Bench, main
from parity import random_weights

from aegir_dspy.rwkv import Engine, GenerationConfig, Geometry, Grammar, save_weights
from aegir_dspy.rwkv.decoding import Backend, Batch, Stream, constraint_of

BATCH = 32
SIZES = {
    "bytes L6·D256": Geometry(6, 256, 64, 256, 1024, 64, 64, 32, 96),
    "bytes L12·D768": Geometry(12, 768, 64, 256, 3072, 64, 64, 32, 128),
    "world L12·D768": Geometry(12, 768, 64, 65536, 3072, 64, 64, 32, 128),
}
QUICK = ("bytes L6·D256", "world L12·D768")
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": ["person", "place", "thing"]},
            "count": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name", "kind", "count", "tags"],
        "additionalProperties": False,
    },
    "minItems": 1,
}
PATTERN = "([0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9] ){4,9}[A-Z]{2}[0-9]{5}"
WORDS = "([A-Z][a-z]{2,12} ){3,9}[0-9]{4}"
RULES = {
    "free": None,
    "JSON schema": Grammar.json_schema(SCHEMA),
    "regex": Grammar.regex(PATTERN),
    "regex of words": Grammar.regex(WORDS),
}
MOST_PERCENT = 5.0  # of an unconstrained step


def measure(bench: Bench) -> None:
    """the cost of a constraint at a batch of 32, and how many answers conform"""
    torch.set_num_threads(bench.options.threads)
    quick = bench.options.quick
    for name, geometry in SIZES.items():
        if quick and name not in QUICK:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save_weights(path, random_weights(geometry, bench.options.seed), {}, torch.float32)
            engine = Engine.load(path, device=bench.options.device)
            large = geometry.vocab > 256
            cost(bench, name, engine, (12 if large else 100) if quick else 300)
            conformity(bench, name, engine, (2 if large else 16) if quick else 64, 10 if quick else 80)


class Model:
    """A model that knows how long its calls took: on the clock, and of the processor by this thread."""

    def __init__(self, model: Backend) -> None:
        self.model, self.device = model, model.device
        self.wall = self.cpu = 0.0

    def __getattr__(self, name: str) -> Any:
        return partial(self._timed, getattr(self.model, name))

    def _timed(self, call: Callable[..., object], *arguments: object, **options: object) -> object:
        start, busy = time.perf_counter(), time.thread_time()
        found = call(*arguments, **options)
        self.wall += time.perf_counter() - start
        self.cpu += time.thread_time() - busy
        return found


@torch.no_grad()
def cost(bench: Bench, name: str, engine: Engine, steps: int) -> None:
    """Milliseconds a step, all in turn: on the clock, and of the processor."""
    model = Model(engine.model)
    timed = Engine(cast(Backend, model), engine.tokenizer, engine.identity)
    batches = {rule: Batch(timed) for rule in RULES}
    taken: dict[str, dict[int, list[float]]] = {rule: {} for rule in RULES}
    for turn in range(steps + 3):
        for rule, batch in batches.items():
            fill(engine, batch, rule, turn)
            engine.model.logits(batch.hidden).sum().item()  # whatever was under way is done
            model.wall = model.cpu = 0.0
            start, busy = time.perf_counter(), time.process_time()
            batch.step()
            wall, cpu = time.perf_counter() - start, time.process_time() - busy
            if turn >= 3 and len(batch.streams) == BATCH:
                taken[rule][turn] = [wall, cpu, wall - model.wall, cpu - model.cpu]
    free = taken["free"]
    base = [statistics.median(column) for column in zip(*free.values(), strict=True)]
    for rule, times in taken.items():
        wall, cpu, *_ = (statistics.median(column) for column in zip(*times.values(), strict=True))
        pairs = [(took, free[turn]) for turn, took in times.items() if turn in free]
        slower, dearer = (
            100 * statistics.median(ours[i + 2] - bare[i + 2] for ours, bare in pairs) / base[i]
            for i in (0, 1)
        )
        bench.row(model=name, rule=rule, ms_a_step=1e3 * wall, cpu_ms_a_step=1e3 * cpu,
                  cost_percent=slower, cpu_cost_percent=dearer, tokens_per_second=BATCH / wall,
                  **compiling(engine, rule))  # fmt: skip
        if rule != "free":
            bench.check(f"{name}: cost of {rule} at B={BATCH}, %", slower, at_most=MOST_PERCENT)


def fill(engine: Engine, batch: Batch, rule: str, turn: int) -> None:
    """Bring a batch to its size."""
    missing = BATCH - len(batch.streams)
    if not missing:
        return
    config = GenerationConfig(max_tokens=400, grammar=RULES[rule], temperature=0.0)
    states = engine.read([f"prompt {turn} {i}" for i in range(missing)])
    rules = [constraint_of(config, engine.tokenizer) for _ in states]
    batch.admit([
        Stream([], state, config, engine.tokenizer, one, lambda _: None, live=False)
        for state, one in zip(states, rules, strict=True)
    ])  # fmt: skip


def compiling(engine: Engine, rule: str) -> dict[str, float | None]:
    """Milliseconds to the first constraint of a grammar nobody has asked for yet, and to the second."""
    known = RULES[rule]
    if known is None:
        return {"ms_new": None, "ms_known": None}
    new = Grammar.regex(known.source + "Z?")
    if known.kind == "json":
        new = Grammar.json_schema({**SCHEMA, "title": "new"})
    found = []
    for one in (new, new):
        start = time.perf_counter()
        one.constraint(engine.tokenizer, engine.tokenizer.ends[0])
        found.append(1e3 * (time.perf_counter() - start))
    return {"ms_new": found[0], "ms_known": found[1]}


def conformity(bench: Bench, name: str, engine: Engine, count: int, room: int) -> None:
    """The share of answers that conform, with and without."""
    for rule, grammar in RULES.items():
        configs = [
            GenerationConfig(max_tokens=room, temperature=1.0, seed=bench.options.seed + i, grammar=grammar)
            for i in range(count)
        ]
        found = engine.generate([f"prompt {i}" for i in range(count)], config=configs)
        shares = {what: sum(test(g.text) for g in found) / count for what, test in TESTS.items()}
        bench.row(model=name, rule=rule, **shares)
        if rule in TESTS:
            bench.check(f"{name}: share that conforms to the {rule}", shares[rule], at_least=1.0)


def is_json(text: str) -> bool:
    try:
        jsonschema.validate(json.loads(text), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


TESTS = {
    "JSON schema": is_json,
    "regex": lambda text: re.fullmatch(PATTERN, text) is not None,
    "regex of words": lambda text: re.fullmatch(WORDS, text) is not None,
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (%(default)s)")
    parser.add_argument("--device", default="cpu", help="of the model (%(default)s)")


if __name__ == "__main__":
    sys.exit(main("structured", measure, arguments))
