"""Columns as bytes: what the weights were trained on, so every property here is a promise to them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.tables.serialize import (
    COLUMN_END,
    HEADER_END,
    VALUE_END,
    SerializeConfig,
    content_hash,
    sample_values,
    serialize_column,
    serialize_values,
)
from aegir_dspy.tables.table import Column

TEXT = st.text(max_size=80)  # any character, lone surrogates included
CONFIGS = st.builds(
    SerializeConfig,
    value_bytes=st.integers(1, 60),
    column_bytes=st.integers(1, 250),
    header_bytes=st.integers(1, 50),
    max_values=st.integers(1, 12),
    headers=st.booleans(),
)
SEPARATORS = HEADER_END + VALUE_END + COLUMN_END


def parts(piece: bytes) -> tuple[bytes | None, list[bytes]]:
    """Header and values of a serialized column."""
    header, found, rest = piece.partition(HEADER_END)
    body = rest if found else piece
    return (header if found else None), body.removesuffix(COLUMN_END).split(VALUE_END)


@given(name=st.none() | TEXT, values=st.lists(TEXT, max_size=20), config=CONFIGS)
def test_every_column_keeps_the_layout(name: str | None, values: list[str], config: SerializeConfig) -> None:
    piece = serialize_column(Column(0, name, tuple(values)), config)
    assert piece.endswith(COLUMN_END)
    assert piece.count(COLUMN_END) == 1
    assert piece.count(HEADER_END) == bool(name and config.headers)
    assert not [byte for byte in piece if (byte < 32 and byte not in SEPARATORS) or byte == 127]
    header, found = parts(piece)
    assert len(header or b"") <= config.header_bytes
    assert all(len(value) <= config.value_bytes for value in found)
    assert len(found) <= config.max_values
    assert len(b"".join(found)) + len(found) <= max(config.column_bytes, 1)
    for text in (header or b"", *found):
        assert " ".join(text.decode("utf-8").split()) == text.decode("utf-8").strip()
    assert serialize_column(Column(7, name, tuple(values)), config) == piece


def test_the_layout_byte_for_byte() -> None:
    column = Column(0, "net\tprice", ("1.20", "3\x00\n4", "", "1.20", "  "))
    assert serialize_column(column, SerializeConfig()) == b"net price\x1f1.20\x1e3 4\x1d"
    assert serialize_column(column, SerializeConfig(headers=False)) == b"1.20\x1e3 4\x1d"
    assert serialize_column(Column(0, None, ()), SerializeConfig()) == b"\x1d"


def test_a_cut_never_splits_a_character() -> None:
    config = SerializeConfig(value_bytes=4, header_bytes=4)
    assert serialize_values("größe", ["日本語"], config) == "grö\x1f日\x1d".encode()


def test_the_last_value_that_fits_is_cut() -> None:
    config = SerializeConfig(column_bytes=8)
    assert serialize_values(None, ["abc", "defgh", "i"], config) == b"abc\x1edef\x1d"
    assert serialize_values(None, ["abc", "def", "i"], config) == b"abc\x1edef\x1d"
    assert serialize_values(None, ["abcdefghijk"], config) == b"abcdefg\x1d"


@given(values=st.lists(TEXT, max_size=60), count=st.integers(1, 12))
def test_a_sample_is_distinct_spread_and_in_order(values: list[str], count: int) -> None:
    sample = sample_values(values, count)
    distinct = list(dict.fromkeys(v for v in values if v.strip()))
    assert len(sample) == min(count, len(distinct))
    positions = [distinct.index(v) for v in sample]
    assert positions == sorted(set(positions))
    gaps = [b - a for a, b in pairwise([*positions, len(distinct)])]
    assert not gaps or max(gaps) - min(gaps) <= 1


@given(st.lists(st.binary(max_size=5), max_size=5), st.lists(st.binary(max_size=5), max_size=5))
def test_different_columns_have_different_hashes(one: list[bytes], other: list[bytes]) -> None:
    assert (content_hash(one) == content_hash(other)) is (one == other)
