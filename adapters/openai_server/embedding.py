"""Texts as vectors: the model's output at the last token, of length 1."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import torch
from torch import Tensor

from aegir_dspy.errors import InputError
from aegir_dspy.rwkv import Engine

__all__ = ["embedded", "packed"]

_AT_ONCE = 64  # texts; each has a state while it is read


def embedded(engine: Engine, texts: Sequence[str | Sequence[int]]) -> Tensor:
    """(texts, width) float32, every row of length 1. Raises InputError for no text, or an empty one."""
    if not texts or not all(texts):
        raise InputError("expected texts to embed, found none or an empty one")
    parts = [texts[first : first + _AT_ONCE] for first in range(0, len(texts), _AT_ONCE)]
    hidden = torch.cat([engine.last_hidden(engine.read(part)).float().cpu() for part in parts])
    return torch.nn.functional.normalize(hidden, dim=-1)


def packed(vector: Tensor) -> str:
    """A vector as OpenAI's client asks for it: little-endian float32 in base 64."""
    return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
