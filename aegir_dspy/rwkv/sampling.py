"""How the next token is chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aegir_dspy.errors import InputError

__all__ = ["GenerationConfig", "pick", "stream_generator"]


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """How one stream is continued.

    Attributes:
        max_tokens: most tokens of free text; choices are always completed.
        temperature: 0 takes the most probable token.
        top_p: sample from the smallest set of tokens with at least this probability together.
        seed: the same seed and prompt give the same text, whatever else is in the batch.
        stop: strings that end the text; they are read by the model and left out of the text.
        choices: the only texts allowed, or None for free text. A choice is followed by the first of `stop`,
            or else by the tokenizer's end, which is what tells it from a longer one.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"expected max_tokens of at least 1, found {self.max_tokens}")
        if self.temperature < 0:
            raise InputError(f"expected a temperature of at least 0, found {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"expected top_p in (0, 1], found {self.top_p}")
        if isinstance(self.stop, str) or not all(self.stop):
            raise InputError(f"expected stop as a tuple of non-empty strings, found {self.stop!r}")


def stream_generator(seed: int, tokens: Sequence[int], read_before: int) -> torch.Generator:
    """A random stream that depends on the seed and on what is continued, not on the batch around it."""
    content = f"{seed}|{read_before}|{','.join(map(str, tokens))}"
    digest = hashlib.sha256(content.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def pick(
    log_probs: Tensor,
    config: GenerationConfig,
    generator: torch.Generator,
    allowed: Sequence[int] | None = None,
) -> int:
    """A token from next-token log-probabilities (V,), among `allowed` when that is given.

    Tokens are drawn by inverting the distribution in the order of their numbers, so rounding differences
    between batch sizes cannot exchange two tokens of nearly equal probability.
    """
    scores = log_probs if allowed is None else log_probs[list(allowed)]
    if config.temperature == 0 or len(scores) == 1:
        index = int(scores.argmax())
    else:
        probabilities = torch.softmax(scores.double() / config.temperature, -1)
        heap = _nucleus(probabilities, config.top_p).cumsum(0)
        drawn = torch.rand((), generator=generator, dtype=torch.float64) * heap[-1]
        index = min(int(torch.searchsorted(heap, drawn, right=True)), len(scores) - 1)
    return index if allowed is None else allowed[index]


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The smallest set of tokens with at least `top_p` together; all others get 0."""
    if top_p >= 1:
        return probabilities
    ordered, order = probabilities.sort(descending=True, stable=True)
    needed = ordered.cumsum(0) - ordered < top_p
    return torch.zeros_like(probabilities).scatter(0, order, ordered * needed)
