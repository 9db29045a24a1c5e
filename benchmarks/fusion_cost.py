"""What does it cost to fuse the states of N agents? One batched product, beside copying the same bytes.

States lie as the store of a large swarm keeps them, the agents of a head together (L·H, N, K·V); the product
reads each once. Like the copy, it writes into memory that is already there. Rows: `copy` of the same bytes,
`read` (adding them up, the floor of anything that looks at them), `bmm` (`fuse_bmm`), `bmm, fresh result`,
`bmm, agents apart` (states as they come out of a model, one call a layer), `bmm, 8 receivers`, the naive
`einsum` and `member by member` (`fuse_tensors`, whose bits do not depend on the batch). Copy and each way of
fusing take turns; a figure is the median of the ratios of neighbours. The copy goes to at most 512 MB again
and again, far more than any cache. The largest size needs 4.6 GB; a size that does not fit into the free
memory is a failed check.

    python benchmarks/fusion_cost.py [--quick] [--seed N] [--json FILE] [--threads N]
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import torch
from _harness import Bench, main
from torch import Tensor

from aegir_dspy.latent import fuse_bmm, fuse_tensors, fusion_weights
from aegir_dspy.rwkv import StateTensors

SIZES = {"L12·D768": (12, 768), "L24·D2048": (24, 2048)}
HEAD = 64
AGENTS = (2, 8, 32, 100, 300)
SLOW_UP_TO = 1 << 28  # bytes; the slow ways are shown up to that
SLAB = 1 << 27  # floats
RECEIVERS = 8


def measure(bench: Bench) -> None:
    """time of fusing N states with one batched product, against copying the same bytes"""
    torch.set_num_threads(bench.options.threads)
    quick = bench.options.quick
    for name, (layers, width) in SIZES.items():
        ratios = {}
        for agents in AGENTS[:-1] if quick else AGENTS:
            if 4 * layers * width * HEAD * agents + 4 * SLAB > 0.9 * free_memory():
                bench.row(size=name, agents=agents, way="not measured: too little free memory")
                ratios[agents] = math.inf
                continue
            stack = drawn(layers, width, agents, bench.options.seed)
            ratios[agents] = cost(bench, name, stack, 3 if quick else 9)
            del stack
        for agents, ratio in ratios.items():
            bench.check(f"{name}: fusing {agents} states, × copying them", ratio, at_most=1.3)


def drawn(layers: int, width: int, agents: int, seed: int) -> Tensor:
    """(L, H, N, K, V), every float its own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(layers, width // HEAD, agents, HEAD, HEAD).uniform_(-1, 1, generator=generator)


@torch.inference_mode()
def cost(bench: Bench, name: str, stack: Tensor, repeats: int) -> float:
    """Rows of one size and number of agents; the product's time as a multiple of copying."""
    agents, size = stack.shape[2], stack.numel() * 4
    kv, target = stack.transpose(1, 2), torch.zeros(min(SLAB, stack.numel()))
    one, eight = (torch.ones(m, agents, dtype=torch.bool) for m in (1, RECEIVERS))
    weights = fusion_weights(one).expand(*stack.shape[:2], 1, agents)

    result = fuse_bmm(kv, weights)

    def copy() -> None:
        for slab in torch.split(stack.view(-1), SLAB):
            target[: len(slab)].copy_(slab)

    ways: dict[str, Callable[[], object]] = {
        "bmm": lambda: fuse_bmm(kv, weights, result),
        "bmm, fresh result": lambda: fuse_bmm(kv, weights),
        "read": stack.sum,
        f"bmm, {RECEIVERS} receivers": lambda: fuse_bmm(kv, fusion_weights(eight)),
    }
    agree(kv, weights)
    if size <= SLOW_UP_TO:
        apart = kv.contiguous()
        states = StateTensors(
            torch.zeros(len(apart), 2, agents, 1), apart, torch.zeros(agents, 0, dtype=torch.int64)
        )
        ways |= {
            "bmm, agents apart": lambda: fuse_bmm(apart, weights),
            "einsum": lambda: torch.einsum("lhmn,lnhkv->lmhkv", weights, apart),
            "member by member": lambda: fuse_tensors(states, one),
        }
    found = {way: against(copy, call, repeats) for way, call in ways.items()}
    bench.row(size=name, agents=agents, MB=size / 1e6, way="copy", ms=found["bmm"][0] * 1e3, times_copy=1.0)
    for way, (_, seconds, ratio) in found.items():
        bench.row(size=name, agents=agents, MB=size / 1e6, way=way, ms=seconds * 1e3, times_copy=ratio)
    return found["bmm"][2]


def free_memory() -> float:
    """Bytes; infinite where the system does not say."""
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text(encoding="utf-8").splitlines() if meminfo.exists() else []
    return next((1024 * float(x.split()[1]) for x in lines if x.startswith("MemAvailable")), math.inf)


def agree(kv: Tensor, weights: Tensor) -> None:
    """The product adds up what it should: one layer against the plain sum."""
    expected = kv[0].sum(0) * float(weights[0, 0, 0, 0])
    torch.testing.assert_close(fuse_bmm(kv[:1], weights[:1])[0, 0], expected, rtol=1e-3, atol=1e-3)


def against(
    copy: Callable[[], object], call: Callable[[], object], repeats: int
) -> tuple[float, float, float]:
    """Median seconds of both, and the median of their ratios, taken in turns after one round to warm up.

    Short calls are repeated until they take two milliseconds, so that the clock does not matter.
    """
    shortest = min(seconds_of(copy, 1), seconds_of(call, 1))
    inner = max(1, round(2e-3 / max(shortest, 1e-6)))
    pairs = [(seconds_of(copy, inner), seconds_of(call, inner)) for _ in range(repeats)]
    copies, calls = zip(*pairs, strict=True)
    ratio = statistics.median(c / b for b, c in pairs)
    return statistics.median(copies), statistics.median(calls), ratio


def seconds_of(call: Callable[[], object], times: int) -> float:
    """Seconds a call; of the processor with one thread, so that being interrupted does not count."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(times):
        call()
    return (clock() - start) / times


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of torch (1)")


if __name__ == "__main__":
    sys.exit(main("fusion_cost", measure, _arguments))
