"""Is it the same RWKV-7? Logits and states beside the `rwkv` package, and the speed of both.

Both engines load the same random checkpoint file, every parameter random, and run in this process with the
same number of threads. The package reads one stream at a time; that is what batches are compared with.

    python benchmarks/parity.py [--quick] [--seed N] [--json FILE] [--threads N]
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _harness import Bench, main
from torch import Tensor

from aegir_dspy.rwkv import RWKV7, Engine, Geometry, StateTensors, zero_tensors
from aegir_dspy.rwkv.package_backend import from_package_state, package_class

SIZES = {"L2·D128·V300": Geometry(2, 128, 64, 300, 512, 32, 32, 16, 64), "L6·D256·V256": Geometry(
    6, 256, 64, 256, 1024, 64, 64, 32, 96)}  # fmt: skip
QUICK = {"L2·D128·V300": SIZES["L2·D128·V300"]}


def measure(bench: Bench) -> None:
    """parity with the rwkv package, and tokens a second of both"""
    torch.set_num_threads(bench.options.threads)
    quick = bench.options.quick
    with tempfile.TemporaryDirectory() as folder:
        for name, geometry in (QUICK if quick else SIZES).items():
            path = Path(folder) / f"{geometry.layers}-{geometry.width}.pth"
            torch.save(random_weights(geometry, bench.options.seed), path)
            ours = Engine.load(path, tokenizer="bytes", dtype=torch.float32)
            with redirect_stdout(sys.stderr):  # it prints what it loads
                theirs = package_class()(model=str(path.with_suffix("")), strategy="cpu fp32")
            parity(bench, name, ours, theirs, 64 if quick else 512)
            speed(bench, name, ours, theirs, seconds=0.5 if quick else 3.0)


def random_weights(geometry: Geometry, seed: int) -> dict[str, Tensor]:
    """Weights at which every parameter matters: matrices keep the scale, vectors are spread."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in RWKV7(geometry).state_dict().items()}
    weights = {}
    for name, shape in shapes.items():
        noise, last = torch.randn(shape, generator=generator), name.rsplit(".", 1)[-1]
        if len(shape) == 2 and last != "r_k":
            noise /= (shape[0] if last[-1] in "12" else shape[1]) ** 0.5
        elif last.startswith("x_"):
            noise = torch.rand(shape, generator=generator)
        elif "ln" in name:
            noise = 0.2 * noise + (last == "weight")
        else:
            noise = 0.5 * noise - 2 * (last == "w0")
        weights[name] = noise
    return weights


def parity(bench: Bench, name: str, ours: Engine, theirs: Any, length: int) -> None:
    """Largest differences, relative to the largest value."""
    generator = torch.Generator().manual_seed(bench.options.seed)
    tokens = torch.randint(1, 256, (1, length), generator=generator)
    model = ours.model
    assert isinstance(model, RWKV7)
    with torch.no_grad():
        expected, theirs_state = theirs.forward(tokens[0].tolist(), None, full_output=True)
        hidden, state = model(tokens)
        stepped, stepped_state = _steps(model, tokens)
        wrong = state._replace(kv=state.kv.transpose(-1, -2).clone())
        after = [model.logits(model.step(tokens[:, 0], _copy(s))) for s in (state, wrong)]
    found = {
        "logits, prefill": _apart(model.logits(hidden)[0], expected),
        "logits, step": _apart(model.logits(stepped)[0], expected),
        "state matrices": _apart(state.kv, from_package_state(theirs_state).kv),
        "prefill and step": _apart(stepped_state.kv, state.kv),
    }
    for what, value in found.items():
        bench.row(model=name, tokens=length, measure=what, value=value)
        bench.check(f"{name}: {what}, relative", value, at_most=1e-5 if "logits" in what else 1e-4)
    turned = _apart(after[1], after[0])
    bench.row(model=name, tokens=length, measure="logits after a transposed state", value=turned)
    bench.check(f"{name}: a transposed state is not silent", turned, at_least=1e-2)


def speed(bench: Bench, name: str, ours: Engine, theirs: Any, seconds: float) -> None:
    """Tokens a second; the best of the calls that fit into the time."""
    model = ours.model
    assert isinstance(model, RWKV7)
    prompt = [1 + i % 255 for i in range(256)]
    package = _rate(lambda: theirs.forward(prompt, None), len(prompt), seconds)
    bench.row(model=name, measure="prefill, tokens/s", batch=1, engine="package", value=package)
    for batch in (1, 8):
        tokens = torch.tensor([prompt] * batch)
        rate = _rate(partial(model, tokens), tokens.numel(), seconds)
        bench.row(model=name, measure="prefill, tokens/s", batch=batch, engine="ours", value=rate)
    _, state = theirs.forward([1, 2], None)
    package = _rate(lambda: theirs.forward(7, [t.clone() for t in state]), 1, seconds)
    bench.row(model=name, measure="decode, tokens/s", batch=1, engine="package", value=package)
    rates = {}
    for batch in (1, 8, 32):
        pool, tokens = zero_tensors(model.geometry, batch), torch.full((batch,), 7)
        rates[batch] = _rate(partial(model.step, tokens, pool), batch, seconds)
        bench.row(model=name, measure="decode, tokens/s", batch=batch, engine="ours", value=rates[batch])
    bench.check(f"{name}: decoding 32 streams against the package's one, ×", rates[32] / package, at_least=2)


def _steps(model: RWKV7, tokens: Tensor) -> tuple[Tensor, StateTensors]:
    state = zero_tensors(model.geometry, tokens.shape[0])
    return torch.stack([model.step(column, state) for column in tokens.unbind(1)], 1), state


def _copy(state: StateTensors) -> StateTensors:
    return StateTensors(*(tensor.clone() for tensor in state))


def _apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def _rate(call: Callable[[], object], tokens: int, seconds: float) -> float:
    for _ in range(3):  # the package's scripts compile in their first calls
        call()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until or best == float("inf"):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return tokens / best


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of both engines (1)")


if __name__ == "__main__":
    sys.exit(main("parity", measure, _arguments))
