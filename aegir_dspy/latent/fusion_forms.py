"""The learned forms of fusion behind `RWKVStateFusion`, and its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from torch import Tensor, nn

from aegir_dspy.errors import InputError
from aegir_dspy.latent.affine import Order
from aegir_dspy.latent.fusion import fuse_bmm, member_slots, weighted_sum
from aegir_dspy.rwkv.geometry import Geometry

__all__ = ["LEARNED", "FusionConfig", "LearnedFusion", "StateFusionMode"]

StateFusionMode = Literal["sum", "sqrt", "mean", "compose", "weighted_sum", "gated", "concat_project"]
_SLOTTED: Final = ("gated", "concat_project")


@dataclass(frozen=True, slots=True)
class FusionConfig:
    """How states are fused.

    Attributes:
        mode: see the module; ``sum``, ``sqrt`` (sum/√N), ``mean`` and ``compose`` have no parameters.
        agents: slots of ``gated`` and ``concat_project``; 0 for the forms that take any number of agents.
        order: in which ``compose`` reads, see `aegir_dspy.latent.affine.compose`.
        temperature: by which the scores of ``weighted_sum`` are divided.
        rank: of the projection of ``concat_project`` with slots.
        exact: outside training, add members one after the other, so that a receiver's state is the same to
            the last bit whoever else is in the batch; otherwise one batched product, for many agents. The
            projection of ``concat_project`` with slots is a batched product in any case.
        seed: of the initial key projections.
    """

    mode: StateFusionMode = "sqrt"
    agents: int = 0
    order: Order = "cyclic"
    temperature: float = 1.0
    rank: int = 16
    exact: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in get_args(StateFusionMode):
            known = ", ".join(get_args(StateFusionMode))
            raise InputError(f"expected a mode of fusion, found {self.mode!r}: choose one of {known}")
        if self.order not in get_args(Order):
            raise InputError(f"expected an order, found {self.order!r}: choose given or cyclic")
        if self.agents < 0 or (self.agents and self.mode not in _SLOTTED):
            raise InputError(
                f"expected agents=0 for mode {self.mode}, found {self.agents}: "
                "only gated and concat_project have slots"
            )
        if self.temperature <= 0 or self.rank < 1:
            raise InputError(
                "expected a positive temperature and a rank of at least 1, "
                f"found {self.temperature} and {self.rank}: change them"
            )


@dataclass(frozen=True, slots=True)
class _Slots:
    """Who each of M receivers listens to: S slots, the first `count` of each real."""

    order: Tensor  # (M, S) agents
    real: Tensor  # (M, S) bool
    count: Tensor  # (M, 1)

    @classmethod
    def of(cls, members: Tensor) -> _Slots:
        order, count = member_slots(members), members.sum(1, keepdim=True)
        return cls(order, torch.arange(order.shape[1], device=order.device) < count, count.clamp(min=1))


class LearnedFusion(nn.Module):
    """What the learned modes share: weights relative to each other, over a learned power of the count."""

    def __init__(self, geometry: Geometry, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.sizes = (geometry.layers, geometry.heads, geometry.head_size, geometry.head_size)
        self.power = nn.Parameter(torch.full(self.sizes[:2], 0.5))  # 0 is the sum, 1 the mean

    def forward(self, kv: Tensor, members: Tensor, exact: bool) -> Tensor:
        """(L, N, H, K, V) → (L, M, H, K, V).

        Weights are computed in float64: the last bit of exp and its kin depends on where in memory the
        argument lies, thus on the batch; that is gone when the weight is rounded to float32.
        """
        slots = _Slots.of(members)
        weights = self.relative(kv, slots) * slots.real / slots.count ** self.power[..., None, None].double()
        if exact:
            fused = weighted_sum(kv, 1, slots.order, weights.permute(0, 2, 3, 1)[..., None, None])
        else:
            spread = weights.new_zeros(*weights.shape[:2], *members.shape)
            fused = fuse_bmm(kv, spread.scatter(-1, slots.order.expand_as(weights), weights))
        return self.finish(fused, kv, slots)

    def relative(self, kv: Tensor, slots: _Slots) -> Tensor:
        """Weights (L, H, M, S), or broadcast to it; all 1 at first."""
        return torch.ones(1, 1, 1, 1, dtype=torch.float64, device=kv.device)

    def finish(self, fused: Tensor, kv: Tensor, slots: _Slots) -> Tensor:
        """What becomes of the weighted sum (L, M, H, K, V); nothing at first."""
        return fused


class _WeightedSum(LearnedFusion):
    def __init__(self, geometry: Geometry, config: FusionConfig) -> None:
        super().__init__(geometry, config)
        generator = torch.Generator().manual_seed(config.seed)
        self.key = nn.Parameter(torch.randn(self.sizes, generator=generator))
        self.query = nn.Parameter(torch.zeros(self.sizes[:3]))
        self.project = nn.Parameter(torch.zeros(self.sizes))

    def relative(self, kv: Tensor, slots: _Slots) -> Tensor:
        keys = (self.key.unsqueeze(1) * kv).sum(-1) / _norm(kv).unsqueeze(-1)  # (L, N, H, K)
        scores = (keys * self.query.unsqueeze(1)).sum(-1) / self.config.temperature
        return _softmax(_in_slots(scores, slots), slots)

    def finish(self, fused: Tensor, kv: Tensor, slots: _Slots) -> Tensor:
        return fused + torch.matmul(fused, self.project.unsqueeze(1).to(kv.dtype))


class _SlotGate(LearnedFusion):
    def __init__(self, geometry: Geometry, config: FusionConfig) -> None:
        super().__init__(geometry, config)
        self.gate = nn.Parameter(torch.zeros(*self.sizes[:2], config.agents))

    def relative(self, kv: Tensor, slots: _Slots) -> Tensor:
        return _softmax(self.gate[..., None, : slots.order.shape[1]].double(), slots)


class _ContentGate(LearnedFusion):
    def __init__(self, geometry: Geometry, config: FusionConfig) -> None:
        super().__init__(geometry, config)
        self.gate = nn.Parameter(torch.zeros(self.sizes))
        self.bias = nn.Parameter(torch.zeros(self.sizes[:2]))

    def relative(self, kv: Tensor, slots: _Slots) -> Tensor:
        scores = (self.gate.unsqueeze(1) * kv).sum((-1, -2)) / _norm(kv) + self.bias.unsqueeze(1)
        return 2 * torch.sigmoid(_in_slots(scores, slots))


class _SlotProject(LearnedFusion):
    def __init__(self, geometry: Geometry, config: FusionConfig) -> None:
        super().__init__(geometry, config)
        layers, heads, key, value = self.sizes
        generator = torch.Generator().manual_seed(config.seed)
        down = torch.randn(layers, config.agents, heads, key * value, config.rank, generator=generator)
        self.down = nn.Parameter(down / (key * value) ** 0.5)
        self.up = nn.Parameter(torch.zeros(layers, heads, config.rank, key * value))

    def finish(self, fused: Tensor, kv: Tensor, slots: _Slots) -> Tensor:
        down, up = self.down.to(kv.dtype), self.up.to(kv.dtype)
        inner: Tensor | float = 0.0
        for slot, (agents, real) in enumerate(zip(slots.order.unbind(1), slots.real.unbind(1), strict=True)):
            own = kv.index_select(1, agents).flatten(3) * real.view(-1, 1, 1)
            inner = inner + torch.einsum("lmhx,lhxr->lmhr", own, down[:, slot])
        return fused + torch.einsum("lmhr,lhrx->lmhx", inner, up).view_as(fused)


class _SharedProject(LearnedFusion):
    def __init__(self, geometry: Geometry, config: FusionConfig) -> None:
        super().__init__(geometry, config)
        self.left = nn.Parameter(torch.zeros(self.sizes))
        self.right = nn.Parameter(torch.zeros(self.sizes))

    def finish(self, fused: Tensor, kv: Tensor, slots: _Slots) -> Tensor:
        """(1 + left)·Σ·(1 + right): projecting the weighted sum is summing the projected states."""
        half = fused + torch.matmul(self.left.unsqueeze(1).to(kv.dtype), fused)
        return half + torch.matmul(half, self.right.unsqueeze(1).to(kv.dtype))


def _norm(kv: Tensor) -> Tensor:
    """(L, N, H) the size of each matrix state; not zero."""
    norm: Tensor = torch.linalg.vector_norm(kv, dim=(-1, -2))
    return norm.clamp(min=1e-6)


def _in_slots(scores: Tensor, slots: _Slots) -> Tensor:
    """Scores of agents (L, N, H) → (L, H, M, S) float64."""
    return scores.transpose(1, 2)[:, :, slots.order].double()


def _softmax(scores: Tensor, slots: _Slots) -> Tensor:
    """N·softmax over the real slots (L, H, M, S), added up slot by slot as the states are."""
    scores = scores.masked_fill(~slots.real, -torch.inf)
    top = scores.detach().amax(-1, keepdim=True).nan_to_num(neginf=0.0)
    parts = torch.exp(scores - top)
    total = torch.zeros_like(top)
    for part in torch.split(parts, 1, -1):
        total = total + part
    return parts * (slots.count / total.clamp(min=1e-30))


# the form without slots, and the one with
LEARNED: Final[dict[str, tuple[type[LearnedFusion], type[LearnedFusion]]]] = {
    "weighted_sum": (_WeightedSum, _WeightedSum),
    "gated": (_ContentGate, _SlotGate),
    "concat_project": (_SharedProject, _SlotProject),
}
