from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from aegir_dspy.annotator.calibration import expected_calibration_error, fit_temperature
from aegir_dspy.annotator.evaluation import Prediction, score_predictions

LABELS = ("a", "b", "c")


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 3.0, 8.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(20_000, 6, generator=generator)
    label = torch.multinomial(honest.softmax(1), 1, generator=generator).squeeze(1)
    assert fit_temperature(honest * temperature, label) == pytest.approx(temperature, rel=0.05)


def test_labels_that_do_not_compete_do_not_count() -> None:
    logits, label = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.5]]), torch.tensor([0, 1, 1])
    wider = torch.cat([logits, torch.full((3, 2), -torch.inf)], 1)
    assert fit_temperature(wider, label) == pytest.approx(fit_temperature(logits, label))


def test_calibrated_confidences_have_no_error() -> None:
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(100_000, generator=generator)
    right = torch.rand(100_000, generator=generator) < confidence
    assert expected_calibration_error(confidence, right) < 0.01
    assert expected_calibration_error(confidence, torch.zeros(100_000, dtype=torch.bool)) > 0.4


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40), st.integers(1, 20))
def test_the_error_is_between_zero_and_one(columns: list[tuple[float, bool]], bins: int) -> None:
    confidence = torch.tensor([c for c, _ in columns])
    right = torch.tensor([r for _, r in columns], dtype=torch.bool)
    assert 0 <= expected_calibration_error(confidence, right, bins) <= 1 + 1e-6


def test_the_error_by_hand() -> None:
    confidence, right = torch.tensor([0.9, 0.2, 0.8, 0.3]), torch.tensor([True, False, False, True])
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx((0.25 + 0.35) / 2)
    assert expected_calibration_error(torch.tensor([1.0]), torch.tensor([True])) == 0
    assert expected_calibration_error(torch.tensor([]), torch.tensor([], dtype=torch.bool)) == 0


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.none() | st.sampled_from((*LABELS, "d"))), min_size=1))
def test_scores_are_those_of_sklearn(columns: list[tuple[str, str | None]]) -> None:
    """An abstention is an answer outside the labels: missed, but wrong for no label."""
    gold, said = [g for g, _ in columns], [s for _, s in columns]
    score = score_predictions([Prediction("t", i, s, 0.5) for i, s in enumerate(said)], [(g,) for g in gold])
    answers = [s or "abstained" for s in said]
    every = [*LABELS, "d"]
    kept = {"labels": sorted(set(gold)), "zero_division": 0.0}
    assert score.macro_f1 == pytest.approx(f1_score(gold, answers, average="macro", **kept))
    micro = f1_score(gold, answers, average="micro", labels=every, zero_division=0.0)
    assert score.micro_f1 == pytest.approx(micro)
    assert score.columns == len(columns)
    assert score.answered == pytest.approx(sum(s is not None for s in said) / len(said))
    right = sum(g == s for g, s in columns)
    assert score.right == pytest.approx(right / max(1, sum(s is not None for s in said)))


def test_any_of_several_gold_labels_is_right() -> None:
    answers = [Prediction("t", i, kind, 0.9) for i, kind in enumerate(("b", "a", "c", None))]
    score = score_predictions(answers, [("a", "b"), ("a",), ("a", "b"), ("b",)])
    assert score.micro_f1 == pytest.approx(2 * 2 / (3 + 4))
    # a: right once, missed once. b: right once, abstained once. c is no gold label.
    assert score.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert score.ece == pytest.approx((0.1 + 0.1 + 0.9) / 3)  # three bins of one answer each


def test_nothing_to_score() -> None:
    score = score_predictions([], [])
    assert (score.micro_f1, score.macro_f1, score.columns, score.ece) == (0, 0, 0, 0)
    assert not math.isnan(score.answered)
