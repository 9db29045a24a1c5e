"""The recurrence with its gradient by flash-linear-attention, where that is installed and 16 bits are wanted.

Its chunks multiply 16-bit numbers on tensor cores, so it is taken under autocast only; otherwise, and without
it, training on a GPU takes the chunks in torch (`aegir_dspy.rwkv.recurrence`), which keep float32.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

__all__ = ["can_learn", "learn"]


@cache
def _chunks() -> Any:
    """The general form, whose keywords have stayed the same; `chunk_rwkv7` has changed what it calls w."""
    return import_module("fla.ops.generalized_delta_rule").chunk_dplr_delta_rule


@cache
def _has_fla() -> bool:
    return find_spec("fla") is not None


def can_learn(*arguments: Tensor) -> bool:
    """Whether `learn` takes these: on a GPU, under autocast, with flash-linear-attention installed."""
    return arguments[0].device.type == "cuda" and torch.is_autocast_enabled("cuda") and _has_fla()


def learn(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """`wkv_prefill` with gradients; r, k, v, a, b are rounded to autocast's type."""
    dtype = torch.get_autocast_dtype(r.device.type)
    q, k, v, a, b = (x.to(dtype) for x in (r, k, v, a, b))
    y, after = _chunks()(
        q=q, k=k, v=v, a=a, b=b, gk=log_w, scale=1.0, initial_state=state, output_final_state=True
    )
    return y.to(state.dtype), after
