"""Whether a text says something: names, labels, definitions and reasons that people will read.

A text says nothing when it is a placeholder (``TODO``, ``Class1``), when a few words of it are repeated again
and again, or when its letters are no language's: strings of random letters are rare in any language that is
written in Latin letters, and only those are judged. See `Letters` for how rare is too rare.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from aegir_dspy.ontology.vocabulary import load_vocabulary

__all__ = ["Letters", "letters", "stub", "tokens_of"]

_NOTHING = (
    "todo tbd tba fixme xxx foo bar baz qux foobar placeholder dummy stub blah asdf qwerty lorem ipsum null"
    " undefined none nil nan unnamed untitled something anything whatever stuff unknown idk because"
    " na n"
)
# Words that name a kind of thing, not a thing: alone they say nothing.
_KINDS = (
    "class classes term terms thing things entity entities concept concepts object objects item items"
    " property properties column columns col cols field fields table tables row rows individual node"
    " example sample test my new the a an of is this some it that"
)
# These do say something, but not with a number behind them: ``type1``.
_NUMBERED = "type types value values label definition description name attribute element relation data"
_NOTES = frozenset({"todo", "tbd", "tba", "fixme", "xxx", "placeholder", "dummy", "lorem"})
_PLACEHOLDERS = frozenset(_NOTHING.split())
_GENERIC = frozenset(_KINDS.split())
_GENERIC_NUMBERED = _GENERIC | frozenset(_NUMBERED.split())
_LOREM = re.compile(r"\blorem\s+ipsum\b|\bdolor\s+sit\s+amet\b", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+", re.UNICODE)
_LATIN = re.compile(r"[a-z]{4,}")
_FEW_LETTERS = 12  # below, no text is called gibberish
_MUCH = 2_000


def tokens_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return _TOKEN.findall(text.casefold())


@lru_cache(maxsize=8192)
def stub(text: str) -> str:
    """Why a text says nothing, in words; "" when it says something, or is empty.

    Of a long text the beginning is judged.
    """
    text = text[:_MUCH]
    tokens = tokens_of(text)
    if not text.strip():
        return ""
    if not any(token.strip("0123456789") for token in tokens):
        return "no word"
    if _LOREM.search(text) or _placeholder(tokens):
        return "a placeholder"
    if _repeats(tokens):
        return "the same words again and again"
    return "letters that make no words" if letters().strange(text) else ""


def _placeholder(tokens: list[str]) -> bool:
    """Whether a few words name nothing, or begin like a note to the writer (``TODO define``)."""
    bare = [token.strip("0123456789") for token in tokens]
    empty = _PLACEHOLDERS | (_GENERIC if bare == tokens else _GENERIC_NUMBERED)
    said = [token for token in bare if token and token not in empty]
    return (not said and len(tokens) <= 8) or (bare[0] in _NOTES and len(tokens) <= 3)


def _repeats(tokens: list[str]) -> bool:
    """Whether a token stands three times in a row, or most of a longer text is repetition."""
    row = any(tokens[i] == tokens[i + 1] == tokens[i + 2] for i in range(len(tokens) - 2))
    return row or (len(tokens) >= 8 and len(set(tokens)) * 5 < len(tokens) * 2)


class Letters:
    """How usual the pairs of letters of a text are.

    Pairs are counted in known texts, within words, word ends counting as a letter; the surprise of a text
    is the mean of -log2 P(letter | letter before) over its words of four letters or more, in bits. English
    runs at 3.3 to 4.2, other European languages up to 4.6, abbreviated headers up to 5.4; of four words of
    letters drawn at random, 19 in 20 are above 5.5.
    """

    LIMIT = 5.45

    def __init__(self, texts: Iterable[str]) -> None:
        pairs: Counter[str] = Counter()
        for text in texts:
            for word in _LATIN.findall(text.casefold()):
                pairs.update(a + b for a, b in zip(" " + word, word + " ", strict=True))
        firsts: Counter[str] = Counter()
        for pair, count in pairs.items():
            firsts[pair[0]] += count
        alphabet = " abcdefghijklmnopqrstuvwxyz"
        self._bits = {
            a + b: -math.log2((pairs[a + b] + 0.5) / (firsts[a] + 13.5)) for a in alphabet for b in alphabet
        }

    def surprise(self, text: str) -> float | None:
        """Mean bits a letter; None where there are too few Latin letters to tell."""
        found = _LATIN.findall(text.casefold())
        if sum(map(len, found)) < _FEW_LETTERS:
            return None
        bits = [self._bits[a + b] for word in found for a, b in zip(" " + word, word + " ", strict=True)]
        return round(math.fsum(bits) / len(bits), 6)

    def strange(self, text: str) -> bool:
        """Whether the letters of a text are those of no language it was counted for."""
        surprise = self.surprise(text)
        return surprise is not None and surprise > self.LIMIT


@lru_cache(maxsize=1)
def letters() -> Letters:
    """Pairs of letters counted in the labels, descriptions, headers and examples of the vocabularies."""
    texts = []
    for name in ("schema", "dbpedia"):
        for label in load_vocabulary(name):
            texts += [label.label, label.description, *label.headers, *label.examples]
    return Letters(texts)
