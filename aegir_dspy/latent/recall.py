"""Pieces as a specialist reads them, alone and again from fused states, each read only when it has to be.

With a `StateStore` the specialist looks up what was read before, by content. A piece that is read from a
fused start is named by the names of what was fused and how, so nothing has to be fused, nor any state loaded,
to find it: a second reading of unchanged tables takes features from the disk and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aegir_dspy.latent.fusion import FusionMode, fuse_tensors, side_by_side
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading
from aegir_dspy.latent.store import Kept
from aegir_dspy.rwkv.state import StateTensors, zero_tensors

__all__ = ["Recall", "Start"]


class Start(NamedTuple):
    """Where N pieces are read from.

    keys: what the start of each piece was made of and how; equal keys mean equal bits.
    states: makes the starts of some of the N pieces, called for those only that have to be read.
    """

    keys: Sequence[str]
    states: Callable[[list[int]], StateTensors]


class Recall:
    """P pieces and what one specialist makes of them.

    Args:
        specialist: reads; its store, where it has one, is looked in first and written to.
        pieces: what there is to read.
        keep: (P,) bool: pieces whose states will be wanted, to fuse them; by default all.

    Attributes:
        tokens: (P,) bytes that had to be read of each piece so far; 0 for what was found in the store.
    """

    def __init__(
        self, specialist: FrozenSpecialist, pieces: Sequence[bytes], keep: Tensor | None = None
    ) -> None:
        self.specialist, self.pieces = specialist, pieces
        self.keep = torch.ones(len(pieces), dtype=torch.bool) if keep is None else keep
        self.tokens = torch.zeros(len(pieces), dtype=torch.int64)
        self.keys = [specialist.key(piece) for piece in pieces] if specialist.store is not None else []
        self._held: list[StateTensors] = []
        self._slot = torch.full((len(pieces),), -1)  # where a piece's state is among the held ones

    def alone(self, rows: Tensor, *, states: bool = False) -> Reading:
        """The pieces `rows` (N,) read from the zero state.

        The reading's states are N streams where they are asked for, otherwise none. Those to `keep` of the
        pieces that had to be read are held for `states`.
        """
        keep = self.keep[rows] | states
        reading, fresh, missing = self._recalled(rows, self._named(rows), None, False, keep)
        held = keep[missing].nonzero().flatten()
        self._hold(rows[missing][held], fresh.states.select(held))
        return reading._replace(states=self.states(rows)) if states else reading

    def states(self, rows: Tensor) -> StateTensors:
        """The states (N streams) after the pieces `rows` (N,) were read alone: held, kept, or read anew."""
        absent = torch.tensor(sorted(set(rows[self._slot[rows] < 0].tolist())), dtype=torch.int64)
        if len(absent):
            every = torch.ones(len(absent), dtype=torch.bool)
            reading, *_ = self._recalled(absent, self._named(absent), None, True, every)
            self._hold(absent, reading.states)
        if len(self._held) > 1:
            self._held = [side_by_side(self._held)]
        return self._held[0].select(self._slot[rows]) if self._held else self._none()

    def fused(self, members: Tensor, mode: FusionMode = "sqrt") -> Start:
        """The start of N pieces from the fused states of their members (N, P) bool."""

        def make(some: list[int]) -> StateTensors:
            chosen = members[some]
            used = chosen.any(0).nonzero().flatten()
            return fuse_tensors(self.states(used), chosen[:, used], mode)

        parts = ([self.keys[i] for i in row.nonzero().flatten().tolist()] for row in members)
        named = (" ".join([f"fused {mode}", *keys]) for keys in parts) if self.keys else ()
        return Start([hashlib.sha256(name.encode()).hexdigest() for name in named], make)

    def again(self, rows: Tensor, start: Start, *, states: bool = False) -> Reading:
        """The pieces `rows` (N,), each read from its own start; states are N streams only if asked for."""
        keys = self._named(rows, start.keys) if self.keys else []
        keep = torch.full((len(rows),), states)
        reading, *_ = self._recalled(rows, keys, start.states, states, keep)
        return reading

    def _named(self, rows: Tensor, starts: Sequence[str] = ()) -> list[str]:
        if not self.keys or not starts:
            return [self.keys[i] for i in rows.tolist()] if self.keys else []
        return [
            self.specialist.key(self.pieces[i], start) for i, start in zip(rows.tolist(), starts, strict=True)
        ]

    def _recalled(
        self,
        rows: Tensor,
        keys: list[str],
        start: Callable[[list[int]], StateTensors] | None,
        states: bool,
        keep: Tensor,
    ) -> tuple[Reading, Reading, list[int]]:
        """The reading of `rows`, with states if asked for; what had to be read for it; which rows that is.

        What was read is put into the store, with its state where `keep` (N,) says so.
        """
        specialist, store = self.specialist, self.specialist.store
        found: list[Kept | None] = [None] * len(rows)
        if store is not None:
            found = store.get_many(keys, specialist.identity, states=states)
        missing = [i for i, kept in enumerate(found) if kept is None]
        pieces = [self.pieces[i] for i in rows[missing].tolist()]
        fresh = specialist.read(pieces, start(missing) if start and missing else None)
        self.tokens[rows[missing]] += torch.tensor([len(piece) for piece in pieces], dtype=torch.int64)
        if store is not None and missing:
            for chosen in (keep[missing], ~keep[missing]):
                some = chosen.nonzero().flatten()
                streams = fresh.states.select(some) if bool(keep[missing][some].any()) else None
                at = [keys[missing[i]] for i in some.tolist()]
                store.put_many(
                    at, specialist.identity, fresh.features[some.to(fresh.features.device)], streams
                )
        return self._whole(found, missing, fresh, states), fresh, missing

    def _whole(
        self, found: Sequence[Kept | None], missing: list[int], fresh: Reading, states: bool
    ) -> Reading:
        """What was found and what was read, in the order asked for."""
        there = [(i, kept) for i, kept in enumerate(found) if kept is not None]
        if not there:
            return fresh if states else fresh._replace(states=self._none())
        back = torch.tensor([*missing, *(i for i, _ in there)]).argsort()
        device = fresh.features.device
        features = torch.cat([fresh.features, torch.stack([kept.features for _, kept in there]).to(device)])
        streams = [kept.state for _, kept in there if kept.state is not None]
        whole = side_by_side([fresh.states, _on(side_by_side(streams), device)]) if states else None
        return Reading(features[back.to(device)], whole.select(back) if whole else self._none())

    def _hold(self, rows: Tensor, states: StateTensors) -> None:
        held = sum(part.batch for part in self._held)
        self._slot[rows] = torch.arange(held, held + len(rows))
        self._held.append(states)

    def _none(self) -> StateTensors:
        return zero_tensors(self.specialist.identity.geometry, 0, self.specialist.model.device)


def _on(states: StateTensors, device: torch.device) -> StateTensors:
    return StateTensors(*(tensor.to(device) for tensor in states))
