"""From what was generated to the JSON that OpenAI's clients read."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aegir_dspy.adapters.openai_server.plan import Job, Plan
from aegir_dspy.adapters.openai_server.wire import ChatRequest
from aegir_dspy.rwkv import Generation
from aegir_dspy.rwkv.tokenizer import Tokenizer

__all__ = ["Answers", "shown_tokens"]

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

    def first(self, index: int) -> dict[str, Any] | None:
        """The event that opens an answer, if one does."""
        if not self.chat:
            return None
        return self._event(index, {"delta": {"role": "assistant", "content": ""}, "finish_reason": None})

    def piece(self, index: int, text: str) -> dict[str, Any]:
        """The event of a piece of text."""
        told = {"delta": {"content": text}} if self.chat else {"text": text}
        return self._event(index, {**told, "finish_reason": None})

    def last(self, index: int, generation: Generation) -> dict[str, Any]:
        """The event that closes an answer: why it ended, and the log-probabilities of all of it."""
        told: dict[str, Any] = {"delta": {}} if self.chat else {"text": ""}
        return self._event(index, {**told, **self._facts(index, generation)})

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

    def _event(self, index: int, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._head(streamed=True), "choices": [{"index": index, "logprobs": None, **choice}]}

    def _choice(self, index: int, generation: Generation) -> dict[str, Any]:
        message = {"role": "assistant", "content": generation.text, "refusal": None}
        told = {"message": message} if self.chat else {"text": generation.text}
        return {"index": index, **told, **self._facts(index, generation)}

    def _facts(self, index: int, generation: Generation) -> dict[str, Any]:
        request, tokenizer = self.plan.request, self.plan.engine.tokenizer
        facts: dict[str, Any] = {"finish_reason": generation.finish_reason, "logprobs": None}
        if request.wants_logprobs:
            scores = _scores(
                tokenizer, generation, shown_tokens(tokenizer, generation, self.plan.jobs[index])
            )
            facts["logprobs"] = {"content": scores, "refusal": None} if self.chat else _flat(scores)
        if request.return_token_ids:
            facts["prompt_token_ids"] = self.plan.jobs[index].tokens
            facts["token_ids"] = list(generation.tokens)
        return facts


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


def _scores(tokenizer: Tokenizer, generation: Generation, count: int) -> list[dict[str, Any]]:
    """The tokens of an answer as chats write them, and the id of each."""
    found = []
    for at, token in enumerate(generation.tokens[:count]):
        top = generation.top[at] if generation.top else ()
        others = [_score(tokenizer, other, logprob) for other, logprob in top]
        found.append({**_score(tokenizer, token, generation.logprobs[at]), "top_logprobs": others})
    return found


def _score(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    data = tokenizer.token_bytes(token)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
    return {"token": text, "token_id": token, "logprob": max(_LEAST, logprob), "bytes": list(data)}


def _flat(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same as completions write it."""
    offsets, before = [], b""
    for score in scores:
        offsets.append(len(before.decode("utf-8", "replace")))
        before += bytes(score["bytes"])
    top = [{one["token"]: one["logprob"] for one in score["top_logprobs"]} for score in scores]
    return {
        "tokens": [score["token"] for score in scores],
        "token_logprobs": [score["logprob"] for score in scores],
        "top_logprobs": top if any(top) else None,
        "text_offset": offsets,
    }
