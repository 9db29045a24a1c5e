"""RWKV-7 ("x070") in plain PyTorch, batched, parameters under their official names.

Paper: RWKV-7 "Goose" (arXiv:2503.14456). What is ours: streams of ragged length in one batch, a chunked
prefill that is differentiable also in the initial state, decoding in place in a pool, and an optional
n-gram memory at the input (`ngram.*`, absent from published checkpoints). On a processor and without
gradients all layers run in one compiled call (`aegir_dspy.rwkv.kernels`) where there are kernels: from a
packed copy of the weights, and with the same bits whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aegir_dspy.rwkv import cuda
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.kernels.inference import can_multiply, can_read
from aegir_dspy.rwkv.kernels.network import Network
from aegir_dspy.rwkv.ngram import NgramMemory
from aegir_dspy.rwkv.recurrence import wkv_prefill, wkv_step, wkv_transition
from aegir_dspy.rwkv.scores import Scores, scores_of
from aegir_dspy.rwkv.state import NGRAM_TAIL, StateTensors, zero_tensors

__all__ = ["RWKV7"]

_DECAY = -0.606531  # -exp(-0.5): the slowest log decay is _DECAY · sigmoid(·)
_HEAD_NORM_EPS = 64e-5  # fixed in the reference, whatever the head size


class TimeMix(nn.Module):
    """The WKV-7 attention of one layer."""

    x_r: nn.Parameter
    x_w: nn.Parameter
    x_k: nn.Parameter
    x_v: nn.Parameter
    x_a: nn.Parameter
    x_g: nn.Parameter
    w0: nn.Parameter
    w1: nn.Parameter
    w2: nn.Parameter
    a0: nn.Parameter
    a1: nn.Parameter
    a2: nn.Parameter
    v0: nn.Parameter
    v1: nn.Parameter
    v2: nn.Parameter

    def __init__(self, geometry: Geometry, layer: int) -> None:
        super().__init__()
        g, width = geometry, geometry.width
        self.geometry, self.layer = geometry, layer
        for name in "rwkvag":
            self.register_parameter(f"x_{name}", _empty(1, 1, width))
        ranks = {"w": g.decay_rank, "a": g.rate_rank, "v": g.value_rank}
        for name, rank in ranks.items():
            if name == "v" and layer == 0:
                continue  # the first layer's value is the one later layers mix in
            self.register_parameter(f"{name}0", _empty(1, 1, width))
            self.register_parameter(f"{name}1", _empty(width, rank))
            self.register_parameter(f"{name}2", _empty(rank, width))
        self.g1, self.g2 = _empty(width, g.gate_rank), _empty(g.gate_rank, width)
        self.k_k, self.k_a = _empty(1, 1, width), _empty(1, 1, width)
        self.r_k = _empty(g.heads, g.head_size)
        self.receptance = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.ln_x = nn.GroupNorm(g.heads, width, eps=_HEAD_NORM_EPS)

    def project(self, x: Tensor, past: Tensor, v_first: Tensor | None) -> tuple[list[Tensor], Tensor, Tensor]:
        """What the recurrence reads: `x` and the token before it, `past`, both (B, T, D).

        Returns [r, log_w, k, v, a, b] each (B, T, H, N) in at least float32, the gate (B, T, D) and v_first.
        """
        delta = past - x
        xr, xw, xk, xv, xa, xg = (
            torch.addcmul(x, delta, mix.to(x.dtype))
            for mix in (self.x_r, self.x_w, self.x_k, self.x_v, self.x_a, self.x_g)
        )
        r, k, v = self.receptance(xr), self.key(xk), self.value(xv)
        log_w = _DECAY * torch.sigmoid(self.w0 + _wide(torch.tanh(xw @ self.w1) @ self.w2))
        rate = torch.sigmoid(self.a0.to(x.dtype) + (xa @ self.a1) @ self.a2)
        gate = torch.sigmoid(xg @ self.g1) @ self.g2
        if v_first is None:
            v_first = v
        else:
            v = torch.addcmul(v, v_first - v, torch.sigmoid(self.v0.to(x.dtype) + (xv @ self.v1) @ self.v2))
        heads = (*x.shape[:-1], self.geometry.heads, self.geometry.head_size)
        erase = F.normalize(_wide(k * self.k_k.to(k.dtype)).view(heads), dim=-1)
        k = k * (1 + (rate - 1) * self.k_a.to(k.dtype))
        parts = [_wide(t).view(heads) for t in (r, log_w, k, v, rate)]
        return [*parts[:4], -erase, erase * parts[4]], gate, v_first

    def finish(self, y: Tensor, parts: list[Tensor], gate: Tensor) -> Tensor:
        """Normalise the heads, add the current token's bonus, gate, project: (B, T, D)."""
        r, k, v = parts[0], parts[2], parts[3]
        bonus = (r * k * self.r_k).sum(-1, keepdim=True) * v
        flat = self.ln_x(y.flatten(0, 1).flatten(1).to(self.ln_x.weight.dtype)).view(gate.shape)
        gated = (flat + bonus.flatten(-2).to(flat.dtype)) * gate
        return cast(Tensor, self.output(gated.to(gate.dtype)))


class ChannelMix(nn.Module):
    """The squared-ReLU feed-forward of one layer, mixed with the token before."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.x_k = _empty(1, 1, geometry.width)
        self.key = nn.Linear(geometry.width, geometry.ffn, bias=False)
        self.value = nn.Linear(geometry.ffn, geometry.width, bias=False)

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """`x` and the token before it, both (B, T, D) → (B, T, D)."""
        mixed = torch.addcmul(x, past - x, self.x_k.to(x.dtype))
        return cast(Tensor, self.value(torch.relu(self.key(mixed)).square()))


class Block(nn.Module):
    """One layer: norms, time mix, channel mix."""

    def __init__(self, geometry: Geometry, layer: int) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(geometry.width)
        self.ln1, self.ln2 = nn.LayerNorm(geometry.width), nn.LayerNorm(geometry.width)
        self.att, self.ffn = TimeMix(geometry, layer), ChannelMix(geometry)


class RWKV7(nn.Module):
    """The model: tokens in, hidden vectors and states out.

    Parameters are left uninitialised; `initialize` (training) or `load_state_dict` fills them.

    Attributes:
        packing: int8 to read from int8 weights where kernels do the reading: half of what a step of few
            streams has to fetch in bfloat16, which is what it takes its time for. None: the parameters' type.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry
        # Given weights: default ones would be drawn first, which loads a compiler on the meta device.
        blank = torch.empty(geometry.vocab, geometry.width)
        self.emb = nn.Embedding(geometry.vocab, geometry.width, _weight=blank)
        self.blocks = nn.ModuleList(Block(geometry, layer) for layer in range(geometry.layers))
        self.ln_out = nn.LayerNorm(geometry.width)
        self.head = nn.Linear(geometry.width, geometry.vocab, bias=False)
        if geometry.ngram_buckets:
            self.ngram = NgramMemory(geometry.ngram_buckets, geometry.ngram_width, geometry.width)
        self.packing: torch.dtype | None = None
        self._network: Network | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.emb.weight.device

    def layers(self) -> Iterator[Block]:
        """The layers, bottom first."""
        return cast(Iterator[Block], iter(self.blocks))

    def forward(
        self,
        tokens: Tensor,
        state: StateTensors | None = None,
        lengths: Tensor | None = None,
        transitions: list[Tensor] | None = None,
    ) -> tuple[Tensor, StateTensors]:
        """Read T tokens in every stream, in parallel over the stream.

        Args:
            tokens: (B, T) int64, padded at the end with anything.
            state: where each stream starts; None for the zero state. Not changed. Differentiable.
            lengths: (B,) how many of the T tokens are real, 0 included; None when all are.
            transitions: a list to which each layer appends its `wkv_transition` (B, H, K, K); None: no cost.

        Returns:
            The normalised hidden vectors (B, T, D), meaningless beyond a stream's length, and the
            state after each stream's last real token. `logits(hidden)` is about the next token.
        """
        batch, length = tokens.shape
        state = state or zero_tensors(self.geometry, batch, tokens.device, _wide(self.ln_out.weight).dtype)
        lengths = torch.full((batch,), length, device=tokens.device) if lengths is None else lengths
        if can_read(self, state):
            return self._read(tokens, state, lengths, transitions)
        if cuda.can_read(self, state):
            return self._read_on_gpu(tokens, state, lengths, transitions)
        mask = None
        if bool((lengths < length).any()):
            mask = torch.arange(length, device=tokens.device) < lengths.unsqueeze(1)  # (B, T)
        x = self._embed(tokens, state.tail)
        dtype = self._compute_dtype()
        shifts, matrices, v_first = [], [], None
        for layer, block in enumerate(self.layers()):
            h = block.ln1(x).to(dtype)
            past, past2 = state.shift[layer]
            parts, gate, v_first = block.att.project(h, _previous(h, past), v_first)
            if mask is not None:
                neutral = mask[..., None, None]
                parts = [p * neutral if i in (1, 2, 5) else p for i, p in enumerate(parts)]
            r, log_w, k, v, a, b = parts
            y, matrix = wkv_prefill(r, log_w, k, v, a, b, state.kv[layer])
            if transitions is not None:
                transitions.append(wkv_transition(log_w, a, b))
            x = x + block.att.finish(y, parts, gate)
            h2 = block.ln2(x).to(dtype)
            x = x + block.ffn(h2, _previous(h2, past2))
            shifts.append(torch.stack([_last(h, past, lengths), _last(h2, past2, lengths)]))
            matrices.append(matrix)
        tail = _new_tail(state.tail, tokens, lengths)
        return self.ln_out(x), StateTensors(torch.stack(shifts), torch.stack(matrices), tail)

    def step(self, tokens: Tensor, state: StateTensors) -> Tensor:
        """Read one token in every stream, updating `state` in place. Inference only.

        Args:
            tokens: (B,) int64.
            state: B streams; its tensors are overwritten.

        Returns:
            Normalised hidden vectors (B, D).
        """
        if can_read(self, state):
            hidden = self.packed().read(tokens, self._recalled(tokens.unsqueeze(1), state.tail), None, state)
            _shift_tail(state.tail, tokens)
            return hidden
        x = self._embed(tokens.unsqueeze(1), state.tail)
        if cuda.can_read(self, state):
            hidden = cuda.read_layers(self, x.squeeze(1), None, state)
            _shift_tail(state.tail, tokens)
            return hidden
        v_first, dtype = None, self._compute_dtype()
        for layer, block in enumerate(self.layers()):
            h = block.ln1(x).to(dtype)
            past = state.shift[layer, 0].unsqueeze(1).to(h.dtype)
            parts, gate, v_first = block.att.project(h, past, v_first)
            r, log_w, k, v, a, b = (part.squeeze(1) for part in parts)
            y = wkv_step(r, log_w, k, v, a, b, state.kv[layer])
            x = x + block.att.finish(y.unsqueeze(1), parts, gate)
            h2 = block.ln2(x).to(dtype)
            x = x + block.ffn(h2, state.shift[layer, 1].unsqueeze(1).to(h2.dtype))
            state.shift[layer, 0] = h.squeeze(1)
            state.shift[layer, 1] = h2.squeeze(1)
        _shift_tail(state.tail, tokens)
        return cast(Tensor, self.ln_out(x).squeeze(1))

    def packed(self, head: bool = False) -> Network:
        """The weights as the kernels read them; packed at the first call, and again when they have changed.

        What changes them without a trace, such as writing to a parameter's `data`, is not seen. With `head`
        only changes of the output matrix are looked for.
        """
        found = self._network
        if found is None or not (found.head_is_current if head else found.is_current):
            self._network = found = Network(self, self.packing or self.emb.weight.dtype)
        return found

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """See `torch.nn.Module.load_state_dict`."""
        self._network = None
        return super().load_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._network = None  # parameters move
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits in at least float32: (..., D) → (..., V)."""
        if can_multiply(self, hidden):
            rows = self.packed(head=True).logits(hidden.reshape(-1, hidden.shape[-1]))
            return rows.view(*hidden.shape[:-1], rows.shape[-1])
        return _wide(self.head(hidden.to(self.head.weight.dtype)))

    def scores(self, hidden: Tensor, choices: int, room: Tensor | None = None) -> Scores:
        """Logits of hidden vectors (B, D), and the best among the first `choices` tokens.

        The logits lie in `room`, where one is given and the kernels can use it: see `Network.scores`.
        """
        if can_multiply(self, hidden):
            return self.packed(head=True).scores(hidden, choices, room)
        return scores_of(self.logits(hidden), choices)

    def _read(
        self, tokens: Tensor, state: StateTensors, lengths: Tensor, transitions: list[Tensor] | None
    ) -> tuple[Tensor, StateTensors]:
        """`forward` by the compiled kernels, which see the real tokens only."""
        batch, length = tokens.shape
        real = torch.arange(length) < lengths.unsqueeze(1)  # (B, T)
        offsets = F.pad(lengths.to(torch.int64).cumsum(0), (1, 0))
        shift, kv = (t.clone(memory_format=torch.contiguous_format) for t in state[:2])
        after = StateTensors(shift, kv, _new_tail(state.tail, tokens, lengths))
        recalled = self._recalled(tokens, state.tail, real)
        maps = None
        if transitions is not None:
            size = self.geometry.head_size
            maps = torch.eye(size).expand(*kv.shape[:3], size, size).contiguous()
            transitions.extend(maps)
        rows = self.packed().read(tokens[real], recalled, offsets, after, maps)
        if len(rows) == batch * length:
            return rows.view(batch, length, self.geometry.width), after
        hidden = rows.new_zeros(batch, length, rows.shape[-1])
        hidden[real] = rows
        return hidden, after

    def _recalled(self, tokens: Tensor, tail: Tensor, real: Tensor | None = None) -> Tensor | None:
        """What the n-gram memory holds for all, or the `real` tokens: (M, width); None: there is none."""
        return self.ngram.recall(tokens, tail, real) if self.geometry.ngram_buckets else None

    def _read_on_gpu(
        self, tokens: Tensor, state: StateTensors, lengths: Tensor, transitions: list[Tensor] | None
    ) -> tuple[Tensor, StateTensors]:
        """`forward` by the Triton kernels, which see the real tokens only."""
        real = torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)  # (B, T)
        offsets = F.pad(lengths.to(torch.int64).cumsum(0), (1, 0))
        shift, kv = (t.clone(memory_format=torch.contiguous_format) for t in state[:2])
        after = StateTensors(shift, kv, _new_tail(state.tail, tokens, lengths))
        rows = cuda.read_layers(self, self._embed(tokens, state.tail, real), offsets, after, transitions)
        hidden = rows.new_zeros(*tokens.shape, rows.shape[-1])
        hidden[real] = rows
        return hidden, after

    def _embed(self, tokens: Tensor, tail: Tensor, real: Tensor | None = None) -> Tensor:
        """What the first layer reads: (B, T, D), or (M, D) of the tokens that are `real` (B, T) bool.

        The residual stream stays in the norms' type, float32 also when the matrices are bfloat16.
        """
        x = self.emb(tokens if real is None else tokens[real]).to(self.ln_out.weight.dtype)
        if self.geometry.ngram_buckets:
            x = x + self.ngram(tokens, tail, real)
        return cast(Tensor, next(self.layers()).ln0(x))

    def _compute_dtype(self) -> torch.dtype:
        """What matrix products run in: autocast's type where that is on, otherwise the weights' own."""
        device = self.device.type
        autocast = torch.is_autocast_enabled(device)
        return torch.get_autocast_dtype(device) if autocast else self.emb.weight.dtype


def _wide(x: Tensor) -> Tensor:
    """At least float32: what the recurrence and its inputs are kept in."""
    return x if x.dtype == torch.float64 else x.float()


def _empty(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


def _previous(x: Tensor, first: Tensor) -> Tensor:
    """The token before each one: `first` (B, D) before the first of `x` (B, T, D)."""
    return torch.cat([first.unsqueeze(1).to(x.dtype), x[:, :-1]], 1)


def _last(x: Tensor, before: Tensor, lengths: Tensor) -> Tensor:
    """The last real one of `x` (B, T, D), or `before` (B, D) where a stream has none: (B, D)."""
    last = _wide(x[torch.arange(x.shape[0], device=x.device), (lengths - 1).clamp(min=0)])
    return torch.where((lengths > 0).unsqueeze(1), last, before.to(last.dtype))


def _shift_tail(tail: Tensor, tokens: Tensor) -> None:
    if tail.shape[1]:
        tail[:] = torch.cat([tail[:, 1:], tokens.unsqueeze(1)], 1)


def _new_tail(tail: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    if not tail.shape[1]:
        return tail
    stream = torch.cat([tail, tokens], 1)
    index = lengths.unsqueeze(1) + torch.arange(NGRAM_TAIL, device=tokens.device)
    return stream.gather(1, index)
