"""Initial weights, after the published recipe (RWKV-7 paper, appendix on initialisation)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aegir_dspy.rwkv.model import RWKV7, TimeMix

__all__ = ["initialize"]


def initialize(model: RWKV7, seed: int) -> RWKV7:
    """Fill every parameter in place, deterministically for a seed; returns the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        nn.init.uniform_(model.emb.weight, -0.05, 0.05, generator=generator)
        nn.init.orthogonal_(model.head.weight, 0.5, generator=generator)
        for layer, block in enumerate(model.layers()):
            _time_mix(block.att, layer, model.geometry.layers, generator)
            ramp = _ramp(model.geometry.width)
            block.ffn.x_k.copy_(1 - ramp ** ((1 - layer / model.geometry.layers) ** 4))
            nn.init.orthogonal_(block.ffn.key.weight, 1.0, generator=generator)
            nn.init.zeros_(block.ffn.value.weight)
        if model.geometry.ngram_buckets:
            nn.init.normal_(model.ngram.weight, std=0.02, generator=generator)
            nn.init.normal_(model.ngram.project, std=0.1, generator=generator)
    return model


def _time_mix(att: TimeMix, layer: int, layers: int, generator: torch.Generator) -> None:
    width = att.k_k.shape[-1]
    depth = layer / max(1, layers - 1)  # 0 … 1
    shallow = 1 - layer / layers  # 1 … almost 0
    ramp = _ramp(width)
    powers = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}
    for name, power in powers.items():
        getattr(att, f"x_{name}").copy_(1 - ramp ** (power * shallow))
    position = torch.arange(width) / max(1, width - 1)
    att.w0.copy_(-6.5 + 5 * position ** (0.85 + depth**0.5))
    att.a0.zero_()
    if layer:
        att.v0.fill_(1.0)
    for name in ("w", "a", "v", "g"):
        if hasattr(att, f"{name}1"):
            nn.init.zeros_(getattr(att, f"{name}1"))
            nn.init.orthogonal_(getattr(att, f"{name}2"), 0.1, generator=generator)
    nn.init.orthogonal_(att.g1, 0.1, generator=generator)  # the gate must open to pass a gradient
    att.k_k.fill_(0.85)
    att.k_a.fill_(1.0)
    att.r_k.zero_()
    bound = 0.5 / width**0.5
    for linear, scale in ((att.receptance, 1.0), (att.key, 0.1), (att.value, 1.0)):
        nn.init.uniform_(linear.weight, -bound * scale, bound * scale, generator=generator)
    nn.init.zeros_(att.output.weight)
    att.ln_x.weight.fill_(((1 + layer) / layers) ** 0.7)


def _ramp(width: int) -> Tensor:
    return (torch.arange(width) / width).view(1, 1, width)
