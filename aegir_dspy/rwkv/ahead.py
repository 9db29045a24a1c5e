"""Masks of grammars, made while the model computes.

What may come next depends on the text so far, not on the model, so the masks of the next step are made while
the model takes in the tokens of this one: by llguidance in threads of its own, which cost nothing where a
core is idle. Masks of few tokens take less time than waking a thread does, so they are made at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from aegir_dspy.rwkv.constraint import Constraint, Mask, mask_words
from aegir_dspy.rwkv.grammar import GrammarConstraint

if TYPE_CHECKING:
    from llguidance import LLExecutor, LLMatcher

__all__ = ["MasksAhead"]

_FEW_WORDS = 32  # of a mask: 1024 tokens
_WORD = 4  # bytes


class MasksAhead:
    """The masks of the next step of a batch, for tokens of a vocabulary of size `vocab`."""

    def __init__(self, vocab: int) -> None:
        self._masks: Mask = np.zeros((0, mask_words(vocab)), np.uint32)
        self._rows: dict[Constraint, int] = {}
        self._waiting: Future[None] | None = None

    def begin(self, constraints: Sequence[Constraint | None]) -> None:
        """Start on what the grammars among these allow next. Until `take`, nobody else may use them."""
        self._wait()
        grammars = [one for one in constraints if isinstance(one, GrammarConstraint) and not one.finished]
        self._rows = {grammar: row for row, grammar in enumerate(grammars)}
        if not grammars:
            return
        words = self._masks.shape[1]
        if len(grammars) > len(self._masks):
            self._masks = np.empty((len(grammars), words), np.uint32)
        if words <= _FEW_WORDS:
            start, size = self._masks.ctypes.data, words * _WORD
            for row, grammar in enumerate(grammars):
                grammar.matcher.unsafe_compute_mask_ptr(start + row * size, size)
            return
        thread, llguidance = _threads()
        work = partial(_fill, llguidance, [grammar.matcher for grammar in grammars], self._masks)
        try:
            self._waiting = thread.submit(work)
        except RuntimeError:  # the interpreter waits for its last threads, and takes no new work
            work()

    def take(self, constraints: Sequence[Constraint | None]) -> tuple[Mask, list[int]]:
        """(B, W) masks, all ones where none was made; and the positions of constraints that still want one.

        They are the caller's until the next `begin`.
        """
        self._wait()
        rows = [-1 if one is None else self._rows.get(one, -1) for one in constraints]
        if rows == list(range(len(rows))):
            return self._masks[: len(rows)], []
        masks = np.full((len(rows), self._masks.shape[1]), 0xFFFFFFFF, np.uint32)
        made = [position for position, row in enumerate(rows) if row >= 0]
        masks[made] = self._masks[[rows[position] for position in made]]
        return masks, [i for i, one in enumerate(constraints) if one is not None and rows[i] < 0]

    def _wait(self) -> None:
        if self._waiting is not None:
            self._waiting.result()
            self._waiting = None


def _fill(llguidance: LLExecutor, matchers: Sequence[LLMatcher], masks: Mask) -> None:
    """Write what the matchers allow into rows of `masks`, which stays in memory as long as this takes."""
    rows = [(matcher, row) for row, matcher in enumerate(matchers)]
    llguidance.unsafe_compute_mask_ptr(rows, masks.ctypes.data, masks.shape[1] * _WORD, len(masks))


@cache
def _threads() -> tuple[ThreadPoolExecutor, LLExecutor]:
    """A thread that waits, and those of llguidance: half of the cores, since the model computes meanwhile."""
    from llguidance import LLExecutor

    return ThreadPoolExecutor(1, "aegir-masks"), LLExecutor(max(1, (os.cpu_count() or 1) // 2))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not come along
