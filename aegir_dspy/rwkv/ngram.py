"""A hashed n-gram memory at the input: an embedding of the last 2, 3 and 4 bytes.

An addition of ours to the published architecture (the idea is fastText's hashed n-grams,
arXiv:1607.01759). A window never reaches across a boundary byte, so what a column contributes does not
depend on the column before it, and states stay composable.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn

from aegir_dspy.rwkv.state import NGRAM_TAIL

__all__ = ["NgramMemory"]

_BOUNDARIES = (0x00, 0x1C, 0x1D)  # nothing read yet; end of an answer; end of a column
_MIX = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)


class NgramMemory(nn.Module):
    """Sum of the embeddings of the 2-, 3- and 4-gram that end at each position, projected to D."""

    def __init__(self, buckets: int, width: int, model_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(buckets, width))
        self.project = nn.Parameter(torch.zeros(model_width, width))

    def forward(self, tokens: Tensor, tail: Tensor, real: Tensor | None = None) -> Tensor:
        """`tokens` (B, T) after the last three tokens `tail` (B, 3) → (B, T, D).

        With `real` (B, T) bool only for those tokens: (M, D).
        """
        shape = tokens.shape if real is None else (-1,)
        found = nn.functional.linear(self.recall(tokens, tail, real), self.project)
        return found.view(*shape, len(self.project))

    def recall(self, tokens: Tensor, tail: Tensor, real: Tensor | None = None) -> Tensor:
        """The sums before they are projected: (M, width) of all, or of the `real` tokens."""
        index = ngram_buckets(tokens, tail, self.weight.shape[0])  # (B, T, 3)
        index = index if real is None else index[real]
        return nn.functional.embedding_bag(index.flatten(0, -2), self.weight, mode="sum", padding_idx=0)


def ngram_buckets(tokens: Tensor, tail: Tensor, buckets: int) -> Tensor:
    """Bucket of the n-gram ending at each position, n = 2, 3, 4: (B, T, 3); 0 where it crosses a boundary.

    Nothing comes from the processor on the way, so that a CUDA graph can record it.
    """
    stream = torch.cat([tail, tokens], 1)  # (B, 3 + T)
    boundary = reduce(torch.logical_or, (stream == one for one in _BOUNDARIES))
    length = tokens.shape[1]
    mixed = tokens * _MIX[0] + 0x165667B1
    open_window = torch.ones_like(tokens, dtype=torch.bool)
    found = []
    for back in range(1, NGRAM_TAIL + 1):
        start = NGRAM_TAIL - back
        mixed = (mixed ^ (stream[:, start : start + length] + 1) * _MIX[back]) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D + back) & 0xFFFFFFFF
        open_window = open_window & ~boundary[:, start : start + length]
        found.append(((mixed ^ (mixed >> 13)) % (buckets - 1) + 1) * open_window)
    return torch.stack(found, -1)
