"""Which other columns help to read a column: maximal marginal relevance over character profiles.

MMR (Carbonell and Goldstein, 1998): take the candidate with the best λ·relevance - (1-λ)·redundancy,
again and again. Here the closest columns are often the least informative (a second price beside a price),
so λ is small: variety counts for more than likeness.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ContextConfig", "context_members"]

_PROFILE = 256  # hashed bigram counts a column


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """How context columns are chosen.

    Attributes:
        columns: most context columns for one target.
        balance: λ of MMR: 1 takes the most similar columns, 0 the most varied.
        candidates: in wider tables only this many evenly spaced columns are considered.
    """

    columns: int = 8
    balance: float = 0.3
    candidates: int = 64


def context_members(pieces: Sequence[bytes], config: ContextConfig) -> NDArray[np.bool_]:
    """Which columns serve as context for which: (C, C) bool, row = target, never itself.

    `pieces` are the serialized columns of one table. Narrow tables use every other column. Deterministic;
    ties go to the column nearer the front.
    """
    count = len(pieces)
    members = np.zeros((count, count), dtype=np.bool_)
    if count <= config.columns + 1:
        members[:] = True
        np.fill_diagonal(members, False)
        return members
    candidates = np.unique(np.linspace(0, count - 1, min(count, config.candidates)).round().astype(np.int64))
    profiles = np.stack([_profile(piece) for piece in pieces])
    likeness = profiles @ profiles[candidates].T  # (C, candidates)
    for target in range(count):
        members[target, candidates[_mmr(target, candidates, likeness, config)]] = True
    return members


def _mmr(
    target: int, candidates: NDArray[np.int64], likeness: NDArray[np.float32], config: ContextConfig
) -> list[int]:
    """Positions in `candidates` of the chosen columns."""
    open_ = candidates != target
    redundancy = np.zeros(len(candidates), dtype=np.float32)
    chosen: list[int] = []
    while len(chosen) < config.columns and open_.any():
        gain = config.balance * likeness[target] - (1 - config.balance) * redundancy
        best = int(np.argmax(np.where(open_, gain, -np.inf)))
        chosen.append(best)
        open_[best] = False
        redundancy = np.maximum(redundancy, likeness[candidates[best]])
    return chosen


def _profile(piece: bytes) -> NDArray[np.float32]:
    """Normalised counts of hashed byte bigrams: what kind of text this is."""
    codes = np.frombuffer(piece, dtype=np.uint8).astype(np.int64)
    if len(codes) < 2:
        codes = np.frombuffer(zlib.crc32(piece).to_bytes(4, "big"), dtype=np.uint8).astype(np.int64)
    profile = np.bincount((codes[:-1] * 31 + codes[1:]) % _PROFILE, minlength=_PROFILE).astype(np.float32)
    return profile / np.float32(max(1e-9, float(np.linalg.norm(profile))))
