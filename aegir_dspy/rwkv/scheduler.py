"""Continuous batching: requests of all threads and event loops share the steps of one engine.

Requests wait in the order they came (FIFO). Whenever there is room for a stream it reads its prompt in
pieces, between the steps of the others, and then decodes with them; it leaves when it is done. One thread
does this for as long as there is work and ends when there is none.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from aegir_dspy.rwkv.decoding import Batch, Stream

if TYPE_CHECKING:
    from aegir_dspy.rwkv.engine import Engine

__all__ = ["Scheduler"]

PIECE_TOKENS = 512  # of one prompt that are read at once
_READ_TOKENS = 16_384  # of all prompts together that are read at once
_READ_BETWEEN = 2_048  # the same while others decode: how long they wait


class Scheduler:
    """The queue in front of an engine. It does not keep the engine alive when nothing is to be done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Stream] = deque()
        self._busy = 0
        self._working = False

    def __reduce__(self) -> tuple[type[Scheduler], tuple[()]]:
        return Scheduler, ()  # a copied engine has a queue of its own

    @property
    def waiting(self) -> int:
        """Streams without a slot."""
        with self._lock:
            return len(self._waiting)

    @property
    def busy(self) -> int:
        """Streams that read or decode."""
        with self._lock:
            return self._busy

    def submit(self, engine: Engine, streams: Sequence[Stream]) -> None:
        """Queue streams; their sinks hear of them."""
        if not streams:
            return
        with self._lock:
            self._waiting.extend(streams)
            if self._working:
                return
            self._working = True
        threading.Thread(target=self._work, args=(engine,), name="aegir-decode").start()

    @torch.no_grad()
    def _work(self, engine: Engine) -> None:
        batch, reading = Batch(engine), list[Stream]()
        while self._admit(engine.max_batch, batch, reading):
            try:
                reading = _read(engine, batch, reading)
                batch.step()
            except Exception as error:  # the model itself failed, so all streams in it did
                for stream in {*batch.streams, *reading}:
                    stream.fail(error)
                batch, reading = Batch(engine), []

    def _admit(self, limit: int, batch: Batch, reading: list[Stream]) -> bool:
        """Hand out free slots; whether there is anything to do."""
        with self._lock:
            while self._waiting and len(batch.streams) + len(reading) < limit:
                stream = self._waiting.popleft()
                if not stream.gone:
                    reading.append(stream)
            self._busy = len(batch.streams) + len(reading)
            self._working = self._busy > 0
            return self._working


def _read(engine: Engine, batch: Batch, reading: list[Stream]) -> list[Stream]:
    """Read a piece of as many prompts as fit, first come first; admit what has read all; the others."""
    room = _READ_BETWEEN if batch.streams else _READ_TOKENS
    chosen: list[Stream] = []
    for stream in reading:
        room -= min(len(stream.unread), PIECE_TOKENS)
        if room < 0 and chosen:
            break
        chosen.append(stream)
    states = engine.read([s.unread[:PIECE_TOKENS] for s in chosen], [s.state for s in chosen])
    for stream, state in zip(chosen, states, strict=True):
        stream.state, stream.unread = state, stream.unread[PIECE_TOKENS:]
    batch.admit([stream for stream in chosen if not stream.unread and not stream.gone])
    return [stream for stream in reading if stream.unread and not stream.gone]
