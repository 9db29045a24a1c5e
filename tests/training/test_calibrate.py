"""What calibration needs of its tables, said before and not after hours of training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from aegir_dspy.errors import InputError
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.calibrate import Judged, check_dev, crosswise, crosswise_answers, fit_decisions
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable

FIRST, SECOND = "12min.com", "1dorama.club"  # their hashes put them into different halves


def judged(half: int, labelled: int = 2, count: int = 3) -> Judged:
    """Tables of three columns, two labels; the primary is right about the first labelled one."""
    said = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64).log_softmax(1)
    rows = torch.arange(labelled)
    return Judged({"primary": said}, {}, rows, torch.zeros(labelled, dtype=torch.int64), half)


def labelled_table(host: str, labels: int = 1) -> LabelledTable:
    gold = tuple(LabelledColumn(i, "email", ("email",)) for i in range(labels))
    return LabelledTable(Table(host, "memory", (Column(0, "a"),)), gold, "sotabv2_cta", "train", host)


@pytest.mark.parametrize("tables", [[], [judged(0, labelled=0), judged(1, labelled=0)]])
def test_nothing_to_fit_on_is_refused(tables: list[Judged]) -> None:
    with pytest.raises(InputError, match=rf"to fit decisions on, found {len(tables)} tables"):
        fit_decisions(tables, None)


@pytest.mark.parametrize("tables", [[], [judged(1), judged(1)], [judged(1), judged(0, labelled=0)]])
def test_crosswise_needs_both_halves(tables: list[Judged]) -> None:
    found = sum(len(table.rows) > 0 for table in tables)
    for measure in (crosswise, crosswise_answers):
        with pytest.raises(InputError, match=f"both halves of the hosts.*found 0 and {found}: add tables"):
            measure(tables, None)


def test_crosswise_answers_every_labelled_column() -> None:
    tables = [judged(0), judged(1), judged(1, labelled=0)]
    assert [len(log_p) for log_p in crosswise_answers(tables, None)] == [2, 2, 0]
    micro_f1, error = crosswise(tables, None)
    assert micro_f1 == 0.5
    assert 0 <= error <= 1


def test_members_can_decide_without_the_primary() -> None:
    tables = [replace(table, labels={"places": table.labels["primary"]}) for table in (judged(0), judged(1))]
    decisions = fit_decisions(tables, None)
    assert set(decisions.first.opinions) == set(decisions.full.opinions) == {"places"}


def test_dev_tables_are_looked_at_before_training() -> None:
    with pytest.raises(InputError, match="both halves"):
        check_dev([labelled_table(FIRST)])
    with pytest.raises(InputError, match="both halves"):
        check_dev([labelled_table(FIRST), labelled_table(SECOND, labels=0)])
    check_dev([labelled_table(FIRST), labelled_table(SECOND)])
