"""The geometry of an RWKV-7 model: every dimension, read from the shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Geometry"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Dimensions of an RWKV-7 ("x070") model.

    The low ranks differ between published releases, so they are part of the geometry.

    Attributes:
        layers: L.
        width: D.
        head_size: N = K = V, the side of one head's matrix state.
        vocab: number of tokens.
        ffn: hidden width of the channel mix (4·D in the published releases).
        decay_rank, rate_rank, value_rank, gate_rank: ranks of w, a, v and g.
        ngram_buckets, ngram_width: size of the hashed n-gram memory added to the input
            (0 when the model has none; the published releases have none).
    """

    layers: int
    width: int
    head_size: int
    vocab: int
    ffn: int
    decay_rank: int
    rate_rank: int
    value_rank: int
    gate_rank: int
    ngram_buckets: int = 0
    ngram_width: int = 0

    @property
    def heads(self) -> int:
        """H = D / N."""
        return self.width // self.head_size

    @property
    def state_floats(self) -> int:
        """Number of floats in one stream's state: two shift vectors and H matrices a layer."""
        return self.layers * (2 * self.width + self.width * self.head_size)

    @classmethod
    def small(cls, layers: int, width: int, *, head_size: int = 32, vocab: int = 256) -> Geometry:
        """A geometry with the usual proportions: ffn 4·D, ranks that grow with the root of D."""
        rank = max(16, int(1.8 * width**0.5 / 16) * 16)
        return cls(layers, width, head_size, vocab, 4 * width, rank, rank, rank, rank)

    def to_json(self) -> dict[str, Any]:
        """Plain integers by field name."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Geometry:
        """Inverse of `to_json`."""
        return cls(**{key: int(value) for key, value in data.items()})
