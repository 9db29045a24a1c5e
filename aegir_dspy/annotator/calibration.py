"""Confidence that means what it says: temperature scaling, and how far off it is.

Guo et al., "On Calibration of Modern Neural Networks" (arXiv:1706.04599).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["expected_calibration_error", "fit_temperature"]


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    """The temperature T > 0 that minimises the negative log-likelihood of softmax(logits / T).

    Args:
        logits: (C, labels), -inf where a label does not compete.
        label: (C,) the right row.
    """

    def loss(log_t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / math.exp(log_t), label))

    low, high = math.log(0.05), math.log(20.0)
    for _ in range(60):  # golden-section search: the loss has one minimum in log T
        a, b = low + 0.382 * (high - low), low + 0.618 * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return math.exp((low + high) / 2)


def expected_calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equally filled bins, weighted by their size.

    Args:
        confidence: (C,) in 0 … 1.
        right: (C,) bool.
    """
    if not len(confidence):
        return 0.0
    order = confidence.argsort(stable=True)
    gap = 0.0
    for part in order.tensor_split(min(bins, len(order))):
        gap += abs(float(confidence[part].mean()) - float(right[part].float().mean())) * len(part)
    return gap / len(order)
