"""Checkpoints of a training run: a killed run continues where it was last saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.training.optimize import ScheduledAdamW

__all__ = ["load_progress", "load_weights", "save_progress"]


def save_progress(
    path: Path,
    model: RWKV7,
    head: ColumnHead,
    optimizer: ScheduledAdamW,
    step: int,
    spent: float,
    classes: Sequence[str] = (),
) -> None:
    """Write everything the run needs under a temporary name, then rename.

    Args:
        spent: seconds of training so far.
        classes: header classes, in the order of the head's rows (pre-training).
    """
    content = {
        "geometry": model.geometry.to_json(),
        "model": model.state_dict(),
        "head": head.state_dict(),
        "adam": optimizer.adam.state_dict(),
        "classes": list(classes),
        "step": step,
        "spent": spent,
    }
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    temporary.replace(path)


def load_progress(path: Path, model: RWKV7, head: ColumnHead, optimizer: ScheduledAdamW) -> tuple[int, float]:
    """Take over a saved run in place; returns its step and the seconds spent."""
    content = load_weights(path, model, head)
    optimizer.adam.load_state_dict(content["adam"])
    return int(content["step"]), float(content["spent"])


def load_weights(path: Path, model: RWKV7, head: ColumnHead) -> dict[str, Any]:
    """Take over the weights of a saved run in place, without its place in the run; returns all of it."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    model.load_state_dict(content["model"])
    head.load_state_dict(content["head"])
    return content
