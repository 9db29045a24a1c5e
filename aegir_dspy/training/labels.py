"""The label space of the head: one row a label, shared by every label set that uses the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LabelSpace", "group_loss"]


@dataclass(frozen=True)
class LabelSpace:
    """All labels the head knows, and which of them compete in which label set.

    labels: every label once. groups: label set → row numbers.
    """

    labels: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, groups: Mapping[str, Iterable[str]]) -> LabelSpace:
        """The union of label sets, in order of first appearance."""
        rows: dict[str, int] = {}
        numbered = {
            group: tuple(rows.setdefault(label, len(rows)) for label in labels)
            for group, labels in groups.items()
        }
        return cls(tuple(rows), numbered)

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the label sets; a group's position is its number in a batch."""
        return tuple(self.groups)

    def rows(self) -> dict[str, int]:
        """Row number of each label."""
        return {label: row for row, label in enumerate(self.labels)}

    def masks(self) -> Tensor:
        """(G, labels) bool: which labels compete in each group."""
        masks = torch.zeros(len(self.groups), len(self.labels), dtype=torch.bool)
        for number, rows in enumerate(self.groups.values()):
            masks[number, list(rows)] = True
        return masks


def group_loss(logits: Tensor, label: Tensor, mask: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of each column within its own label set.

    Args:
        logits: (C, labels).
        label: (C,) the right row, inside the mask.
        mask: (C, labels) bool, the label set of each column.
        smoothing: share of the target spread evenly over the label set.

    Returns:
        (C,) losses.
    """
    log_p = logits.float().masked_fill(~mask, -torch.inf).log_softmax(1)
    right = -log_p.gather(1, label.unsqueeze(1)).squeeze(1)
    spread = -log_p.masked_fill(~mask, 0.0).sum(1) / mask.sum(1)
    return (1 - smoothing) * right + smoothing * spread
