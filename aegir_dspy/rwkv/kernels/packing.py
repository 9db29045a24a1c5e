"""Matrices as the kernels read them: in panels, in one of three types, each weight once.

Panels have 64 output columns, the last ones 16; a panel's weights lie in the order in which they are
multiplied, as many together as fit into 32 bits; int8 as w + 128. See `matrix.c`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.rwkv.kernels.library import Matrix

__all__ = ["GROUP", "LANES", "Packed", "pack"]

LANES, GROUP, _PANEL = 16, 64, 64  # as in rwkv7.c and matrix.c
_KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2}


@dataclass(frozen=True)
class Packed:
    """A packed matrix, padded to `depth` inputs and `width` outputs; `scales` (width,) where it is int8."""

    weights: Tensor
    scales: Tensor | None
    depth: int
    width: int

    @property
    def kind(self) -> int:
        """``kind`` of `matrix.c`."""
        return _KINDS[self.weights.dtype]

    @cached_property
    def struct(self) -> Matrix:
        """For C; valid as long as this lives."""
        scales = None if self.scales is None else self.scales.data_ptr()
        return Matrix(self.weights.data_ptr(), scales, self.kind, self.depth, self.width)


def pack(weight: Tensor, dtype: torch.dtype) -> Packed:
    """`weight` (outputs, inputs) in float32, bfloat16, or int8 with one scale for every output.

    int8 needs a multiple of 64 inputs. Zeros fill up outputs and inputs to a multiple of 16.
    """
    width, depth = (-(-side // LANES) * LANES for side in weight.shape)
    weight = F.pad(weight.detach(), (0, depth - weight.shape[1], 0, width - weight.shape[0]))
    scales = None
    if dtype == torch.int8:
        scales = (weight.float().abs().amax(1) / 127).clamp(min=1e-30).contiguous()
        weight, dtype = (weight.float() / scales.unsqueeze(1)).round() + 128, torch.uint8
    rows = weight.to(dtype).contiguous().view(torch.int32)
    whole = width // _PANEL * _PANEL
    panels = [rows[:whole].view(-1, _PANEL, rows.shape[1]), rows[whole:].view(-1, LANES, rows.shape[1])]
    flat = torch.cat([part.transpose(1, 2).reshape(-1) for part in panels])
    return Packed(flat.view(dtype), scales, depth, width)
