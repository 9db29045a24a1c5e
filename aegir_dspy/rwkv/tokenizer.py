"""Tokenizers: bytes, and the World vocabulary of the published models (through the `rwkv` package)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from aegir_dspy.errors import InputError, PrerequisiteError

__all__ = ["ByteTokenizer", "Tokenizer", "WorldTokenizer", "tokenizer_named"]


class Tokenizer(Protocol):
    """Text to token ids and back.

    `decode` of `encode` gives the text back. Token 0 is never part of a text. Tokens from `vocab` on
    stand for nothing: a model may have rows for them, generation never picks them. `ends` are the tokens
    that end a generated text; the first of them is written after a choice.
    """

    @property
    def name(self) -> str:
        """What states call it."""
        ...

    @property
    def vocab(self) -> int:
        """Number of tokens."""
        ...

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids; incomplete characters become U+FFFD."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """The bytes one token stands for; none for a token that is no text."""
        ...


class ByteTokenizer:
    """One token a byte of UTF-8: 256 tokens."""

    name = "bytes"
    vocab = 256
    ends = (0x1C, 0)

    def encode(self, text: str) -> list[int]:
        """The bytes of the text."""
        return list(text.encode("utf-8", "replace"))

    def decode(self, tokens: Sequence[int]) -> str:
        """UTF-8 text of the bytes."""
        return bytes(tokens).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The byte itself."""
        return bytes([token]) if token < self.vocab else b""


class WorldTokenizer:
    """The 65,529-token vocabulary of the published RWKV "World" models."""

    name = "world"
    vocab = 65530
    ends = (0,)

    def __init__(self) -> None:
        try:
            module = import_module("rwkv.rwkv_tokenizer")
            package = import_module("importlib.resources").files("rwkv")
        except ImportError as error:
            raise PrerequisiteError("the World tokenizer needs the package rwkv: pip install rwkv") from error
        self._trie: Any = module.TRIE_TOKENIZER(str(package / "rwkv_vocab_v20230424.txt"))

    def encode(self, text: str) -> list[int]:
        """Longest-match token ids."""
        return list(self._trie.encode(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """UTF-8 text of the tokens; token 0 (end of text) is left out."""
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token."""
        return bytes(self._trie.idx2token.get(token, b""))


@cache
def tokenizer_named(name: str) -> Tokenizer:
    """``"bytes"`` or ``"world"``; each is built once."""
    known: dict[str, type[ByteTokenizer] | type[WorldTokenizer]] = {
        "bytes": ByteTokenizer,
        "world": WorldTokenizer,
    }
    if name not in known:
        raise InputError(f"expected a tokenizer of {sorted(known)}, found {name!r}")
    return known[name]()
