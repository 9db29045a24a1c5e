from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.label_text import LabelEncoder
from aegir_dspy.errors import InputError
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable

VALUES = {"telephone": "030 12", "faxNumber": "040 34", "price": "1.5", "Number": "17"}


@pytest.fixture(scope="module")
def text(import_benchmark: Callable[[str], Any]) -> Any:
    return import_benchmark("text")


@pytest.fixture(scope="module")
def bench(text: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    harness = importlib.import_module("_harness")
    folder = tmp_path_factory.mktemp("data")
    (folder / "train_dev").mkdir()
    return harness.Bench("text", argparse.Namespace(quick=True, seed=0, data=folder, checkpoint=None))


@pytest.fixture(scope="module")
def reader(bundle: Bundle) -> Bundle:
    torch.manual_seed(0)
    return replace(bundle, label_text=LabelEncoder(bundle.model.geometry.width, 8, 16, 64))


def tables(count: int, labels: dict[str, str] = VALUES) -> list[LabelledTable]:
    found = []
    for n in range(count):
        columns = tuple(Column(i, None, (f"{v}{n}", v)) for i, v in enumerate(labels.values()))
        gold = tuple(LabelledColumn(i, name, (name,)) for i, name in enumerate(labels))
        found.append(LabelledTable(Table(f"t{n}", "memory", columns), gold, "s", "val", f"h{n}"))
    return found


def test_pairs_are_each_others_rivals_and_apart(text: Any) -> None:
    row = torch.tensor([0] * 8 + [1] * 8 + [2] * 8 + [3] * 7)
    logits = torch.zeros(31, 4)
    logits[:16, [0, 1]] = 5.0  # 0 and 1 are each other's rivals, 2 has 1 as rival, 3 is too rare
    logits[16:24, 1] = 3.0
    logits[24:, 2] = 1.0
    assert text._confusable(logits, row) == [(0, 1)]


def test_answers_within_a_pair(text: Any) -> None:
    logits = torch.tensor([[2.0, 1.0, 9.0], [2.0, 1.0, 9.0], [1.0, 1.0, 9.0]])
    assert text._within(logits, torch.tensor([0, 1, 0]), {0: 1, 1: 0}, [0, 1, 2]) == 0.5


def test_few_examples_a_type(text: Any) -> None:
    import random

    chosen = text._examples(tables(9), random.Random(0))
    for label in VALUES:
        assert sum(gold.label == label for t in chosen for gold in t.labels) == text.EXAMPLES


def test_every_part_measures(text: Any, bench: Any, reader: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="at least 3"):
        text._pairs(bench, [reader], tables(1))
    monkeypatch.setattr(text, "_confusable", lambda logits, row, fewest: [(row[0].item(), row[1].item())])
    text._pairs(bench, [reader, reader], tables(9))
    classes = {"Country": "Peru", "City": "Ulm", "Lake": "Chiemsee"}
    monkeypatch.setattr(text, "load_labelled", lambda folder, source: tables(4, classes))
    text._zero_shot(bench, [reader], "t2dv2")
    text._paraphrased(bench, [reader], tables(3))
    text._lens(bench, reader, tables(3))
    assert len({row["part"] for row in bench.rows}) == 4
    assert all(0 <= row["right"] <= 1 for row in bench.rows)
    spread = [row["±"] for row in bench.rows if row["part"] == "confusable pairs"]
    assert spread == [0.0] * 4
    assert [check["name"] for check in bench.checks][:2] == [
        "true over swapped descriptions",
        "lost by true descriptions",
    ]
