"""Pre-training: learn to read columns before any label is seen.

Two losses on concatenated columns of unlabelled tables: the class of the column's header (the most common
headers of the corpus as weak labels), asked at each delimiter, and the next byte. Left out: a validation
loss for early stopping, because the run is far from overfitting its corpus at these sizes.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.latent.specialist import span_features
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.initialize import initialize
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.tables.serialize import SerializeConfig
from aegir_dspy.tables.table import Table
from aegir_dspy.training.corpus import header_classes, reading_streams
from aegir_dspy.training.optimize import OptimizerConfig, ScheduledAdamW
from aegir_dspy.training.progress import load_progress, load_weights, save_progress
from aegir_dspy.training.segments import NO_LABEL, Batch, collate, length_batches

__all__ = ["PretrainConfig", "next_byte_loss", "pretrain"]


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides the result of a pre-training run.

    Attributes:
        geometry: the model; n-gram memory included.
        minutes: the run ends after this much training time (pauses and resumes do not count).
        max_steps: or after this many steps, whichever is first; 0 for no limit.
        batch_tokens: bytes a step.
        stream_bytes: longest stream.
        classes: how many header classes.
        text_weight: weight of the next-byte loss beside the header classes.
    """

    geometry: Geometry
    minutes: float = 60.0
    max_steps: int = 0
    seed: int = 0
    batch_tokens: int = 8192
    stream_bytes: int = 512
    classes: int = 2000
    text_weight: float = 0.5
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-3)
    serialize: SerializeConfig = SerializeConfig()
    checkpoint_every: int = 200


def pretrain(
    tables: Sequence[Table],
    config: PretrainConfig,
    folder: Path,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    start: Path | None = None,
) -> Path:
    """Train and write `folder/pretrain.pt`; continues a run found there. Returns the checkpoint's path.

    Args:
        start: another run's `pretrain.pt` on the same corpus whose weights a new run begins with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pretrain.pt"
    (folder / "pretrain.json").write_text(json.dumps(asdict(config), indent=1))
    classes = header_classes(tables, config.classes)
    model = initialize(RWKV7(config.geometry), config.seed)
    head = ColumnHead(config.geometry.width, len(classes), dropout=0.1)
    optimizer = ScheduledAdamW([*model.parameters(), *head.parameters()], config.optimizer)
    step, spent = 0, 0.0
    if path.exists():
        step, spent = load_progress(path, model, head, optimizer)
    elif start is not None:
        load_weights(start, model, head)
    rng = random.Random(config.seed * 1_000_003 + step)
    streams = reading_streams(tables, classes, config.serialize, config.stream_bytes, rng)
    for group in length_batches(streams, config.batch_tokens, rng):
        began = time.monotonic()
        progress = _progress(config, step, spent)
        if progress >= 1:
            break
        batch = collate(group)
        class_loss, text_loss = _losses(model, head, batch)
        norm = optimizer.step(class_loss + config.text_weight * text_loss, progress)
        step, spent = step + 1, spent + time.monotonic() - began
        report(
            {
                "step": step,
                "minutes": spent / 60,
                "tokens": float(batch.lengths.sum()),
                "header_loss": class_loss.item(),
                "text_loss": text_loss.item(),
                "norm": norm,
            }
        )
        if step % config.checkpoint_every == 0:
            save_progress(path, model, head, optimizer, step, spent, classes)
    save_progress(path, model, head, optimizer, step, spent, classes)
    return path


def next_byte_loss(model: RWKV7, hidden: Tensor, batch: Batch) -> Tensor:
    """Weighted cross-entropy of each byte given those before it (the last position has no target)."""
    weight = batch.weight[:, 1:]
    chosen = weight > 0
    logits = model.head(hidden[:, :-1][chosen]).float()  # (positions, V)
    loss = F.cross_entropy(logits, batch.tokens[:, 1:][chosen], reduction="none")
    return (loss * weight[chosen]).sum() / weight.sum()


def _losses(model: RWKV7, head: ColumnHead, batch: Batch) -> tuple[Tensor, Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        hidden, _ = model(batch.tokens, None, batch.lengths)
        text_loss = next_byte_loss(model, hidden, batch)
        logits = head(span_features(hidden, batch.stream, batch.start, batch.end)).float()
    if bool((batch.label == NO_LABEL).all()):
        return logits.sum() * 0.0, text_loss
    class_loss = F.cross_entropy(logits, batch.label, ignore_index=NO_LABEL, label_smoothing=0.05)
    return class_loss, text_loss


def _progress(config: PretrainConfig, step: int, spent: float) -> float:
    by_time = spent / (60 * config.minutes)
    return max(by_time, step / config.max_steps) if config.max_steps else by_time
