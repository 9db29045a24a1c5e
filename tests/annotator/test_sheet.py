"""The sheet: columns, then captions, and who informs whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from aegir_dspy.annotator.sheet import CAPTION, Sheet
from aegir_dspy.tables import Table
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.tables.serialize import SerializeConfig, serialize_column

CONTEXT, SERIALIZE = ContextConfig(), SerializeConfig()


@pytest.fixture
def some(make_table: Callable[..., Table]) -> list[Table]:
    """Tables of 2, 1 and 3 columns, the first and the last with a caption; one column says nothing."""
    return [
        replace(make_table("one", a=["x"], b=["1"]), comment="People of Ulm"),
        make_table("two", c=["y"]),
        replace(make_table("three", d=["z"], e=["3"], f=["2"]), comment="Prices"),
    ]


def silent(table: Table, column: int) -> Table:
    columns = list(table.columns)
    columns[column] = replace(columns[column], name=None, values=("", " "))
    return replace(table, columns=tuple(columns))


def test_captions_are_pieces_after_the_columns(some: list[Table]) -> None:
    sheet = Sheet.of(some, CONTEXT, SERIALIZE)
    pieces = sheet.pieces(SERIALIZE)
    assert pieces[:6] == [serialize_column(c, SERIALIZE) for t in some for c in t.columns]
    assert len(pieces) == sheet.joined.shape[1] == 8
    for piece, text in zip(pieces[6:], (b"People of Ulm", b"Prices"), strict=True):
        assert text in piece and CAPTION.encode() in piece


def test_captions_cost_what_they_cost_once(some: list[Table]) -> None:
    sheet = Sheet.of(some, CONTEXT, SERIALIZE)
    tokens = torch.tensor([10, 20, 30, 40, 50, 60, 1, 2])
    assert sheet.by_column(tokens).tolist() == [11, 20, 30, 42, 50, 60]
    empty = Sheet.of([Table("none", "none", (), comment="nothing")], CONTEXT, SERIALIZE)
    assert empty.by_column(torch.tensor([3])).tolist() == []


def test_a_caption_informs_all_columns_of_its_table_and_no_other(some: list[Table]) -> None:
    joined = Sheet.of(some, CONTEXT, SERIALIZE).joined
    assert joined[:, 6].tolist() == [True, True, False, False, False, False]
    assert joined[:, 7].tolist() == [False, False, False, True, True, True]


def test_columns_inform_the_others_of_their_table(some: list[Table]) -> None:
    sheet = Sheet.of(some, CONTEXT, SERIALIZE)
    assert sheet.spans == [slice(0, 2), slice(2, 3), slice(3, 6)]
    for span, members in zip(sheet.spans, sheet.members, strict=True):
        count = len(members)
        assert (members == ~torch.eye(count, dtype=torch.bool).numpy()).all()
        assert (sheet.joined[span, span].numpy() == members).all()
        outside = sheet.joined[span, :6].clone()
        outside[:, span] = False
        assert not outside.any()


def test_no_context_means_no_captions_either(some: list[Table]) -> None:
    sheet = Sheet.of(some, ContextConfig(columns=0), SERIALIZE)
    assert sheet.joined.shape == (6, 6)
    assert not sheet.joined.any()
    assert len(sheet.pieces(SERIALIZE)) == 6


def test_columns_that_say_nothing_inform_nobody(some: list[Table]) -> None:
    sheet = Sheet.of([silent(some[2], 1)], CONTEXT, SERIALIZE)
    assert sheet.readable.tolist() == [True, False, True]
    assert sheet.joined[:, 1].tolist() == [False, False, False]
    assert sheet.joined[0].tolist() == [False, False, True, True]


def test_at_most_as_many_columns_as_allowed(tables: list[Table]) -> None:
    sheet = Sheet.of(tables, ContextConfig(columns=3), SERIALIZE)
    assert sheet.joined.sum(1).max() == 3
    widths = [len(table.columns) for table in tables]
    assert sheet.joined.sum(1).tolist() == [min(3, n - 1) for n in widths for _ in range(n)]


def test_a_table_is_the_same_among_others(some: list[Table]) -> None:
    whole = Sheet.of(some, CONTEXT, SERIALIZE)
    alone = Sheet.of(some[2:], CONTEXT, SERIALIZE)
    assert torch.equal(whole.joined[3:6][:, [3, 4, 5, 7]], alone.joined)
    assert [whole.pieces(SERIALIZE)[i] for i in (3, 4, 5, 7)] == alone.pieces(SERIALIZE)


def test_long_captions_are_cut_to_a_column(some: list[Table]) -> None:
    long = replace(some[1], comment="word " * 1000)
    *_, piece = Sheet.of([long], CONTEXT, SERIALIZE).pieces(SERIALIZE)
    assert SERIALIZE.value_bytes < len(piece) <= SERIALIZE.column_bytes + len(CAPTION) + 2


def test_nothing_to_read() -> None:
    sheet = Sheet.of([], CONTEXT, SERIALIZE)
    assert (sheet.spans, sheet.pieces(SERIALIZE), sheet.joined.shape) == ([], [], (0, 0))
