"""Which way to read columns in their context: one after the other, or once each and fused.

Sequential reading takes every target after its context, in one step; fusing reads every column twice, in two
steps, and shares the first among all targets. So fusing wins as soon as there are some targets, or when the
first reading is kept; one small table is quicker read in a row. Both give the target the same information,
and with one context column the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from aegir_dspy.latent.recall import Recall
from aegir_dspy.latent.specialist import FrozenSpecialist

__all__ = ["ReadingPlan", "choose_reading", "read_in_context"]

ReadingPlan = Literal["sequential", "fused"]
# What there is beside the tokens themselves, in tokens; measured on a CPU, where a token took 0.065 ms.
_STEP = 65  # a reading, however little is read: the launches of its operations
_FUSE = 40


def choose_reading(lengths: Sequence[int], members: Tensor) -> ReadingPlan:
    """The quicker way, from the work there is; it depends on nothing else, so a plan is reproducible.

    Args:
        lengths: (C) tokens of each column.
        members: (C, C) bool: row = target, its context; a row without any is read alone either way.
    """
    size = torch.tensor(lengths, dtype=torch.int64)
    informed, used = size[members.any(1)], size[members.any(0)]
    sequential = int((members.long() @ size).sum() + informed.sum()) + _STEP
    fused = _padded(used) + _padded(informed) + 2 * _STEP + _FUSE
    return "sequential" if sequential <= fused else "fused"


def _padded(lengths: Tensor) -> float:
    """Tokens with padding, which costs about half of what a token does. Streams with context need little."""
    return (float(lengths.sum()) + len(lengths) * float(lengths.max())) / 2 if len(lengths) else 0.0


def read_in_context(
    specialist: FrozenSpecialist, pieces: Sequence[bytes], members: Tensor, plan: ReadingPlan | None = None
) -> Tensor:
    """(C, 2·D) features of every piece after its context.

    Args:
        members: (C, C) bool, see `choose_reading`.
        plan: by default the quicker one; ``fused`` where the specialist has a store, because a first reading
            that is kept is worth more than a step.
    """
    if plan is None:
        kept = specialist.store is not None
        plan = "fused" if kept else choose_reading([len(piece) for piece in pieces], members)
    if plan == "sequential":
        before = [b"".join(pieces[i] for i in row.nonzero().flatten().tolist()) for row in members]
        whole = [context + piece for context, piece in zip(before, pieces, strict=True)]
        return specialist.read(whole, begin=[len(context) for context in before]).features
    recall, informed = Recall(specialist, pieces, members.any(0)), members.any(1)
    rows = (members.any(0) | ~informed).nonzero().flatten()
    features = torch.zeros(len(pieces), 2 * specialist.identity.geometry.width)
    features[rows] = recall.alone(rows).features.cpu()
    again = informed.nonzero().flatten()
    features[again] = recall.again(again, recall.fused(members[again])).features.cpu()
    return features
