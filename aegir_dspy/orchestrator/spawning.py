"""How many agents a job is worth, and how many this machine has room for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from aegir_dspy.errors import InputError
from aegir_dspy.tables.table import Table

__all__ = ["available_memory", "complexity", "spawn_budget"]

_SHARE = 0.5  # of the free memory that agents may take: the rest is for reading and for others


def complexity(tables: Sequence[Table]) -> int:
    """Agents that some tables are worth: one a column that says something."""
    return sum(
        bool(column.name) or any(value.strip() for value in column.values)
        for table in tables
        for column in table.columns
    )


def spawn_budget(wanted: int, state_bytes: int, memory: int | None = None) -> int:
    """Agents that may be there at once: as many as wanted, as far as their states fit half the free memory.

    Args:
        wanted: at least 1. state_bytes: of one agent's state.
        memory: bytes that are free; by default this machine's, and no bound where it does not tell.
    """
    if wanted < 1 or state_bytes < 0:
        raise InputError(f"expected wanted >= 1 and state_bytes >= 0, found {wanted} and {state_bytes}")
    free = available_memory() if memory is None else memory
    if free is None or not state_bytes:
        return wanted
    return max(1, min(wanted, int(_SHARE * free) // state_bytes))


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
