"""R_D, topic alignment: is the composition about what the input is about?

- Documents are bags of words (`aegir_dspy.verifier.words`) weighted by TF-IDF, (1 + log2 tf) · log2(N / df),
  with df counted over the labels of the vocabulary and a sample of the ontology's terms. Words that those do
  not have are left out: nothing could match them.
- The input's documents are its columns (header, comment, words of its cells), the names and comments of its
  tables, and its texts. More than 12 of them are joined into 12 topics by spherical k-means, begun with the
  document of most words and then, again and again, the one farthest from all chosen: no random numbers.
- The composition's documents are the labels it gives (label, description, headers, examples) and the terms
  of the ontology in its axioms, relations and row classes (label, description). Texts that it writes itself
  do not count, or stuffing them with the input's words would.
- Topics and documents are matched one to one for the greatest sum of cosines (Hungarian assignment; Kuhn
  1955, `scipy.optimize.linear_sum_assignment`).
- The sum is compared with 64 compositions of the same size with every label and term replaced by another
  one of its kind: (sum - mean) / (95th percentile - mean), cut to 0 … 1.

An input without known words has no topics, and the component says so instead of giving a value.

Weights are integers (1/64 of a bit) and cosines multiples of 1e-6, so that sums are exact in any order.
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
from scipy.optimize import linear_sum_assignment

from aegir_dspy.ontology.names import words as spaced
from aegir_dspy.ontology.terms import Term
from aegir_dspy.ontology.vocabulary import Label
from aegir_dspy.verifier.case import Case, Standard, named_classes, properties
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.inputs import digest_of_input
from aegir_dspy.verifier.score import Finding, quantised
from aegir_dspy.verifier.words import words

__all__ = [
    "DRAWS",
    "Document",
    "Lexicon",
    "assigned",
    "cosine",
    "input_documents",
    "joined",
    "topic_alignment",
]

DRAWS = 64
"""Compositions drawn for the null."""

Vector = dict[str, int]  # word → weight

_TOPICS = 12
_POOL = 256  # terms of a kind that the null draws from
_CELLS = 20
_REMEMBERED = 256  # inputs, and sizes of compositions
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
            if len(self._draws) >= _REMEMBERED:
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


@dataclass(frozen=True)
class Told:
    """The topics of an input, and their cosines with the documents of the pool, topics × pool in 1e-6."""

    topics: list[Document]
    to_pool: np.ndarray


def _told(case: Case, lexicon: Lexicon) -> Told:
    """What an input is about; remembered, as inputs are mostly judged more than once."""
    key = digest_of_input(case.tables, case.texts)
    if (found := lexicon.told.get(key)) is None:
        topics = joined(input_documents(case, lexicon))
        found = Told(topics, np.array([lexicon.to_pool(topic) for topic in topics], dtype=np.int64))
        if len(lexicon.told) >= _REMEMBERED:
            lexicon.told.clear()
        lexicon.told[key] = found
    return found


def cosine(one: Document, other: Document) -> int:
    """Cosine of two documents, in 1e-6."""
    few, many = sorted((one.vector, other.vector), key=len)
    total = sum(weight * many[word] for word, weight in few.items() if word in many)
    return round(_SCALE * total / (one.norm * other.norm)) if total else 0


def input_documents(case: Case, lexicon: Lexicon) -> list[Document]:
    """The columns, tables and texts of the input that have known words."""
    found = []
    for table in case.tables:
        found.append(lexicon.document(table.name, "table", Counter(words([table.name, table.comment or ""]))))
        for column in table.columns:
            name = column.name or ""
            cells = list(dict.fromkeys(column.values))[:_CELLS]
            counts = Counter(words([name, name, name, column.comment or "", *cells]))
            found.append(lexicon.document(f"{table.name}[{column.index}]", "column", counts))
    for i, text in enumerate(case.texts):
        found.append(lexicon.document(f"text {i}", "text", Counter(words([text]))))
    return [document for document in found if document.vector]


def _own_documents(case: Case, lexicon: Lexicon) -> list[Document]:
    columns = [column for types in case.composition.tables for column in types.columns]
    labels = sorted({column.type for column in columns if column.type is not None})
    terms = {name for axiom in case.axioms for name in (*named_classes(axiom), *properties(axiom))}
    terms |= case.row_classes
    terms |= {one.property for types in case.composition.tables for one in types.relations}
    found = [lexicon.label(name) for name in labels] + [lexicon.term(name) for name in sorted(terms)]
    return [document for document in found if document is not None]


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


def topic_alignment(case: Case, lexicon: Lexicon) -> Finding | Diagnostic:
    """R_D; a diagnostic instead where the input has no words to tell topics by."""
    told = _told(case, lexicon)
    topics, own = told.topics, _own_documents(case, lexicon)
    if not topics:
        return _no_topics("no word of the input is known")
    if not own:
        message = "expected types or axioms to compare with the input, found none"
        return Finding(0.0, (Diagnostic("topics.nothing", "composition", message),))
    found = np.array([[cosine(topic, one) for one in own] for topic in topics], dtype=np.int64)
    total = assigned(found)
    null = _null(told, own, lexicon)
    mean, high = sum(null) / len(null), null[math.ceil(0.95 * len(null)) - 1]
    if high <= mean:
        return _no_topics("its words tell no label from another")
    value = quantised(min(1.0, max(0.0, (total - mean) / (high - mean))))
    return Finding(value, tuple(_reasons(told, own, found, lexicon)) if value < 1 else ())


def _no_topics(why: str) -> Diagnostic:
    return Diagnostic(
        "topics.none",
        "input",
        f"expected words in names, cells or texts, found that {why}; R_D is left out",
        suggestion="give texts about the tables, or a header",
    )


def assigned(cosines: np.ndarray) -> int:
    """The greatest sum of a one-to-one matching."""
    return int(cosines[linear_sum_assignment(cosines, maximize=True)].sum())


def _null(told: Told, own: Sequence[Document], lexicon: Lexicon) -> list[int]:
    """Sums of `DRAWS` compositions with every document replaced by one of its kind, ascending."""
    return sorted(assigned(told.to_pool[:, one]) for one in lexicon.draws(tuple(one.kind for one in own)))


def _reasons(
    of_input: Told, own: Sequence[Document], cosines: np.ndarray, lexicon: Lexicon
) -> Iterable[Diagnostic]:
    """The three topics that are matched least, and up to three documents that match no topic."""
    topics = of_input.topics
    best = [int(row.max()) for row in cosines]
    for i in sorted(range(len(topics)), key=lambda i: (best[i], topics[i].name))[:3]:
        told = sorted(topics[i].vector.items(), key=lambda item: (-item[1], item[0]))
        near = max(lexicon.of_kind["label"], key=lambda one: (of_input.to_pool[i, one], -one))
        if best[i] < of_input.to_pool[i, near]:
            yield Diagnostic(
                "topics.unmatched",
                topics[i].name,
                f"expected a type or term about {', '.join(word for word, _ in told[:4])}, found none near",
                suggestion=f"the nearest label is {lexicon.pool[near].name}",
            )
    for j in [j for j in range(len(own)) if not cosines[:, j].any()][:3]:
        yield Diagnostic(
            "topics.off_topic",
            own[j].name,
            f"expected what the input speaks about, found {own[j].name}, which shares no word with it",
        )
