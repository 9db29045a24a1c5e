"""How the next token is chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aegir_dspy.errors import InputError
from aegir_dspy.rwkv.grammar import Grammar
from aegir_dspy.rwkv.scores import first_best

__all__ = ["GenerationConfig", "pick", "stream_generator"]


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """How one stream is continued.

    Attributes:
        max_tokens: most tokens of free text. Choices are always completed; a text with a grammar is brought
            to an end from then on, which takes a few tokens more.
        temperature: 0 takes the most probable token.
        top_p: sample from the smallest set of tokens with at least this probability together.
        seed: the same seed and prompt give the same text, whatever else is in the batch.
        stop: strings that end the text; they are read by the model and left out of the text.
        choices: the only texts allowed, or None for free text. A choice is followed by the first of `stop`,
            or else by the tokenizer's end, which is what tells it from a longer one.
        grammar: what the text has to be, or None. It is followed by the first of `stop` where that is one
            token, or else by the tokenizer's end; no other stop is looked for.
        top_logprobs: how many of the most probable tokens to report at every position.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    grammar: Grammar | None = None
    top_logprobs: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"expected max_tokens of at least 1, found {self.max_tokens}")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"expected a temperature of at least 0, found {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"expected top_p in (0, 1], found {self.top_p}")
        if isinstance(self.stop, str) or not all(self.stop):
            raise InputError(f"expected stop as a tuple of non-empty strings, found {self.stop!r}")
        if self.choices is not None and self.grammar is not None:
            raise InputError("expected choices or a grammar, found both: name the choices in the grammar")
        if self.top_logprobs < 0:
            raise InputError(f"expected top_logprobs of at least 0, found {self.top_logprobs}")


def stream_generator(seed: int, tokens: Sequence[int], read_before: int) -> torch.Generator:
    """A random stream that depends on the seed and on what is continued, not on the batch around it."""
    content = f"{seed}|{read_before}|{','.join(map(str, tokens))}"
    digest = hashlib.sha256(content.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def pick(scores: Tensor, temperature: Tensor, top_p: Tensor, drawn: Tensor) -> Tensor:
    """A token for every stream, among those that have a probability at all.

    Tokens are drawn by inverting the distribution in the order of their numbers, so rounding differences
    between batch sizes cannot exchange two tokens of nearly equal probability.

    Args:
        scores: (B, V) log-probabilities, or logits; -1e29 and below is no probability.
        temperature: (B,) float64; 0 takes the most probable token, the first of equals.
        top_p: (B,) float64 in (0, 1].
        drawn: (B,) float64 uniform in [0, 1), not looked at where the temperature is 0.

    Returns:
        (B,) int64.
    """
    tokens = first_best(scores)
    hot = temperature.nonzero().flatten()
    if len(hot):
        cooled = scores[hot].double() / temperature[hot].unsqueeze(1)
        tokens[hot] = _sampled(torch.softmax(cooled, -1), top_p[hot], drawn[hot])
    return tokens


def _sampled(probabilities: Tensor, top_p: Tensor, drawn: Tensor) -> Tensor:
    cut = (top_p < 1).nonzero().flatten()
    if len(cut):
        probabilities[cut] = _nucleus(probabilities[cut], top_p[cut].unsqueeze(1))
    heap = probabilities.cumsum(-1)
    total = heap[:, -1]
    below = torch.nextafter(total, torch.zeros_like(total))  # a token of probability 0 is never drawn
    height = torch.minimum(drawn * total, below)
    return torch.searchsorted(heap, height.unsqueeze(1), right=True).squeeze(1)


def _nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """The smallest set of tokens with at least `top_p` (B, 1) together; all others get 0."""
    ordered, order = probabilities.sort(descending=True, stable=True)
    needed = ordered.cumsum(-1) - ordered < top_p
    return torch.zeros_like(probabilities).scatter(-1, order, ordered * needed)
