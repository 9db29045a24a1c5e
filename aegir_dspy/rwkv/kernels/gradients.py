"""The recurrence with its gradient, compiled: states are kept every 16 tokens and replayed between."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from aegir_dspy.rwkv.kernels.inference import BLOCK, LANES, run_wkv
from aegir_dspy.rwkv.kernels.library import library
from aegir_dspy.rwkv.kernels.threads import split

__all__ = ["can_learn", "learn"]

_LARGEST_HEAD = 64


def can_learn(*arguments: Tensor) -> bool:
    """Whether `learn` takes these: float32 on a processor, a head size it knows."""
    size = arguments[0].shape[-1]
    return (
        size % LANES == 0
        and size <= _LARGEST_HEAD
        and arguments[0].shape[1] > 0
        and all(x.device.type == "cpu" and x.dtype == torch.float32 for x in arguments)
        and library() is not None
    )


def learn(*arguments: Tensor) -> tuple[Tensor, Tensor]:
    """`wkv_prefill` with first derivatives: r, log_w, k, v, a, b (B, T, H, N) and the state (B, H, K, V)."""
    y, state = _Recurrence.apply(*arguments)  # type: ignore[no-untyped-call]
    return y, state


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        rows = [x.contiguous() for x in arguments[:6]]
        batch, length, heads, size = rows[0].shape
        u = torch.empty_like(rows[0])
        saved = u.new_empty(batch, -(-length // BLOCK), heads, size, size)
        y, state = run_wkv(rows, arguments[6], u, saved)
        ctx.save_for_backward(*rows, u, saved)
        return y, state

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor, dstate: Tensor) -> tuple[Tensor, ...]:
        kernels = library()
        assert kernels is not None
        *rows, u, saved = ctx.saved_tensors
        batch, length, heads, size = u.shape
        dy, dstate = dy.contiguous(), dstate.clone(memory_format=torch.contiguous_format)
        grads = [torch.empty_like(u) for _ in rows]
        offsets = torch.arange(batch + 1) * length
        six = ctypes.c_void_p * 6
        inputs, outputs = six(*(x.data_ptr() for x in rows)), six(*(x.data_ptr() for x in grads))
        pointers = [x.data_ptr() for x in (u, saved, dy, dstate)]

        def work(first: int, last: int) -> None:
            kernels.aegir_wkv_back(first, last, heads, size, offsets.data_ptr(), inputs, *pointers, outputs)

        split(batch * heads, u.numel(), work)
        return (*grads, dstate)
