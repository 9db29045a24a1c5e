"""JSON schemas and regular expressions as constraints, by llguidance.

A text that conforms is followed by one end token, which the model may choose wherever the grammar is
satisfied and has to choose where nothing else may follow. When the room for a text is used up, it is brought
to an end along a near way (`closing`), so that what was cut still conforms.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aegir_dspy.errors import ConstraintError
from aegir_dspy.rwkv.closing import JsonPlace, single_bytes, way_out
from aegir_dspy.rwkv.constraint import Mask
from aegir_dspy.rwkv.tokenizer import Tokenizer, tokenizer_named

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

__all__ = ["Grammar", "GrammarConstraint"]

_JSON_STYLE: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
_COPYING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a text has to be. Make it with `json_schema` or `regex`.

    Attributes:
        kind: of what `source` is.
        source: a JSON schema as JSON text, or a regular expression (no look-around) for the whole text.
    """

    kind: Literal["json", "regex"]
    source: str

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool | type) -> Grammar:
        """JSON that conforms to a schema, or to a pydantic model; properties in the order of the schema."""
        describe = getattr(schema, "model_json_schema", None)
        return cls("json", json.dumps(schema if describe is None else describe(), ensure_ascii=False))

    @classmethod
    def regex(cls, pattern: str) -> Grammar:
        """A text that the pattern matches from its beginning to its end."""
        return cls("regex", pattern)

    def constraint(self, tokenizer: Tokenizer, end: int) -> GrammarConstraint:
        """The constraint of a new stream whose text is followed by the token `end`.

        Raises:
            ConstraintError: the schema or pattern is broken, uses what is not supported, or nothing
                satisfies it.
        """
        prototype = _compiled(self, tokenizer.name, end)
        with _COPYING:
            return GrammarConstraint(prototype.deep_copy(), tokenizer, end, self.kind == "json")


class GrammarConstraint:
    """A grammar followed through one stream by llguidance's `matcher`. See `Constraint`."""

    def __init__(self, matcher: LLMatcher, tokenizer: Tokenizer, end: int, is_json: bool) -> None:
        self.matcher, self.tokenizer, self.end = matcher, tokenizer, end
        self.finished = self.shortened = False
        self._json = JsonPlace() if is_json else None
        self._way: list[int] = []  # to the end, once it is known

    def allow(self, mask: Mask, closing: bool = False) -> None:
        """What the grammar allows; while closing, of this what is nearest to the end."""
        self.matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        self._check()
        if closing:
            self.shortened = True
            self._close(mask)

    def accept(self, token: int) -> bytes:
        """The bytes of the token; none for the end."""
        if token == self.end:
            self._check()  # a matcher that gave up allows the end alone
            self.finished = True
            return b""
        if not self.matcher.consume_token(token):
            raise ConstraintError(f"expected a token the grammar allows, found {token}: {self._error()}")
        piece = self.tokenizer.token_bytes(token)
        if self._json:
            self._json.follow(piece)
        return piece

    def _check(self) -> None:
        if self.matcher.is_error():
            raise ConstraintError(f"expected a text the grammar can go on with, found none: {self._error()}")

    def _error(self) -> str:
        return _one_line(self.matcher.get_error()) or "no token fits"

    def _close(self, mask: Mask) -> None:
        word, bit = self.end >> 5, np.uint32(1 << (self.end & 31))
        if mask[word] & bit:
            mask[:] = 0
            mask[word] = bit
        elif self._json:
            mask[:] = self._json.nearest(self.tokenizer.name, mask)
        else:
            singles = single_bytes(self.tokenizer.name)
            self._way = self._way or way_out(self.matcher, singles, self.end, len(mask))
            if self._way:
                token = self._way.pop(0)
                mask[:] = 0
                mask[token >> 5] = 1 << (token & 31)


@lru_cache(maxsize=256)
def _compiled(grammar: Grammar, tokenizer: str, end: int) -> LLMatcher:
    """A matcher at its start, to be copied."""
    from llguidance import LLMatcher

    error = ""
    try:
        if grammar.kind == "json":
            source = LLMatcher.grammar_from_json_schema(grammar.source, overrides=_JSON_STYLE)
        else:
            source = LLMatcher.grammar_from_regex(grammar.source)
        matcher = LLMatcher(_vocabulary(tokenizer, end), source, log_level=0)
        probe = matcher.deep_copy()
        if not probe.is_error():
            probe.compute_bitmask()
        if not probe.is_error():
            return matcher
        error = _one_line(probe.get_error())
    except ValueError as refused:
        error = _one_line(str(refused))
    what = "JSON schema" if grammar.kind == "json" else "regular expression"
    raise ConstraintError(f"expected a {what} that some text satisfies, found {grammar.source[:80]}: {error}")


@cache
def _vocabulary(tokenizer: str, end: int) -> LLTokenizer:
    """The tokens as llguidance wants them: those that are no text, and 0xFF, which no text holds, apart."""
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Vocabulary(tokenizer_named(tokenizer), end)))


class _Vocabulary:
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        self.tokenizer, self.eos_token_id = tokenizer, end
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab)]
        apart = {end, 0, *tokenizer.ends}
        apart |= {token for token, text in enumerate(self.tokens) if text in (b"", b"\xff")}
        self.special_token_ids = sorted(apart)
        for token in self.special_token_ids:
            self.tokens[token] = b"<%d>" % token

    def __call__(self, text: str | bytes) -> list[int]:
        return self.tokenizer.encode(text.decode() if isinstance(text, bytes) else text)


def _one_line(error: str) -> str:
    """What llguidance says, without its drawings of where."""
    lines = [line.strip() for line in error.splitlines()]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (told or lines[:1] or [""])[0]
