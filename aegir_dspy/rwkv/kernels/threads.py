"""A range of independent pieces of work, split over as many threads as torch is told to use."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

import torch

__all__ = ["split", "together"]

_WORTH = 1 << 16  # numbers: less than this is done sooner than a thread is woken


def split(count: int, numbers: int, work: Callable[[int, int], object]) -> None:
    """Call ``work(first, last)`` for ranges that together are 0 … `count`; `numbers` says how much it is.

    What a piece becomes must not depend on the range it is in.
    """
    threads = min(torch.get_num_threads(), count)
    if threads < 2 or numbers < _WORTH:
        work(0, count)
        return
    (here, *others) = pairwise(count * i // threads for i in range(threads + 1))
    waiting = [_pool(threads).submit(work, *bounds) for bounds in others]
    work(*here)
    wait(waiting)
    for one in waiting:
        one.result()


def together(threads: int, work: Callable[[], object]) -> None:
    """Call ``work()`` here and in up to `threads` - 1 others at once; they share what is to do.

    A call that has not begun when this one is done is not made.
    """
    others = [_pool(threads).submit(work) for _ in range(threads - 1)]
    work()
    for one in others:
        if not one.cancel():
            one.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="aegir-kernel")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
