"""The nearest way to the end of a constrained text, for when the room for it is used up.

JSON is closed mark by mark: a string ends, then its list, then its object. For a regular expression the
shortest way is searched among single bytes, breadth first; positions that allow the same bytes count as one,
so the search is cheap and may find nothing, and the text goes on by a token before the next search.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from aegir_dspy.rwkv.constraint import Mask, mask_words
from aegir_dspy.rwkv.tokenizer import tokenizer_named

if TYPE_CHECKING:
    from llguidance import LLMatcher

__all__ = ["JsonPlace", "single_bytes", "way_out"]

# What ends JSON soonest outside a string: the first of these groups that has an allowed byte. The last
# keeps to single bytes, which cannot open more than they have to.
_OUTSIDE = (b"}", b"]", b",", b"0123456789", b'"', b"tfn", b"-", b" ", b"[", b"{", bytes(range(0x20, 0x7F)))
_INSIDE = (b'"', bytes(range(0x20, 0x7F)))
_MOST_POSITIONS = 400  # that a search looks at: a few milliseconds


class JsonPlace:
    """Whether a JSON text stands inside a string."""

    def __init__(self) -> None:
        self.in_string = self._escaped = False
        self._ahead = bytearray()  # bytes that were not looked at: few texts have to be closed

    def follow(self, piece: bytes) -> None:
        """Go on by some bytes."""
        self._ahead += piece

    def nearest(self, tokenizer: str, mask: Mask) -> Mask:
        """Of the allowed tokens in `mask`, those that bring the end nearer; all when none is known to."""
        self._catch_up()
        for group in _INSIDE if self.in_string else _OUTSIDE:
            left: Mask = mask & _bits(tokenizer, group)
            if left.any():
                return left
        return mask

    def _catch_up(self) -> None:
        for byte in self._ahead:
            if self._escaped:
                self._escaped = False
            elif self.in_string and byte == 0x5C:
                self._escaped = True
            elif byte == 0x22:
                self.in_string = not self.in_string
        self._ahead.clear()


def way_out(matcher: LLMatcher, singles: tuple[int, ...], end: int, words: int) -> list[int]:
    """The tokens of a shortest way to where `end` is allowed, as far as the search sees; [] for none.

    Args:
        matcher: where the text stands; not changed.
        singles: the tokens to go by.
        end: the token that ends the text.
        words: of a mask.
    """
    seen: set[bytes] = set()
    front: list[tuple[LLMatcher, list[int]]] = [(matcher.deep_copy(), [])]
    looked = 0
    while front and looked < _MOST_POSITIONS:
        following: list[tuple[LLMatcher, list[int]]] = []
        for place, way in front:
            mask = np.zeros(words, np.uint32)
            place.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            if _has(mask, end):
                return way
            if mask.tobytes() in seen:
                continue
            seen.add(mask.tobytes())
            for token in singles:
                if _has(mask, token) and looked < _MOST_POSITIONS:
                    looked += 1
                    after = place.deep_copy()
                    after.consume_token(token)
                    following.append((after, [*way, token]))
        front = following
    return []


@cache
def single_bytes(tokenizer: str) -> tuple[int, ...]:
    """The tokens of one byte, printable ones first."""
    found = tokenizer_named(tokenizer)
    tokens = [token for token in range(min(found.vocab, 512)) if len(found.token_bytes(token)) == 1]
    return tuple(sorted(tokens, key=lambda token: not found.token_bytes(token).isalnum()))


@cache
def _bits(tokenizer: str, singles: bytes) -> Mask:
    """The mask of the tokens that are one of some ASCII bytes."""
    found = tokenizer_named(tokenizer)
    mask = np.zeros(mask_words(found.vocab), np.uint32)
    for byte in singles:
        [token] = found.encode(chr(byte))
        mask[token >> 5] |= np.uint32(1 << (token & 31))
    return mask


def _has(mask: Mask, token: int) -> bool:
    return bool(int(mask[token >> 5]) >> (token & 31) & 1)
