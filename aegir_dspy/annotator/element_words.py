"""Headers and table names as words: abbreviations written out, synonyms as one word, singular.

Different publishers write ``cust_no``, ``CustomerNr`` and ``client number`` for one thing. What is written
out is data, in ``assets/elements.json``; abbreviations that are not listed there are read as the one longer
word of the collection that begins with them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from aegir_dspy.tables.table import Table

__all__ = ["Lexicon", "Words", "entity", "lexicon", "shortenings", "spelled", "words"]

Words = tuple[str, ...]

_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])")
_OTHER = re.compile(r"[\W_]+")
_TOGETHER = (
    *(("e mail", "mail"), ("mail address", "mail"), ("post code", "postal code")),
    *(("postal code code", "postal code"), ("date of birth", "birth date"), ("user name", "username")),
)
_SHORTEST = 3  # letters of an abbreviation that is not listed


@dataclass(frozen=True)
class Lexicon:
    """The words of ``assets/elements.json``.

    Attributes:
        written_out: abbreviation or synonym → words.
        generic: words that many headers have and that say little by themselves.
        table_prefixes: words of table names that say how a table is kept, not what it holds.
        own_key: words before ``id`` that mean the row itself.
        generic_types: labels of vocabularies that columns of unrelated things have.
        rules: groups of columns that form one element, as in the file.
        spoken: whole words of headers that the file knows.
    """

    written_out: Mapping[str, Words]
    generic: frozenset[str]
    table_prefixes: frozenset[str]
    own_key: frozenset[str]
    generic_types: frozenset[str]
    rules: tuple[Mapping[str, Any], ...]
    spoken: frozenset[str]


@cache
def lexicon() -> Lexicon:
    """The lexicon that ships."""
    data = json.loads(files("aegir_dspy.assets").joinpath("elements.json").read_text(encoding="utf-8"))
    long = {short: tuple(text.split()) for short, text in data["abbreviations"].items()}
    long |= {word: (one,) for word, one in data["synonyms"].items()}
    sets = (frozenset(data[name]) for name in ("generic", "table_prefixes", "own_key", "generic_types"))
    generic, prefixes, own_key, generic_types = sets
    told = [*data["abbreviations"].values(), *data["synonyms"].values()]
    told += [text for rule in data["rules"] for part in rule["parts"] for text in part["headers"]]
    spoken = generic | {word for text in told for word in text.split() if word not in long}
    return Lexicon(long, generic, prefixes, own_key, generic_types, tuple(data["rules"]), spoken)


@cache
def spelled(name: str) -> Words:
    """The words as they are written, in the singular: ``"cust_Orders"`` → ``("cust", "order")``."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return tuple(_singular(word) for word in _OTHER.sub(" ", _CAMEL.sub(" ", plain)).lower().split())


@cache
def words(name: str) -> Words:
    """``"custEMailAddr_2"`` → ``("customer", "mail", "address", "2")``."""
    found = [word for raw in spelled(name) for word in _written_out(raw)]
    text = f" {' '.join(found)} "
    for apart, together in _TOGETHER:
        text = text.replace(f" {apart} ", f" {together} ")
    return tuple(text.split())


def _written_out(word: str) -> Words:
    """An abbreviation's words, and theirs if they are synonyms; otherwise the word."""
    known = lexicon().written_out
    return tuple(w for one in known.get(word, (word,)) for w in known.get(one, (one,)))


def _singular(word: str) -> str:
    if len(word) < 4 or word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes")) else word[:-1]


def entity(table: Table) -> Words:
    """What the rows of a table are, by its name: ``"tbl_Customers_2021"`` → ``("customer",)``."""
    found = [word for word in words(table.name.rpartition(".")[2]) if not word.isdecimal()]
    kept = list(found)
    while len(kept) > 1 and kept[0] in lexicon().table_prefixes:
        kept.pop(0)
    return tuple(kept)


def shortenings(entities: Iterable[Words], headers: Iterable[Words]) -> dict[str, str]:
    """Words of headers that are cut short: the one word they are the beginning, or the consonants, of.

    Beginnings of the words of entities have three letters at least, of the rules' words four.
    """
    named = {word for line in entities for word in line if not word.isdecimal()}
    known = lexicon().spoken
    longer: dict[str, set[str]] = {}
    for word in sorted(named | known):
        shortest = _SHORTEST if word in named else _SHORTEST + 1
        for short in {word[:n] for n in range(shortest, len(word) - 1)} | {_skeleton(word)}:
            longer.setdefault(short, set()).add(word)
    asked = {word for line in headers for word in line if len(word) >= _SHORTEST}
    asked -= named | known
    # what a table is named after comes before what anything may be called
    found = {word: longer.get(word, set()) & named or longer.get(word, set()) for word in sorted(asked)}
    return {word: min(whole) for word, whole in found.items() if len(whole) == 1}


def _skeleton(word: str) -> str:
    """The first letter and the consonants after it: ``"customer"`` → ``"cstmr"``."""
    return word[:1] + "".join(c for c in word[1:] if c not in "aeiou")
