"""The recurrence on a processor, compiled, and whether a whole model can be read by compiled code."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from aegir_dspy.rwkv.kernels.library import library
from aegir_dspy.rwkv.kernels.packing import LANES
from aegir_dspy.rwkv.kernels.threads import split
from aegir_dspy.rwkv.state import StateTensors

if TYPE_CHECKING:
    from aegir_dspy.rwkv import model as models

__all__ = ["BLOCK", "LANES", "can_multiply", "can_read", "can_walk", "run_wkv", "walk"]

BLOCK, _LARGEST_HEAD = 16, 128  # as in rwkv7.c


def can_walk(*arguments: Tensor) -> bool:
    """Whether `walk` takes these: float32 on a processor, no gradients, a head size it knows."""
    size = arguments[0].shape[-1]
    return (
        size % LANES == 0
        and size <= _LARGEST_HEAD
        and all(x.device.type == "cpu" and x.dtype == torch.float32 for x in arguments)
        and not (torch.is_grad_enabled() and any(x.requires_grad for x in arguments))
        and library() is not None
    )


def walk(arguments: Sequence[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    """`wkv_prefill`: r, log_w, k, v, a, b (B, T, H, N) and the state (B, H, K, V), which is not changed."""
    return run_wkv([x.contiguous() for x in arguments], state)


def run_wkv(
    rows: Sequence[Tensor], state: Tensor, u: Tensor | None = None, saved: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`walk` on contiguous rows; fills u (B, T, H, N) and saved (B, ⌈T/BLOCK⌉, H, K, V) where they are given.

    u is what was read of the state before each token, saved are the states before every `BLOCK`-th one.
    """
    kernels = library()
    assert kernels is not None
    batch, length, heads, size = rows[0].shape
    matrix, y = state.clone(memory_format=torch.contiguous_format), torch.empty_like(rows[0])
    offsets = torch.arange(batch + 1) * length
    inputs = (ctypes.c_void_p * 6)(*(x.data_ptr() for x in rows))
    outputs = [None if x is None else x.data_ptr() for x in (matrix, y, u, saved)]

    def work(first: int, last: int) -> None:
        kernels.aegir_wkv(first, last, heads, size, offsets.data_ptr(), inputs, *outputs)

    split(batch * heads, y.numel(), work)
    return y, matrix


def can_read(model: models.RWKV7, state: StateTensors) -> bool:
    """Whether `Network` takes this model now: on a processor, without gradients, in types it knows."""
    g = model.geometry
    return (
        model.ln_out.weight.dtype == state.kv.dtype == state.shift.dtype == torch.float32
        and state.kv.stride()[1:] == (g.width * g.head_size, g.head_size**2, g.head_size, 1)
        and state.shift.stride()[2:] == (g.width, 1)
        and not (torch.is_grad_enabled() and any(t.requires_grad for t in (*model.parameters(), *state)))
        and _fits(model)
    )


def can_multiply(model: models.RWKV7, hidden: Tensor) -> bool:
    """Whether `Network.logits` takes these hidden vectors now."""
    weight = model.head.weight
    return (
        hidden.dtype == torch.float32
        and not (torch.is_grad_enabled() and (weight.requires_grad or hidden.requires_grad))
        and _fits(model)
    )


def _fits(model: models.RWKV7) -> bool:
    g, matrix = model.geometry, model.emb.weight
    return (
        matrix.device.type == "cpu"
        and matrix.dtype in (torch.float32, torch.bfloat16)
        and g.head_size % LANES == 0
        and g.head_size <= _LARGEST_HEAD
        and g.ffn % LANES == 0
        and not torch.is_autocast_enabled("cpu")
        and library() is not None
    )
