"""Specialists by name, loaded when they are asked for and dropped when memory is short.

Registering costs nothing: a cold specialist is a name and a path. A warm one is in memory; when the weights
of the warm ones exceed the budget, those used longest ago go, except pinned ones. How a file becomes a
specialist is the caller's business (`FrozenSpecialist.load`, or a bundle's model with its head).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, RLock

from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.latent.specialist import FrozenSpecialist

__all__ = ["PoolCounters", "SpecialistPool"]

Loader = Callable[[Path], FrozenSpecialist]


@dataclass(frozen=True, slots=True)
class PoolCounters:
    """loads: cold specialists that were loaded. hits: warm ones handed out. evictions: dropped ones."""

    loads: int = 0
    hits: int = 0
    evictions: int = 0


@dataclass(slots=True)
class _Entry:
    """What is known of a registered specialist; its lock is held while it is loaded."""

    path: Path
    loader: Loader
    sha256: str | None
    pinned: bool
    lock: Lock


class SpecialistPool:
    """Warm and cold specialists. Safe to use from several threads; different ones load at the same time.

    A specialist that was handed out stays usable after it is evicted: the pool only lets go of it.

    Args:
        max_bytes: memory of the weights of all warm specialists; one that is larger alone is loaded and
            dropped as soon as another is asked for. Pinned ones count, but stay.
        loader: makes a specialist of a file, where `register` is given none.
    """

    def __init__(self, max_bytes: int, loader: Loader = FrozenSpecialist.load) -> None:
        if max_bytes < 1:
            raise InputError(f"expected max_bytes >= 1, found {max_bytes}")
        self.max_bytes, self.loader = max_bytes, loader
        self._entries: dict[str, _Entry] = {}
        self._warm: OrderedDict[str, FrozenSpecialist] = OrderedDict()  # least recently used first
        self._lock = RLock()
        self._loads = self._hits = self._evictions = 0

    def register(
        self,
        name: str,
        path: str | Path,
        *,
        sha256: str | None = None,
        pinned: bool = False,
        loader: Loader | None = None,
    ) -> None:
        """Make a checkpoint known. Nothing is read yet.

        Args:
            sha256: of the file; another file is refused when it is loaded.
            pinned: once warm, never evicted.

        Raises:
            InputError: the name is taken.
        """
        with self._lock:
            if name in self._entries:
                raise InputError(f"expected a new name, found {name!r} registered: choose another")
            self._entries[name] = _Entry(Path(path), loader or self.loader, sha256, pinned, Lock())

    def get(self, name: str) -> FrozenSpecialist:
        """The specialist of that name, loaded if it is cold.

        Raises:
            InputError: no such name.
            CheckpointError: the file cannot be loaded, or is not the one that was registered.
        """
        with self._lock:
            if name not in self._entries:
                raise InputError(
                    f"expected one of {sorted(self._entries)}, found {name!r}: register it first"
                )
            entry = self._entries[name]
        with entry.lock:
            if (warm := self._touched(name)) is not None:
                return warm
            specialist = _checked(name, entry)
            with self._lock:
                self._loads += 1
                self._warm[name] = specialist
                self._evict(keep=name)
            return specialist

    @property
    def names(self) -> tuple[str, ...]:
        """All that are registered, in the order they were."""
        with self._lock:
            return tuple(self._entries)

    @property
    def warm(self) -> tuple[str, ...]:
        """Those in memory, least recently used first."""
        with self._lock:
            return tuple(self._warm)

    @property
    def bytes(self) -> int:
        """Memory of the warm ones' weights."""
        with self._lock:
            return sum(specialist.weight_bytes for specialist in self._warm.values())

    @property
    def counters(self) -> PoolCounters:
        """What happened so far."""
        with self._lock:
            return PoolCounters(self._loads, self._hits, self._evictions)

    def _touched(self, name: str) -> FrozenSpecialist | None:
        with self._lock:
            if name not in self._warm:
                return None
            self._hits += 1
            self._warm.move_to_end(name)
            return self._warm[name]

    def _evict(self, keep: str) -> None:
        """Drop what was used longest ago until the budget holds or only `keep` and pinned ones are left."""
        for name in list(self._warm):
            if self.bytes <= self.max_bytes:
                return
            if name != keep and not self._entries[name].pinned:
                del self._warm[name]
                self._evictions += 1


def _checked(name: str, entry: _Entry) -> FrozenSpecialist:
    specialist = entry.loader(entry.path)
    found = specialist.identity.checkpoint
    if entry.sha256 is not None and found != entry.sha256:
        raise CheckpointError(
            f"expected the checkpoint {entry.sha256[:12]} as {name}, found {found[:12]} in {entry.path}: "
            "restore that file, or register this one under its own sha256"
        )
    return specialist
