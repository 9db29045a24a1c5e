"""`AlignmentProjection`: the state of one model as a state of another, of any size.

Linear and without an offset, so that aligning and adding states commute, and nothing stays nothing.
A target layer is made from one source layer:

``low_rank``  all its matrices flattened: H·K·V → rank → H'·K'·V';
``bilinear``  for every target head h': A·(Σ_h mix[h', h]·S_h)·B, with fewer parameters.

Where a layer has the same shape in both models the source layer itself is added, times a gain of each head;
so between equal geometries the projection starts as the identity. Otherwise it starts as nothing, the zero
state, which does no harm, until it is trained or `fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from aegir_dspy.errors import InputError, StateError
from aegir_dspy.latent.ridge import reduced_rank, ridge
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.state import NGRAM_TAIL, Identity, State, StateTensors

__all__ = ["AlignmentForm", "AlignmentProjection"]

AlignmentForm = Literal["low_rank", "bilinear"]
_ROUNDS = 10  # of the alternating fit of the bilinear form


class AlignmentProjection(nn.Module):
    """States of `source` as states of `target`.

    Args:
        source, target: geometries, or whole identities: `align` needs to know whose states it makes.
        rank: inner width of the low-rank maps, also of those of the token shifts.
        form: of the map of the matrix states.
        layers: for each target layer the source layer it is made from; None spreads them evenly.
        seed: of the low-rank maps.

    Raises:
        InputError: an unknown form, a rank below 1, or layers the source does not have.
    """

    def __init__(
        self,
        source: Geometry | Identity,
        target: Geometry | Identity,
        rank: int = 64,
        form: AlignmentForm = "low_rank",
        layers: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.identities = (source, target)
        self.source, self.target = _geometry(source), _geometry(target)
        self.layers = tuple(layers) if layers is not None else _spread(self.source.layers, self.target.layers)
        self._check_options(rank, form)
        s, t = self.source, self.target
        generator = torch.Generator().manual_seed(seed)
        same = s.width == t.width
        self.shift = _LowRank(
            2 * t.layers, s.width, t.width, min(rank, s.width, t.width), int(same), generator
        )
        same = same and s.head_size == t.head_size
        x, y = s.width * s.head_size, t.width * t.head_size  # floats of a layer's matrices
        self.kv: _LowRank | _Bilinear = (
            _LowRank(t.layers, x, y, min(rank, x, y), t.heads if same else 0, generator)
            if form == "low_rank"
            else _Bilinear(s, t, same)
        )

    def forward(self, states: StateTensors) -> StateTensors:
        """B streams of the source as B streams of the target; differentiable in states and parameters.

        Raises:
            StateError: states of another geometry than the source's.
        """
        self._require(states, self.source)
        shift, kv, tail = states
        t, batch = self.target, states.batch
        with torch.autocast(kv.device.type, enabled=False):
            matrices = self.kv(self._layers_of(kv).flatten(2))
            shifts = self.shift(self._layers_of(shift).flatten(0, 1))
        if bool(t.ngram_buckets) != bool(tail.shape[1]):
            tail = tail.new_zeros(batch, NGRAM_TAIL if t.ngram_buckets else 0)
        return StateTensors(
            shifts.view(t.layers, 2, batch, t.width),
            matrices.view(t.layers, batch, t.heads, t.head_size, t.head_size),
            tail,
        )

    def align(self, state: State) -> State:
        """An immutable state of the source as one of the target, with the target's identity.

        Raises:
            StateError: the projection was made from geometries alone, or the state is not the source's.
        """
        source, target = self.identities
        if not (isinstance(source, Identity) and isinstance(target, Identity)):
            raise StateError(
                "expected a projection between two identities, found geometries: "
                "make it as AlignmentProjection(source=Identity, target=Identity)"
            )
        source.require(state.identity)
        with torch.no_grad():
            tensors = self(state.tensors)
        if source.tokenizer != target.tokenizer:  # the last tokens mean nothing to the target
            tensors = tensors._replace(tail=torch.zeros_like(tensors.tail))
        return State(tensors, target, state.tokens)

    @torch.no_grad()
    def fit(
        self, source_states: StateTensors, target_states: StateTensors, strength: float = 1e-2
    ) -> AlignmentProjection:
        """Start from ridge regression on B pairs: what both models made of the same pieces.

        Args:
            strength: of the ridge, relative to the mean square of the regressors.

        Returns:
            The projection itself.

        Raises:
            StateError: states of other geometries, of different numbers, or none.
        """
        self._require(source_states, self.source)
        self._require(target_states, self.target)
        if source_states.batch != target_states.batch or not source_states.batch:
            raise StateError(
                f"expected pairs of states, found {source_states.batch} of the source and "
                f"{target_states.batch} of the target: read the same pieces with both models"
            )
        self.kv.fit(self._layers_of(source_states.kv).flatten(2), target_states.kv.flatten(2), strength)
        shifts = self._layers_of(source_states.shift).flatten(0, 1)
        self.shift.fit(shifts, target_states.shift.flatten(0, 1), strength)
        return self

    def _layers_of(self, x: Tensor) -> Tensor:
        return x.index_select(0, torch.tensor(self.layers, device=x.device))

    def _check_options(self, rank: int, form: str) -> None:
        if form not in ("low_rank", "bilinear") or rank < 1:
            raise InputError(
                f"expected form low_rank or bilinear and a rank of at least 1, found {form!r} and {rank}: "
                "choose others"
            )
        known = range(self.source.layers)
        if len(self.layers) != self.target.layers or any(layer not in known for layer in self.layers):
            raise InputError(
                f"expected for each of {self.target.layers} target layers one of the source's "
                f"{self.source.layers}, found {self.layers}: give that many numbers from 0"
            )

    def _require(self, states: StateTensors, g: Geometry) -> None:
        expected = (g.layers, states.batch, g.heads, g.head_size, g.head_size)
        shifts = (g.layers, 2, states.batch, g.width)
        if tuple(states.kv.shape) != expected or tuple(states.shift.shape) != shifts:
            raise StateError(
                f"expected states of L{g.layers}·D{g.width}·N{g.head_size}, found matrices "
                f"{tuple(states.kv.shape)} and shifts {tuple(states.shift.shape)}: "
                "make an AlignmentProjection from the geometry that made them"
            )


class _LowRank(nn.Module):
    """G maps X → rank → Y, with the input itself added where `gains` > 0, one gain for each part of it."""

    def __init__(
        self, groups: int, x: int, y: int, rank: int, gains: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(groups, x, rank, generator=generator) / x**0.5)
        self.up = nn.Parameter(torch.zeros(groups, rank, y))
        self.gain = nn.Parameter(torch.ones(groups, gains))

    def forward(self, x: Tensor) -> Tensor:
        """(G, B, X) → (G, B, Y)."""
        low = torch.bmm(torch.bmm(x, self.down.to(x.dtype)), self.up.to(x.dtype))
        return low + self._kept(x) if self.gain.shape[1] else low

    def _kept(self, x: Tensor) -> Tensor:
        return (self._parts(x) * self.gain[:, None, :, None].to(x.dtype)).flatten(2)

    def _parts(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.gain.shape[1], -1)

    def fit(self, x: Tensor, y: Tensor, strength: float) -> None:
        """The gains first, then what they leave, each by ridge regression."""
        if self.gain.shape[1]:
            a, b = self._parts(x), self._parts(y)
            square = a.square().sum((1, 3)) * (1 + strength)
            self.gain.copy_((a * b).sum((1, 3)) / square.clamp(min=1e-12))
            y = y - self._kept(x)
        for group in range(len(self.down)):
            down, up = reduced_rank(x[group], y[group], self.down.shape[2], strength)
            used = down.shape[1]  # the rest stays as it began, free to be trained
            self.down[group, :, :used], self.up[group, :used] = down, up
            self.up[group, used:] = 0


class _Bilinear(nn.Module):
    """For every target layer and head: A·(Σ_h mix·S_h)·B."""

    def __init__(self, source: Geometry, target: Geometry, same: bool) -> None:
        super().__init__()
        s, t = source, target
        eye = torch.eye(t.head_size, s.head_size)
        self.left = nn.Parameter(eye.expand(t.layers, t.heads, -1, -1).clone())
        self.right = nn.Parameter(eye.T.expand(t.layers, t.heads, -1, -1).clone())
        mix = torch.eye(t.heads) if same else torch.zeros(t.heads, s.heads)
        self.mix = nn.Parameter(mix.expand(t.layers, -1, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """(L', B, H·K·V) → (L', B, H'·K'·V')."""
        left, right, mix = (p.to(x.dtype) for p in (self.left, self.right, self.mix))
        mixed = torch.einsum("lgh,lbhkv->lbgkv", mix, self._heads(x))
        return (left.unsqueeze(1) @ mixed @ right.unsqueeze(1)).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        size = self.left.shape[3]
        return x.view(*x.shape[:2], -1, size, size)

    def fit(self, x: Tensor, y: Tensor, strength: float) -> None:
        """Mix, A and B in turn, each by ridge regression with the others held."""
        sources = self._heads(x)  # (L', B, H, K, V)
        targets = y.view(*y.shape[:2], self.left.shape[1], self.left.shape[2], -1)
        for layer in range(len(sources)):
            for head in range(targets.shape[2]):
                self._fit_head(sources[layer], targets[layer, :, head], (layer, head), strength)

    def _fit_head(self, s: Tensor, y: Tensor, at: tuple[int, int], strength: float) -> None:
        """One target head: s (B, H, K, V), y (B, K', V')."""
        for _ in range(_ROUNDS):
            turned = self.left[at] @ s @ self.right[at]  # (B, H, K', V')
            features = turned.movedim(1, -1).flatten(0, 2)
            self.mix[at] = ridge(features, y.reshape(-1, 1), strength)[:, 0]
            mixed = torch.einsum("h,bhkv->bkv", self.mix[at], s)
            after = (mixed @ self.right[at]).transpose(1, 2)  # (B, V', K)
            self.left[at] = ridge(after.flatten(0, 1), y.transpose(1, 2).flatten(0, 1), strength).T
            before = self.left[at] @ mixed  # (B, K', V)
            self.right[at] = ridge(before.flatten(0, 1), y.flatten(0, 1), strength)


def _geometry(of: Geometry | Identity) -> Geometry:
    return of.geometry if isinstance(of, Identity) else of


def _spread(source: int, target: int) -> tuple[int, ...]:
    """First to first, last to last, the others evenly between."""
    return tuple(round(i * (source - 1) / max(1, target - 1)) for i in range(target))
