"""Steps of decoding recorded as CUDA graphs: a step of a small model is a few hundred launches otherwise.

A graph is about a fixed number of slots of one pool; there is one for each number in `BUCKETS`, recorded when
first needed. Between two of them a step also moves slots nobody holds, which `StatePool.take` sets to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.state import StatePool, StateTensors, zero_tensors

__all__ = ["BUCKETS", "GraphedSteps", "Recorded"]

BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class Recorded:
    """A step that is run again by `replay`: reads `tokens` (B,), updates states, writes `hidden` (B, D)."""

    tokens: Tensor
    hidden: Tensor
    replay: Callable[[], None]


class GraphedSteps:
    """`RWKV7.step` on the first slots of a pool, from graphs."""

    def __init__(self, model: RWKV7, record: Callable[[RWKV7, StateTensors], Recorded] | None = None) -> None:
        self.model, self._record = model, record or record_graph
        self._graphs: dict[int, Recorded] = {}
        self._address = 0  # of the states that the graphs are about

    def step(self, tokens: Tensor, pool: StatePool) -> Tensor:
        """One token (B,) for each of the first B slots, their states updated: hidden vectors (B, D)."""
        count = len(tokens)
        slots = min(next((b for b in BUCKETS if b >= count), pool.slots), pool.slots)
        address = pool.tensors.kv.data_ptr()
        if address != self._address:  # the pool has grown
            self._graphs, self._address = {}, address
        if slots not in self._graphs:
            self._graphs[slots] = self._record(self.model, pool.first(slots))
        graph = self._graphs[slots]
        graph.tokens[:count] = tokens
        graph.replay()
        return graph.hidden[:count].clone()


def record_graph(model: RWKV7, state: StateTensors) -> Recorded:
    """Record one step on these states, which it does not run; they must stay where they are."""
    tokens = torch.zeros(state.batch, dtype=torch.int64, device=model.device)
    stream = torch.cuda.Stream(model.device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(model.device))
    with torch.cuda.stream(stream):  # compiles and allocates what is only done once, on states of its own
        for _ in range(2):
            model.step(tokens, zero_tensors(model.geometry, state.batch, model.device))
    torch.cuda.current_stream(model.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        hidden = model.step(tokens, state)
    return Recorded(tokens, hidden, graph.replay)
