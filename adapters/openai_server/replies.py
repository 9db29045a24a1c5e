"""What answers look like, for the OpenAPI document: answers are not checked against it while serving."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = [
    "AnnotateReply", "ChatReply", "CompletionReply", "EmbeddingReply", "HealthReply", "ModelList",
    "ModelReply", "Refusal", "StateDeleted", "StateList", "StateReply",
]  # fmt: skip

Finish = Literal["stop", "length"]


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Fault(_Reply):
    message: str
    type: str
    param: str | None
    code: str | None


class Refusal(_Reply):
    """Why a request was refused, in OpenAI's form."""

    error: _Fault


class HealthReply(_Reply):
    """``/health``."""

    status: Literal["ok"]
    version: str


class _Shape(_Reply):
    checkpoint: str
    tokenizer: str
    layers: int
    width: int
    vocab: int


class ModelReply(_Reply):
    """One model; `aegir` says what OpenAI's form has no room for."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    aegir: _Shape


class ModelList(_Reply):
    """All models."""

    object: Literal["list"]
    data: list[ModelReply]


class StateReply(_Reply):
    """A state that is kept; `id` is its handle."""

    id: str
    object: Literal["state"]
    created: int
    model: str
    tokens: int


class _Handle(_Reply):
    id: str


class StateList(_Reply):
    """The handles of all states, the one used last at the end."""

    object: Literal["list"]
    data: list[_Handle]


class StateDeleted(_Reply):
    """A state that is forgotten."""

    id: str
    object: Literal["state"]
    deleted: Literal[True]


class _Usage(_Reply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Answer(_Reply):
    id: str
    created: int
    model: str
    system_fingerprint: str
    usage: _Usage


class _Score(_Reply):
    token: str
    token_id: int
    logprob: float
    bytes: list[int]


class _TopScore(_Score):
    top_logprobs: list[_Score]


class _ChatScores(_Reply):
    content: list[_TopScore]
    refusal: None


class _TextScores(_Reply):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class _Choice(_Reply):
    index: int
    finish_reason: Finish
    prompt_token_ids: list[int] = []
    token_ids: list[int] = []


class _Message(_Reply):
    role: Literal["assistant"]
    content: str
    refusal: None


class _ChatChoice(_Choice):
    message: _Message
    logprobs: _ChatScores | None


class _TextChoice(_Choice):
    text: str
    logprobs: _TextScores | None


class ChatReply(_Answer):
    """``/v1/chat/completions``, not streamed."""

    object: Literal["chat.completion"]
    choices: list[_ChatChoice]


class CompletionReply(_Answer):
    """``/v1/completions``, not streamed."""

    object: Literal["text_completion"]
    choices: list[_TextChoice]


class _Vector(_Reply):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class _Read(_Reply):
    prompt_tokens: int
    total_tokens: int


class EmbeddingReply(_Reply):
    """``/v1/embeddings``: numbers, or a string of base 64 where that was asked for."""

    object: Literal["list"]
    data: list[_Vector]
    model: str
    usage: _Read


class AnnotateReply(BaseModel):
    """``aegir.result/1``."""

    tables: list[dict[str, Any]]
    elements: list[dict[str, Any]]
    score: dict[str, Any] | None
    failures: list[dict[str, Any]]
    usage: dict[str, Any]
    identity: dict[str, Any]
