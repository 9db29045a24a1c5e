"""A set of allowed texts as a trie over tokens: what may come next, and where a text is complete."""

from __future__ import annotations

from collections.abc import Sequence

from aegir_dspy.errors import ConstraintError
from aegir_dspy.rwkv.tokenizer import Tokenizer

__all__ = ["TokenTrie", "choice_trie"]


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
