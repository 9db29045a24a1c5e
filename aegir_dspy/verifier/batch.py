"""Many scores, in one process or several; the same scores in the same order either way."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from aegir_dspy.errors import InputError
from aegir_dspy.verifier.score import Score

if TYPE_CHECKING:
    from aegir_dspy.verifier.verifier import Verifier

__all__ = ["Item", "scores"]

Item = tuple[Any, ...]
"""(composition, tables) or (composition, tables, texts): the arguments of `Verifier.score`."""

_here: list[Verifier] = []  # of a worker process: its verifier


def scores(verifier: Verifier, items: Sequence[Item], processes: int = 1) -> list[Score]:
    """See `Verifier.score_batch`.

    Raises:
        InputError: fewer than one process.
    """
    if processes < 1:
        raise InputError(f"expected one process or more, found {processes}")
    if processes == 1 or len(items) < 2:
        return [verifier.score(*item) for item in items]
    processes = min(processes, len(items))
    # Fork would copy threads of torch and locks that are held; a worker begins anew everywhere.
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (verifier,)) as pool:
        return list(pool.map(_score, items, chunksize=max(1, len(items) // (4 * processes))))


def _begin(verifier: Verifier) -> None:
    _here[:] = [verifier]


def _score(item: Item) -> Score:
    return _here[0].score(*item)
