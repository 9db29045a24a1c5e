"""R_E, instance evidence: do the cells of the tables back what the composition says of them?

The value is the mean of the items below, weights in brackets; 0 when nothing is said about any column.

- every column with a type (1): `support` of the type by its cells; 0.5 where the column has no cell;
- every relation (0.25): whether the cells are of the property's range, and the subject's type of its domain;
- every subject column (0.25): different cells as a share of all, as its cells name the things of the rows.

Abstentions do not count, here. Declared keys that the cells break are reported but do not count either: a
sample of the rows cannot decide on them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources

from aegir_dspy.ontology.composition import ColumnType, Composition, Related, TableTypes
from aegir_dspy.ontology.expectations import expectation
from aegir_dspy.ontology.names import name_of
from aegir_dspy.ontology.terms import Ontology
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier.case import pairs
from aegir_dspy.verifier.column_profile import profile
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.keys import distinctness, key_diagnostics
from aegir_dspy.verifier.masking import masked
from aegir_dspy.verifier.score import Finding, quantised
from aegir_dspy.verifier.support import NEUTRAL, better, support
from aegir_dspy.verifier.validators import packages

__all__ = ["column_supports", "evidence_identity", "instance_evidence"]

BESIDE = 0.25  # weight of a relation and of a subject column; a column's is 1
ASIDE = 0.5  # value of a relation whose property is not of such rows
REPEATING = 0.5  # different cells of a subject column, as a share, below which it is reported

Item = tuple[float, float, tuple[Diagnostic, ...]]  # weight, value, reasons


def instance_evidence(
    composition: Composition,
    tables: Sequence[Table],
    vocabulary: Vocabulary,
    ontology: Ontology | None = None,
) -> Finding:
    """Component R_E; codes begin with ``instances.``. What is said of tables or columns not there is skipped.

    Args:
        composition: what is said.
        tables: what it is about; cells are those sampled.
        vocabulary: where the labels of the types are looked up, and better ones suggested from.
        ontology: where domains and ranges of the relations are looked up; without, relations do not count.
    """
    genus = _genera(composition)
    items: list[Item] = []
    for types, table in pairs(composition, tables):
        items += _columns(types, table, vocabulary)
        rows = genus.get(types.term or "", types.term)
        items += _relations(types, rows, table, vocabulary, ontology) if ontology else ()
        items += _subject(types, table)
    reasons = [reason for _, _, found in items for reason in found]
    weight = math.fsum(w for w, _, _ in items)
    value = math.fsum(w * v for w, v, _ in items) / weight if weight else 0.0
    return Finding(quantised(value), tuple(sorted({*reasons, *key_diagnostics(tables)})))


def _genera(composition: Composition) -> dict[str, str]:
    """What the classes of the composition's own are kinds of, where that is said plainly."""
    said = (dict(entry.slots) for entry in composition.axioms if entry.template == "subclass.named")
    return {one["A"]: one["B"] for one in said if one.get("A", "").startswith(":") and "B" in one}


@cache
def evidence_identity() -> str:
    """SHA-256, in hex, of what values of R_E depend on besides O and I: data files and packages' releases."""
    assets = resources.files("aegir_dspy.assets")
    names = ("shapes.json", "expectations.json", "words.json", "lexicons.json")
    parts = [hashlib.sha256(assets.joinpath(name).read_bytes()).hexdigest() for name in names]
    return hashlib.sha256(json.dumps([parts, packages()], sort_keys=True).encode()).hexdigest()


def column_supports(types: TableTypes, table: Table, vocabulary: Vocabulary) -> dict[int, float]:
    """Column index → support of the type it is given, for columns with a type and cells."""
    found = {one.index: _support(one, table, vocabulary)[0] for one in _answered(types, table)}
    return {index: value for index, value in found.items() if value is not None}


def _answered(types: TableTypes, table: Table) -> Iterator[ColumnType]:
    return (c for c in types.columns if c.type is not None and 0 <= c.index < len(table.columns))


def _support(
    one: ColumnType, table: Table, vocabulary: Vocabulary
) -> tuple[float | None, tuple[Diagnostic, ...]]:
    label, values = one.type or "", table.columns[one.index].values
    found = support(values, label, _iri(label, vocabulary))
    if not found.reasons:
        return found.value, ()
    other = better(values, vocabulary, label)
    hint = f"{other} fits the cells better" if other else "abstain with a reason, or look at more rows"
    place = f"{table.name}[{one.index}]"
    return found.value, tuple(
        Diagnostic(f"instances.{reason.code}", place, reason.message, reason.evidence, hint)
        for reason in found.reasons
    )


def _iri(label: str, vocabulary: Vocabulary) -> str | None:
    return vocabulary[label].iri if label in vocabulary else None


def _columns(types: TableTypes, table: Table, vocabulary: Vocabulary) -> Iterator[Item]:
    for one in _answered(types, table):
        value, reasons = _support(one, table, vocabulary)
        yield 1.0, NEUTRAL if value is None else value, reasons


# --- relations ------------------------------------------------------------------------------------


def _relations(
    types: TableTypes, rows: str | None, table: Table, vocabulary: Vocabulary, ontology: Ontology
) -> Iterator[Item]:
    labels = {one.index: one.type for one in _answered(types, table)}
    for related in types.relations:
        term = ontology.get(related.property)
        if term is None or not 0 <= related.object < len(table.columns):
            continue
        checks = [
            _in_range(related, term.range, table, labels.get(related.object), vocabulary, ontology),
            _in_domain(related, term.domain, rows, labels.get(related.subject), vocabulary, ontology),
        ]
        values = [value for value, _ in checks if value is not None]
        if values:
            places = f"{table.name}[{related.object}]"
            reasons = tuple(_relation_reason(places, related, text, table) for _, text in checks if text)
            yield BESIDE, min(values), reasons


def _relation_reason(place: str, related: Related, text: str, table: Table) -> Diagnostic:
    code, _, message = text.partition(": ")
    cells = masked(profile(table.columns[related.object].values).sample[:3])
    return Diagnostic(f"instances.{code}", place, f"expected {message}", cells, "choose another property")


def _in_range(
    related: Related,
    allowed: tuple[str, ...],
    table: Table,
    label: str | None,
    vocabulary: Vocabulary,
    ontology: Ontology,
) -> tuple[float | None, str]:
    """How well the cells are of the range, and what is wrong; None where it says nothing about cells."""
    column = profile(table.columns[related.object].values)
    if not allowed or not column.sample or "xsd:string" in allowed:  # whatever stands in a cell is a text
        return None, ""
    shares = [max((column.share(v) for v in expectation(r).validators), default=0.0) for r in allowed]
    named = name_of(_iri(label or "", vocabulary) or "")
    if named and ontology.any_is_a(named, allowed):
        return 1.0, ""
    best = max(shares)
    # Cells that name a thing may stand for it: only cells that are all numbers do not.
    if any(r in ontology and ontology[r].kind == "class" for r in allowed):
        best = max(best, 1.0 - column.share("number"))
    if best >= 0.5:
        return quantised(best), ""
    return quantised(best), f"relation_range: {' or '.join(allowed)} as values of {related.property}"


def _in_domain(
    related: Related,
    allowed: tuple[str, ...],
    rows: str | None,
    label: str | None,
    vocabulary: Vocabulary,
    ontology: Ontology,
) -> tuple[float | None, str]:
    """1 where the class of the rows, or the subject's type, is of the domain or above it; `ASIDE` elsewhere.

    Elsewhere it may be a property of something that the rows lead to: the e-mail address of an order.
    """
    subject = rows or name_of(_iri(label or "", vocabulary) or "")
    if not allowed or subject is None or subject not in ontology or ontology[subject].kind != "class":
        return None, ""
    if ontology.any_is_a(subject, allowed) or any(ontology.is_a(a, subject) for a in allowed):
        return 1.0, ""
    return ASIDE, f"relation_domain: {related.property} on {' or '.join(allowed)}, found it on {subject}"


def _subject(types: TableTypes, table: Table) -> Iterator[Item]:
    if types.subject is None or not 0 <= types.subject < len(table.columns):
        return
    values = table.columns[types.subject].values
    if not profile(values).sample:
        return
    share, reasons = distinctness(values), ()
    if share < REPEATING:
        reason = Diagnostic(
            "instances.subject_repeats",
            f"{table.name}[{types.subject}]",
            f"expected cells that name the things of the rows, found {share:.0%} of them different",
            masked(profile(values).sample[:3]),
            "choose the column whose cells differ as the subject",
        )
        yield BESIDE, share, (reason,)
        return
    yield BESIDE, share, reasons
