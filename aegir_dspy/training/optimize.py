"""The optimizer every training here uses: AdamW, warm-up, cosine decay, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["OptimizerConfig", "ScheduledAdamW"]


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """Settings of `ScheduledAdamW`.

    Attributes:
        lr: peak learning rate.
        warmup: fraction of the run spent in linear warm-up.
        floor: final learning rate as a fraction of the peak.
        weight_decay: on matrices only.
        clip: largest gradient norm.
    """

    lr: float
    warmup: float = 0.03
    floor: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0


class ScheduledAdamW:
    """AdamW whose learning rate follows the progress (0 … 1) it is given at each step."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> None:
        self.config = config
        self.parameters = [p for p in parameters if p.requires_grad]
        decay = [p for p in self.parameters if p.squeeze().ndim >= 2]
        plain = [p for p in self.parameters if p.squeeze().ndim < 2]
        groups = [
            {"params": decay, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), fused=True)

    def step(self, loss: torch.Tensor, progress: float) -> float:
        """Backward, clip, update. Returns the gradient norm before clipping."""
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.config.clip))
        for group in self.adam.param_groups:
            group["lr"] = self.config.lr * self._scale(progress)
        if math.isfinite(norm):  # a broken batch must not poison the weights
            self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return norm

    def _scale(self, progress: float) -> float:
        c = self.config
        if progress < c.warmup:
            return progress / c.warmup
        cosine = 0.5 * (1 + math.cos(math.pi * (progress - c.warmup) / (1 - c.warmup)))
        return c.floor + (1 - c.floor) * cosine
