"""The formula of aegir 0.3, for comparison: R = R_A · (0.50 · R_B + 0.05 · R_C + 0.45 · R_D).

- R_A, the gate ``original``: every entry names a template, fills its slots and no others, none with "".
  Types, bounds, contradictions, cycles and repetitions are not looked at.
- R_B = min(complex entries / 5, 1), complex being every family but subclass.
- R_C = min(mean length of the templates' verbalisations / 80, 1): of the template, not of what fills it.
- R_D: the entries as documents, joined into at most 12 topics, are matched with the input's by cosine;
  (sum - mean) / (95th percentile - mean) of 200 random compositions of 24 entries, whatever the size.

It differs from the original where that needed a model: R_D compares TF-IDF vectors, not embeddings, and the
input's topics are its documents, of which there are seldom the 100 to 200 that it clustered them into.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator

import numpy as np

from aegir_dspy.ontology.composition import Entry
from aegir_dspy.verifier.case import Case, Standard
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.documents import Document, Lexicon, cosine, joined
from aegir_dspy.verifier.score import Finding, quantised
from aegir_dspy.verifier.topics import assigned, input_documents

__all__ = ["Original", "filled"]

_NULL_ENTRIES = 24
_NULL_DRAWS = 200


def filled(case: Case) -> Iterator[Diagnostic]:
    """R_A: entries with an unknown template, or slots that are missing, too many or empty."""
    if not case.composition.axioms:
        yield Diagnostic("original.no_entry", "composition", "expected at least one axiom, found none")
    for i, entry in enumerate(case.composition.axioms):
        if entry.template not in case.standard.catalog:
            message = f"expected a template of the catalog, found {entry.template[:80]!r}"
            yield Diagnostic("original.template", f"axiom {i}", message)
            continue
        template = case.standard.catalog[entry.template]
        wanted, found = sorted(slot.name for slot in template.slots), sorted(name for name, _ in entry.slots)
        if wanted != found or not all(filler for _, filler in entry.slots):
            message = f"expected slots {', '.join(wanted)}, each filled, found {', '.join(found)}"
            yield Diagnostic("original.slots", f"axiom {i}", message)


class Original:
    """The components of aegir 0.3."""

    def __init__(self, standard: Standard, lexicon: Lexicon) -> None:
        self._standard = standard
        self._lexicon = lexicon

    def component(self, name: str, case: Case) -> Finding | Diagnostic:
        """The component called ``R_B``, ``R_C`` or ``R_D``."""
        catalog, entries = self._standard.catalog, case.composition.axioms
        known = [catalog[entry.template] for entry in entries if entry.template in catalog]
        if name == "R_B":
            return Finding(min(1.0, sum(template.family != "subclass" for template in known) / 5))
        if name == "R_C":
            length = sum(len(template.verbalisation) for template in known) / max(1, len(known))
            return Finding(quantised(min(1.0, length / 80)))
        return self._topics(case)

    def _topics(self, case: Case) -> Finding | Diagnostic:
        topics = input_documents(case, self._lexicon)
        own = joined([one for one in map(self._document, case.composition.axioms) if one.vector])
        if not topics or not own:
            return Finding(0.0)
        total = assigned(np.array([[cosine(topic, one) for one in own] for topic in topics], dtype=np.int64))
        null = self._null(topics)
        mean, high = sum(null) / len(null), null[math.ceil(0.95 * len(null)) - 1]
        return Finding(quantised(min(1.0, max(0.0, (total - mean) / (high - mean)))) if high > mean else 0.0)

    def _document(self, entry: Entry) -> Document:
        """The words of the terms that an entry is filled with."""
        counts: Counter[str] = Counter()
        for _, filler in entry.slots:
            if (term := self._lexicon.term(filler)) is not None:
                counts.update(term.vector)
        return Document(entry.template, "entry", dict(sorted(counts.items())))

    def _null(self, topics: list[Document]) -> list[int]:
        cosines = np.array([self._lexicon.to_pool(topic) for topic in topics], dtype=np.int64)
        pool = self._lexicon.of_kind["class"]
        sums = []
        for seed in range(_NULL_DRAWS):
            rng = random.Random(seed)
            drawn = [pool[int(rng.random() * len(pool))] for _ in range(_NULL_ENTRIES)]
            sums.append(assigned(cosines[:, drawn]))
        return sorted(sums)
