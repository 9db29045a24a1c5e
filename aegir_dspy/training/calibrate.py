"""Calibrating an annotator on dev tables, and the scores its model card reports."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.calibration import expected_calibration_error, fit_temperature
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.examples import AMBIGUOUS

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """A bundle with temperatures fitted on dev, and the calibration error they leave.

    `ece` is measured crosswise: fitted on the tables of one half of the hosts, measured on the other.
    """

    bundle: Bundle
    ece: float
    ece_before: float


def calibrate(bundle: Bundle, dev: Sequence[LabelledTable], generated: Sequence[Example]) -> Calibration:
    """Fit the temperatures of the head (sotab82, schema, any other) and of labels scored as text.

    Args:
        dev: tables of hosts the weights have not seen, labelled with the 82 SOTAB types.
        generated: generated tables of another seed, labelled with types of ``schema``.
    """
    sotab82 = load_vocabulary("sotab82")
    tables = [t.table for t in dev]
    gold = [[(g.column_index, g.label) for g in t.labels] for t in dev]
    logits, label = _labelled_logits(bundle, sotab82, tables, gold)
    half = torch.tensor([_half(t) for t in dev for _ in t.labels])
    before = _error(logits, label, torch.ones_like(half), torch.ones(2))
    crosswise = torch.tensor([fit_temperature(logits[half != h], label[half != h]) for h in (0, 1)])
    temperatures = {"sotab82": fit_temperature(logits, label)}
    temperatures["schema"] = fit_temperature(*_schema_logits(bundle, dev, generated))
    temperatures[""] = max(temperatures.values())
    wordless = replace(
        bundle, config=replace(bundle.config, labels=())
    )  # the head knows nothing: all as text
    some = slice(0, 60)
    text = fit_temperature(*_labelled_logits(wordless, sotab82, tables[some], gold[some]))
    config = replace(bundle.config, temperatures=temperatures, text_temperature=text)
    return Calibration(replace(bundle, config=config), _error(logits, label, half, crosswise), before)


def _labelled_logits(
    bundle: Bundle,
    vocabulary: Vocabulary,
    tables: Sequence[Table],
    gold: Sequence[Sequence[tuple[int, str]]],
) -> tuple[Tensor, Tensor]:
    """(C, labels) scores of the labelled columns and (C,) right positions in the vocabulary."""
    annotator = ColumnTypeAnnotator(bundle, vocabulary)
    scores: list[Tensor] = []
    for first in range(0, len(tables), 64):
        batch = tables[first : first + 64]
        logits, offset = annotator.scores(batch).logits, 0
        for table, labels in zip(batch, gold[first : first + 64], strict=True):
            scores += [logits[offset + index] for index, _ in labels]
            offset += len(table.columns)
    right = [vocabulary.names.index(name) for labels in gold for _, name in labels]
    return torch.stack(scores), torch.tensor(right)


def _schema_logits(
    bundle: Bundle, dev: Sequence[LabelledTable], generated: Sequence[Example]
) -> tuple[Tensor, Tensor]:
    tables = [t.table for t in dev] + [_as_table(e) for e in generated]
    gold = [[(g.column_index, g.label) for g in t.labels if g.label not in AMBIGUOUS] for t in dev]
    gold += [[(i, label) for i, label in enumerate(e.labels) if label] for e in generated]
    return _labelled_logits(bundle, load_vocabulary("schema"), tables, gold)


def _as_table(example: Example) -> Table:
    columns = (
        Column(i, names[0] if names else None, values)
        for i, (names, values) in enumerate(zip(example.headers, example.columns, strict=True))
    )
    return Table("generated", "generated", tuple(columns))


def _error(logits: Tensor, label: Tensor, half: Tensor, temperature: Tensor) -> float:
    """Calibration error when each column is scaled by the temperature of its half."""
    confidence, best = (logits / temperature[half].unsqueeze(1)).softmax(1).max(1)
    return expected_calibration_error(confidence, best == label)


def _half(table: LabelledTable) -> int:
    name = table.host or table.table.name
    return hashlib.sha256(name.encode()).digest()[0] % 2
