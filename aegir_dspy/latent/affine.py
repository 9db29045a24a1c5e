"""Reading as an affine map of the state, and states composed as if their pieces were read in a row.

Per layer and head, reading a piece takes S to M·S + U (`aegir_dspy.rwkv.recurrence`; M acts on the K side
of S (K, V)). U is the state after reading the piece from zero, so a specialist that exports its state and
M lets a receiver continue with another's reading: S ← M·S + U. This is exact in a layer whose inputs stay
the same; in a whole model the inputs of higher layers would have been others after another piece.

The diagonal of M, K floats a head instead of K², loses little.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from aegir_dspy.errors import StateError
from aegir_dspy.latent.fusion import around, member_slots
from aegir_dspy.rwkv.state import StateTensors

__all__ = ["AffineMaps", "MapsKind", "Order", "compose"]

MapsKind = Literal["none", "full", "diag"]
Order = Literal["given", "cyclic"]
Map = tuple[Tensor, Tensor]  # M and U of S → M·S + U


class AffineMaps(NamedTuple):
    """What reading N pieces does to a state that was there before.

    matrix: (L, N, H, K, K) M of every layer and head, or (L, N, H, K) their diagonals.
    """

    matrix: Tensor

    @property
    def full(self) -> bool:
        """Whether whole matrices are kept, not only diagonals."""
        return self.matrix.dim() == 5

    @property
    def batch(self) -> int:
        """N."""
        return self.matrix.shape[1]

    def diagonal(self) -> AffineMaps:
        """The diagonals only."""
        return AffineMaps(self.matrix.diagonal(dim1=-2, dim2=-1).contiguous()) if self.full else self

    def select(self, pieces: Tensor | list[int]) -> AffineMaps:
        """The maps of the given pieces, copied, in the given order."""
        return AffineMaps(self.matrix.index_select(1, torch.as_tensor(pieces, device=self.matrix.device)))

    def apply(self, kv: Tensor) -> Tensor:
        """M·S for N states (L, N, H, K, V)."""
        return _act(self.matrix, kv)

    def require(self, kv: Tensor) -> None:
        """Raise StateError unless there is one map for each of the matrix states (L, N, H, K, V)."""
        layers, agents, heads, size, _ = kv.shape
        expected = (layers, agents, heads, size, size) if self.full else (layers, agents, heads, size)
        if tuple(self.matrix.shape) != expected:
            raise StateError(
                f"expected maps of shape {expected} for {agents} states, found {tuple(self.matrix.shape)}: "
                "take maps and states from the same reading"
            )


def compose(
    states: StateTensors, maps: AffineMaps, order: Order = "cyclic", members: Tensor | None = None
) -> StateTensors:
    """M states, each as if its members' pieces had been read one after the other.

    Token shifts are averaged and the tail is the first member's, as in `fuse_tensors`.

    Args:
        states: N streams, read from the zero state.
        maps: of the same reading.
        order: ``given`` reads members in the order of the agents; ``cyclic`` averages over the orders that
            start at each member and go round. The average does not change when the agents are rotated;
            for one or two members that is every order, for more the neighbours still count.
        members: (M, N) bool: which agents each receiver listens to; None for one receiver of all.

    Raises:
        StateError: maps that do not belong to the states.
    """
    maps.require(states.kv)
    if members is None:
        members = torch.ones(1, states.batch, dtype=torch.bool)
    members = members.to(states.kv.device)
    steps = _steps(states.kv, maps.matrix, members)
    return around(states, members, _in_turn(states.kv, steps, members, order))


def _in_turn(kv: Tensor, steps: list[Map], members: Tensor, order: Order) -> Tensor:
    start = torch.zeros_like(kv[:, :1]).expand(-1, len(members), -1, -1, -1)
    if order == "given" or not steps:
        for m, u in steps:
            start = _act(m, start) + u
        return start
    after = [steps[-1]]  # the map of all steps from each one on, last first
    for step in steps[-2::-1]:
        after.append(_then(step, after[-1]))
    count = members.sum(1).clamp(min=1).view(1, -1, 1, 1, 1)
    total, before = start, (_identity(steps[0][0]), start)
    for slot, step in enumerate(steps):
        rotated = _act(before[0], after[-1 - slot][1]) + before[1]
        total = total + rotated * (slot < count)
        before = _then(before, step)
    return total / count


def _steps(kv: Tensor, matrix: Tensor, members: Tensor) -> list[Map]:
    """The map of each receiver's members, slot by slot: M (L, M, H, K[, K]), U (L, M, H, K, V).

    A receiver with fewer members than others has the identity at the end.
    """
    order, count = member_slots(members), members.sum(1)
    found = []
    for slot, agents in enumerate(order.unbind(1)):
        m, u, real = matrix.index_select(1, agents), kv.index_select(1, agents), slot < count
        found.append((torch.where(_like(real, m), m, _identity(m)), u * _like(real, u)))
    return found


def _act(m: Tensor, x: Tensor) -> Tensor:
    """M·x for full or diagonal M; x is a state, or another map of the same kind."""
    if m.dim() == 5:
        return torch.matmul(m, x)
    return m * x if x.dim() == 4 else m.unsqueeze(-1) * x


def _then(first: Map, second: Map) -> Map:
    return _act(second[0], first[0]), _act(second[0], first[1]) + second[1]


def _identity(m: Tensor) -> Tensor:
    """The map that changes nothing, of the kind of `m`."""
    if m.dim() == 4:
        return torch.ones_like(m)
    return torch.eye(m.shape[-1], dtype=m.dtype, device=m.device).expand_as(m)


def _like(real: Tensor, x: Tensor) -> Tensor:
    """(M,) made broadcastable to (L, M, ...)."""
    return real.view(1, -1, *[1] * (x.dim() - 2))
