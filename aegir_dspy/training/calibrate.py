"""Calibrating an annotator on dev tables: temperatures, and how much the n-gram specialist counts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.calibration import expected_calibration_error, fit_temperature
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.examples import AMBIGUOUS

__all__ = ["Calibration", "calibrate"]

_SHARES = tuple(0.5 * step for step in range(11))


@dataclass(frozen=True)
class Calibration:
    """A bundle with temperatures and shares fitted on dev, and what they are worth.

    Attributes:
        bundle: fitted on all of dev.
        ece, micro_f1: measured crosswise: fitted on the tables of one half of the hosts, measured on the
            other.
        ece_before: of the head alone, without temperature.
    """

    bundle: Bundle
    ece: float
    micro_f1: float
    ece_before: float


@dataclass(frozen=True)
class _Opinions:
    """What the two kinds of specialist say of C labelled columns.

    head (C, labels): log-probabilities. margins (C, labels): of the n-grams, zero where there are none.
    label (C,): the right position in the vocabulary.
    """

    head: Tensor
    margins: Tensor
    label: Tensor

    def part(self, chosen: Tensor) -> _Opinions:
        return _Opinions(self.head[chosen], self.margins[chosen], self.label[chosen])

    def joined(self, share: float) -> Tensor:
        return self.head + share * self.margins


def calibrate(bundle: Bundle, dev: Sequence[LabelledTable], generated: Sequence[Example]) -> Calibration:
    """Fit temperatures and n-gram shares for sotab82 and schema, and the temperature of labels as text.

    Args:
        dev: tables of hosts the weights have not seen, labelled with the 82 SOTAB types.
        generated: generated tables of another seed, labelled with types of ``schema``.
    """
    bundle = replace(bundle, config=replace(bundle.config, ngram_share={}, temperatures={}))
    sotab82 = load_vocabulary("sotab82")
    tables = [t.table for t in dev]
    gold = [[(g.column_index, g.label) for g in t.labels] for t in dev]
    opinions = _opinions(bundle, sotab82, tables, gold)
    fitted = {"sotab82": _fit(opinions), "schema": _fit(_schema_opinions(bundle, dev, generated))}
    # The head alone answers for any other vocabulary it knows.
    temperatures = {name: temperature for name, (_, temperature) in fitted.items()}
    temperatures[""] = fit_temperature(opinions.head, opinions.label)
    some = slice(0, 60)
    wordless = replace(
        bundle, config=replace(bundle.config, labels=())
    )  # the head knows nothing: all as text
    as_text = _opinions(wordless, sotab82, tables[some], gold[some])
    config = replace(
        bundle.config,
        temperatures=temperatures,
        text_temperature=fit_temperature(as_text.head, as_text.label),
        ngram_share={name: share for name, (share, _) in fitted.items()},
    )
    half = torch.tensor([_half(t) for t in dev for _ in t.labels])
    ece, micro_f1 = _crosswise(opinions, half)
    before = _error(opinions.head, opinions.label)
    return Calibration(replace(bundle, config=config), ece, micro_f1, before)


def _fit(opinions: _Opinions) -> tuple[float, float]:
    """The share and the temperature with the least negative log-likelihood."""

    def loss(share: float) -> tuple[float, float, float]:
        logits = opinions.joined(share)
        temperature = fit_temperature(logits, opinions.label)
        return float(F.cross_entropy(logits / temperature, opinions.label)), share, temperature

    _, share, temperature = min(loss(share) for share in _SHARES)
    return share, temperature


def _crosswise(opinions: _Opinions, half: Tensor) -> tuple[float, float]:
    """Calibration error and accuracy (micro F1, as every column gets an answer) on the unseen halves."""
    probabilities = torch.zeros_like(opinions.head)
    for part in (0, 1):
        share, temperature = _fit(opinions.part(half != part))
        unseen = opinions.part(half == part)
        probabilities[half == part] = (unseen.joined(share) / temperature).softmax(1)
    right = (probabilities.argmax(1) == opinions.label).float().mean()
    return _error(probabilities.log(), opinions.label), float(right)


def _opinions(
    bundle: Bundle,
    vocabulary: Vocabulary,
    tables: Sequence[Table],
    gold: Sequence[Sequence[tuple[int, str]]],
) -> _Opinions:
    """Opinions on the labelled columns, in the order of `gold`."""
    annotator = ColumnTypeAnnotator(bundle, vocabulary, AnnotatorConfig(sure=2.0))  # read all again
    head: list[Tensor] = []
    margins: list[Tensor] = []
    for first in range(0, len(tables), 64):
        batch, labels = tables[first : first + 64], gold[first : first + 64]
        scores = annotator.scores(batch)
        logits, linear = scores.logits.log_softmax(1), torch.zeros_like(scores.logits)
        if annotator.has_ngrams:
            linear = annotator.margins(batch, scores.members)
        offset = 0
        for table, wanted in zip(batch, labels, strict=True):
            head += [logits[offset + index] for index, _ in wanted]
            margins += [linear[offset + index] for index, _ in wanted]
            offset += len(table.columns)
    right = [vocabulary.names.index(name) for labels in gold for _, name in labels]
    return _Opinions(torch.stack(head), torch.stack(margins), torch.tensor(right))


def _schema_opinions(bundle: Bundle, dev: Sequence[LabelledTable], generated: Sequence[Example]) -> _Opinions:
    tables = [t.table for t in dev] + [_as_table(e) for e in generated]
    gold = [[(g.column_index, g.label) for g in t.labels if g.label not in AMBIGUOUS] for t in dev]
    gold += [[(i, label) for i, label in enumerate(e.labels) if label] for e in generated]
    return _opinions(bundle, load_vocabulary("schema"), tables, gold)


def _as_table(example: Example) -> Table:
    columns = (
        Column(i, names[0] if names else None, values)
        for i, (names, values) in enumerate(zip(example.headers, example.columns, strict=True))
    )
    return Table("generated", "generated", tuple(columns))


def _error(logits: Tensor, label: Tensor) -> float:
    confidence, best = logits.softmax(1).max(1)
    return expected_calibration_error(confidence, best == label)


def _half(table: LabelledTable) -> int:
    name = table.host or table.table.name
    return hashlib.sha256(name.encode()).digest()[0] % 2
