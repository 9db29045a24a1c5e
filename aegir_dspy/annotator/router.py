r"""The router: from the primary's hidden state to the readers a column is worth, none, one or many.

After the primary has read a column alone, every further reader r (the primary again, from the column's
context, and each member of the swarm) is asked where

.. math:: \sigma(w_r \cdot [h, \operatorname{logit} c] + b_r) > \tau

with h (F floats) what the primary made of the column and c the confidence of the decision so far. A reader's
weights are fitted (`aegir_dspy.training.router`) so that it is asked where that is expected to lower the
negative log-likelihood of the right type by more than a reading costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aegir_dspy.errors import CheckpointError
from aegir_dspy.rwkv.checkpoint import file_sha256, save_weights

__all__ = ["CONTEXT", "Router", "load_router", "router_features", "save_router"]

CONTEXT = "context"
"""The primary's second reading, from the fused states of a column's context."""

_MOST = 6.0  # |logit| of a confidence


@dataclass(frozen=True)
class Router:
    """Who is asked about a column.

    Attributes:
        readers: names, `CONTEXT` or of members.
        weight: (R, F + 1) float64. bias: (R,).
        threshold: τ; a reader is asked above it.
        checkpoint: sha256 of the primary whose hidden states it knows.
        sha256: of its file.
    """

    readers: tuple[str, ...]
    weight: Tensor
    bias: Tensor
    checkpoint: str
    threshold: float = 0.5
    sha256: str = ""

    def probabilities(self, hidden: Tensor, confidence: Tensor) -> Tensor:
        """(C, R), from hidden states (C, F) and confidences (C,)."""
        return torch.sigmoid(router_features(hidden, confidence) @ self.weight.T + self.bias)

    def routes(self, readers: Sequence[str], hidden: Tensor, confidence: Tensor) -> Tensor:
        """(C, len(readers)) bool: which readers are asked about which columns; never one it does not know."""
        asked = self.probabilities(hidden, confidence) > self.threshold
        nobody = torch.zeros(len(hidden), dtype=torch.bool)
        columns = [asked[:, self.readers.index(r)] if r in self.readers else nobody for r in readers]
        return torch.stack(columns, 1)


def router_features(hidden: Tensor, confidence: Tensor) -> Tensor:
    """(C, F + 1) float64. In double: float32 products depend on what else is in the batch."""
    sure = torch.logit(confidence.double()).clamp(-_MOST, _MOST).unsqueeze(1)
    return torch.cat([hidden.double(), sure], 1)


def save_router(path: Path, router: Router) -> str:
    """Write the file, floats in float32; returns its sha256."""
    metadata = {
        "readers": " ".join(router.readers),
        "checkpoint": router.checkpoint,
        "threshold": str(router.threshold),
    }
    tensors = {"weight": router.weight, "bias": router.bias}
    return save_weights(path, tensors, metadata, torch.float32)


def load_router(path: Path, checkpoint: str) -> Router | None:
    """The router in a file; None where there is no file, or it is another primary's.

    Raises:
        CheckpointError: the file is no router.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            said = file.metadata() or {}
            weight, bias = (file.get_tensor(name).double() for name in ("weight", "bias"))
        readers: Sequence[str] = said["readers"].split()
        known, threshold = said["checkpoint"], float(said["threshold"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"expected a router written by aegir train, found in {path}: {error}"
        ) from error
    if known != checkpoint:
        return None
    return Router(tuple(readers), weight, bias, known, threshold, file_sha256(path))
