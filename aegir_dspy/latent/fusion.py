"""Fusing the states of N agents into one, without parameters.

Reading a chunk is an affine map of the state (`aegir_dspy.rwkv.recurrence`), so from the zero state the
updates of separately read columns add up. ``sum`` is that; it is scaled by 1/√N to keep the state's size
in the range the primary was trained on; ``mean`` is the baseline that loses what only one agent saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from aegir_dspy.errors import StateError
from aegir_dspy.rwkv.state import State, StateTensors

__all__ = ["FusionMode", "fuse", "fuse_tensors", "fusion_weights", "side_by_side"]

FusionMode = Literal["sum", "sqrt", "mean"]


def fusion_weights(members: Tensor, mode: FusionMode = "sqrt") -> Tensor:
    """Weights of N agents' matrix states for each of M receivers.

    Args:
        members: (M, N) bool: which agents each receiver listens to.
        mode: ``sum`` weight 1, ``sqrt`` 1/√(number of members), ``mean`` 1/(number of members).

    Returns:
        (M, N) float32; a row without members is zero.
    """
    chosen = members.float()
    count = chosen.sum(1, keepdim=True).clamp(min=1)
    power = {"sum": 0.0, "sqrt": 0.5, "mean": 1.0}[mode]
    return chosen / count**power


def fuse_tensors(states: StateTensors, members: Tensor, mode: FusionMode = "sqrt") -> StateTensors:
    """M fused states from N agents' states. Differentiable in the states.

    The token shifts are averaged, never summed: they are activations of one token, and every agent's last
    token is the same delimiter. The tail is the first member's. Members are added one after the other, not
    in a matrix product: so a receiver's state is the same to the last bit whoever else is in the batch.

    Args:
        states: N streams.
        members: (M, N) bool; a receiver without members gets the zero state.
    """
    members = members.to(states.kv.device)
    most = int(members.sum(1).max()) if members.numel() else 0
    order = members.int().sort(dim=1, descending=True, stable=True).indices[:, :most]  # (M, most)
    kv = _weighted_sum(states.kv, 1, order, fusion_weights(members, mode))
    shift = _weighted_sum(states.shift, 2, order, fusion_weights(members, "mean"))
    tail = states.tail[members.int().argmax(1)] * members.any(1, keepdim=True)
    return StateTensors(shift, kv, tail)


def _weighted_sum(x: Tensor, axis: int, order: Tensor, weights: Tensor) -> Tensor:
    """Σ over slots of weights[m, order[m, slot]] · x[order[m, slot]], agents of `x` on `axis`."""
    total = torch.zeros_like(x[(slice(None),) * axis + (slice(0, 1),)]).repeat_interleave(len(order), axis)
    shape = [1] * axis + [len(order)] + [1] * (x.dim() - axis - 1)
    for slot in order.unbind(1):
        weight = weights.gather(1, slot.unsqueeze(1)).view(shape).to(x.dtype)
        total = torch.addcmul(total, x.index_select(axis, slot), weight)
    return total


def side_by_side(parts: Sequence[StateTensors]) -> StateTensors:
    """The streams of all parts, in order, each as it was."""
    return StateTensors(
        torch.cat([p.shift for p in parts], 2),
        torch.cat([p.kv for p in parts], 1),
        torch.cat([p.tail for p in parts], 0),
    )


def fuse(states: Sequence[State], mode: FusionMode = "sqrt") -> State:
    """One immutable state from several of the same identity; the order does not matter.

    Raises:
        StateError: no states, or states of different models.
    """
    if not states:
        raise StateError("expected at least one state to fuse, found none: read something first")
    for other in states[1:]:
        states[0].identity.require(other.identity)
    ordered = sorted(states, key=lambda s: s.digest)  # float addition: the same order, the same bits
    joined = side_by_side([s.tensors for s in ordered])
    members = torch.ones(1, len(ordered), dtype=torch.bool)
    return State(fuse_tensors(joined, members, mode), states[0].identity, sum(s.tokens for s in ordered))
