r"""Deep search: the last step of the chain that a column of low confidence goes through.

A column is read alone; if that is not enough, again from the fused states of its context; then the members of
the swarm are asked (`aegir_dspy.annotator.types`); what is unsure even then is judged here by how well its
cells back each candidate, as the verifier sees it (`aegir_dspy.verifier.support`):

.. math:: s(l) = \log p(l) + w \log \frac{e(l)}{1 - e(l)}

over the candidates l with probability p and support e. The probability that the candidates have together is
shared out among them anew. Reading the same table again with other rows, or in another order of the rows, was
tried and gave nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, Evidence, TableAnnotation
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier.support import support

__all__ = ["DeepConfig", "DeepSearch"]

_LEAST = 1e-4  # a support, or its complement, that counts: nothing is certain


@dataclass(frozen=True, slots=True)
class DeepConfig:
    """How deep.

    Attributes:
        sure: columns with at least this confidence are not looked at.
        evidence: w, the weight of the verifier's log odds.
    """

    sure: float = 0.6
    evidence: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.sure <= 1 or self.evidence < 0:
            raise InputError(f"expected 0 < sure <= 1 and evidence >= 0, found {self}")


class DeepSearch:
    """Looks again at columns of low confidence.

    Args:
        vocabulary: of the types. threshold: confidence under which no type is given.
    """

    def __init__(self, vocabulary: Vocabulary, threshold: float, config: DeepConfig | None = None) -> None:
        self.vocabulary, self.threshold = vocabulary, threshold
        self.config = config or DeepConfig()

    def deepen(self, table: Table, annotation: TableAnnotation) -> TableAnnotation:
        """The annotation of a table, with unsure columns judged by their cells."""
        columns = (
            self.judge(table.columns[column.index].values, column) if self.unsure(column) else column
            for column in annotation.columns
        )
        return replace(annotation, columns=tuple(columns))

    def unsure(self, column: ColumnAnnotation) -> bool:
        """Whether there is something to choose from, and no candidate stands out."""
        return len(column.candidates) > 1 and column.confidence < self.config.sure

    def judge(self, values: Sequence[str], column: ColumnAnnotation) -> ColumnAnnotation:
        """The column with its candidates weighed anew."""
        scores = [
            math.log(max(c.probability, _LEAST)) + self.config.evidence * self._log_odds(values, c.type)
            for c in column.candidates
        ]
        together = sum(c.probability for c in column.candidates)
        best = max(scores)
        shares = [math.exp(score - best) for score in scores]
        weighed = [
            Candidate(c.type, round(together * share / sum(shares), 4))
            for c, share in zip(column.candidates, shares, strict=True)
        ]
        weighed.sort(key=lambda c: -c.probability)  # stable: of equal ones the first stays first
        return self._decided(column, tuple(weighed))

    def _log_odds(self, values: Sequence[str], label: str) -> float:
        """Of the cells' support for a label; 0 where nothing is known."""
        value = support(values, label, self.vocabulary[label].iri).value
        if value is None:
            return 0.0
        bounded = min(max(value, _LEAST), 1 - _LEAST)
        return math.log(bounded / (1 - bounded))

    def _decided(self, column: ColumnAnnotation, weighed: tuple[Candidate, ...]) -> ColumnAnnotation:
        top, before = weighed[0], column.candidates[0].type
        abstained = top.probability < self.threshold
        told = column.evidence
        if top.type != before:
            told = (*told, Evidence("deep search", f"the cells back {top.type} rather than {before}"))
        return replace(
            column,
            type=None if abstained else top.type,
            iri=None if abstained else self.vocabulary[top.type].iri,
            confidence=top.probability,
            abstained=abstained,
            candidates=weighed,
            evidence=told,
        )
