from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.tables.context import ContextConfig, context_members

PIECES = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=30)
CONFIGS = st.builds(
    ContextConfig, columns=st.integers(0, 9), balance=st.floats(0, 1), candidates=st.integers(1, 40)
)


@given(PIECES, CONFIGS)
def test_never_itself_and_never_too_many(pieces: list[bytes], config: ContextConfig) -> None:
    members = context_members(pieces, config)
    assert members.shape == (len(pieces), len(pieces))
    assert not members.diagonal().any()
    most = min(config.columns, len(pieces) - 1)
    assert members.sum(1).max() <= most
    if config.candidates > config.columns:
        assert members.sum(1).min() == most
    assert np.array_equal(members, context_members(list(pieces), config))


def test_a_narrow_table_uses_all_other_columns() -> None:
    members = context_members([b"a", b"a", b"b"], ContextConfig(columns=2))
    assert members.tolist() == [[False, True, True], [True, False, True], [True, True, False]]


@pytest.mark.parametrize(("balance", "expected"), [(1.0, [1, 2]), (0.0, [1, 3])])
def test_balance_goes_from_likeness_to_variety(balance: float, expected: list[int]) -> None:
    pieces = [b"1.20 1.30\x1d", b"1.20 1.30\x1d", b"1.20 1.31\x1d", b"xyz uvw\x1d"]
    members = context_members(pieces, ContextConfig(columns=2, balance=balance))
    assert np.flatnonzero(members[0]).tolist() == expected


def test_wide_tables_choose_among_evenly_spaced_candidates() -> None:
    pieces = [f"{i} {i * i}".encode() for i in range(500)]
    members = context_members(pieces, ContextConfig(columns=3, candidates=11))
    chosen = np.flatnonzero(members.any(0))
    assert set(chosen) <= set(np.linspace(0, 499, 11).round().astype(int))
    assert (members.sum(1) == 3).all()


def test_five_thousand_columns_are_quick(within: Callable[..., np.ndarray]) -> None:
    pieces = [f"{i} {i * i} {chr(97 + i % 26)}\x1d".encode() for i in range(5000)]
    members = within(2.0, lambda: context_members(pieces, ContextConfig()))
    assert (members.sum(1) == 8).all()
