"""What may come next in a constrained stream: the protocol of a constraint, and a trie of allowed texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.errors import ConstraintError
from aegir_dspy.rwkv.tokenizer import Tokenizer

__all__ = ["ChoiceConstraint", "Constraint", "Mask", "TokenTrie", "choice_trie", "mask_words", "withhold"]

_FAR = 1e30  # beyond every score
_IN_CACHE = 1 << 16  # scores
Mask = NDArray[np.uint32]  # (W,): bit t % 32 of word t // 32 says whether token t is allowed


def mask_words(vocab: int) -> int:
    """W: the words of a mask for so many tokens."""
    return (vocab + 31) // 32


def withhold(scores: Tensor, masks: Mask) -> None:
    """Take 1e30 from the scores (B, V) of every token that `masks` (B, W) does not allow, in place.

    On a processor a few rows at a time, which stay in its cache with what is added to them.
    """
    octets = masks.view(np.uint8)  # (B, 4 W)
    if scores.device.type != "cpu":
        return _withhold(scores, octets)
    rows, added = scores.numpy(), _added()
    width = min(scores.shape[1], 8 * octets.shape[1])
    at_once = max(1, _IN_CACHE // (8 * octets.shape[1]))
    room = np.empty((min(at_once, len(rows)), octets.shape[1], 8), np.float32)
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once, :width]
        np.take(added, octets[first : first + at_once], axis=0, out=room[: len(some)], mode="clip")
        some += room[: len(some)].reshape(len(some), -1)[:, :width]


def _withhold(scores: Tensor, octets: NDArray[np.uint8]) -> None:
    """The same for any device, which gets the masks as they are, eight tokens in an octet."""
    packed = torch.from_numpy(octets).to(scores.device)
    bits = packed.unsqueeze(2) >> torch.arange(8, dtype=torch.uint8, device=scores.device) & 1
    lacking = bits.flatten(1)[:, : scores.shape[1]] == 0
    scores[:, : lacking.shape[1]].masked_fill_(lacking, -_FAR)


@cache
def _added() -> NDArray[np.float32]:
    """(256, 8): what is added to the scores of eight tokens for each octet of a mask."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return np.where(bits, 0, -_FAR).astype(np.float32)


class Constraint(Protocol):
    """Follows one stream and says which tokens its text can go on with.

    Attributes:
        finished: the text is complete, nothing may follow.
        shortened: the text was ended before the model would have.
    """

    finished: bool
    shortened: bool

    def allow(self, mask: Mask, closing: bool = False) -> None:
        """Write the allowed tokens into `mask`.

        `closing` asks for those that bring the end nearer, because there is no more room.

        Raises:
            ConstraintError: nothing can be said any more.
        """
        ...

    def accept(self, token: int) -> bytes:
        """Go on with a token; the text that has become certain with it, if any.

        Raises:
            ConstraintError: the token is not allowed, so none was.
        """
        ...


class TokenTrie:
    """A node of the trie.

    Attributes:
        children: the next token → the node after it, in the order of insertion.
        ends: positions of the sequences that are complete here.
    """

    __slots__ = ("children", "ends")

    def __init__(self, sequences: Sequence[Sequence[int]] = ()) -> None:
        self.children: dict[int, TokenTrie] = {}
        self.ends: list[int] = []
        for position, tokens in enumerate(sequences):
            self._node(tokens).ends.append(position)

    def _node(self, tokens: Sequence[int]) -> TokenTrie:
        node = self
        for token in tokens:
            node = node.children.setdefault(token, TokenTrie())
        return node


def choice_trie(tokenizer: Tokenizer, choices: Sequence[str], end: Sequence[int]) -> TokenTrie:
    """The trie of `choices`, each followed by the tokens of `end`.

    The end is what decides between a text and a longer one that starts with it.

    Raises:
        ConstraintError: there are no choices, or one of them contains the end.
    """
    if not choices:
        raise ConstraintError("expected at least one choice, found none: no output is allowed")
    closing = b"".join(tokenizer.token_bytes(token) for token in end)
    for choice in choices:
        if closing and closing in choice.encode("utf-8", "replace"):
            raise ConstraintError(
                f"expected choices without the end {closing!r}, found {choice!r}: use another stop"
            )
    return TokenTrie([[*tokenizer.encode(choice), *end] for choice in choices])


class ChoiceConstraint:
    """One of a list of texts, which is shown when it is complete. See `Constraint`."""

    def __init__(self, trie: TokenTrie, choices: Sequence[str]) -> None:
        self.node, self.choices = trie, choices
        self.finished = self.shortened = False

    def allow(self, mask: Mask, closing: bool = False) -> None:
        """The children of where the stream stands; a choice is completed whatever room there is."""
        mask[:] = 0
        tokens = np.fromiter(self.node.children, np.int64, len(self.node.children))
        np.bitwise_or.at(mask, tokens >> 5, np.left_shift(np.uint32(1), (tokens & 31).astype(np.uint32)))

    def accept(self, token: int) -> bytes:
        """The choice, once it is complete."""
        if token not in self.node.children:
            raise ConstraintError(f"expected one of {sorted(self.node.children)} next, found {token}")
        self.node = self.node.children[token]
        if not self.node.ends:
            return b""
        self.finished = True
        return self.choices[self.node.ends[0]].encode("utf-8", "replace")
