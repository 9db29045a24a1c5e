from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.tables.infer import NULL_WORDS, cell_type, infer_type


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        (" N/A ", "empty"),
        ("Yes", "boolean"),
        ("0", "integer"),
        ("-12", "integer"),
        ("007", "text"),
        ("1,5", "number"),
        ("1,234.5", "number"),
        ("1.234,5", "number"),
        ("2.5e-10", "number"),
        (".5", "number"),
        ("2020-02-29", "date"),
        ("31.12.1999", "date"),
        ("12/31/99", "date"),
        ("2020-13-45", "text"),
        ("2020-01-02T03:04:05.678Z", "datetime"),
        ("2020-01-02 03:04:05+02:00", "datetime"),
        ("23:59", "time"),
        ("25:00", "text"),
        ("12 Main St", "text"),
        ("x" * 100, "text"),
        (" " * 100, "empty"),
        ("١٢", "text"),
    ],
)
def test_cell_type(text: str, expected: str) -> None:
    assert cell_type(text) == expected


nulls = st.lists(st.sampled_from(sorted(NULL_WORDS)), max_size=3)


@given(st.lists(st.integers(), min_size=1), nulls)
def test_integers_stay_integers_among_nulls(values: list[int], null: list[str]) -> None:
    if any(len(str(value)) > 60 for value in values):
        return
    assert infer_type([*map(str, values), *null]) == "integer"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), nulls)
def test_floats_are_numbers(values: list[float], null: list[str]) -> None:
    assert infer_type([*map(repr, values), *null]) == "number"


@given(st.lists(st.dates(), min_size=1), nulls)
def test_dates(values: list[datetime.date], null: list[str]) -> None:
    assert infer_type([value.isoformat() for value in values] + null) == "date"


@given(st.lists(st.datetimes(), min_size=1))
def test_datetimes(values: list[datetime.datetime]) -> None:
    assert infer_type([value.isoformat(" ") for value in values]) == "datetime"


@given(st.lists(st.times(), min_size=1))
def test_times(values: list[datetime.time]) -> None:
    assert infer_type([value.isoformat() for value in values]) == "time"


@given(st.lists(st.text(), max_size=5))
def test_the_order_of_values_does_not_matter(values: list[str]) -> None:
    assert infer_type(values) == infer_type(values[::-1])


@given(st.lists(st.text(max_size=5), max_size=5))
def test_one_word_makes_any_column_text(values: list[str]) -> None:
    assert infer_type([*values, "a word"]) == "text"


def test_only_nulls_are_empty() -> None:
    assert infer_type(["", "NULL"]) == infer_type([]) == "empty"


def test_wider_types() -> None:
    assert infer_type(["1", "2.5"]) == "number"
    assert infer_type(["2020-01-01", "2020-01-01 10:00"]) == "datetime"
    assert infer_type(["1", "yes"]) == "text"
