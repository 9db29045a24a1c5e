"""From what a model made of a column to the scores of the labels the weights know."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ColumnHead"]


class ColumnHead(nn.Module):
    """A linear classifier over `aegir_dspy.latent.span_features`: one row of weights a label."""

    def __init__(self, width: int, labels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * width, labels)

    def forward(self, features: Tensor) -> Tensor:
        """(C, 2·D) → logits (C, labels)."""
        logits: Tensor = self.classify(self.dropout(features))
        return logits
