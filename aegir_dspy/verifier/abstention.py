"""What an abstention is worth in R_E: less than a supported answer, more than a contradicted one.

Instance evidence is about the columns that have a type. Alone, it would make abstaining from all columns but
the surest one the best policy; so every column counts: R_E = (answered · evidence + Σ abstentions) / columns,
an abstention counting `ABSTAINED`, and 1/2 where the column has no cells, as an answer does there.

A policy gains by answering where the support it expects is above `ABSTAINED`.
"""

from __future__ import annotations

import math

from aegir_dspy.tables.table import Column
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.score import Finding, quantised

__all__ = ["ABSTAINED", "with_abstentions"]

ABSTAINED = 0.3
"""Worth of an abstention from a column with cells."""

_EMPTY = 0.5


def with_abstentions(case: Case, evidence: Finding) -> Finding:
    """R_E over all columns, of the evidence on those that are answered."""
    columns = {(id(table), column.index): column for _, table in case.pairs for column in table.columns}
    abstained = [
        columns[id(table), one.index]
        for types, table in case.pairs
        for one in types.columns
        if one.type is None and (id(table), one.index) in columns
    ]
    if not abstained:
        return evidence
    answered = sum(one.type is not None for types, _ in case.pairs for one in types.columns)
    worth = math.fsum([_worth(column) for column in abstained])
    value = (answered * evidence.value + worth) / (answered + len(abstained))
    reason = Diagnostic(
        "instances.abstained",
        "composition",
        f"expected types, found {len(abstained)} of {answered + len(abstained)} columns abstained from; "
        f"each counts {ABSTAINED}, or {_EMPTY} without cells",
        suggestion="give a type where the cells support one",
    )
    return Finding(quantised(value), (*evidence.diagnostics, reason))


def _worth(column: Column) -> float:
    return ABSTAINED if any(cell.strip() for cell in column.values) else _EMPTY
