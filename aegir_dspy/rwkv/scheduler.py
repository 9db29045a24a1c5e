"""Continuous batching: requests of all threads and event loops share the steps of one engine.

Requests wait for a slot in the order they came (FIFO). Whoever has one reads its prompt in pieces between
the steps of the others, and then decodes with them; it leaves when it is done. A piece is about as much as
costs the others one more step (chunked prefill, as in Sarathi-Serve, arXiv:2403.02310), and short prompts go
before long ones. One thread does this for as long as there is work and ends when there is none.
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
_STEPS = 16  # within which what waits is read, however much that slows the others
# Tokens read at once. A step costs as much as reading its streams and so many tokens more: on a processor
# because weights have to be fetched, on a GPU because kernels have to be started.
_LEAST, _LEAST_ELSEWHERE = {"cpu": 32}, 2_048
_MOST, _MOST_ELSEWHERE = {"cpu": 512}, 16_384


class Scheduler:
    """The queue in front of an engine. It does not keep the engine alive when nothing is to be done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Stream] = deque()
        self._busy = 0
        self._working = False
        self._kept: Batch | None = None

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
        batch, reading = self._batch(engine), list[Stream]()
        while self._admit(engine.max_batch, batch, reading):
            try:
                reading = _read(engine, batch, reading)
                batch.step()
            except Exception as error:  # the model itself failed, so all streams in it did
                for stream in {*batch.streams, *reading}:
                    stream.fail(error)
                batch, reading = Batch(engine), []
        if engine.model.device.type == "cuda":  # its graphs took longer to record than a step takes
            self._kept = batch

    def _batch(self, engine: Engine) -> Batch:
        """The empty batch that is kept, for one worker; or a new one."""
        with self._lock:
            kept, self._kept = self._kept, None
        return kept if kept is not None and kept.model is engine.model else Batch(engine)

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
    """Read as much of the prompts as there is room for; admit those that have read all; the others."""
    reading = [stream for stream in reading if not stream.gone]
    if not reading:
        return []
    parts = _parts(reading, _room(reading, len(batch.streams), engine.model.device.type))
    pieces = [stream.unread[:size] for stream, size in parts]
    states = engine.read(pieces, [stream.state for stream, _ in parts])
    for (stream, size), state in zip(parts, states, strict=True):
        stream.state, stream.unread = state, stream.unread[size:]
    batch.admit([stream for stream, _ in parts if not stream.unread])
    return [stream for stream in reading if stream.unread]


def _room(reading: Sequence[Stream], decoding: int, device: str) -> int:
    """How many tokens of prompts are read before the next step; counts decide, so that it repeats.

    Reading takes as long as the step, or what it takes to have read everything within `_STEPS` steps.
    """
    least, most = _LEAST.get(device, _LEAST_ELSEWHERE), _MOST.get(device, _MOST_ELSEWHERE)
    wanted = most if not decoding else sum(len(stream.unread) for stream in reading) // _STEPS
    return max(decoding + least, min(most, wanted))


def _parts(reading: Sequence[Stream], room: int) -> list[tuple[Stream, int]]:
    """How much of which prompts to read.

    Half of the room is for whoever came first, so that everybody gets there; the rest is for those who have
    least to read, so that short prompts do not wait for long ones.
    """
    first, *others = reading
    kept = min(len(first.unread), PIECE_TOKENS, -(-room // 2))
    room -= kept
    parts = []
    for stream in sorted(others, key=lambda other: len(other.unread)):
        size = min(len(stream.unread), PIECE_TOKENS, room)
        if size < 1 <= len(stream.unread):
            break
        parts.append((stream, size))
        room -= size
    return [(first, min(len(first.unread), PIECE_TOKENS, kept + room)), *parts]
