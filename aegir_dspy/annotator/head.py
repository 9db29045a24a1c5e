"""From the hidden vectors of a column to the scores of the labels the weights know."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ColumnHead", "span_features"]


def span_features(hidden: Tensor, stream: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """What the model made of C columns: the mean over each column's span and the vector at its delimiter.

    Args:
        hidden: (B, T, D) hidden vectors of B streams.
        stream: (C,) which stream each column is in.
        start, end: (C,) its span [start, end); the last position is the delimiter.

    Returns:
        (C, 2·D) float32.
    """
    hidden = hidden.float()
    total = torch.nn.functional.pad(hidden.cumsum(1), (0, 0, 1, 0))  # (B, T + 1, D)
    mean = (total[stream, end] - total[stream, start]) / (end - start).unsqueeze(1)
    return torch.cat([mean, hidden[stream, end - 1]], 1)


class ColumnHead(nn.Module):
    """A linear classifier over `span_features`: one row of weights a label."""

    def __init__(self, width: int, labels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * width, labels)

    def forward(self, features: Tensor) -> Tensor:
        """(C, 2·D) → logits (C, labels)."""
        logits: Tensor = self.classify(self.dropout(features))
        return logits
