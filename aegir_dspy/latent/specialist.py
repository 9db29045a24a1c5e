"""A frozen model that reads pieces of bytes in batches and hands out what it made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from aegir_dspy.latent.affine import AffineMaps, MapsKind
from aegir_dspy.latent.fusion import side_by_side
from aegir_dspy.latent.store import StateStore, content_key
from aegir_dspy.rwkv.checkpoint import build_model, read_weights
from aegir_dspy.rwkv.engine import default_tokenizer
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.state import Identity, StateTensors, zero_tensors
from aegir_dspy.rwkv.tokenizer import tokenizer_named

__all__ = ["FrozenSpecialist", "Reading", "read_pieces", "span_features"]

# The number of threads is one setting of the process: who changes it must be alone.
_THREADS = Lock()


class Reading(NamedTuple):
    """What N pieces became.

    features: (N, 2·D) float32, see `span_features`.
    states: N streams, the state after each piece.
    maps: what each piece does to a state before it, where that was asked for; see `compose`.
    """

    features: Tensor
    states: StateTensors
    maps: AffineMaps | None = None


def span_features(hidden: Tensor, stream: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """What the model made of C spans: the mean over each span and the vector at its last position.

    Args:
        hidden: (B, T, D) hidden vectors of B streams.
        stream: (C,) which stream each span is in.
        start, end: (C,) the span [start, end); for a column the last position is the delimiter.

    Returns:
        (C, 2·D) float32.
    """
    hidden = hidden.float()
    total = torch.nn.functional.pad(hidden.cumsum(1), (0, 0, 1, 0))  # (B, T + 1, D)
    mean = (total[stream, end] - total[stream, start]) / (end - start).unsqueeze(1)
    return torch.cat([mean, hidden[stream, end - 1]], 1)


def read_pieces(
    model: RWKV7,
    pieces: Sequence[Sequence[int]],
    start: StateTensors | None,
    batch_tokens: int,
    run: Callable[[Callable[[list[int]], Reading], list[list[int]]], Iterable[Reading]] = map,
    maps: MapsKind = "none",
    begin: Sequence[int] | None = None,
) -> Reading:
    """Read every piece from the zero state, or from its own stream of `start`. Differentiable.

    Pieces are grouped by length, so that little is padded; the result is in the order given and does not
    depend on the grouping. No pieces give an empty reading.

    Args:
        pieces: tokens; for a byte-level model bytes are.
        batch_tokens: padded tokens of a group; small groups stay in the processor's cache.
        run: applies a function to every group, `map` or a thread pool's.
        maps: which affine maps to return as well; they about double the time of the recurrence.
        begin: the token of each piece at which its features begin, where what is before is context.
    """

    def read(group: list[int]) -> Reading:
        tokens, lengths = _padded([pieces[i] for i in group], model.device)
        transitions: list[Tensor] | None = None if maps == "none" else []
        hidden, after = model(
            tokens, start.select(group) if start is not None else None, lengths, transitions
        )
        rows = torch.arange(len(group), device=model.device)
        first = torch.zeros_like(rows) if begin is None else rows.new_tensor([begin[i] for i in group])
        features = span_features(hidden, rows, first, lengths)
        return Reading(features, after, _maps(transitions, maps))

    if not pieces:
        nothing = torch.zeros(0, 2 * model.geometry.width, device=model.device)
        zero = zero_tensors(model.geometry, 0, model.device)
        return Reading(nothing, zero, _maps(list(zero.kv), maps))
    groups = list(_length_groups(pieces, batch_tokens))
    readings = list(run(read, groups))
    order = torch.tensor([i for group in groups for i in group])
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    joined = side_by_side([r.states for r in readings])
    features = torch.cat([r.features for r in readings])[back.to(model.device)]
    found = [r.maps.matrix for r in readings if r.maps is not None]
    whole = AffineMaps(torch.cat(found, 1)).select(back) if found else None
    return Reading(features, joined.select(back), whole)


class FrozenSpecialist:
    """Reads many pieces at once with frozen weights.

    On a CPU, groups of pieces are read by one thread each: the operations of a small model are too short
    to be worth splitting.

    Args:
        model: the weights.
        identity: whose states these are.
        batch_tokens: padded tokens read at once by one thread.
        store: where `Recall` keeps what was read; None keeps nothing.
        serialization: how pieces are made, as far as their bytes do not tell; part of the names in the store.
        head: what answers from features (N, 2·D), for `answer`.
    """

    def __init__(
        self,
        model: RWKV7,
        identity: Identity,
        batch_tokens: int = 3072,
        *,
        store: StateStore | None = None,
        serialization: str = "",
        head: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model = model.requires_grad_(False).eval()
        self.identity = identity
        self.batch_tokens = batch_tokens
        self.store = store
        self.serialization = serialization
        self.head = head

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        store: StateStore | None = None,
    ) -> FrozenSpecialist:
        """Any RWKV-7 checkpoint file, its matrices in `dtype`; states stay float32.

        Raises:
            CheckpointError: the file is no RWKV-7 checkpoint.
            InputError: no known tokenizer has its vocabulary.
        """
        weights = read_weights(path)
        tokenizer = weights.metadata.get("tokenizer") or default_tokenizer(weights.geometry.vocab)
        identity = Identity(weights.sha256, tokenizer, weights.geometry)
        return cls(build_model(weights, device=device, dtype=dtype), identity, store=store)

    @property
    def weight_bytes(self) -> int:
        """Memory of the weights."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    def key(self, piece: bytes, start: str = "") -> str:
        """The name of a reading of `piece` from the start of that name, see `content_key`."""
        arithmetic = f"{self.model.device.type} {self.model.emb.weight.dtype} {self.serialization}"
        return content_key(piece, self.identity, arithmetic, start)

    def answer(self, reading: Reading) -> Tensor | None:
        """What the head says of a reading, one row a piece; None for a specialist without a head."""
        if self.head is None:
            return None
        with torch.inference_mode():
            return self.head(reading.features)

    def read(
        self,
        pieces: Sequence[bytes],
        start: StateTensors | None = None,
        maps: MapsKind = "none",
        begin: Sequence[int] | None = None,
    ) -> Reading:
        """`read_pieces` without gradients; safe to call from several threads.

        Bytes are the tokens of a byte-level model; for any other they are UTF-8 text.
        """
        read = partial(
            read_pieces, self.model, self._tokens(pieces), start, self.batch_tokens, maps=maps, begin=begin
        )
        if self.model.device.type == "cpu":
            with _THREADS:
                if (threads := torch.get_num_threads()) > 1:
                    return self._read_on(threads, read)
        with torch.inference_mode():
            return read()

    def _tokens(self, pieces: Sequence[bytes]) -> Sequence[Sequence[int]]:
        if self.identity.tokenizer == "bytes":
            return pieces
        tokenizer = tokenizer_named(self.identity.tokenizer)
        return [tokenizer.encode(piece.decode("utf-8", "replace")) for piece in pieces]

    def _read_on(self, threads: int, read: Callable[..., Reading]) -> Reading:
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return read(run=partial(_inferring, pool))
        finally:
            torch.set_num_threads(threads)  # what the workers set is partly shared by the process


def _inferring(
    pool: ThreadPoolExecutor, read: Callable[[list[int]], Reading], groups: list[list[int]]
) -> Iterable[Reading]:
    """Apply `read` to the groups on the pool, longest first; gradients are off in each thread."""

    def quietly(group: list[int]) -> Reading:
        with torch.inference_mode():
            return read(group)

    return reversed(list(pool.map(quietly, reversed(groups))))


def _maps(transitions: list[Tensor] | None, kind: MapsKind) -> AffineMaps | None:
    """The maps of all layers from each layer's transitions (B, H, K, K)."""
    if kind == "none" or transitions is None:
        return None
    if kind == "diag":
        transitions = [m.diagonal(dim1=-2, dim2=-1) for m in transitions]
    return AffineMaps(torch.stack(transitions))


def _padded(pieces: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (B, T) padded with zeros, and lengths (B,)."""
    lengths = torch.tensor([len(piece) for piece in pieces])
    tokens = torch.zeros(len(pieces), int(lengths.max()), dtype=torch.int64)
    for row, piece in enumerate(pieces):
        raw = isinstance(piece, bytes)
        tokens[row, : len(piece)] = (
            torch.frombuffer(bytearray(piece), dtype=torch.uint8) if raw else torch.tensor(piece)
        )
    return tokens.to(device), lengths.to(device)


def _length_groups(pieces: Sequence[Sequence[int]], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of pieces of similar length, at most `batch_tokens` padded tokens a group."""
    group: list[int] = []
    for i in sorted(range(len(pieces)), key=lambda i: len(pieces[i])):
        if group and (len(group) + 1) * len(pieces[i]) > batch_tokens:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
