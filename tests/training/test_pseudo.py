"""Relation tables labelled by a teacher, the theme and the property."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training import pseudo
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable, theme_of
from aegir_dspy.training.pseudo import pseudo_examples, theme_affinity
from aegir_dspy.training.split import Split, dev_hosts

NAMES = load_vocabulary("sotab82").names
BOOK, EVENT = "Book/name", "Event/name"


def table(theme: str, host: str, *labels: str) -> LabelledTable:
    name = f"{theme}_{host}_September2020_CPA"
    columns = tuple(Column(i, None, (f"{theme} {i} of {host}", "and more")) for i in range(len(labels) + 1))
    gold = tuple(LabelledColumn(i + 1, label, (label,)) for i, label in enumerate(labels))
    return LabelledTable(Table(name, "memory", columns), gold, "s", "train", host)


TRAIN = [table("Book", f"b{i}.example", BOOK) for i in range(9)]
TRAIN += [table("Event", f"e{i}.example", EVENT) for i in range(9)]


def test_themes_favour_the_types_they_have() -> None:
    found = theme_affinity(TRAIN)
    assert list(found) == ["Book", "Event"]
    assert found["Book"][NAMES.index(BOOK)] > 0.5 > -0.5 > found["Event"][NAMES.index(BOOK)]
    assert theme_affinity([]) == {}


@pytest.fixture
def relations(monkeypatch: pytest.MonkeyPatch) -> list[LabelledTable]:
    tables = [
        table(theme, f"{theme}{i}.example", "name", "about") for theme in ("Book", "Event") for i in "12"
    ]
    found = {"sotabv2_cpa": [*tables, table("Book", min(dev_hosts()), "name")], "sotabv2_cpa_val": []}
    monkeypatch.setattr(pseudo, "optional_set", lambda folder, source, task: found[source])
    return tables


def test_the_teacher_labels_the_asked_columns_of_tables_outside_dev(
    relations: list[LabelledTable], bundle: Bundle
) -> None:
    examples = pseudo_examples(Path("anywhere"), Split(TRAIN, []), bundle, least=0.0)
    assert len(examples) == len(relations)
    for example, source in zip(examples, relations, strict=True):
        assert (example.group, example.theme) == ("sotab82", theme_of(source.table.name))
        assert example.columns == tuple(c.values for c in source.table.columns)
        assert example.labels[0] == ""
        assert set(example.labels[1:]) <= set(NAMES)
    assert pseudo_examples(Path("anywhere"), Split(TRAIN, []), bundle, least=1.01) == []


def test_a_theme_decides_what_the_teacher_leaves_open(relations: list[LabelledTable]) -> None:
    even = torch.zeros(3, len(NAMES), dtype=torch.float64).log_softmax(1)
    beliefs = pseudo._informed(relations, [even] * 4, theme_affinity(TRAIN))
    best = [NAMES[int(b[1].argmax())] for b in beliefs]
    assert best == [BOOK, BOOK, EVENT, EVENT]
    for b in beliefs:
        torch.testing.assert_close(b.sum(1), torch.ones(3, dtype=torch.float64))


def test_without_relation_tables_nothing_is_labelled(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    monkeypatch.setattr(pseudo, "optional_set", lambda folder, source, task: [])
    assert pseudo_examples(Path("anywhere"), Split(TRAIN, []), bundle) == []
