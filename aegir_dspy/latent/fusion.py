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

__all__ = ["FusionMode", "fuse", "fuse_tensors", "fusion_weights"]

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
    """M fused states from N agents' states in one matrix product. Differentiable in the states.

    The token shifts are averaged, never summed: they are activations of one token, and every agent's last
    token is the same delimiter. The tail is the first member's.

    Args:
        states: N streams.
        members: (M, N) bool; a receiver without members gets the zero state.
    """
    layers, agents, *rest = states.kv.shape
    weights = fusion_weights(members, mode)  # (M, N)
    kv = torch.einsum("mn,lnx->lmx", weights, states.kv.reshape(layers, agents, -1))
    shift = torch.einsum("mn,lsnd->lsmd", fusion_weights(members, "mean"), states.shift)
    tail = states.tail[members.int().argmax(1)] * members.any(1, keepdim=True)
    return StateTensors(shift, kv.reshape(layers, members.shape[0], *rest), tail)


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
    joined = StateTensors(
        torch.cat([s.tensors.shift for s in ordered], 2),
        torch.cat([s.tensors.kv for s in ordered], 1),
        torch.cat([s.tensors.tail for s in ordered], 0),
    )
    members = torch.ones(1, len(ordered), dtype=torch.bool)
    return State(fuse_tensors(joined, members, mode), states[0].identity, sum(s.tokens for s in ordered))
