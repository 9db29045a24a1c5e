"""Words of names and texts: what topics, definitions and stub fillers are compared by.

Names are split where people split them (``orderDate``, ``order_date``, ``ORDER DATE``); words are lower
case, and a plural ``s`` is dropped. This is no stemmer on purpose: one rule can be read and predicted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["is_word", "stem", "words"]

# Letters of any script; a capital after a small letter begins a new word, and so does the last capital
# of a run of capitals before a small letter (``XMLFile``).
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])")
_ARTICLES = (
    "a an and any are as at be by for from has have in is it its no not of on one only or other such that"
    " the their them there these they this those to was were which with der die das und von zu im ein eine"
    " le la les des du de un une et el los las y en del al que e o il lo"
)
_STOP = frozenset(_ARTICLES.split())


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The word in lower case without a plural ``s``: ``Orders`` → ``order``; ``address`` stays."""
    low = word.casefold()
    if len(low) > 4 and low.endswith("ies"):
        return low[:-3] + "y"
    if len(low) > 3 and low.endswith("s") and low[-2] not in "sui":
        return low[:-1]
    return low


def is_word(token: str) -> bool:
    """Whether a token says something by itself: two letters or more, and no article or preposition."""
    return len(token) > 1 and token not in _STOP


def words(texts: Iterable[str]) -> list[str]:
    """The stems of the words in texts and names, in order, with repetitions, stop words left out."""
    found = []
    for text in texts:
        for token in _WORD.findall(_CAMEL.sub(" ", text)):
            if is_word(low := stem(token)):
                found.append(low)
    return found
