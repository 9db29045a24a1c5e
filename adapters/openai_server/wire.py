"""What requests look like. A field that would change the answer and is not supported is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "AnnotateRequest",
    "ChatRequest",
    "CompletionRequest",
    "EmbeddingRequest",
    "Message",
    "Sampling",
    "StateRequest",
    "TableRequest",
]

_NEUTRAL: dict[str, tuple[Any, ...]] = {  # unsupported fields, and what they may say all the same
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
}
Tokens = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(min_length=1)]
Cell = str | bool | int | float | None


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class StreamOptions(_Wire):
    """Whether the last event of a stream says what it cost."""

    include_usage: bool = False


class Sampling(_Wire):
    """What completions and chats have in common.

    state: a handle of ``/v1/states`` that is read on from. guided_regex, guided_choice: what the answer has
    to be. return_token_ids: the ids of the prompt and of all that was generated, the end included.
    """

    model: Annotated[str, Field(min_length=1, max_length=256)]
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float | None, Field(ge=0, le=100)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    n: Annotated[int | None, Field(ge=1)] = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: dict[str, Any] | None = None
    guided_regex: Annotated[str | None, Field(min_length=1)] = None
    guided_choice: Annotated[list[Annotated[str, Field(min_length=1)]] | None, Field(min_length=1)] = None
    state: Annotated[str | None, Field(max_length=128)] = None
    return_token_ids: bool | None = None

    @model_validator(mode="after")
    def _supported(self) -> Sampling:
        for name, value in (self.model_extra or {}).items():
            if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
                raise ValueError(f"{name} is not supported: leave it out")
        asked = ("guided_regex", "guided_choice", "response_format")
        found = [name for name in asked if getattr(self, name) is not None]
        if "response_format" in found and (self.response_format or {}).get("type") == "text":
            found.remove("response_format")
        if len(found) > 1:
            raise ValueError(f"expected one constraint, found {' and '.join(found)}")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_logprobs(self) -> bool:
        """Whether the answer says how probable its tokens were."""
        return False

    @property
    def top(self) -> int:
        """How many of the most probable tokens are asked for."""
        return 0


class CompletionRequest(Sampling):
    """``/v1/completions``."""

    prompt: str | Tokens | Annotated[list[str | Tokens], Field(min_length=1)]
    logprobs: Annotated[int | None, Field(ge=0, le=20)] = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or several texts or lists of tokens."""
        return _several(self.prompt)

    @property
    def wants_logprobs(self) -> bool:
        """See `Sampling`."""
        return self.logprobs is not None

    @property
    def top(self) -> int:
        """See `Sampling`."""
        return self.logprobs or 0


class TextPart(_Wire):
    """A part of a message; there are no others than text."""

    type: Literal["text"]
    text: str


class Message(_Wire):
    """One turn of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """What it says."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)


class ChatRequest(Sampling):
    """``/v1/chat/completions``."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None

    @property
    def wants_logprobs(self) -> bool:
        """See `Sampling`."""
        return bool(self.logprobs)

    @property
    def top(self) -> int:
        """See `Sampling`."""
        return (self.top_logprobs or 0) if self.logprobs else 0


class StateRequest(_Wire):
    """``/v1/states``: read `input`, from `state` on if one is named."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: Text | Tokens
    state: Annotated[str | None, Field(max_length=128)] = None


class EmbeddingRequest(_Wire):
    """``/v1/embeddings``; vectors have the model's width, which `dimensions` may say and not change."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: Text | Tokens | Annotated[list[Text | Tokens], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int | None, Field(ge=1)] = None

    @property
    def texts(self) -> list[str | list[int]]:
        """One or several texts or lists of tokens."""
        return _several(self.input)


class TableRequest(_Wire):
    """A table: by columns, by rows (objects), or as the text of a CSV file."""

    name: Annotated[str, Field(min_length=1, max_length=256)] = "table"
    columns: dict[str, list[Cell]] | None = None
    rows: list[dict[str, Cell]] | None = None
    csv: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> TableRequest:
        if sum(form is not None for form in (self.columns, self.rows, self.csv)) != 1:
            raise ValueError("expected one of columns, rows and csv")
        return self


class AnnotateRequest(_Wire):
    """``/v1/annotate``."""

    tables: Annotated[list[TableRequest], Field(min_length=1)]


def _several(given: str | list[int] | list[str | list[int]]) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    tokens = [part for part in given if isinstance(part, int)]
    return [tokens] if tokens else [part for part in given if not isinstance(part, int)]
