"""Specialists for any signature: each reads parts of one input, and hands over a state instead of text."""

from __future__ import annotations

from collections.abc import Sequence

from aegir_dspy.adapters.dspy_lm.fields import COLUMN, HEADER
from aegir_dspy.errors import InputError
from aegir_dspy.latent import fuse
from aegir_dspy.rwkv import Engine, State

__all__ = ["fuse_shards", "read_shards"]


def read_shards(specialists: Sequence[Engine], field: str, parts: Sequence[str]) -> list[State]:
    """One state a part, in the order of the parts; each specialist reads its share in one batch.

    Every part is laid out as an input field of its own, so that all states end at the same delimiter and
    can be fused.

    Raises:
        InputError: there is nothing to read.
    """
    if not parts:
        raise InputError(f"expected at least one element in {field}, found none")
    states: list[State | None] = [None] * len(parts)
    for number, specialist in enumerate(specialists):
        own = range(number, len(parts), len(specialists))
        texts = [f"{field}{HEADER}{parts[i]}{COLUMN}" for i in own]
        for i, state in zip(own, specialist.read(texts), strict=True):
            states[i] = state
    return [state for state in states if state is not None]


def fuse_shards(specialists: Sequence[Engine], field: str, parts: Sequence[str]) -> State:
    """What all specialists read, as one state. Raises StateError when their models differ."""
    return fuse(read_shards(specialists, field, parts))
