"""What a machine can do at most, measured: products of matrices, reading memory; and so a model on it.

A step of B streams has to read every weight once and every state once, and to write the states back; and it
has to do two operations for every weight and stream, and eight for every float of a matrix state. So

    bytes a step  = weights · bytes a weight + B · 2 · bytes of a state
    FLOPs a step  = B · (2 · weights + 8 · floats of the matrix states)
    ceiling       = B / max(bytes a step / bandwidth, FLOPs a step / rate of products)

in tokens a second, the roofline: the lower of both limits, reached only if all memory traffic hides behind
the products or the other way round. Weights are all that takes part in products: all matrices but the
embedding, of which a step reads a row a stream. Reading a prompt of T tokens writes each state once for all
T tokens, and makes logits of none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aegir_dspy.rwkv import RWKV7, Geometry, build_model
from aegir_dspy.rwkv.checkpoint import Weights

__all__ = ["BYTES", "Ceilings", "best_of", "weights_read"]

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Of a weight."""
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
_SHAPES = ((2048, 2048, 2048), (128, 768, 3072), (512, 3072, 768), (1024, 1024, 4096))  # M, K, N
_LARGE = ((4096, 4096, 4096), (8192, 8192, 8192))
_READ = 1 << 28  # bytes, many times any cache; on a GPU 16 times that


@dataclass
class Ceilings:
    """Of one machine: the best of all that `measure` has seen so far.

    Attributes:
        products: operations/s of products of matrices by type, int8 by int8 where the weights are.
        readers: bytes/s of each way to read memory (a copy counts what it reads and what it writes).
    """

    products: dict[str, float] = field(default_factory=dict)
    readers: dict[str, float] = field(default_factory=dict)

    @property
    def bandwidth(self) -> float:
        """Bytes/s of the best reader."""
        return max(self.readers.values())

    @torch.no_grad()
    def measure(self, device: str, seconds: float) -> None:
        """Look again, for about so many seconds."""
        cuda = torch.device(device).type == "cuda"
        types = ("bf16", "fp16") if cuda else ("fp32", "bf16", "int8")
        shapes = _SHAPES[:1] + _LARGE if cuda else _SHAPES
        share = seconds / (len(types) * len(shapes) + 4)
        for name in types:
            rates = (_product(_TYPES[name], shape, device, share) for shape in shapes)
            self.products[name] = max(self.products.get(name, 0.0), *rates)
        found = _read(_READ * (16 if cuda else 1), device, share)
        if not cuda:
            found["our products, B=1"] = _logits(share)
        for name, rate in found.items():
            self.readers[name] = max(self.readers.get(name, 0.0), rate)

    def decode(self, geometry: Geometry, weights: str, batch: int) -> float:
        """Tokens a second of B streams together, at most."""
        work = 2 * weights_read(geometry) + 8 * _matrix_floats(geometry)
        return min(self.memory(geometry, weights, batch), self.products[weights] / work)

    def memory(self, geometry: Geometry, weights: str, batch: int) -> float:
        """The same if products took no time."""
        moved = BYTES[weights] * weights_read(geometry) + 8 * batch * geometry.state_floats
        return batch * self.bandwidth / moved

    def prefill(self, geometry: Geometry, weights: str, tokens: int) -> float:
        """Tokens a second of one prompt, at most."""
        count = weights_read(geometry, head=False)
        moved = BYTES[weights] * count + 8 * geometry.state_floats
        work = tokens * (2 * count + 8 * _matrix_floats(geometry))
        return tokens / max(moved / self.bandwidth, work / self.products[weights])


def weights_read(geometry: Geometry, head: bool = True) -> int:
    """How many weights take part in products when one token is read, with or without its logits."""
    g = geometry
    low = 2 * g.width * (g.decay_rank + g.rate_rank + g.gate_rank)
    layer = 4 * g.width**2 + 2 * g.width * g.ffn + low
    mixes = 2 * g.width * g.value_rank * (g.layers - 1)
    return g.layers * layer + mixes + (g.vocab * g.width if head else 0)


def _matrix_floats(geometry: Geometry) -> int:
    return geometry.layers * geometry.width * geometry.head_size


def _read(size: int, device: str, seconds: float) -> dict[str, float]:
    """Bytes/s of torch's ways to go through so many bytes."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "sum": (source.sum, size),
        "max": (source.max, size),
        "copy": (lambda: target.copy_(source), 2 * size),
    }
    return {name: moved / best_of(call, seconds, device) for name, (call, moved) in ways.items()}


def _logits(seconds: float) -> float:
    """Bytes/s at which the engine's own product of one vector reads a large bfloat16 matrix."""
    geometry = Geometry(1, 1024, 64, 1 << 16, 64, 16, 16, 16, 16)
    weights = dict(RWKV7(geometry).state_dict())
    weights["head.weight"] = torch.ones(geometry.vocab, geometry.width)
    model = build_model(Weights(weights, {}, {}, geometry, ""), dtype=torch.bfloat16)
    hidden = torch.ones(1, 1024)
    return model.head.weight.nbytes / best_of(lambda: model.logits(hidden), seconds)


def _product(dtype: torch.dtype, shape: tuple[int, int, int], device: str, seconds: float) -> float:
    m, k, n = shape
    x, weight = ((9 * torch.randn(s, device=device)).to(dtype) for s in ((m, k), (n, k)))
    if dtype == torch.int8:
        return 2 * m * k * n / best_of(lambda: torch._int_mm(x, weight.t()), seconds)
    out: Tensor = x.new_empty(m, n)
    return 2 * m * k * n / best_of(lambda: torch.mm(x, weight.t(), out=out), seconds, device)


def best_of(call: Callable[[], object], seconds: float, device: str = "cpu") -> float:
    """Seconds of the fastest of the calls that fit into the time, three at least, after one."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    call()
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < until:
        wait()
        start = time.perf_counter()
        call()
        wait()
        taken.append(time.perf_counter() - start)
    return min(taken)
