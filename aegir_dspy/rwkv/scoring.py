"""Scoring many continuations from one state: a trie walked level by level, one batch a level.

Continuations that begin alike share the reading of what they have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aegir_dspy.rwkv.decoding import Backend
from aegir_dspy.rwkv.state import StateTensors

__all__ = ["ContinuationScorer"]


@dataclass(frozen=True)
class _Level:
    """Tokens read after the same number of tokens; parents are positions in the level before.

    Edges (parent, token) lead to nodes that are read on; leaves (parent, token, continuation) end.
    """

    parent: Tensor  # (n,)
    token: Tensor  # (n,)
    leaf_parent: Tensor  # (m,)
    leaf_token: Tensor  # (m,)
    leaf: Tensor  # (m,)


class ContinuationScorer:
    """Log-probabilities of a fixed list of continuations.

    Args:
        model: the language model.
        continuations: token ids of each; an empty one scores 0.
        batch: most states stepped at once; bounds memory.
    """

    def __init__(self, model: Backend, continuations: Sequence[Sequence[int]], batch: int = 2048) -> None:
        self.model = model
        self.count = len(continuations)
        self.levels = _levels([tuple(c) for c in continuations], model.device)
        self.columns = max(1, batch // max(1, self.count))

    @torch.no_grad()
    def score(self, states: StateTensors, hidden: Tensor) -> Tensor:
        """(C, continuations) float32 log-probabilities.

        Args:
            states: C streams.
            hidden: (C, D) normalised hidden vectors of each stream's last token.
        """
        parts = [torch.zeros(0, self.count, device=hidden.device)]
        for first in range(0, states.batch, self.columns):
            chosen = list(range(first, min(states.batch, first + self.columns)))
            parts.append(self._score(states.select(chosen), hidden[chosen]))
        return torch.cat(parts)

    def _score(self, states: StateTensors, hidden: Tensor) -> Tensor:
        streams, device = states.batch, hidden.device
        scores = torch.zeros(streams, self.count, device=device)
        so_far = torch.zeros(streams, 1, device=device)  # (C, nodes of the level)
        for level in self.levels:
            log_p = self.model.logits(hidden).float().log_softmax(-1).view(*so_far.shape, -1)
            ended = so_far[:, level.leaf_parent] + log_p[:, level.leaf_parent, level.leaf_token]
            scores[:, level.leaf] = ended
            if not len(level.token):
                break
            width = so_far.shape[1]
            so_far = so_far[:, level.parent] + log_p[:, level.parent, level.token]
            rows = (torch.arange(streams, device=device).unsqueeze(1) * width + level.parent).flatten()
            states = states.select(rows)
            hidden = self.model.step(level.token.repeat(streams), states)
        return scores


def _levels(continuations: Sequence[tuple[int, ...]], device: torch.device) -> list[_Level]:
    """The trie of the continuations, level by level; nodes of a level in order of first appearance."""
    levels: list[_Level] = []
    nodes: dict[tuple[int, ...], int] = {(): 0}
    depth = 0
    while nodes:
        inner: dict[tuple[int, ...], int] = {}
        leaves = []
        for number, tokens in enumerate(continuations):
            if len(tokens) <= depth:
                continue
            if len(tokens) == depth + 1:
                leaves.append((nodes[tokens[:depth]], tokens[depth], number))
            else:
                inner.setdefault(tokens[: depth + 1], len(inner))
        edges = [(nodes[prefix[:-1]], prefix[-1]) for prefix in inner]
        columns = [
            torch.tensor(values, dtype=torch.int64, device=device)
            for values in (
                [p for p, _ in edges],
                [t for _, t in edges],
                [p for p, _, _ in leaves],
                [t for _, t, _ in leaves],
                [n for _, _, n in leaves],
            )
        ]
        levels.append(_Level(*columns))
        nodes, depth = inner, depth + 1
    return levels
