"""From a request to what the engine continues: prompts as tokens, states, one config an answer."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aegir_dspy.adapters.openai_server.errors import ApiError
from aegir_dspy.adapters.openai_server.host import Host
from aegir_dspy.adapters.openai_server.limits import Limits
from aegir_dspy.adapters.openai_server.wire import ChatRequest, CompletionRequest, Message, Sampling
from aegir_dspy.rwkv import Engine, GenerationConfig, Grammar, State
from aegir_dspy.rwkv.decoding import constraint_of

__all__ = ["Job", "Plan", "chat_prompt", "plan", "tokens_of"]

_TURNS = ("\n\nUser:", "\n\nSystem:")  # where a chat goes on without us
_COMPLETION_TOKENS, _CHAT_TOKENS = 16, 512  # unless told: the first is OpenAI's
_COLDEST = 1e-4  # a temperature below divides by next to nothing: it is taken for 0
_NAMES = {"user": "User", "assistant": "Assistant"}


@dataclass(frozen=True, slots=True)
class Job:
    """One answer to be made."""

    tokens: list[int]
    state: State | None
    config: GenerationConfig


@dataclass(frozen=True, slots=True)
class Plan:
    """All answers to a request, `n` for each prompt one after the other."""

    request: Sampling
    name: str
    engine: Engine
    jobs: Sequence[Job]
    prompts: Sequence[list[int]]


def plan(request: CompletionRequest | ChatRequest, host: Host) -> Plan:
    """What to decode; all that can be wrong with a request is found here.

    Raises:
        ApiError: it is refused.
        AegirError: the engine refuses it.
    """
    name, engine = host.engine(request.model)
    texts = _texts(request)
    count = request.n or 1
    if len(texts) * count > host.limits.answers:
        found = f"expected at most {host.limits.answers} answers, found {len(texts) * count}"
        raise ApiError(400, found, param="n")
    state = None if request.state is None else host.shelf.get(request.state, name)[1]
    prompts = [tokens_of(engine, text, host.limits, "prompt") for text in texts]
    if state is None and not all(prompts):
        raise ApiError(400, "expected a prompt, found none: say something, or name a state", param="prompt")
    configs = [_config(request, host.limits, index) for index in range(count)]
    constraint_of(configs[0], engine.tokenizer)  # compiled once here, and refused if nothing satisfies it
    jobs = [Job(prompt, state, config) for prompt in prompts for config in configs]
    return Plan(request, name, engine, jobs, prompts)


def chat_prompt(messages: Sequence[Message]) -> str:
    """A chat as the models have read chats; as the DSPy door writes it."""
    turns = [f"{_NAMES.get(message.role, 'System')}: {message.text}" for message in messages]
    return "\n\n".join([*turns, "Assistant:"])


def _texts(request: CompletionRequest | ChatRequest) -> list[str | list[int]]:
    return [chat_prompt(request.messages)] if isinstance(request, ChatRequest) else request.prompts


def tokens_of(engine: Engine, text: str | list[int], limits: Limits, param: str) -> list[int]:
    """The tokens of a text. Raises ApiError for too many."""
    tokens = engine.encode(text)
    if len(tokens) > limits.prompt_tokens:
        found = f"expected at most {limits.prompt_tokens} tokens, found {len(tokens)}"
        raise ApiError(400, found, param=param, code="context_length_exceeded")
    return tokens


def _config(request: CompletionRequest | ChatRequest, limits: Limits, index: int) -> GenerationConfig:
    chat = isinstance(request, ChatRequest)
    most = request.max_completion_tokens if isinstance(request, ChatRequest) else None
    most = most or request.max_tokens
    if most is not None and most > limits.max_tokens:
        raise ApiError(400, f"expected max_tokens of at most {limits.max_tokens}, found {most}")
    temperature = 1.0 if request.temperature is None else request.temperature
    temperature = temperature if temperature >= _COLDEST else 0.0
    grammar = _grammar(request, limits)
    choices = None if request.guided_choice is None else tuple(request.guided_choice)
    free = grammar is None and choices is None
    seed = request.seed
    if seed is None:
        seed = secrets.randbits(62) if temperature else 0
    return GenerationConfig(
        max_tokens=most or min(limits.max_tokens, _CHAT_TOKENS if chat else _COMPLETION_TOKENS),
        temperature=temperature,
        top_p=request.top_p or 1.0,
        seed=seed + index,
        stop=(request.stops or (_TURNS if chat else ())) if free else (),
        choices=choices,
        grammar=grammar,
        top_logprobs=request.top,
    )


def _grammar(request: Sampling, limits: Limits) -> Grammar | None:
    if request.guided_regex is not None:
        return Grammar.regex(_bounded(request.guided_regex, limits, "guided_regex"))
    told = request.response_format or {"type": "text"}
    kind = told.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Grammar.json_schema({"type": "object"})
    inner = told.get("json_schema")
    schema: Any = inner.get("schema") if isinstance(inner, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict | bool):
        raise ApiError(
            400,
            "expected text, json_object, or json_schema with a json_schema.schema",
            param="response_format",
        )
    if _depth(schema, limits.schema_depth) > limits.schema_depth:
        raise ApiError(
            400, f"expected a schema nested at most {limits.schema_depth} deep", param="response_format"
        )
    _bounded(json.dumps(schema), limits, "response_format")
    return Grammar.json_schema(schema)


def _bounded(text: str, limits: Limits, param: str) -> str:
    if len(text) > limits.schema_chars:
        found = f"expected at most {limits.schema_chars} characters, found {len(text)}"
        raise ApiError(400, found, param=param)
    return text


def _depth(value: Any, most: int) -> int:
    """How deep lists and objects are nested; looked at to one more than `most`."""
    level, depth = [value], 0
    while level and depth <= most:
        inner = [part for part in level if isinstance(part, dict | list)]
        level = [part for one in inner for part in (one.values() if isinstance(one, dict) else one)]
        depth += bool(inner)
    return depth
