"""What a server has: models, the states it keeps, what annotates tables, and how much more it can take."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aegir_dspy.adapters.openai_server.errors import ApiError
from aegir_dspy.adapters.openai_server.limits import Limits
from aegir_dspy.rwkv import Engine, State

if TYPE_CHECKING:
    from aegir_dspy.tables import TableSet

__all__ = ["Host", "Load", "Shelf"]

_PREFIX = "aegir/"


class Host:
    """Models under their names, and all they share.

    Args:
        engines: by name; the names go with and without ``aegir/`` before them.
        limits: how much is taken on.
        annotate: tables to their ``aegir.result/1``, called by one request after the other; None for a
            server without.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        annotate: Callable[[TableSet], dict[str, Any]] | None = None,
    ) -> None:
        self.engines, self.limits, self.started = dict(engines), limits, int(time.time())
        self.shelf, self.load = Shelf(limits.states), Load(limits.requests)
        self._annotate, self._annotating = annotate, threading.Lock()

    def engine(self, name: str) -> tuple[str, Engine]:
        """The model of a name. Raises ApiError, 404, for one that is not here."""
        known = name.removeprefix(_PREFIX)
        if known not in self.engines:
            here = ", ".join(self.engines)
            message = f"expected a model of {here}, found {name[:80]!a}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return known, self.engines[known]

    def annotate(self, tables: TableSet) -> dict[str, Any]:
        """The ``aegir.result/1`` of tables, one request after the other. Raises ApiError, 404."""
        if self._annotate is None:
            raise ApiError(404, "this server annotates no tables: start it with --annotate")
        with self._annotating:
            return self._annotate(tables)

    @property
    def streams(self) -> tuple[int, int]:
        """How many answers of all models are decoded, and how many wait for a slot."""
        schedulers = [engine.scheduler for engine in self.engines.values()]
        return sum(s.busy for s in schedulers), sum(s.waiting for s in schedulers)


class Shelf:
    """States by digest; the one that has not been used for longest goes when there is no room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[str, State]] = OrderedDict()

    def put(self, model: str, state: State) -> str:
        """Keep a state; its handle."""
        handle = state.digest
        with self._lock:
            self._held[handle] = (model, state)
            self._held.move_to_end(handle)
            while len(self._held) > self.room:
                self._held.popitem(last=False)
        return handle

    def get(self, handle: str, model: str | None = None) -> tuple[str, State]:
        """Whose state it is, and the state. Raises ApiError: not kept (404), another model's (400)."""
        with self._lock:
            if handle not in self._held:
                raise ApiError(
                    404, "expected the handle of a kept state: read it again", param="state", code="no_state"
                )
            self._held.move_to_end(handle)
            owner, state = self._held[handle]
        if model is not None and owner != model:
            raise ApiError(400, f"expected a state of {model}, found one of {owner}", param="state")
        return owner, state

    def drop(self, handle: str) -> None:
        """Forget a state. Raises ApiError, 404."""
        self.get(handle)
        with self._lock:
            self._held.pop(handle, None)

    def handles(self) -> Sequence[str]:
        """Of all states, the one used last at the end."""
        with self._lock:
            return list(self._held)


class Load:
    """How many answers are made or wait."""

    def __init__(self, room: int) -> None:
        self.room, self.taken, self.refused = room, 0, 0
        self._lock = threading.Lock()

    def take(self, count: int) -> int:
        """Take on so many answers; to be given back. Raises ApiError, 429."""
        with self._lock:
            if self.taken + count > self.room:
                self.refused += 1
                message = f"expected to find room for {count}, found {self.taken} of {self.room} taken"
                headers = {"Retry-After": "1"}
                raise ApiError(429, f"{message}: try again", code="rate_limit_exceeded", headers=headers)
            self.taken += count
        return count

    def give_back(self, count: int) -> None:
        """So many answers are done."""
        with self._lock:
            self.taken -= count
