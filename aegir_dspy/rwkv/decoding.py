"""Continuous decoding: streams enter a batch between two steps, are stepped together, and leave when done."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from aegir_dspy.errors import ConstraintError
from aegir_dspy.rwkv.ahead import MasksAhead
from aegir_dspy.rwkv.constraint import ChoiceConstraint, Constraint, Mask, choice_trie, withhold
from aegir_dspy.rwkv.cuda.graphs import stepper
from aegir_dspy.rwkv.sampling import GenerationConfig, pick, stream_generator
from aegir_dspy.rwkv.scores import Scores
from aegir_dspy.rwkv.state import State, StatePool, StateTensors
from aegir_dspy.rwkv.tokenizer import Tokenizer

if TYPE_CHECKING:
    from aegir_dspy.rwkv.engine import Engine

__all__ = ["Backend", "Batch", "Generation", "Piece", "Sink", "Stream", "constraint_of"]

_CLOSING_TOKENS = 2048  # beyond max_tokens, to close what a grammar has open
_FIRST_SLOTS = 8
_LOG = logging.getLogger(__name__)


class Backend(Protocol):
    """What the engine needs of a model; `RWKV7` is one."""

    @property
    def device(self) -> torch.device:
        """Where states and tokens have to be."""
        ...

    def forward(
        self, tokens: Tensor, state: StateTensors | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, StateTensors]:
        """See `RWKV7.forward`."""
        ...

    def step(self, tokens: Tensor, state: StateTensors) -> Tensor:
        """See `RWKV7.step`."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """See `RWKV7.logits`."""
        ...

    def scores(self, hidden: Tensor, choices: int, room: Tensor | None = None) -> Scores:
        """See `RWKV7.scores`."""
        ...


@dataclass(frozen=True)
class Generation:
    """One finished stream.

    Attributes:
        text: what was generated, without the stop string or end token.
        tokens: every token that was generated, the end included.
        logprobs: the model's own log-probability of each of them (no temperature, no constraint).
        finish_reason: ``"stop"`` (a stop string, an end token, a completed choice or grammar) or
            ``"length"``: the text was cut, or closed early because a grammar wanted more than there was room.
        state: after the prompt and all of `tokens`.
        top: at each token, the most probable tokens with their log-probabilities, as many as were asked for.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length"]
    state: State
    top: tuple[tuple[tuple[int, float], ...], ...] = ()


class Piece(str):
    """Text that has become certain, and of the tokens that it completes what `Generation` says of all."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    top: tuple[tuple[tuple[int, float], ...], ...] = ()


Sink = Callable[[str | Generation | Exception], None]


@dataclass(eq=False)
class Stream:
    """A stream on its way: what it still has to read, and what it has become so far.

    `sink` gets `Piece`s of text (when `live`), then the `Generation` or what went wrong; it is called in the
    thread that decodes.
    """

    unread: list[int]
    state: State
    config: GenerationConfig
    tokenizer: Tokenizer
    constraint: Constraint | None
    sink: Sink
    live: bool = True
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[tuple[tuple[int, float], ...]] = field(default_factory=list)
    text: str = ""
    finish: Literal["stop", "length"] | None = None
    gone: bool = False  # nobody wants more of it

    def __post_init__(self) -> None:
        self.generator = stream_generator(self.config.seed, self.unread, self.state.tokens)
        stops = () if self.constraint else self.config.stop
        self._cutter = _Cutter([stop.encode() for stop in stops])
        self._told = self._told_bytes = 0  # tokens that were in a piece

    @property
    def closing(self) -> bool:
        """Whether there is no more room."""
        return len(self.tokens) >= self.config.max_tokens

    def emit(self, item: str | Generation | Exception) -> None:
        """Hand something to the reader; a reader that cannot take it is gone."""
        try:
            self.sink(item)
        except Exception as error:
            _LOG.debug("a reader of a stream is gone: %s", error)
            self.gone = True

    def fail(self, error: Exception) -> None:
        """End it with an error."""
        self.emit(error)
        self.gone = True

    def accept(self, token: int, logprob: float) -> None:
        """Take the next token, and hand on the text that has become certain with it."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        piece = self._cutter.push(self._bytes(token))
        if self.finish is None and self._cutter.stopped:
            self.finish = "stop"
        elif self.finish is None and self._is_full():
            self.finish = "length"
        piece += self._cutter.close() if self.finish else ""
        self.text += piece
        if piece and self.live:
            self.emit(self._piece(piece))

    def _piece(self, text: str) -> Piece:
        piece, first, certain = Piece(text), self._told, self._cutter.certain
        while self._told < len(self.tokens):
            size = self._told_bytes + len(self.tokenizer.token_bytes(self.tokens[self._told]))
            if self._told_bytes == certain or size > certain:
                break
            self._told, self._told_bytes = self._told + 1, size
        told = slice(first, self._told)
        piece.tokens, piece.logprobs = tuple(self.tokens[told]), tuple(self.logprobs[told])
        piece.top = tuple(self.top[told])
        return piece

    def _bytes(self, token: int) -> bytes:
        """What a token adds to the text; notes an end."""
        if self.constraint is None:
            ended = token in self.tokenizer.ends
            self.finish = "stop" if ended else None
            return b"" if ended else self.tokenizer.token_bytes(token)
        text = self.constraint.accept(token)
        if self.constraint.finished:
            self.finish = "length" if self.constraint.shortened else "stop"
        return text

    def _is_full(self) -> bool:
        if isinstance(self.constraint, ChoiceConstraint):
            return False
        extra = _CLOSING_TOKENS if self.constraint else 0
        return len(self.tokens) >= self.config.max_tokens + extra


def constraint_of(config: GenerationConfig, tokenizer: Tokenizer) -> Constraint | None:
    """The constraint of a new stream, or None. Raises ConstraintError when nothing satisfies it."""
    stop = tokenizer.encode(config.stop[0]) if config.stop else []
    if config.choices is not None:
        trie = choice_trie(tokenizer, config.choices, stop or tokenizer.ends[:1])
        return ChoiceConstraint(trie, config.choices)
    if config.grammar is not None:
        return config.grammar.constraint(tokenizer, stop[0] if len(stop) == 1 else tokenizer.ends[0])
    return None


class Batch:
    """The streams that are decoded together, in a pool that grows with them up to `engine.max_batch`."""

    def __init__(self, engine: Engine) -> None:
        self.model, self.identity, self.limit = engine.model, engine.identity, engine.max_batch
        self.vocab = engine.tokenizer.vocab
        self._masks = MasksAhead(self.vocab)
        self.device = engine.model.device
        self._step = stepper(self.model)
        self.streams: list[Stream] = []  # streams[i] lives in slot i
        self.pool = StatePool(self.identity.geometry, 0, self.device)
        self.hidden = torch.zeros(0, self.identity.geometry.width, device=self.device)
        self._room: Tensor | None = None  # for logits

    def admit(self, streams: Sequence[Stream]) -> None:
        """Take streams that have read everything and have a hidden vector to go on from."""
        if not streams:
            return
        needed = len(self.streams) + len(streams)
        if needed > self.pool.slots:
            self.pool.grow(max(needed, min(self.limit, max(_FIRST_SLOTS, 2 * self.pool.slots))))
        for slot, stream in zip(self.pool.take(len(streams)), streams, strict=True):
            self.pool.write([slot], stream.state.tensors)
        found = [stream.state.hidden for stream in streams if stream.state.hidden is not None]
        self.hidden = torch.cat([self.hidden, torch.stack(found).to(self.device, self.hidden.dtype)])
        self.streams.extend(streams)

    def step(self) -> None:
        """One token for every stream."""
        self._remove([row for row, stream in enumerate(self.streams) if stream.gone])
        if not self.streams:
            return
        self._choose()
        self._masks.begin([stream.constraint for stream in self.streams if not stream.gone])
        chosen = torch.tensor([s.tokens[-1] for s in self.streams], device=self.device)
        self.hidden = self._step(chosen, self.pool)
        done = [row for row, stream in enumerate(self.streams) if stream.finish or stream.gone]
        for row in done:
            if not self.streams[row].gone:
                self.streams[row].emit(self._finished(row))
        self._remove(done)

    def _choose(self) -> None:
        """Give every stream its next token, with the model's log-probability for it."""
        masks = self._allowed()  # on the processor, while a GPU still steps
        self._room, tokens, total = self.model.scores(self.hidden, self.vocab, self._room)
        logits = self._room[:, : self.vocab]
        self._report_top(logits, total)
        controls = self._controls()
        if masks is not None:
            withhold(logits, masks)
        if masks is not None or controls is not None:
            tokens = pick(logits, *(controls or self._coldest()))
        logprobs = (logits.gather(1, tokens.unsqueeze(1)).squeeze(1) - total).tolist()
        for stream, token, logprob in zip(self.streams, tokens.tolist(), logprobs, strict=True):
            try:
                stream.accept(token, logprob)
            except ConstraintError as error:  # there was no token that fits
                stream.fail(error)

    def _allowed(self) -> Mask | None:
        """(B, W): the masks of all streams; None when none has a constraint."""
        constraints = [stream.constraint for stream in self.streams]
        if not any(constraints):
            return None
        masks, missing = self._masks.take(constraints)
        ends = [row for row, stream in enumerate(self.streams) if stream.closing]
        for row in sorted({*missing, *ends}):
            stream, constraint = self.streams[row], constraints[row]
            if constraint is not None:
                try:
                    constraint.allow(masks[row], stream.closing)
                except ConstraintError as error:
                    stream.constraint = None
                    stream.fail(error)
                    masks[row] = 0xFFFFFFFF
        return masks

    def _controls(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Temperature, top_p and a random number for each stream, (B,) float64 each; None: all greedy."""
        configs = [stream.config for stream in self.streams]
        if not any(config.temperature for config in configs):
            return None
        drawn = [
            torch.rand((), generator=s.generator, dtype=torch.float64).item() if s.config.temperature else 0.0
            for s in self.streams
        ]
        values = [[c.temperature for c in configs], [c.top_p for c in configs], drawn]
        temperature, top_p, random = torch.tensor(values, dtype=torch.float64).to(self.device)
        return temperature, top_p, random

    def _coldest(self) -> tuple[Tensor, Tensor, Tensor]:
        nothing = torch.zeros(len(self.streams), dtype=torch.float64, device=self.device)
        return nothing, nothing, nothing

    def _report_top(self, logits: Tensor, total: Tensor) -> None:
        rows = [row for row, stream in enumerate(self.streams) if stream.config.top_logprobs]
        if not rows:
            return
        most = max(self.streams[row].config.top_logprobs for row in rows)
        values, tokens = (logits[rows] - total[rows].unsqueeze(1)).topk(min(most, self.vocab))
        for row, found, scores in zip(rows, tokens.tolist(), values.tolist(), strict=True):
            stream = self.streams[row]
            count = stream.config.top_logprobs
            stream.top.append(tuple(zip(found[:count], scores[:count], strict=True)))

    def _finished(self, row: int) -> Generation:
        stream = self.streams[row]
        assert stream.finish is not None
        count = stream.state.tokens + len(stream.tokens)
        state = State(self.pool.read([row]), self.identity, count, self.hidden[row].clone())
        told = (tuple(stream.tokens), tuple(stream.logprobs), stream.finish)
        return Generation(stream.text, *told, state, tuple(stream.top))

    def _remove(self, done: list[int]) -> None:
        """Free the slots of streams that are done and move the last ones into the holes."""
        if not done:
            return
        left = len(self.streams) - len(done)
        holes = [row for row in done if row < left]
        movers = [row for row in range(left, len(self.streams)) if row not in set(done)]
        self.pool.move(movers, holes)
        self.pool.release(list(range(left, len(self.streams))))
        order = list(range(left))
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        self.streams, self.hidden = [self.streams[row] for row in order], self.hidden[order]


class _Cutter:
    """Turns bytes into text piece by piece and cuts it at the first stop string."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.stops, self.held, self.stopped = stops, b"", False
        self.certain = 0  # bytes of the text so far
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, piece: bytes) -> str:
        """The text that is certain now: what could still become a stop string is held back."""
        self.held += piece
        found = [at for stop in self.stops if (at := self.held.find(stop)) >= 0]
        if found:
            self.stopped, self.held = True, self.held[: min(found)]
            return ""
        keep = max((_overlap(self.held, stop) for stop in self.stops), default=0)
        ready, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        self.certain += len(ready)
        return self._decoder.decode(ready)

    def close(self) -> str:
        """What was held back, at the end."""
        self.certain += len(self.held)
        return self._decoder.decode(self.held, final=True)


def _overlap(text: bytes, stop: bytes) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return max((n for n in range(1, min(len(text), len(stop) - 1) + 1) if text.endswith(stop[:n])), default=0)
