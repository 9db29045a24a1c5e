"""A frozen model that reads pieces of bytes in batches and hands out what it made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.state import Identity, StateTensors

__all__ = ["FrozenSpecialist", "Reading", "read_pieces", "span_features"]


class Reading(NamedTuple):
    """What N pieces became.

    features: (N, 2·D) float32, see `span_features`.
    states: N streams, the state after each piece.
    """

    features: Tensor
    states: StateTensors


def span_features(hidden: Tensor, stream: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """What the model made of C spans: the mean over each span and the vector at its last position.

    Args:
        hidden: (B, T, D) hidden vectors of B streams.
        stream: (C,) which stream each span is in.
        start, end: (C,) the span [start, end); for a column the last position is the delimiter.

    Returns:
        (C, 2·D) float32.
    """
    hidden = hidden.float()
    total = torch.nn.functional.pad(hidden.cumsum(1), (0, 0, 1, 0))  # (B, T + 1, D)
    mean = (total[stream, end] - total[stream, start]) / (end - start).unsqueeze(1)
    return torch.cat([mean, hidden[stream, end - 1]], 1)


def read_pieces(
    model: RWKV7, pieces: Sequence[bytes], start: StateTensors | None, batch_tokens: int
) -> Reading:
    """Read every piece from the zero state, or from its own stream of `start`. Differentiable.

    Pieces are grouped by length, so that little is padded; the result is in the order given and does not
    depend on the grouping.
    """
    features: list[Tensor] = []
    states: list[StateTensors] = []
    order: list[int] = []
    for group in _length_groups(pieces, batch_tokens):
        tokens, lengths = _padded([pieces[i] for i in group], model.device)
        initial = start.select(group) if start is not None else None
        hidden, after = model(tokens, initial, lengths)
        rows = torch.arange(len(group), device=model.device)
        features.append(span_features(hidden, rows, torch.zeros_like(rows), lengths))
        states.append(after)
        order += group
    back = torch.empty(len(order), dtype=torch.int64)
    back[torch.tensor(order)] = torch.arange(len(order))
    joined = StateTensors(
        torch.cat([s.shift for s in states], 2),
        torch.cat([s.kv for s in states], 1),
        torch.cat([s.tail for s in states], 0),
    )
    return Reading(torch.cat(features)[back.to(model.device)], joined.select(back))


class FrozenSpecialist:
    """Reads many pieces at once with frozen weights.

    Args:
        model: the weights.
        identity: whose states these are.
        batch_tokens: padded tokens read at once; bounds memory.
    """

    def __init__(self, model: RWKV7, identity: Identity, batch_tokens: int = 16_384) -> None:
        self.model = model.requires_grad_(False).eval()
        self.identity = identity
        self.batch_tokens = batch_tokens

    @torch.inference_mode()
    def read(self, pieces: Sequence[bytes], start: StateTensors | None = None) -> Reading:
        """`read_pieces` without gradients."""
        return read_pieces(self.model, pieces, start, self.batch_tokens)


def _padded(pieces: Sequence[bytes], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (B, T) padded with zeros, and lengths (B,)."""
    lengths = torch.tensor([len(piece) for piece in pieces])
    tokens = torch.zeros(len(pieces), int(lengths.max()), dtype=torch.int64)
    for row, piece in enumerate(pieces):
        tokens[row, : len(piece)] = torch.frombuffer(bytearray(piece), dtype=torch.uint8)
    return tokens.to(device), lengths.to(device)


def _length_groups(pieces: Sequence[bytes], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of pieces of similar length, at most `batch_tokens` padded tokens a group."""
    group: list[int] = []
    for i in sorted(range(len(pieces)), key=lambda i: len(pieces[i])):
        if group and (len(group) + 1) * len(pieces[i]) > batch_tokens:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
