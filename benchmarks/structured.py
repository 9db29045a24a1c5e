"""What constrained decoding costs, and what it is good for: random weights, which conform to nothing.

Batches of 32 streams decode at the same time, one step of each in turn: without a constraint, with a JSON
schema, with regular expressions. The cost is the median of the differences within a turn, in processor
time on a processor, so that what else the machine does falls on all alike. A stream that ends is replaced
outside the clock. Conformity is counted on whole answers, beside the same prompts without a constraint.

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
from pathlib import Path

import jsonschema
import torch
from _harness import Bench, main
from parity import random_weights

from aegir_dspy.rwkv import Engine, GenerationConfig, Geometry, Grammar, save_weights
from aegir_dspy.rwkv.decoding import Batch, Stream, constraint_of

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
# Which of tens of thousands of pieces of words fit is found one by one, at every step: the dear case.
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
            cost(bench, name, engine, (10 if large else 100) if quick else 300)
            conformity(bench, name, engine, (4 if large else 16) if quick else 64, 20 if quick else 80)


@torch.no_grad()
def cost(bench: Bench, name: str, engine: Engine, steps: int) -> None:
    """Milliseconds a step, all in turn: on the clock, and of the processor, which decides on one."""
    batches = {rule: Batch(engine) for rule in RULES}
    taken: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
    for turn in range(steps + 3):
        for rule, batch in batches.items():
            fill(engine, batch, rule, turn)
            engine.model.logits(batch.hidden).sum().item()  # whatever was under way is done
            start, busy = time.perf_counter(), time.process_time()
            batch.step()
            if turn >= 3:
                taken[rule].append((time.perf_counter() - start, time.process_time() - busy))
    which = int(bench.options.device == "cpu")
    base = statistics.median(times[which] for times in taken["free"])
    for rule, times in taken.items():
        more = statistics.median(a[which] - b[which] for a, b in zip(times, taken["free"], strict=True))
        wall, busy = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
        percent = 100 * more / base
        bench.row(model=name, rule=rule, ms_a_step=wall, cpu_ms_a_step=busy, cost_percent=percent,
                  tokens_per_second=1e3 * BATCH / wall, **compiling(engine, rule))  # fmt: skip
        if rule != "free":
            bench.check(f"{name}: cost of {rule} at B={BATCH}, %", percent, at_most=MOST_PERCENT)


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
