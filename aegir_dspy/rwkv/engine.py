"""The engine: a loaded model that reads, continues and scores many streams at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, cast

import torch
from torch import Tensor

from aegir_dspy.errors import InputError, StateError
from aegir_dspy.rwkv.checkpoint import Weights, build_model, read_weights
from aegir_dspy.rwkv.decoding import Backend, Generation, Stream, constraint_of
from aegir_dspy.rwkv.kernels.library import library, multiplies_bfloat16
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.sampling import GenerationConfig
from aegir_dspy.rwkv.scheduler import Scheduler
from aegir_dspy.rwkv.scoring import ContinuationScorer
from aegir_dspy.rwkv.state import Identity, State, StateTensors, zero_tensors
from aegir_dspy.rwkv.tokenizer import Tokenizer, tokenizer_named

__all__ = ["Engine", "Text", "default_tokenizer"]

Text = bytes | str | Sequence[int]
_LARGE = 1 << 22  # weights that take part in products: more than the cache of a core holds
_CHUNK_TOKENS = 512  # of one stream that are read at once
_BATCH_TOKENS = 16_384  # of all streams together that are read at once: bounds the memory


class Engine:
    """A model, its tokenizer and the identity that its states carry. Safe to use from several threads.

    Results do not depend on what else is in a batch or in which order: bit by bit where the compiled kernels
    do the work (`kernels.inference.can_read`), otherwise up to float rounding.

    Attributes:
        model: the network, for hidden vectors and training.
        tokenizer: how texts become tokens.
        identity: what every state of this engine carries.
        max_batch: most streams decoded at once, of all callers; more wait for a free slot.
        scheduler: what shares the steps of decoding among callers.
    """

    def __init__(
        self, model: Backend, tokenizer: Tokenizer, identity: Identity, *, max_batch: int = 128
    ) -> None:
        self.model, self.tokenizer, self.identity, self.max_batch = model, tokenizer, identity, max_batch
        self.scheduler = Scheduler()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        tokenizer: str | None = None,
        backend: Literal["torch", "rwkv"] = "torch",
    ) -> Engine:
        """Load a checkpoint.

        Args:
            path: ``.safetensors`` or ``.pth``.
            device: where the weights and the pool live.
            dtype: type of the weight matrices; states stay float32. By default bfloat16 for a model of
                millions of weights on a processor that multiplies in it, float32 otherwise. int8 halves what
                a step of few streams has to fetch and doubles the rate of products: a scale for every
                output, inputs in int8 too with one for every 64; on a processor, by the compiled kernels.
                It puts logits off about five times as far as bfloat16.
            tokenizer: ``"bytes"`` or ``"world"``; by default what fits the vocabulary.
            backend: ``"torch"``, or ``"rwkv"`` for the `rwkv` package, one stream at a time.

        Raises:
            CheckpointError: not a checkpoint this backend can run.
            InputError: the tokenizer cannot be guessed, the backend is unknown, or it has no such type.
        """
        weights = read_weights(path)
        name = tokenizer or default_tokenizer(weights.geometry.vocab)
        model = _backend(backend, weights, device, dtype or _best_type(weights, device))
        return cls(model, tokenizer_named(name), Identity(weights.sha256, name, weights.geometry))

    def encode(self, text: Text) -> list[int]:
        """Tokens of a text; token ids are checked and passed through."""
        if isinstance(text, str):
            return self.tokenizer.encode(text)
        if isinstance(text, bytes):
            return list(text) if self.tokenizer.name == "bytes" else self.tokenizer.encode(text.decode())
        vocab = self.identity.geometry.vocab
        if any(not 0 <= token < vocab for token in text):
            raise InputError(f"expected token ids in 0…{vocab - 1}, found {min(text)}…{max(text)}")
        return list(text)

    def zero_state(self) -> State:
        """The state of a stream that has read nothing."""
        return State(zero_tensors(self.identity.geometry, 1, self.model.device), self.identity)

    @torch.no_grad()
    def read(self, texts: Sequence[Text], states: Sequence[State] | None = None) -> list[State]:
        """Read every text, each from its own state (the zero state by default); states are not changed.

        Ragged texts share batches, shortest with shortest; long ones are read in pieces.

        Raises:
            StateError: a state of another model, or another number of states than texts.
        """
        streams = [self.encode(text) for text in texts]
        starts = self._starts(len(streams), states)
        results: list[State] = list(starts)
        for group in _groups(streams):
            tensors, hidden = self._read_group([streams[i] for i in group], [starts[i] for i in group])
            for row, i in enumerate(group):
                count = starts[i].tokens + len(streams[i])
                results[i] = State(tensors.select([row]), self.identity, count, hidden[row].clone())
        return results

    def generate(
        self,
        prompts: Sequence[Text],
        *,
        states: Sequence[State] | None = None,
        config: GenerationConfig | Sequence[GenerationConfig] = GenerationConfig(),  # noqa: B008 (frozen)
    ) -> list[Generation]:
        """Continue every prompt, one config for all or one each.

        An empty prompt continues a state that `read` or `generate` returned.

        Raises:
            ConstraintError: nothing satisfies the choices or the grammar.
            StateError: a state of another model; an empty prompt on a state without `hidden`.
        """
        results: dict[int, Generation] = {}
        for index, item in self._decode(prompts, states, config, live=False):
            if isinstance(item, Generation):
                results[index] = item
        return [results[index] for index in range(len(prompts))]

    def stream(
        self,
        prompt: Text,
        *,
        state: State | None = None,
        config: GenerationConfig = GenerationConfig(),  # noqa: B008
    ) -> Iterator[str | Generation]:
        """Continue one prompt: pieces of text as they become certain, then the `Generation`."""
        found = self._decode([prompt], None if state is None else [state], config, live=True)
        return (item for _, item in found)

    def astream(
        self,
        prompt: Text,
        *,
        state: State | None = None,
        config: GenerationConfig = GenerationConfig(),  # noqa: B008
    ) -> AsyncIterator[str | Generation]:
        """`stream` for an event loop: any number of them share the engine's steps."""
        return self._arun(prompt, state, config, live=True)

    async def agenerate(
        self,
        prompt: Text,
        *,
        state: State | None = None,
        config: GenerationConfig = GenerationConfig(),  # noqa: B008
    ) -> Generation:
        """Continue one prompt, awaited; see `astream`."""
        found = [item async for item in self._arun(prompt, state, config, live=False)]
        return cast(Generation, found[-1])

    async def _arun(
        self, prompt: Text, state: State | None, config: GenerationConfig, live: bool
    ) -> AsyncIterator[str | Generation]:
        loop, found = asyncio.get_running_loop(), asyncio.Queue[str | Generation | Exception]()

        def sink(_: int, item: str | Generation | Exception) -> None:
            loop.call_soon_threadsafe(found.put_nowait, item)

        streams = self._streams([prompt], None if state is None else [state], config, sink, live)
        self.scheduler.submit(self, streams)
        try:
            while True:
                item = await found.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Generation):
                    return
        finally:
            streams[0].gone = True

    def score(
        self, context: State | Text, candidates: Sequence[str], end: bytes | None = None
    ) -> list[float]:
        """Total log-probability of each candidate (and `end`) as the continuation of one context."""
        return self.score_all([context], candidates, end)[0]

    @torch.no_grad()
    def score_all(
        self, contexts: Sequence[State | Text], candidates: Sequence[str], end: bytes | None = None
    ) -> list[list[float]]:
        """`score` for many contexts: all candidates in one batch, common prefixes computed once."""
        closing = self.encode(end) if end is not None else []
        texts = [[*self.tokenizer.encode(text), *closing] for text in candidates]
        read = iter(self.read([text for text in contexts if not isinstance(text, State)]))
        starts = [self._own(c) if isinstance(c, State) else next(read) for c in contexts]
        if not starts:
            return []
        scorer = ContinuationScorer(self.model, texts)
        return scorer.score(_join(starts, self.model.device), self.last_hidden(starts)).tolist()

    def last_hidden(self, states: Sequence[State]) -> Tensor:
        """(B, D) the outputs the next tokens follow from. Raises StateError for a state without one."""
        found = [state.hidden for state in states if state.hidden is not None]
        if not states:
            return torch.zeros(0, self.identity.geometry.width, device=self.model.device)
        if len(found) < len(states):
            raise StateError("expected a state that has just read a token: read something first")
        return torch.stack(found).to(self.model.device)

    def _streams(
        self,
        prompts: Sequence[Text],
        states: Sequence[State] | None,
        config: GenerationConfig | Sequence[GenerationConfig],
        sink: Callable[[int, str | Generation | Exception], None],
        live: bool,
    ) -> list[Stream]:
        """Streams to be submitted: all that can be wrong with a request is found here."""
        configs = [config] * len(prompts) if isinstance(config, GenerationConfig) else list(config)
        if len(configs) != len(prompts):
            raise InputError(f"expected one config or {len(prompts)}, found {len(configs)}")
        tokens = [self.encode(prompt) for prompt in prompts]
        starts = self._starts(len(prompts), states)
        self.last_hidden([start for start, unread in zip(starts, tokens, strict=True) if not unread])
        return [
            Stream(
                unread, start, one, self.tokenizer, constraint_of(one, self.tokenizer), partial(sink, i), live
            )
            for i, (unread, start, one) in enumerate(zip(tokens, starts, configs, strict=True))
        ]

    def _decode(
        self,
        prompts: Sequence[Text],
        states: Sequence[State] | None,
        config: GenerationConfig | Sequence[GenerationConfig],
        live: bool,
    ) -> Iterator[tuple[int, str | Generation]]:
        """(Position, piece of text) as it comes and (position, `Generation`) when a stream is done."""
        found: SimpleQueue[tuple[int, str | Generation | Exception]] = SimpleQueue()
        streams = self._streams(prompts, states, config, lambda i, item: found.put((i, item)), live)
        return self._run(streams, found)

    def _run(
        self, streams: list[Stream], found: SimpleQueue[tuple[int, str | Generation | Exception]]
    ) -> Iterator[tuple[int, str | Generation]]:
        self.scheduler.submit(self, streams)
        left = len(streams)
        try:
            while left:
                index, item = found.get()
                if isinstance(item, Exception):
                    raise item
                left -= isinstance(item, Generation)
                yield index, item
        finally:
            for stream in streams:
                stream.gone = True

    def _starts(self, count: int, states: Sequence[State] | None) -> list[State]:
        if states is None:
            return [self.zero_state()] * count
        if len(states) != count:
            raise StateError(f"expected {count} states, one a text, found {len(states)}")
        return [self._own(state) for state in states]

    def _own(self, state: State) -> State:
        self.identity.require(state.identity)
        return state

    def _read_group(self, streams: list[list[int]], starts: list[State]) -> tuple[StateTensors, Tensor]:
        """Read a group of non-empty streams in pieces: their states and last hidden vectors (B, D)."""
        tensors = _join(starts, self.model.device)
        hidden = torch.zeros(len(streams), self.identity.geometry.width, device=self.model.device)
        for first in range(0, max(map(len, streams)), _CHUNK_TOKENS):
            rows = [row for row, tokens in enumerate(streams) if len(tokens) > first]
            pieces = [streams[row][first : first + _CHUNK_TOKENS] for row in rows]
            padded, lengths = _pad(pieces, self.model.device)
            output, after = self.model.forward(padded, tensors.select(rows), lengths)
            hidden[rows] = output[torch.arange(len(rows)), lengths - 1].to(hidden.dtype)
            tensors.shift[:, :, rows], tensors.kv[:, rows], tensors.tail[rows] = after
        return tensors, hidden


def default_tokenizer(vocab: int) -> str:
    """The tokenizer that goes with so many rows of the embedding. Raises InputError when none does."""
    if vocab == 256:
        return "bytes"
    if vocab >= 65_000:
        return "world"
    raise InputError(
        f"expected a vocabulary of 256 (bytes) or 65536 (world), found {vocab}: name a tokenizer"
    )


def _backend(name: str, weights: Weights, device: torch.device | str, dtype: torch.dtype) -> Backend:
    if name == "torch" and dtype == torch.int8:
        return _in_int8(weights, device)
    if name == "torch":
        return build_model(weights, device=device, dtype=dtype)
    if name == "rwkv":
        from aegir_dspy.rwkv.package_backend import PackageModel

        return PackageModel(weights, device=device, dtype=dtype)
    raise InputError(f"expected backend 'torch' or 'rwkv', found {name!r}")


def _best_type(weights: Weights, device: torch.device | str) -> torch.dtype:
    large = sum(t.numel() for name, t in weights.model.items() if name != "emb.weight") >= _LARGE
    fast = torch.device(device).type == "cpu" and multiplies_bfloat16()
    return torch.bfloat16 if large and fast else torch.float32


def _in_int8(weights: Weights, device: torch.device | str) -> RWKV7:
    if torch.device(device).type != "cpu" or library() is None:
        raise InputError(
            f"expected the compiled kernels of a processor for int8, found {device} without: use bfloat16"
        )
    model = build_model(weights, dtype=torch.bfloat16)
    model.packing = torch.int8
    return model


def _groups(streams: list[list[int]]) -> Iterator[list[int]]:
    """Positions of non-empty streams, similar lengths together, bounded in tokens."""
    group: list[int] = []
    for i in sorted((i for i, tokens in enumerate(streams) if tokens), key=lambda i: len(streams[i])):
        if group and (len(group) + 1) * min(len(streams[i]), _CHUNK_TOKENS) > _BATCH_TOKENS:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _pad(pieces: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(tokens) for tokens in pieces])
    padded = torch.zeros(len(pieces), int(lengths.max()), dtype=torch.int64)
    for row, tokens in enumerate(pieces):
        padded[row, : len(tokens)] = torch.tensor(tokens)
    return padded.to(device), lengths.to(device)


def _join(states: Sequence[State], device: torch.device | None = None) -> StateTensors:
    """The tensors of many one-stream states, copied into one batch."""
    parts = [state.tensors for state in states]
    joined = StateTensors(
        torch.cat([p.shift for p in parts], 2).float(),
        torch.cat([p.kv for p in parts], 1).float(),
        torch.cat([p.tail for p in parts], 0),
    )
    return joined if device is None else StateTensors(*(t.to(device) for t in joined))
