"""Measuring column types against gold labels: micro and macro F1, coverage, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aegir_dspy.annotator.calibration import expected_calibration_error

__all__ = ["Prediction", "Score", "score_predictions"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was answered for one labelled column: type is None when abstained."""

    table: str
    column_index: int
    type: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Score:
    """How good predictions are.

    Attributes:
        micro_f1: over all columns; an abstention is a missed column, not a wrong answer.
        macro_f1: mean of the F1 of every label that occurs in the gold.
        columns: how many were asked. answered: share that got an answer. right: share of answers right.
        ece: expected calibration error of the answers' confidences.
    """

    micro_f1: float
    macro_f1: float
    columns: int
    answered: float
    right: float
    ece: float


def score_predictions(predictions: Sequence[Prediction], gold: Sequence[Sequence[str]]) -> Score:
    """Score predictions against gold labels, in the same order.

    Where several gold labels apply, any of them is right; a wrong answer then counts against the first.
    """
    hits: Counter[str] = Counter()
    said: Counter[str] = Counter()
    there: Counter[str] = Counter()
    right = []
    for prediction, labels in zip(predictions, gold, strict=True):
        hit = prediction.type in labels
        there[prediction.type if hit and prediction.type else labels[0]] += 1
        if prediction.type is not None:
            said[prediction.type] += 1
            right.append(hit)
            hits[prediction.type] += hit
    f1 = [2 * hits[label] / (said[label] + there[label]) for label in there]
    answers = max(1, len(right))
    confidence = torch.tensor([p.confidence for p in predictions if p.type is not None])
    return Score(
        micro_f1=2 * sum(hits.values()) / max(1, len(right) + len(predictions)),
        macro_f1=sum(f1) / max(1, len(f1)),
        columns=len(predictions),
        answered=len(right) / max(1, len(predictions)),
        right=sum(right) / answers,
        ece=expected_calibration_error(confidence, torch.tensor(right)),
    )
