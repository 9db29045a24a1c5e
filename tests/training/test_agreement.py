"""Counting what goes together."""

from __future__ import annotations

import torch

from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.training.agreement import count_agreement
from aegir_dspy.training.column_types import Example

NAMES = load_vocabulary("sotab82").names
A, B, C = "Book/name", "Person/name", "Date"


def table(*labels: str, theme: str = "") -> Example:
    return Example((("x",),) * len(labels), ((),) * len(labels), labels, "sotab82", theme)


def row(label: str) -> int:
    return NAMES.index(label)


def test_labels_go_with_the_themes_they_are_seen_with() -> None:
    found = count_agreement([table(A, B, theme="Book")] * 20 + [table(C, B, theme="Event")] * 20)
    assert (found.themes, found.labels) == (("theme:Book", "theme:Event"), tuple(NAMES))
    book, event = found.affinity
    assert book[row(A)] > 0.5 > -0.5 > event[row(A)]
    assert event[row(C)] > 0.5 > -0.5 > book[row(C)]
    assert abs(float(book[row(B)] - event[row(B)])) < 1e-9


def test_pairs_are_counted_from_left_to_right() -> None:
    found = count_agreement([table(A, "", B)] * 20 + [table(C, C)] * 20)
    assert found.company[row(A), row(B)] > 0.5
    assert found.company[row(B), row(A)] < found.company[row(A), row(B)] - 0.5
    assert found.company[row(A), row(C)] < -0.5 < 0.5 < found.company[row(C), row(C)]


def test_without_tables_nothing_is_known() -> None:
    found = count_agreement([])
    assert (found.themes, found.affinity.shape) == ((), (0, len(NAMES)))
    assert not found.company.any()


def test_other_labels_are_not_counted_and_order_of_tables_does_not_matter() -> None:
    examples = [table(A, B, theme="Book"), table(C, "no such type", A, theme="Event"), table(B)]
    whole, turned = count_agreement(examples), count_agreement(examples[::-1])
    assert whole.themes == turned.themes
    assert torch.equal(whole.affinity, turned.affinity)
    assert torch.equal(whole.company, turned.company)
    without = [table(A, B, theme="Book"), table(C, A, theme="Event"), table(B)]
    assert torch.equal(count_agreement(without).company, whole.company)
