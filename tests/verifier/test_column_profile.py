import pytest

from aegir_dspy.verifier.column_profile import FEATURES, MOST, profile


def test_counts_and_shares() -> None:
    column = profile(("a@b.de", "a@b.de", "", "N/A", "x"))
    assert (column.rows, column.nulls, column.distinct, column.sample) == (5, 2, 2, ("a@b.de", "x"))
    assert column.share("email") == pytest.approx(2 / 3)
    assert column.failing("email") == ("x",)
    assert not column.unique and profile(("1", "2")).unique


def test_a_long_column_is_sampled_evenly() -> None:
    column = profile(tuple(str(i) for i in range(1000)))
    assert column.distinct == 1000 and len(column.sample) == MOST
    assert column.sample[0] == "0" and int(column.sample[-1]) > 900
    assert sum(column.weights) == pytest.approx(1.0)


def test_numbers_are_read() -> None:
    assert profile(("1,234.5", "x", "-2")).numbers == (1234.5, -2.0)


@pytest.mark.parametrize("values", [(), ("", "NULL"), ("x" * 5000,), ("1",), ("\ud800",), ("١٢",), ("\x00",)])
def test_shape_is_bounded(values: tuple[str, ...]) -> None:
    shape = profile(values).shape
    assert len(shape) == len(FEATURES) and all(0 <= x <= 60 for x in shape)


def test_shape_tells_prose_from_codes() -> None:
    at = FEATURES.index
    prose = profile(("It was a bright cold day in April, and the clocks were striking.",)).shape
    codes = profile(("AB-1234", "CD-5678")).shape
    assert prose[at("function_words")] > 0.5 > codes[at("function_words")]
    assert codes[at("digits")] > prose[at("digits")] and codes[at("same_length")] == 1.0
