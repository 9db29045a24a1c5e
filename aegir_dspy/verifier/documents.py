"""Bags of words with weights: what topics are compared by, and how many documents become few topics.

Weights are TF-IDF, (1 + log2 tf) · log2(N / df), with df counted over the labels of a vocabulary and a sample
of an ontology's terms. They are integers (1/64 of a bit) and cosines multiples of 1e-6, so that sums are
exact in any order.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aegir_dspy.ontology.names import words as spaced
from aegir_dspy.ontology.terms import Term
from aegir_dspy.ontology.vocabulary import Label
from aegir_dspy.verifier.case import Standard
from aegir_dspy.verifier.words import words

__all__ = ["DRAWS", "REMEMBERED", "Document", "Lexicon", "Told", "cosine", "joined"]

DRAWS = 64
"""Compositions drawn for a null."""
REMEMBERED = 256
"""Inputs, and sizes of compositions, that are kept."""

Vector = dict[str, int]  # word → weight

_TOPICS = 12
_POOL = 256  # terms of a kind in the sample
_UNIT = 64
_SCALE = 1_000_000
_KINDS = {"class": "class", "datatype": "class", "individual": "class"}  # all others: property


@dataclass(frozen=True)
class Document:
    """A weighted bag of words; `name` is for diagnostics, `kind` says what may replace it."""

    name: str
    kind: str
    vector: Vector

    @cached_property
    def norm(self) -> float:
        """Euclidean length."""
        return math.sqrt(sum(weight * weight for weight in self.vector.values()))


@dataclass(frozen=True)
class Told:
    """The topics of an input, and their cosines with the documents of the pool, topics × pool in 1e-6."""

    topics: list[Document]
    to_pool: np.ndarray


class Lexicon:
    """The words of a vocabulary and an ontology, and the documents that a null draws from."""

    def __init__(self, standard: Standard) -> None:
        self.standard = standard
        terms = [term for kind in ("class", "property") for term in _pool(standard, kind)]
        counts = [(label.label, "label", _of_label(label)) for label in standard.vocabulary]
        counts += [(term.name, _kind(term), _of_term(term)) for term in terms]
        frequency = Counter(word for _, _, found in counts for word in found)
        most = max(2, len(counts) // 5)  # words of every fifth document tell nothing
        self.idf = {
            word: math.log2(len(counts) / times) for word, times in frequency.items() if times <= most
        }
        self.pool = tuple(self.document(*one) for one in counts)
        self.of_kind = {
            kind: [i for i, one in enumerate(self.pool) if one.kind == kind]
            for kind in ("label", "class", "property")
        }
        self._labels = {one.name: one for one in self.pool if one.kind == "label"}
        self._terms: dict[str, Document] = {}
        self.told: dict[str, Told] = {}
        self._draws: dict[tuple[str, ...], list[list[int]]] = {}
        self._postings: dict[str, list[tuple[int, int]]] = {}
        for i, one in enumerate(self.pool):
            for word, weight in one.vector.items():
                self._postings.setdefault(word, []).append((i, weight))

    def document(self, name: str, kind: str, counts: Counter[str]) -> Document:
        """A document of word counts; unknown words are left out."""
        vector = {
            word: round(_UNIT * (1 + math.log2(times)) * self.idf[word])
            for word, times in sorted(counts.items())
            if word in self.idf
        }
        return Document(name, kind, vector)

    def label(self, name: str) -> Document | None:
        """The document of a label of the vocabulary."""
        return self._labels.get(name)

    def term(self, name: str) -> Document | None:
        """The document of a term of the ontology."""
        if name not in self._terms:
            term = self.standard.ontology.get(name)
            if term is None:
                return None
            self._terms[name] = self.document(name, _kind(term), _of_term(term))
        return self._terms[name]

    def draws(self, kinds: tuple[str, ...]) -> list[list[int]]:
        """For each of `DRAWS` compositions a document of the pool for each of the kinds."""
        if kinds not in self._draws:
            rng = random.Random(len(kinds))
            pools = [self.of_kind[kind] for kind in kinds]
            drawn = [[pool[int(rng.random() * len(pool))] for pool in pools] for _ in range(DRAWS)]
            if len(self._draws) >= REMEMBERED:
                self._draws.clear()
            self._draws[kinds] = drawn
        return self._draws[kinds]

    def to_pool(self, topic: Document) -> list[int]:
        """Cosines of a topic with every document of the pool, in 1e-6."""
        sums = [0] * len(self.pool)
        for word, weight in topic.vector.items():
            for i, other in self._postings[word]:
                sums[i] += weight * other
        return [
            round(_SCALE * total / (topic.norm * one.norm)) if total else 0
            for total, one in zip(sums, self.pool, strict=True)
        ]


def _pool(standard: Standard, kind: str) -> list[Term]:
    """A sample of the ontology's terms of a kind, by the hash of their names."""
    terms = [term for term in standard.ontology if _kind(term) == kind and term.label]
    return sorted(terms, key=lambda term: hashlib.sha256(term.name.encode()).digest())[:_POOL]


def _kind(term: Term) -> str:
    return _KINDS.get(term.kind, "property")


def _of_label(label: Label) -> Counter[str]:
    name, headers = label.label.replace("/", " "), label.headers
    return Counter(words([name, name, *headers, *headers, label.description, *label.examples]))


def _of_term(term: Term) -> Counter[str]:
    label = term.label or spaced(term.name)
    return Counter(words([label, label, label, term.description]))


def cosine(one: Document, other: Document) -> int:
    """Cosine of two documents, in 1e-6."""
    few, many = sorted((one.vector, other.vector), key=len)
    total = sum(weight * many[word] for word, weight in few.items() if word in many)
    return round(_SCALE * total / (one.norm * other.norm)) if total else 0


def joined(documents: Sequence[Document]) -> list[Document]:
    """At most 12 topics: spherical k-means from a farthest-first start; ties go to the first."""
    if len(documents) <= _TOPICS:
        return list(documents)
    centres = [max(documents, key=lambda one: len(one.vector))]
    nearest = [cosine(one, centres[0]) for one in documents]
    while len(centres) < _TOPICS:
        centres.append(documents[nearest.index(min(nearest))])
        nearest = [max(near, cosine(one, centres[-1])) for near, one in zip(nearest, documents, strict=True)]
    member: list[int] = []
    for _ in range(4):
        before = member
        member = [_argmax(cosine(one, centre) for centre in centres) for one in documents]
        if member == before:
            break
        centres = [
            _sum([one for one, at in zip(documents, member, strict=True) if at == i], centre)
            for i, centre in enumerate(centres)
        ]
    return centres


def _argmax(values: Iterable[int]) -> int:
    found = list(values)
    return found.index(max(found))


def _sum(documents: Sequence[Document], otherwise: Document) -> Document:
    """The direction of several documents, each of the same length."""
    total: Counter[str] = Counter()
    for one in documents:
        for word, weight in one.vector.items():
            total[word] += round(_SCALE * weight / one.norm)
    return Document(documents[0].name, "topic", dict(total)) if documents else otherwise
