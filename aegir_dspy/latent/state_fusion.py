"""`RWKVStateFusion`: the states of any number of agents, by mask, fused into each receiver's.

Every learned mode starts as sum/√N, the best of the modes without parameters, and is trained away from it:

``weighted_sum``    each state is normalised and projected to a key (K·V → K), a learned query of its layer
                    and head scores it, and N·softmax of the scores weighs the states; a mean does not carry
                    what only one agent saw, so the weights do not add up to 1 but to N^(1 - power), power
                    learned from ½. A zero-initialised projection of the sum is added.
``gated``           with `agents` slots a softmax gate per slot, else 2·sigmoid of a score of the content.
``concat_project``  with `agents` slots a projection of their concatenation (agents·K·V → rank → K·V), else
                    A·S·B for every agent with shared A and B, identities at first.

The forms without slots do not see the order of the agents and take any number of them. Slots are an agent's
place among the members of a receiver; more members than slots are refused.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aegir_dspy.errors import InputError, StateError
from aegir_dspy.latent.affine import AffineMaps, compose
from aegir_dspy.latent.fusion import around, fuse_bmm, fuse_tensors, fusion_weights
from aegir_dspy.latent.fusion_forms import LEARNED, FusionConfig, LearnedFusion, StateFusionMode
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.state import StateTensors

__all__ = ["FusionConfig", "RWKVStateFusion", "StateFusionMode"]


class RWKVStateFusion(nn.Module):
    """N agents' states into M receivers', differentiable in states and parameters.

    Args:
        mode: a mode, or a whole configuration.
        geometry: of the states; only the modes without parameters do without.

    Raises:
        InputError: an unknown mode, or a learned one without a geometry.
    """

    def __init__(
        self, mode: StateFusionMode | FusionConfig = "sqrt", geometry: Geometry | None = None
    ) -> None:
        super().__init__()
        self.config = mode if isinstance(mode, FusionConfig) else FusionConfig(mode)
        self.geometry = geometry
        self.learned: LearnedFusion | None = None
        if self.config.mode not in LEARNED:
            return
        if geometry is None:
            raise InputError(
                f"expected a geometry for the learned mode {self.config.mode}, found none: "
                "pass geometry= of the model whose states are fused"
            )
        plain, slotted = LEARNED[self.config.mode]
        self.learned = (slotted if self.config.agents else plain)(geometry, self.config)

    def forward(self, states: StateTensors, members: Tensor, maps: AffineMaps | None = None) -> StateTensors:
        """M fused streams.

        Matrix states are fused as the mode says; token shifts are averaged, never summed: they are
        activations of one token, and every agent's last token is the same delimiter. The tail is the first
        member's. A receiver without members gets the zero state, and one with a single member that state
        (in the learned modes: at the start of training).

        Args:
            states: N streams.
            members: (M, N) bool.
            maps: of the N readings; only ``compose`` needs and uses them.

        Raises:
            StateError: states of another geometry, a mask of another shape, more members than slots, or no
                maps where they are needed.
        """
        self._check(states, members)
        members, states = members.to(states.kv.device), _recordable(states)
        if self.config.mode == "compose":
            if maps is None:
                raise StateError("expected maps to compose, found none: read with maps='full' or maps='diag'")
            return compose(states, maps, self.config.order, members)
        exact = self.config.exact and not self.training
        if self.learned is None:
            return self._plain(states, members, exact)
        if not members.any():
            return fuse_tensors(states, members)
        with torch.autocast(states.kv.device.type, enabled=False):  # states stay float32, as in the model
            return around(states, members, self.learned(states.kv, members, exact), exact)

    def _plain(self, states: StateTensors, members: Tensor, exact: bool) -> StateTensors:
        mode = self.config.mode
        assert mode in ("sum", "sqrt", "mean")
        if exact:
            return fuse_tensors(states, members, mode)
        return around(states, members, fuse_bmm(states.kv, fusion_weights(members, mode)), exact)

    def _check(self, states: StateTensors, members: Tensor) -> None:
        if members.dim() != 2 or members.shape[1] != states.batch or members.dtype != torch.bool:
            raise StateError(
                f"expected a bool mask of members (M, {states.batch}), found {members.dtype} "
                f"{tuple(members.shape)}: one row a receiver, one column a state"
            )
        if self.geometry is not None:
            g = self.geometry
            expected = (g.layers, states.batch, g.heads, g.head_size, g.head_size)
            if tuple(states.kv.shape) != expected:
                raise StateError(
                    f"expected matrix states {expected}, found {tuple(states.kv.shape)}: "
                    "align the states to this geometry first (AlignmentProjection)"
                )
        most = int(members.sum(1).max()) if members.numel() else 0
        if 0 < self.config.agents < most:
            raise StateError(
                f"expected at most {self.config.agents} agents a receiver, found {most}: "
                "use a fusion with more slots, or agents=0 for the form that takes any number"
            )


def _recordable(states: StateTensors) -> StateTensors:
    """States read in inference mode cannot take part in a gradient: copies can."""
    if not torch.is_grad_enabled():
        return states
    return StateTensors(*(t.clone() if t.is_inference() else t for t in states))
