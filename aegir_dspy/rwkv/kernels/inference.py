"""The layers of an RWKV-7 model on a processor: matrix products by torch, all between them compiled.

Streams lie one after the other without padding, (M, D) with M tokens in all, so that a batch of ragged
streams costs what its tokens cost. Between two matrix products every number is read and written once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.rwkv.kernels.library import ShiftMix, TimeMix, library
from aegir_dspy.rwkv.kernels.threads import split
from aegir_dspy.rwkv.state import StateTensors

if TYPE_CHECKING:
    from torch import nn

    from aegir_dspy.rwkv import model as models

__all__ = ["BLOCK", "LANES", "can_read", "can_walk", "read_layers", "run_wkv", "walk"]

LANES, BLOCK, _LARGEST_HEAD = 16, 16, 128  # as in rwkv7.c


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
    """Whether `read_layers` takes this model now: on a processor, without gradients, in types it knows."""
    g, norm, matrix = model.geometry, model.ln_out.weight, model.emb.weight
    return (
        matrix.device.type == "cpu"
        and matrix.dtype in (torch.float32, torch.bfloat16)
        and norm.dtype == state.kv.dtype == state.shift.dtype == torch.float32
        and state.kv[0].is_contiguous()
        and state.shift[0, 0].is_contiguous()
        and g.head_size % LANES == 0
        and g.head_size <= _LARGEST_HEAD
        and g.ffn % LANES == 0
        and not torch.is_autocast_enabled("cpu")
        and not (torch.is_grad_enabled() and any(t.requires_grad for t in (*model.parameters(), *state)))
        and library() is not None
    )


def read_layers(
    model: models.RWKV7,
    x: Tensor,
    offsets: Tensor,
    state: StateTensors,
    transitions: list[Tensor] | None = None,
) -> Tensor:
    """All layers and the last norm.

    Args:
        x: (M, D) float32 embedded tokens of B streams, one stream after the other; overwritten.
        offsets: (B + 1,) int64: stream b has the rows offsets[b] … offsets[b + 1].
        state: of B streams; shift and kv are overwritten, tail is left alone.
        transitions: as in `RWKV7.forward`.

    Returns:
        (M, D) normalised hidden vectors.
    """
    add: Tensor | None = None
    v_first: Tensor | None = None
    for layer, block in enumerate(model.layers()):
        att, ffn = block.att, block.ffn
        mixes = [att.x_r, att.x_w, att.x_k, att.x_v, att.x_a, att.x_g]
        xr, xw, xk, xv, xa, xg = _shift_mix(x, add, block.ln1, mixes, state.shift[layer, 0], offsets, model)
        r, k, v = att.receptance(xr), att.key(xk), att.value(xv)
        w, a = torch.tanh(xw @ att.w1) @ att.w2, (xa @ att.a1) @ att.a2
        gate = torch.sigmoid(xg @ att.g1) @ att.g2
        blend = None if v_first is None else (xv @ att.v1) @ att.v2
        v_first = v if v_first is None else v_first
        products = (r, k, v, w, a, gate, blend, v_first)
        if transitions is not None:
            transitions.append(_transition(att, products, offsets, state.kv[layer]))
        out = torch.empty_like(r)
        _time_mix(att, products, offsets, state.kv[layer], out)
        add = att.output(out)
        (xk,) = _shift_mix(x, add, block.ln2, [ffn.x_k], state.shift[layer, 1], offsets, model)
        add = ffn.value(_square_relu(ffn.key(xk)))
    assert add is not None
    return F.layer_norm(x.add_(add), x.shape[-1:], model.ln_out.weight, model.ln_out.bias)


_Products = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor]


def _time_mix(
    att: models.TimeMix, products: _Products, offsets: Tensor, kv: Tensor, out: Tensor | None
) -> None:
    """From the projections (M, D) to what the output matrix takes; `kv` (B, H, K, V) is updated in place."""
    kernels, g = library(), att.geometry
    assert kernels is not None
    v0 = None if products[6] is None else att.v0
    vectors = (att.w0, att.a0, v0, att.k_k, att.k_a, att.r_k, att.ln_x.weight, att.ln_x.bias)
    held = [None if t is None else t.contiguous() for t in (*products, *vectors, kv, out)]
    assert held[-2] is not None and held[-2].data_ptr() == kv.data_ptr(), "states are updated in place"
    call = TimeMix(*(None if t is None else t.data_ptr() for t in held))
    half = int(products[0].dtype == torch.bfloat16)

    def work(first: int, last: int) -> None:
        kernels.aegir_time_mix(half, first, last, g.heads, g.head_size, offsets.data_ptr(), call)

    split(kv.shape[0] * g.heads, products[0].numel(), work)


def _transition(att: models.TimeMix, products: _Products, offsets: Tensor, kv: Tensor) -> Tensor:
    """What becomes of the identity, nothing added: (B, H, K, K)."""
    matrix = torch.eye(kv.shape[-1]).expand_as(kv).contiguous()
    _time_mix(att, products, offsets, matrix, None)
    return matrix


def _shift_mix(
    x: Tensor,
    add: Tensor | None,
    norm: nn.LayerNorm,
    mixes: Sequence[Tensor],
    past: Tensor,
    offsets: Tensor,
    model: models.RWKV7,
) -> list[Tensor]:
    """Add to the residual stream, normalise, mix with the token before in several ways: (M, D) each.

    `x` (M, D) and `past` (B, D) are overwritten.
    """
    kernels, dtype = library(), model.emb.weight.dtype
    assert kernels is not None and past.is_contiguous() and x.is_contiguous()
    outputs = [torch.empty(x.shape, dtype=dtype) for _ in mixes]
    held = [t.contiguous() for t in (norm.weight, norm.bias, *mixes)]
    pointers = [t.data_ptr() for t in held]
    call = ShiftMix(
        x.data_ptr(),
        None if add is None else add.data_ptr(),
        *pointers[:2],
        (ctypes.c_void_p * 6)(*pointers[2:]),
        (ctypes.c_void_p * 6)(*(t.data_ptr() for t in outputs)),
        past.data_ptr(),
        len(outputs),
        x.shape[-1],
    )

    def work(first: int, last: int) -> None:
        kernels.aegir_shift_mix(int(dtype == torch.bfloat16), first, last, offsets.data_ptr(), call)

    split(len(past), x.numel(), work)
    return outputs


def _square_relu(x: Tensor) -> Tensor:
    """In place; (M, F)."""
    kernels = library()
    assert kernels is not None and x.is_contiguous()
    kernels.aegir_square_relu(int(x.dtype == torch.bfloat16), x.numel(), x.data_ptr())
    return x
