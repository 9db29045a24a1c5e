"""One answer on its way: what to decode next, and what has become of it. It decodes nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dspy.lm15 import Message, Request, Response, TokenLogprob, TopLogprob, Usage

from aegir_dspy.adapters.dspy_lm.fields import Field, planned_fields, prompt_of, told
from aegir_dspy.rwkv import Engine, Generation, GenerationConfig, State

__all__ = ["Answer", "Ask"]

_MAX_TOKENS = 128  # of one value


@dataclass(frozen=True, slots=True)
class Ask:
    """What to decode: a continuation of `prompt` from `state`; `live` when its pieces are the answer's."""

    prompt: str
    state: State | None
    config: GenerationConfig
    live: bool


class Answer:
    """The answer to a request, field by field: what is fixed is only read, what is open is generated.

    Args:
        request: from DSPy.
        engine: whose tokens and checkpoint it reports.
        state: what the prompt is read from.
        seed: of all fields.
    """

    def __init__(self, request: Request, engine: Engine, state: State | None, seed: int) -> None:
        self.request, self.engine, self.state, self.seed = request, engine, state, seed
        self.text = ""
        self._fields = planned_fields(request)
        self._done: list[tuple[Field, Generation]] = []

    def asks(self) -> Iterator[Ask]:
        """One after the other; `take` comes between."""
        prompt = prompt_of(self.request)
        for field in self._fields:
            yield Ask(prompt + field.lead, self.state, self._config(field), field.live)
            prompt = ""

    def take(self, generation: Generation) -> str:
        """The next field is generated; what of it has not been shown as pieces."""
        field = self._fields[len(self._done)]
        self._done.append((field, generation))
        self.state = generation.state
        written = field.shown_lead + field.written(generation.text)
        self.text += written
        return "" if field.live else written

    def response(self) -> Response:
        """The whole of it."""
        done = [generation for _, generation in self._done]
        written = sum(len(g.tokens) for g in done)
        final = done[-1].state
        data = {
            "checkpoint": self.engine.identity.checkpoint,
            "logprob": sum(sum(g.logprobs) for g in done),
        }
        if told(self.request, "digest"):
            data["state"] = final.digest
        return Response(
            id=None,
            model=self.request.model,
            message=Message.assistant(self.text),
            finish_reason="length" if any(g.finish_reason == "length" for g in done) else "stop",
            usage=Usage(input_tokens=final.tokens - written, output_tokens=written),
            logprobs=None if self.request.config.logprobs is None else tuple(self._logprobs()),
            provider_data={"aegir": data},
            logprobs_complete=len(done) == 1,
        )

    def _config(self, field: Field) -> GenerationConfig:
        config = self.request.config
        return GenerationConfig(
            max_tokens=config.max_tokens or _MAX_TOKENS * field.size,
            temperature=config.temperature or 0.0,
            top_p=config.top_p or 1.0,
            seed=self.seed,
            stop=field.stop,
            choices=field.choices,
            grammar=field.grammar,
            top_logprobs=config.logprobs or 0,
        )

    def _logprobs(self) -> Iterator[TokenLogprob]:
        """Of the tokens that are in the answer: no ends, no stops."""
        for field, generation in self._done:
            shown = 0
            size = self._size(field, generation)
            for at, token in enumerate(generation.tokens):
                if shown >= size:
                    break
                text = self.engine.tokenizer.token_bytes(token)
                shown += len(text)
                top = generation.top[at] if generation.top else ()
                yield TokenLogprob(
                    token=self.engine.tokenizer.decode([token]),
                    logprob=generation.logprobs[at],
                    bytes=tuple(text),
                    token_id=token,
                    top=tuple(self._top(*one) for one in top),
                )

    def _top(self, token: int, logprob: float) -> TopLogprob:
        tokenizer = self.engine.tokenizer
        return TopLogprob(tokenizer.decode([token]), logprob, tuple(tokenizer.token_bytes(token)), token)

    def _size(self, field: Field, generation: Generation) -> int:
        """How many bytes of what was generated are in the answer."""
        if field.choices is not None or field.grammar is not None:
            return len(generation.text.encode())
        tokenizer = self.engine.tokenizer
        ended = generation.tokens[-1] in tokenizer.ends
        raw = b"".join(tokenizer.token_bytes(token) for token in generation.tokens[: -1 if ended else None])
        return min([at for stop in field.stop if (at := raw.find(stop.encode())) >= 0] or [len(raw)])
