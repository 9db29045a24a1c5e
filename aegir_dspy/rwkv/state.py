"""Recurrent states: the mutable pool the engine works in, and the immutable values it hands out.

Layout "HKV": kv[l, b, h, k, v]. The `rwkv` package keeps (H, V, K); both sides are head_size wide, so a
mix-up is silent. Hence the layout is part of a state's identity and tested with asymmetric states.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from aegir_dspy.errors import StateError
from aegir_dspy.rwkv.geometry import Geometry

__all__ = ["LAYOUT", "NGRAM_TAIL", "Identity", "State", "StatePool", "StateTensors", "zero_tensors"]

LAYOUT = "HKV"
NGRAM_TAIL = 3  # tokens before the current one that the longest hashed n-gram (4) looks at


class StateTensors(NamedTuple):
    """The tensors of B streams.

    shift: (L, 2, B, D) the last normalised input of the time mix and of the channel mix.
    kv: (L, B, H, K, V) float32 matrix states.
    tail: (B, 3) int64 the last tokens, for models with an n-gram memory; (B, 0) for all others.
    """

    shift: Tensor
    kv: Tensor
    tail: Tensor

    def select(self, streams: Tensor | list[int]) -> StateTensors:
        """The given streams, copied, in the given order."""
        index = torch.as_tensor(streams, device=self.kv.device)
        return StateTensors(
            self.shift.index_select(2, index),
            self.kv.index_select(1, index),
            self.tail.index_select(0, index),
        )

    @property
    def batch(self) -> int:
        """B."""
        return self.kv.shape[1]


def zero_tensors(
    geometry: Geometry, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> StateTensors:
    """The state of B streams that have read nothing."""
    g = geometry
    return StateTensors(
        torch.zeros(g.layers, 2, batch, g.width, device=device, dtype=dtype),
        torch.zeros(g.layers, batch, g.heads, g.head_size, g.head_size, device=device, dtype=dtype),
        torch.zeros(batch, NGRAM_TAIL if g.ngram_buckets else 0, dtype=torch.int64, device=device),
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose state it is: two states can be mixed only when all four agree."""

    checkpoint: str  # sha256 of the weights file
    tokenizer: str
    geometry: Geometry
    layout: str = LAYOUT

    def require(self, other: Identity) -> None:
        """Raise StateError, saying what to align, unless `other` is the same identity."""
        for name in ("geometry", "tokenizer", "layout", "checkpoint"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise StateError(
                    f"expected a state with {name} {_short(mine)}, found {_short(theirs)}: "
                    "read again with this model, or align the state to its geometry first"
                )


def _short(value: object) -> str:
    if isinstance(value, Geometry):
        return f"L{value.layers}·D{value.width}·N{value.head_size}"
    return str(value)[:12]


@dataclass(frozen=True)
class State:
    """The immutable state of one stream, with its identity.

    Attributes:
        tensors: one stream (B = 1); treat as read-only, `StatePool.load` copies it.
        identity: which model made it.
        tokens: how many tokens were read.
        hidden: (D,) the model's output at the last token, from which the next one follows without reading
            more; None for a state that was not read by a model (zero, fused, aligned). Not in the digest.
    """

    tensors: StateTensors
    identity: Identity
    tokens: int = 0
    hidden: Tensor | None = None

    @property
    def digest(self) -> str:
        """sha256 of identity and contents: the same reading gives the same digest."""
        sha = hashlib.sha256(json.dumps(self._meta(), sort_keys=True).encode())
        for tensor in self.tensors:
            sha.update(tensor.contiguous().cpu().numpy().tobytes())
        return sha.hexdigest()

    def _meta(self) -> dict[str, str]:
        return {
            "checkpoint": self.identity.checkpoint,
            "tokenizer": self.identity.tokenizer,
            "geometry": json.dumps(self.identity.geometry.to_json(), sort_keys=True),
            "layout": self.identity.layout,
            "tokens": str(self.tokens),
        }

    def save(self, path: str | Path) -> None:
        """Write the state as safetensors, identity in the metadata."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors._asdict().items()}
        if self.hidden is not None:
            tensors["hidden"] = self.hidden.contiguous()
        save_file(tensors, str(path), metadata=self._meta())

    @classmethod
    def load(cls, path: str | Path) -> State:
        """Read what `save` wrote. Raises StateError when the file is not a state."""
        try:
            with safe_open(str(path), framework="pt") as file:
                meta = file.metadata() or {}
                tensors = StateTensors(*(file.get_tensor(name) for name in StateTensors._fields))
                hidden = file.get_tensor("hidden") if "hidden" in file.keys() else None  # noqa: SIM118
            geometry = Geometry.from_json(json.loads(meta["geometry"]))
            identity = Identity(meta["checkpoint"], meta["tokenizer"], geometry, meta["layout"])
            state = cls(tensors, identity, int(meta["tokens"]), hidden)
        except Exception as error:
            raise StateError(f"expected a state written by State.save, found {path}: {error}") from error
        expected = [t.shape for t in zero_tensors(geometry, 1)]
        found = [t.shape for t in tensors]
        if expected != found:
            raise StateError(f"expected state tensors {expected}, found {found} in {path}")
        return state


class StatePool:
    """Preallocated states of up to `slots` streams; the engine updates them in place.

    Streams come and go between steps: `take` hands out zeroed slots, `release` returns them.
    """

    def __init__(self, geometry: Geometry, slots: int, device: torch.device | str = "cpu") -> None:
        self.geometry = geometry
        self.tensors = zero_tensors(geometry, slots, device)
        self._free = list(range(slots))  # a heap: the lowest free slot goes first

    @property
    def slots(self) -> int:
        """Number of slots."""
        return self.tensors.batch

    @property
    def free(self) -> int:
        """Number of slots nobody holds."""
        return len(self._free)

    def grow(self, slots: int) -> None:
        """Have so many slots from now on; what is held stays. Views of `first` are of the old tensors."""
        more = zero_tensors(self.geometry, slots - self.slots, self.tensors.kv.device)
        for slot in range(self.slots, slots):
            heapq.heappush(self._free, slot)
        pairs = zip(self.tensors, more, (2, 1, 0), strict=True)
        self.tensors = StateTensors(*(torch.cat([old, new], at) for old, new, at in pairs))

    def can_take(self, count: int) -> bool:
        """Whether `count` slots are free."""
        return count <= len(self._free)

    def take(self, count: int) -> list[int]:
        """Hand out the `count` lowest free slots, zeroed. Raises StateError when fewer are free."""
        if not self.can_take(count):
            raise StateError(f"expected {count} free slots, found {self.free}: release some first")
        slots = [heapq.heappop(self._free) for _ in range(count)]
        shift, kv, tail = self.tensors
        shift[:, :, slots] = 0
        kv[:, slots] = 0
        tail[slots] = 0
        return slots

    def release(self, slots: list[int]) -> None:
        """Return slots. Raises StateError for a slot that is free already or that the pool does not have."""
        used = set(range(self.tensors.batch)) - set(self._free)
        if len(set(slots)) < len(slots) or not used.issuperset(slots):
            raise StateError(f"expected different slots in use, found {slots}: release each slot once")
        for slot in slots:
            heapq.heappush(self._free, slot)

    def write(self, slots: list[int], tensors: StateTensors) -> None:
        """Copy B states into B slots."""
        shift, kv, tail = self.tensors
        shift[:, :, slots] = tensors.shift.to(shift.dtype)
        kv[:, slots] = tensors.kv.to(kv.dtype)
        tail[slots] = tensors.tail

    def read(self, slots: list[int]) -> StateTensors:
        """A copy of the states in the given slots."""
        return self.tensors.select(slots)

    def move(self, sources: list[int], targets: list[int]) -> None:
        """Copy slots onto others that the same caller holds, so that the streams in use lie together."""
        if sources:
            self.write(targets, self.tensors.select(sources))

    def first(self, count: int) -> StateTensors:
        """The first `count` slots as views: what `RWKV7.step` updates in place."""
        shift, kv, tail = self.tensors
        return StateTensors(shift[:, :, :count], kv[:, :count], tail[:count])
