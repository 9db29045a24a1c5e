"""R_D, topic alignment: is the composition about what the input is about?

- Documents are bags of words weighted by TF-IDF (`aegir_dspy.verifier.documents`). Words that neither the
  vocabulary nor the ontology has are left out: nothing could match them.
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
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.documents import REMEMBERED, Document, Lexicon, Told, cosine, joined
from aegir_dspy.verifier.inputs import digest_of_input
from aegir_dspy.verifier.score import Finding, quantised
from aegir_dspy.verifier.words import words

__all__ = ["assigned", "input_documents", "topic_alignment"]

_CELLS = 20


def _told(case: Case, lexicon: Lexicon) -> Told:
    """What an input is about; remembered, as inputs are mostly judged more than once."""
    key = digest_of_input(case.tables, case.texts)
    if (found := lexicon.told.get(key)) is None:
        topics = joined(input_documents(case, lexicon))
        found = Told(topics, np.array([lexicon.to_pool(topic) for topic in topics], dtype=np.int64))
        if len(lexicon.told) >= REMEMBERED:
            lexicon.told.clear()
        lexicon.told[key] = found
    return found


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
    terms = set(case.row_classes.union(*case.mentioned))
    terms |= {one.property for types in case.composition.tables for one in types.relations}
    found = [lexicon.label(name) for name in labels] + [lexicon.term(name) for name in sorted(terms)]
    return [document for document in found if document is not None]


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
    return int(cosines[_assignment()(cosines, maximize=True)].sum())


@cache
def _assignment() -> Callable[..., Any]:
    """`scipy.optimize.linear_sum_assignment`, without the 0.3 s that importing all of that package takes."""
    import scipy

    spec = PathFinder.find_spec("_lsap", [str(Path(scipy.__file__).with_name("optimize"))])
    if spec is not None and spec.loader is not None:
        alone = module_from_spec(spec)
        spec.loader.exec_module(alone)
        if found := getattr(alone, "linear_sum_assignment", None):
            return cast(Callable[..., Any], found)
    from scipy.optimize import linear_sum_assignment

    return cast(Callable[..., Any], linear_sum_assignment)


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
