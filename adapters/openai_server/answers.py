"""From what was generated to the JSON that OpenAI's clients read."""

from __future__ import annotations

import codecs
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aegir_dspy.adapters.openai_server.plan import Job, Plan
from aegir_dspy.adapters.openai_server.wire import ChatRequest
from aegir_dspy.rwkv import Generation
from aegir_dspy.rwkv.decoding import Piece
from aegir_dspy.rwkv.tokenizer import Tokenizer

__all__ = ["Answers", "Events", "shown_tokens"]

_LEAST = -9999.0  # JSON knows no -inf; OpenAI writes this


@dataclass(frozen=True)
class Answers:
    """The answers to one request, whole or as the events of a stream."""

    plan: Plan
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def chat(self) -> bool:
        """Whether it is a chat."""
        return isinstance(self.plan.request, ChatRequest)

    def whole(self, done: Sequence[Generation]) -> dict[str, Any]:
        """The whole answer."""
        choices = [self._choice(index, generation) for index, generation in enumerate(done)]
        return {**self._head(streamed=False), "choices": choices, "usage": self.usage(done)}

    def events(self) -> list[Events]:
        """Those of a stream, of each answer."""
        return [Events(self, index) for index in range(len(self.plan.jobs))]

    def costs(self, done: Sequence[Generation]) -> dict[str, Any]:
        """The event that says what all answers cost."""
        return {**self._head(streamed=True), "choices": [], "usage": self.usage(done)}

    def usage(self, done: Sequence[Generation]) -> dict[str, int]:
        """Tokens read and generated; a prompt counts once for all its answers."""
        read, made = sum(map(len, self.plan.prompts)), sum(len(one.tokens) for one in done)
        return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}

    def _head(self, *, streamed: bool) -> dict[str, Any]:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if streamed else "chat.completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.plan.name,
            "system_fingerprint": self.plan.engine.identity.checkpoint[:12],
        }

    def event(self, index: int, choice: dict[str, Any]) -> dict[str, Any]:
        """An event about one answer."""
        return {**self._head(streamed=True), "choices": [{"index": index, "logprobs": None, **choice}]}

    def scores(self, part: Piece | Generation, count: int, place: Place) -> dict[str, Any] | None:
        """The log-probabilities of the first `count` tokens of a part; None when nobody asked for them."""
        if not self.plan.request.wants_logprobs:
            return None
        scores = list(_scores(self.plan.engine.tokenizer, part, count))
        return {"content": scores, "refusal": None} if self.chat else _flat(scores, place)

    def _choice(self, index: int, generation: Generation) -> dict[str, Any]:
        message = {"role": "assistant", "content": generation.text, "refusal": None}
        told: dict[str, Any] = {"message": message} if self.chat else {"text": generation.text}
        job = self.plan.jobs[index]
        shown = shown_tokens(self.plan.engine.tokenizer, generation, job)
        told["logprobs"] = self.scores(generation, shown, Place())
        told["finish_reason"] = generation.finish_reason
        if self.plan.request.return_token_ids:
            told |= {"prompt_token_ids": job.tokens, "token_ids": list(generation.tokens)}
        return {"index": index, **told}


class Place:
    """How far in a text one has come, byte by byte."""

    def __init__(self) -> None:
        self.chars, self._decoder = 0, codecs.getincrementaldecoder("utf-8")("replace")

    def go(self, data: bytes) -> int:
        """Pass these bytes; how many characters were complete before them."""
        before = self.chars
        self.chars += len(self._decoder.decode(data))
        return before


class Events:
    """The events of one answer in a stream; each tells of the tokens that the text of it completes."""

    def __init__(self, answers: Answers, index: int) -> None:
        self.answers, self.index = answers, index
        self._ids = answers.plan.request.return_token_ids
        self._told, self._place = 0, Place()  # tokens so far, and where in the text they end

    def first(self) -> dict[str, Any] | None:
        """The event that opens the answer, if one does."""
        if not self.answers.chat:
            return None
        told = {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return self.answers.event(self.index, told)

    def piece(self, piece: Piece) -> dict[str, Any]:
        """The event of a piece of text."""
        told = self._shown(piece, None)
        told["logprobs"] = self.answers.scores(piece, len(piece.tokens), self._place)
        if self._ids:
            told["token_ids"] = list(piece.tokens)
        self._told += len(piece.tokens)
        return self.answers.event(self.index, told)

    def last(self, generation: Generation) -> dict[str, Any]:
        """The event that closes the answer: why it ended, and what no piece has told."""
        plan = self.answers.plan
        told = self._shown("", generation.finish_reason)
        shown = shown_tokens(plan.engine.tokenizer, generation, plan.jobs[self.index])
        rest = _rest(generation, self._told)
        told["logprobs"] = self.answers.scores(rest, shown - self._told, self._place)
        if self._ids:
            told |= {"prompt_token_ids": plan.jobs[self.index].tokens, "token_ids": list(rest.tokens)}
        return self.answers.event(self.index, told)

    def _shown(self, text: str, finish: str | None) -> dict[str, Any]:
        if not self.answers.chat:
            return {"text": text, "finish_reason": finish}
        return {"delta": {"content": text} if text else {}, "finish_reason": finish}


def _rest(generation: Generation, told: int) -> Piece:
    rest = Piece()
    rest.tokens, rest.logprobs = generation.tokens[told:], generation.logprobs[told:]
    rest.top = generation.top[told:]
    return rest


def shown_tokens(tokenizer: Tokenizer, generation: Generation, job: Job) -> int:
    """How many of the generated tokens are in the text: no ends, no stop strings."""
    config, tokens = job.config, generation.tokens
    raw = [b"" if token in tokenizer.ends else tokenizer.token_bytes(token) for token in tokens]
    if config.choices is not None or config.grammar is not None:
        size = len(generation.text.encode())
    else:
        whole = b"".join(raw)
        size = min([at for stop in config.stop if (at := whole.find(stop.encode())) >= 0] or [len(whole)])
    count = read = 0
    while read < size:
        read += len(raw[count])
        count += 1
    return count


def _scores(tokenizer: Tokenizer, part: Piece | Generation, count: int) -> Iterator[dict[str, Any]]:
    """The first tokens of a part as chats write them, and the id of each."""
    for at, token in enumerate(part.tokens[:count]):
        others = [_score(tokenizer, *other) for other in (part.top[at] if part.top else ())]
        yield {**_score(tokenizer, token, part.logprobs[at]), "top_logprobs": others}


def _score(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    data = tokenizer.token_bytes(token)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
    return {"token": text, "token_id": token, "logprob": max(_LEAST, logprob), "bytes": list(data)}


def _flat(scores: Sequence[dict[str, Any]], place: Place) -> dict[str, Any]:
    """The same as completions write it, from a place of the text on."""
    top = [{one["token"]: one["logprob"] for one in score["top_logprobs"]} for score in scores]
    return {
        "tokens": [score["token"] for score in scores],
        "token_logprobs": [score["logprob"] for score in scores],
        "top_logprobs": top if any(top) else None,
        "text_offset": [place.go(bytes(score["bytes"])) for score in scores],
    }
