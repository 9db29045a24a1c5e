"""Steps of decoding recorded as CUDA graphs: a step of a small model is a few hundred launches otherwise.

A graph is about a fixed number of slots of one pool; there is one for each number in `BUCKETS`, recorded when
first needed. Between two of them a step also moves slots nobody holds, which `StatePool.take` sets to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from aegir_dspy.rwkv.cuda.layers import wants_torch
from aegir_dspy.rwkv.state import StatePool, StateTensors, zero_tensors

if TYPE_CHECKING:
    from aegir_dspy.rwkv.decoding import Backend
    from aegir_dspy.rwkv.model import RWKV7

__all__ = ["BUCKETS", "GraphedSteps", "Recorded", "stepper"]

BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_WARM = 2  # steps before a recording: they compile and allocate what is only done once


def stepper(model: Backend) -> Callable[[Tensor, StatePool], Tensor]:
    """What moves the first B streams of a pool by a token each, given (B,): the hidden vectors (B, D)."""
    if model.device.type == "cuda" and isinstance(model, torch.nn.Module) and not wants_torch():
        return GraphedSteps(model).step  # type: ignore[arg-type]
    return lambda tokens, pool: model.step(tokens, pool.first(len(tokens)))


@dataclass(frozen=True)
class Recorded:
    """A step that is run again by `replay`: reads `tokens` (B,), updates states, writes `hidden` (B, D)."""

    tokens: Tensor
    hidden: Tensor
    replay: Callable[[], object]


class GraphedSteps:
    """`RWKV7.step` on the first slots of a pool, from graphs."""

    def __init__(self, model: RWKV7, record: Callable[[RWKV7, StateTensors], Recorded] | None = None) -> None:
        self.model, self._record = model, record or record_graph
        self._graphs: dict[int, Recorded] = {}
        self._places: list[int] = []  # of the memory that the graphs are about

    def step(self, tokens: Tensor, pool: StatePool) -> Tensor:
        """One token (B,) for each of the first B slots, their states updated: hidden vectors (B, D)."""
        count = len(tokens)
        slots = min(next((b for b in BUCKETS if b >= count), pool.slots), pool.slots)
        held = (*pool.tensors, self.model.emb.weight, self.model.ln_out.weight, self.model.head.weight)
        places = [tensor.data_ptr() for tensor in held]
        if places != self._places:  # the pool has grown, or the model has other weights
            self._graphs, self._places = {}, places
        if slots not in self._graphs:
            self._graphs[slots] = self._record(self.model, pool.first(slots))
        graph = self._graphs[slots]
        graph.tokens[:count] = tokens
        graph.replay()
        return graph.hidden[:count].clone()


def record_graph(model: RWKV7, state: StateTensors) -> Recorded:
    """Record one step on these states, which it does not run; they must stay where they are."""
    tokens = torch.zeros(state.batch, dtype=torch.int64, device=model.device)
    here = torch.cuda.current_stream(model.device)
    aside = torch.cuda.Stream(model.device)  # type: ignore[no-untyped-call]
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        for _ in range(_WARM):
            model.step(tokens, zero_tensors(model.geometry, state.batch, model.device))
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may allocate meanwhile
        hidden = model.step(tokens, state)
    return Recorded(tokens, hidden, graph.replay)
