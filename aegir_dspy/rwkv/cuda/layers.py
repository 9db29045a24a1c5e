"""The layers of an RWKV-7 model on a GPU: matrix products by torch, all between them by Triton.

The same work as `kernels/inference.py` on a processor, in the same layout: streams lie one after the other
without padding, (M, D) with M tokens in all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.rwkv.state import StateTensors

if TYPE_CHECKING:
    from torch import nn

    from aegir_dspy.rwkv import model as models

__all__ = ["can_read", "can_walk", "has_triton", "read_layers", "walk", "wants_torch"]

_TYPES = (torch.float16, torch.bfloat16, torch.float32)
_HEADS = (16, 32, 64, 128)  # sizes; a program holds a whole head, and Triton wants powers of two
_COLUMNS = 16  # of a head's state in one program: few, so that one stream fills the GPU better
_BLOCK = 1024


@cache
def has_triton() -> bool:
    """Whether Triton is installed, and wanted; it is imported at the first use."""
    return find_spec("triton") is not None and not wants_torch()


def wants_torch() -> bool:
    """Whether the environment says ``AEGIR_KERNELS=torch``: nothing of one's own, on any device."""
    return os.environ.get("AEGIR_KERNELS", "").lower() in {"torch", "none", "0", "off"}


@cache
def _kernels() -> Any:
    from aegir_dspy.rwkv.cuda import kernels

    return kernels


def can_walk(*arguments: Tensor) -> bool:
    """Whether `walk` takes these: float32 on a GPU, no gradients, a head size it knows."""
    return (
        all(x.device.type == "cuda" and x.dtype == torch.float32 for x in arguments)
        and arguments[0].shape[-1] in _HEADS
        and not (torch.is_grad_enabled() and any(x.requires_grad for x in arguments))
        and has_triton()
    )


def can_read(model: models.RWKV7, state: StateTensors) -> bool:
    """Whether `read_layers` takes this model now: on a GPU, without gradients, in types it knows."""
    norm, matrix = model.ln_out.weight, model.emb.weight
    return (
        matrix.device.type == "cuda"
        and matrix.dtype in _TYPES
        and norm.dtype == state.kv.dtype == state.shift.dtype == torch.float32
        and state.kv[0].is_contiguous()
        and state.shift[0, 0].is_contiguous()
        and model.geometry.head_size in _HEADS
        and not torch.is_autocast_enabled("cuda")
        and not (torch.is_grad_enabled() and any(t.requires_grad for t in (*model.parameters(), *state)))
        and has_triton()
    )


def walk(arguments: Sequence[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    """`wkv_prefill`: r, log_w, k, v, a, b (B, T, H, N) and the state (B, H, K, V), which is not changed."""
    batch, length = arguments[0].shape[:2]
    matrix = state.clone(memory_format=torch.contiguous_format)
    offsets = torch.arange(batch + 1, device=state.device) * length
    rows = [x.contiguous().flatten(0, 1) for x in arguments]
    return _walk(rows, matrix, offsets).view_as(arguments[0]), matrix


def read_layers(
    model: models.RWKV7,
    x: Tensor,
    offsets: Tensor | None,
    state: StateTensors,
    transitions: list[Tensor] | None = None,
) -> Tensor:
    """All layers and the last norm.

    Args:
        x: (M, D) float32 embedded tokens of B streams, one stream after the other; overwritten.
        offsets: (B + 1,) int64: stream b has the rows offsets[b] … offsets[b + 1]; None: one row each.
        state: of B streams; shift and kv are overwritten, tail is left alone.
        transitions: as in `RWKV7.forward`; not with `offsets` None.

    Returns:
        (M, D) normalised hidden vectors.
    """
    streams = None
    if offsets is not None:
        numbers = torch.arange(state.batch, device=x.device)
        streams = numbers.repeat_interleave(offsets.diff(), output_size=len(x))
    add: Tensor | None = None
    v_first: Tensor | None = None
    for layer, block in enumerate(model.layers()):
        att, ffn = block.att, block.ffn
        mixes = [att.x_r, att.x_w, att.x_k, att.x_v, att.x_a, att.x_g]
        x, (xr, xw, xk, xv, xa, xg) = _shift_mix(
            x, add, block.ln1, mixes, state.shift[layer, 0], streams, offsets, model.emb.weight.dtype
        )
        r, k, v = att.receptance(xr), att.key(xk), att.value(xv)
        w, a = torch.tanh(xw @ att.w1) @ att.w2, (xa @ att.a1) @ att.a2
        gate = torch.sigmoid(xg @ att.g1) @ att.g2
        blend = None if v_first is None else (xv @ att.v1) @ att.v2
        v_first = v if v_first is None else v_first
        products = (r, k, v, w, a, gate, blend, v_first)
        add = att.output(_time_mix(att, products, offsets, state.kv[layer], transitions))
        x, (xk,) = _shift_mix(
            x, add, block.ln2, [ffn.x_k], state.shift[layer, 1], streams, offsets, model.emb.weight.dtype
        )
        add = ffn.value(_square_relu(ffn.key(xk)))
    assert add is not None
    return F.layer_norm(x.add_(add), x.shape[-1:], model.ln_out.weight, model.ln_out.bias)


_Products = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor]


def _time_mix(
    att: models.TimeMix,
    products: _Products,
    offsets: Tensor | None,
    kv: Tensor,
    transitions: list[Tensor] | None,
) -> Tensor:
    """From the projections (M, D) to what the output matrix takes; `kv` (B, H, K, V) is updated in place."""
    r, k, v, w, a, gate, blend, v_first = products
    heads, size = att.geometry.heads, att.geometry.head_size
    vectors = (att.w0, att.a0, att.a0 if blend is None else att.v0, att.k_k, att.k_a)
    ends = (att.r_k, att.ln_x.weight, att.ln_x.bias)
    mixed = (r, k, v, w, a)
    late = (v if blend is None else blend, v_first)
    out, units = torch.empty_like(r), (len(r) * heads,)
    if offsets is None:
        _kernels().time_mix_step[units](
            *mixed,
            gate,
            *late,
            *vectors,
            *ends,
            kv,
            out,
            heads,
            size,
            blend is not None,
            num_warps=_warps(size),
        )
        return out
    terms = torch.empty(6, len(r), heads, size, device=r.device)
    _kernels().prepare[units](
        *mixed, *late, *vectors, terms, len(r), heads, size, blend is not None, num_warps=1
    )
    if transitions is not None:
        eye = torch.eye(size, device=kv.device).expand_as(kv).contiguous()
        _walk(list(terms), eye, offsets, add=False)
        transitions.append(eye)
    y = _walk(list(terms), kv, offsets)
    _kernels().finish[units](y, terms[0], terms[2], terms[3], gate, *ends, out, heads, size, num_warps=1)
    return out


def _walk(rows: Sequence[Tensor], kv: Tensor, offsets: Tensor, add: bool = True) -> Tensor:
    """Rows (M, H, N) through the states `kv` (B, H, K, V), in place: what was read, (M, H, N)."""
    heads, size = rows[0].shape[1:]
    y, grid = torch.empty_like(rows[0]), (kv.shape[0] * heads, size // _COLUMNS)
    _kernels().walk[grid](*rows, kv, y, offsets, heads, size, _COLUMNS, add, num_warps=max(1, size // 64))
    return y


def _shift_mix(
    x: Tensor,
    add: Tensor | None,
    norm: nn.LayerNorm,
    mixes: Sequence[Tensor],
    past: Tensor,
    streams: Tensor | None,
    offsets: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Add to the residual stream (M, D), normalise, mix with the token before in several ways: (n, M, D).

    `past` (B, D) is overwritten.
    """
    rows, width = x.shape
    out = torch.empty(len(mixes), rows, width, device=x.device, dtype=dtype)
    one = offsets is None
    total, before = (x, past) if one else (torch.empty_like(x), past.clone())  # rows look at their neighbours
    six = [*mixes, *[mixes[0]] * (6 - len(mixes))]
    _kernels().shift_mix[(rows,)](
        x, x if add is None else add, total, norm.weight, norm.bias, *six, out, before, past,
        past if streams is None else streams, past if offsets is None else offsets, rows, width,
        1 << (width - 1).bit_length(), len(mixes), add is not None, one, num_warps=_warps(width // 16),
    )  # fmt: skip
    return total, out


def _square_relu(x: Tensor) -> Tensor:
    """In place; (M, F)."""
    count = x.numel()
    _kernels().square_relu[(-(-count // _BLOCK),)](x, count, _BLOCK)
    return x


def _warps(size: int) -> int:
    """Of a program that holds a tile of this side."""
    return 8 if size > 64 else 4 if size > 32 else 2
