"""Continuous decoding: streams enter a pool, are stepped together in place, and leave when they stop."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from aegir_dspy.rwkv.constraint import TokenTrie, choice_trie
from aegir_dspy.rwkv.sampling import GenerationConfig, pick, stream_generator
from aegir_dspy.rwkv.state import State, StatePool, StateTensors
from aegir_dspy.rwkv.tokenizer import Tokenizer

if TYPE_CHECKING:
    from aegir_dspy.rwkv.engine import Engine

__all__ = ["Backend", "Decoder", "Generation"]


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


@dataclass(frozen=True)
class Generation:
    """One finished stream.

    Attributes:
        text: what was generated, without the stop string or end token.
        tokens: every token that was generated, the end included.
        logprobs: the model's own log-probability of each of them (no temperature, no constraint).
        finish_reason: ``"stop"`` (a stop string, an end token, a completed choice) or ``"length"``.
        state: after the prompt and all of `tokens`.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length"]
    state: State


@dataclass
class _Stream:
    """A stream on its way: where it starts, and what it has become so far."""

    index: int
    prompt: list[int]
    start: State
    config: GenerationConfig
    generator: torch.Generator
    node: TokenTrie | None
    cutter: _Cutter
    before: int = 0  # tokens read before the first generated one
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    finish: Literal["stop", "length"] | None = None

    def accept(self, token: int, logprob: float, tokenizer: Tokenizer) -> str:
        """Take the next token; returns the text that has become certain with it."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        piece = self._choose(token) if self.node is not None else self._write(token, tokenizer)
        self.text += piece
        return piece

    def _choose(self, token: int) -> str:
        assert self.node is not None and self.config.choices is not None
        self.node = self.node.children[token]
        if not self.node.ends:
            return ""
        self.finish = "stop"
        return self.config.choices[self.node.ends[0]]

    def _write(self, token: int, tokenizer: Tokenizer) -> str:
        ended = token in tokenizer.ends
        piece = "" if ended else self.cutter.push(tokenizer.token_bytes(token))
        if ended or self.cutter.stopped:
            self.finish = "stop"
        elif len(self.tokens) >= self.config.max_tokens:
            self.finish = "length"
        return piece + (self.cutter.close() if self.finish else "")


class Decoder:
    """Runs one `generate` call of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.model, self.tokenizer = engine, engine.model, engine.tokenizer

    def run(
        self, prompts: list[list[int]], starts: list[State], configs: list[GenerationConfig]
    ) -> Iterator[tuple[int, str | Generation]]:
        """Yield (position, piece of text) as it comes and (position, `Generation`) when a stream is done."""
        tries = {c: self._trie(c) for c in configs if c.choices is not None}
        streams = [
            _Stream(i, prompt, start, config, stream_generator(config.seed, prompt, start.tokens),
                    tries.get(config), _Cutter([s.encode() for s in config.stop]))
            for i, (prompt, start, config) in enumerate(zip(prompts, starts, configs, strict=True))
        ]  # fmt: skip
        return self._loop(deque(streams))

    @torch.no_grad()
    def _loop(self, waiting: deque[_Stream]) -> Iterator[tuple[int, str | Generation]]:
        geometry = self.engine.identity.geometry
        pool = StatePool(geometry, min(len(waiting), self.engine.max_batch), self.model.device)
        active: list[_Stream] = []  # active[i] lives in slot i
        hidden = torch.zeros(0, geometry.width, device=self.model.device)
        while waiting or active:
            hidden = torch.cat([hidden, self._admit(waiting, active, pool)])
            for stream, logprob, token in self._choose(active, hidden):
                if piece := stream.accept(token, logprob, self.tokenizer):
                    yield stream.index, piece
            chosen = torch.tensor([s.tokens[-1] for s in active], device=self.model.device)
            if active:
                hidden = self.model.step(chosen, pool.first(len(active)))
            done = [row for row, stream in enumerate(active) if stream.finish]
            for row in done:
                yield active[row].index, self._finished(active[row], pool.read([row]), hidden[row])
            active, hidden = _compact(active, hidden, done, pool)

    def _trie(self, config: GenerationConfig) -> TokenTrie:
        end = self.tokenizer.encode(config.stop[0]) if config.stop else self.tokenizer.ends[:1]
        return choice_trie(self.tokenizer, config.choices or (), end)

    def _admit(self, waiting: deque[_Stream], active: list[_Stream], pool: StatePool) -> Tensor:
        """Read the prompts of as many waiting streams as there are free slots: their hidden (B, D)."""
        new = [waiting.popleft() for _ in range(min(len(waiting), pool.free))]
        if not new:
            return torch.zeros(0, self.engine.identity.geometry.width, device=self.model.device)
        states = self.engine.read([s.prompt for s in new], [s.start for s in new])
        hidden = self.engine.last_hidden(states)
        for slot, stream, state in zip(pool.take(len(new)), new, states, strict=True):
            pool.write([slot], state.tensors)
            stream.before = state.tokens
        active.extend(new)
        return hidden

    def _choose(self, active: list[_Stream], hidden: Tensor) -> list[tuple[_Stream, float, int]]:
        """The next token of every active stream, with the model's log-probability for it."""
        log_probs = torch.log_softmax(self.model.logits(hidden), -1)
        log_probs[:, self.tokenizer.vocab :] = -torch.inf
        best, rows = log_probs.argmax(-1).tolist(), log_probs.cpu()
        tokens = []
        for row, stream in enumerate(active):
            if stream.node is None and stream.config.temperature == 0:
                tokens.append(best[row])
            else:
                allowed = None if stream.node is None else list(stream.node.children)
                tokens.append(pick(rows[row], stream.config, stream.generator, allowed))
        chosen = rows[range(len(active)), tokens].tolist()
        return list(zip(active, chosen, tokens, strict=True))

    def _finished(self, stream: _Stream, tensors: StateTensors, hidden: Tensor) -> Generation:
        assert stream.finish is not None
        count = stream.before + len(stream.tokens)
        state = State(tensors, self.engine.identity, count, hidden.clone())
        return Generation(stream.text, tuple(stream.tokens), tuple(stream.logprobs), stream.finish, state)


class _Cutter:
    """Turns bytes into text piece by piece and cuts it at the first stop string."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.stops, self.held, self.stopped = stops, b"", False
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
        return self._decoder.decode(ready)

    def close(self) -> str:
        """What was held back, at the end."""
        return self._decoder.decode(self.held, final=True)


def _overlap(text: bytes, stop: bytes) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return max((n for n in range(1, min(len(text), len(stop) - 1) + 1) if text.endswith(stop[:n])), default=0)


def _compact(
    active: list[_Stream], hidden: Tensor, done: list[int], pool: StatePool
) -> tuple[list[_Stream], Tensor]:
    """Free the slots of finished streams and move the last ones into the holes."""
    if not done:
        return active, hidden
    left = len(active) - len(done)
    holes = [row for row in done if row < left]
    movers = [row for row in range(left, len(active)) if row not in set(done)]
    pool.move(movers, holes)
    pool.release(list(range(left, len(active))))
    order = list(range(left))
    for hole, mover in zip(holes, movers, strict=True):
        order[hole] = mover
    return [active[row] for row in order], hidden[order]
