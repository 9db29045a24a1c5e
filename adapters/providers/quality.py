"""How good agents turned out to be: by agent, kind of task and difficulty, as the verifier saw it.

Of every agent is kept how often what it made passed and failed, at what cost and in what time. The share that
passes has a Beta posterior (Laplace's prior: one of each), so what is hardly known is uncertain, not bad.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aegir_dspy.errors import InputError

__all__ = ["LEVELS", "Quality", "Record", "level_of"]

LEVELS = 5
"""Levels of difficulty that are told apart."""


def level_of(difficulty: float) -> int:
    """The level of a difficulty between 0 and 1."""
    return min(LEVELS - 1, max(0, int(difficulty * LEVELS)))


@dataclass(frozen=True, slots=True)
class Record:
    """passed, failed: attempts. cost, seconds: of all of them."""

    passed: float = 0.0
    failed: float = 0.0
    cost: float = 0.0
    seconds: float = 0.0

    @property
    def attempts(self) -> float:
        """All of them."""
        return self.passed + self.failed

    @property
    def posterior(self) -> tuple[float, float]:
        """Parameters of the Beta distribution of the share that passes."""
        return 1.0 + self.passed, 1.0 + self.failed


class Quality:
    """Records by agent, kind and level of difficulty; a file keeps them from run to run.

    Args:
        path: a JSON file; it need not be there yet. None to keep them in memory.

    Raises:
        InputError: the file holds something else.

    Attributes:
        revision: grows whenever something more is known.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self.revision = path, 0
        self._records: dict[tuple[str, str, int], Record] = (
            dict(_read(path)) if path and path.exists() else {}
        )

    def of(self, agent: str, kind: str, level: int) -> Record:
        """What is known; an empty record where nothing is."""
        return self._records.get((agent, kind, level), Record())

    def over_levels(self, agent: str, kind: str) -> Record:
        """All levels of difficulty together."""
        records = [self.of(agent, kind, level) for level in range(LEVELS)]
        return Record(
            sum(one.passed for one in records),
            sum(one.failed for one in records),
            sum(one.cost for one in records),
            sum(one.seconds for one in records),
        )

    def record(
        self, agent: str, kind: str, level: int, *, passed: bool, cost: float = 0.0, seconds: float = 0.0
    ) -> None:
        """One more attempt."""
        self.revision += 1
        known = self.of(agent, kind, level)
        self._records[agent, kind, level] = replace(
            known,
            passed=known.passed + passed,
            failed=known.failed + (not passed),
            cost=known.cost + cost,
            seconds=known.seconds + seconds,
        )

    def refused(self, agent: str, kind: str, level: int) -> None:
        """What counted as passed did not pass a check that came later."""
        self.revision += 1
        known = self.of(agent, kind, level)
        self._records[agent, kind, level] = replace(
            known, passed=max(0.0, known.passed - 1), failed=known.failed + 1
        )

    def save(self) -> None:
        """Write the file, whole or not at all. Raises OSError where it cannot be written."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self.to_json(), file, indent=1)
            Path(name).replace(self._path)
        finally:
            Path(name).unlink(missing_ok=True)

    def to_json(self) -> list[dict[str, Any]]:
        """JSON form, sorted."""
        return [
            {"agent": agent, "kind": kind, "level": level, **asdict(self._records[agent, kind, level])}
            for agent, kind, level in sorted(self._records)
        ]


def _read(path: Path) -> Iterator[tuple[tuple[str, str, int], Record]]:
    try:
        for one in json.loads(path.read_text(encoding="utf-8")):
            said: Mapping[str, Any] = one
            record = Record(*(float(said[name]) for name in ("passed", "failed", "cost", "seconds")))
            if min(record.passed, record.failed) < 0:
                raise ValueError("negative counts")
            yield (str(said["agent"]), str(said["kind"]), int(said["level"])), record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"expected what agents were worth in {path}, found {error}: remove it") from error
