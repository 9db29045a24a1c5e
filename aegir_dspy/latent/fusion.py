"""Fusing the states of N agents into one, without parameters.

Reading a chunk is an affine map of the state (`aegir_dspy.rwkv.recurrence`), so from the zero state the
updates of separately read columns add up. ``sum`` is that; it is scaled by 1/√N to keep the state's size
in the range the primary was trained on; ``mean`` is the baseline that loses what only one agent saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from aegir_dspy.errors import StateError
from aegir_dspy.rwkv.state import State, StateTensors

__all__ = [
    "FusionMode",
    "around",
    "fuse",
    "fuse_bmm",
    "fuse_tensors",
    "fusion_weights",
    "member_slots",
    "side_by_side",
    "stacked",
    "weighted_sum",
]

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
    order = member_slots(members)
    weights = fusion_weights(members, mode).gather(1, order)
    return around(
        states, members, weighted_sum(states.kv, 1, order, weights.view(1, *weights.shape, 1, 1, 1))
    )


def around(states: StateTensors, members: Tensor, kv: Tensor, exact: bool = True) -> StateTensors:
    """M fused matrix states (L, M, H, K, V) with what every way of fusing does to shifts and tails.

    Args:
        exact: average the shifts member by member, not in a matrix product.
    """
    weights = fusion_weights(members, "mean")
    if exact:
        order = member_slots(members)
        weights = weights.gather(1, order)
        shift = weighted_sum(states.shift, 2, order, weights.view(1, 1, *weights.shape, 1))
    else:
        shift = torch.matmul(weights.to(states.shift.dtype), states.shift)
    tail = states.tail[members.int().argmax(1)] * members.any(1, keepdim=True)
    return StateTensors(shift, kv, tail)


def member_slots(members: Tensor) -> Tensor:
    """(M, S) the agents each receiver listens to, in order, S the most of any; then agents it does not."""
    most = int(members.sum(1).max()) if members.numel() else 0
    return members.int().sort(dim=1, descending=True, stable=True).indices[:, :most]


def weighted_sum(x: Tensor, axis: int, order: Tensor, weights: Tensor) -> Tensor:
    """Σ over slots s of weights[.., m, s, ..] · x[.., order[m, s], ..], one slot after the other.

    Args:
        x: agents on `axis`.
        order: (M, S), see `member_slots`.
        weights: receivers on `axis` and slots after it; otherwise broadcast against `x`.
    """
    total = torch.zeros_like(x[(slice(None),) * axis + (slice(0, 1),)]).repeat_interleave(len(order), axis)
    for slot, weight in zip(order.unbind(1), weights.to(x.dtype).unbind(axis + 1), strict=True):
        total = torch.addcmul(total, x.index_select(axis, slot), weight)
    return total


def fuse_bmm(kv: Tensor, weights: Tensor, out: Tensor | None = None) -> Tensor:
    """M fused matrix states in one batched matrix product, (L·H, M, N) × (L·H, N, K·V): one pass over memory.

    The product is one call when the agents of a head lie together (`stacked`); otherwise one call a layer,
    still without a copy. A receiver's last bits may depend on who else is in the batch; `weighted_sum` adds
    the members one by one where that matters.

    Args:
        kv: (L, N, H, K, V).
        weights: (L, H, M, N), or (M, N) for all layers and heads.
        out: what an earlier call of the same shape returned, to be overwritten, without gradients: for few
            agents, fresh memory costs more than the product.

    Returns:
        (L, M, H, K, V), differentiable in both.
    """
    layers, _, heads, *matrix = kv.shape
    weights = weights.to(kv.dtype).expand(layers, heads, *weights.shape[-2:])
    rows = kv.transpose(1, 2).flatten(3)  # (L, H, N, K·V), a view unless the matrices are turned
    if rows.stride(0) == heads * rows.stride(1):
        into = None if out is None else out.transpose(1, 2).flatten(3).view(layers * heads, -1, rows.shape[3])
        fused = torch.bmm(weights.flatten(0, 1), rows.flatten(0, 1), out=into)
    else:
        fused = torch.stack([torch.bmm(w, r) for w, r in zip(weights, rows, strict=True)])
        if out is not None:
            return out.copy_(fused.view(layers, heads, -1, *matrix).transpose(1, 2))
    return fused.view(layers, heads, -1, *matrix).transpose(1, 2)


def stacked(kv: Tensor) -> Tensor:
    """The same (L, N, H, K, V) laid out in memory as (L, H, N, K, V), agents of a head together."""
    return kv.transpose(1, 2).contiguous().transpose(1, 2)


def side_by_side(parts: Sequence[StateTensors]) -> StateTensors:
    """The streams of all parts, in order, each as it was."""
    return StateTensors(
        torch.cat([p.shift for p in parts], 2),
        torch.cat([p.kv for p in parts], 1),
        torch.cat([p.tail for p in parts], 0),
    )


def fuse(
    states: Sequence[State], mode: FusionMode | Callable[[StateTensors, Tensor], StateTensors] = "sqrt"
) -> State:
    """One immutable state from several of the same identity; the order does not matter.

    Args:
        mode: a parameter-free mode, or what fuses, such as a trained `RWKVStateFusion`.

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
    with torch.no_grad():
        fused = mode(joined, members) if callable(mode) else fuse_tensors(joined, members, mode)
    return State(fused, states[0].identity, sum(s.tokens for s in ordered))
