"""A DSPy adapter for byte-level specialists: a prompt of a few bytes, and answers that cannot be malformed.

Inputs are written as `aegir_dspy.tables.serialize` writes columns, which is what the specialists were
trained on::

    prompt := [instructions GS] (name US value (RS value)* GS)*
    answer := value FS                      one output field
            | (name US value FS)*           several

Fields of every type but `str` and `list[str]` are constrained while they are decoded: a `Literal` or `bool`
to its values, numbers to digits, lists, models and unions to the JSON of their schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

import dspy
from dspy.lm15 import Config, Message, Request, Response
from dspy.signatures.signature import Signature
from dspy.utils.exceptions import AdapterParseError
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from aegir_dspy.adapters.dspy_lm.fields import ANSWER, COLUMN, EXTENSION, HEADER, VALUE
from aegir_dspy.errors import InputError
from aegir_dspy.rwkv import State

__all__ = ["CompactAdapter", "CompactParseError", "default_instructions"]

_NOTHING = {"role": "user", "content": ""}
_TO_SPACE = {ord(mark): " " for mark in (ANSWER, COLUMN, VALUE, HEADER)}
_SCHEMAS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"enum": ["true", "false"]},
}


class CompactParseError(AdapterParseError):  # type: ignore[misc]
    """An answer that does not fit the signature, in one line."""

    def __init__(self, signature: type[Signature], answer: str, expected: str) -> None:
        super().__init__("CompactAdapter", signature, answer)
        self.message = f"expected {expected}, found {answer[:80]!r}"
        self.args = (self.message,)


class CompactAdapter(dspy.Adapter):  # type: ignore[misc]
    """See the module's documentation. Works with any LM; only ours is constrained and reads raw bytes.

    Args:
        latent: the state the engine starts from, what others have read. Its digest is part of the request,
            so answers from different states are different entries of DSPy's cache.
        resume: whether `latent` has read the prompt already: the answer follows it at once.
    """

    def __init__(self, latent: State | None = None, *, resume: bool = False) -> None:
        super().__init__()
        if resume and latent is None:
            raise InputError("expected a state to resume from, found none: pass latent=State")
        self.latent, self.resume = latent, resume

    def __call__(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """One dictionary of output fields for each of ``n`` answers."""
        with self._holding(lm) as extension:
            controls, requests = self._requests(lm, lm_kwargs, signature, demos, inputs, extension)
            return [self.parse(signature, _text(lm(request, **controls))) for request in requests]

    async def acall(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """`__call__`, awaited."""
        with self._holding(lm) as extension:
            controls, requests = self._requests(lm, lm_kwargs, signature, demos, inputs, extension)
            answers = await asyncio.gather(*(lm.acall(request, **controls) for request in requests))
            return [self.parse(signature, _text(answer)) for answer in answers]

    def format(
        self, signature: type[Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The prompt as messages: instructions (when somebody wrote some), demos, inputs."""
        messages = []
        if signature.instructions != default_instructions(signature):
            messages.append({"role": "system", "content": signature.instructions + COLUMN})
        for demo in demos:
            if all(name in demo for name in signature.output_fields):
                messages.append({"role": "user", "content": _inputs(signature, demo)})
                messages.append({"role": "assistant", "content": _outputs(signature, demo)})
        messages.append({"role": "user", "content": _inputs(signature, inputs)})
        return messages

    def prompt(self, signature: type[Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]) -> str:
        """The same as one text: what the engine reads before it answers."""
        return "".join(message["content"] for message in self.format(signature, demos, inputs))

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        """The output fields. Raises CompactParseError when one is missing or not of its type."""
        names = list(signature.output_fields)
        if len(names) == 1:
            written = {names[0]: completion.split(ANSWER, 1)[0]}
        else:
            parts = [part.split(HEADER, 1) for part in completion.split(ANSWER) if HEADER in part]
            written = {part[0].strip(): part[1] for part in parts}
        result = {}
        for name, field in signature.output_fields.items():
            if name not in written:
                raise CompactParseError(signature, completion, f"an answer with the field {name}")
            result[name] = _parsed(signature, name, field.annotation, written[name])
        return result

    @contextmanager
    def _holding(self, lm: dspy.BaseLM) -> Iterator[dict[str, Any] | None]:
        """What our engine is told beside the request, the state in its hands; None for any other LM.

        The whole hash of the checkpoint is part of it, and with it of the key of DSPy's cache.
        """
        engine: Any = getattr(lm, "engine", None)
        if getattr(engine, "reads_fields", False):
            told = {"layout": "compact", "checkpoint": engine.engine.identity.checkpoint}
            if self.latent is None:
                yield told
            else:
                with engine.holding(self.latent) as digest:
                    yield {**told, "latent": digest}
        elif self.latent is None:
            yield None
        else:
            raise InputError(f"expected a local engine to take a state, found {lm.model}: use aegir_dspy.lm")

    def _requests(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
        extension: dict[str, Any] | None,
    ) -> tuple[dict[str, Any], list[Request]]:
        """What to pass beside a request, and the requests, one for each of ``n`` answers."""
        options = {**getattr(lm, "kwargs", {}), **lm_kwargs}
        controls = {k: options[k] for k in ("cache", "rollout_id") if options.get(k) is not None}
        known = ("temperature", "top_p", "max_tokens", "stop", "seed")
        config = Config(**{k: options[k] for k in known if options.get(k) is not None})
        if extension is not None:
            schema = {"type": "object", "properties": _schema(signature)}
            format_ = {"type": "json_schema", "name": "answer", "schema": schema}
            config = replace(config, response_format=format_, extensions={EXTENSION: extension})
        prompt = [_NOTHING] if self.resume else self.format(signature, demos, inputs)
        request = _request(lm.model, prompt, config)
        count = options.get("n") or 1
        if count == 1:
            return controls, [request]
        seeds = [(config.seed or 0) + i for i in range(count)]
        return controls, [replace(request, config=replace(config, seed=seed)) for seed in seeds]


def _request(model: str, messages: list[dict[str, Any]], config: Config) -> Request:
    system = "".join(m["content"] for m in messages if m["role"] == "system")
    make = {"user": Message.user, "assistant": Message.assistant}
    turns = tuple(make[m["role"]](m["content"]) for m in messages if m["role"] in make)
    return Request(model=model, messages=turns, system=system or None, config=config)


def _text(response: Response) -> str:
    return response.message.text or ""


def default_instructions(signature: type[Signature]) -> str:
    """What DSPy writes when nobody wrote instructions; nobody has to read it."""
    bare = {name: (field.annotation, field) for name, field in signature.fields.items()}
    return str(dspy.Signature(bare).instructions)


def _inputs(signature: type[Signature], values: dict[str, Any]) -> str:
    return "".join(
        f"{name}{HEADER}{_flat(values[name])}{COLUMN}" for name in signature.input_fields if name in values
    )


def _outputs(signature: type[Signature], values: dict[str, Any]) -> str:
    named = len(signature.output_fields) > 1
    return "".join(
        f"{name + HEADER if named else ''}{_written(field.annotation, values[name])}{ANSWER}"
        for name, field in signature.output_fields.items()
    )


def _written(annotation: Any, value: Any) -> str:
    return TypeAdapter(annotation).dump_json(value).decode() if _is_json(annotation) else _flat(value)


def _flat(value: Any) -> str:
    """A value as text; the parts of a list are joined by RS."""
    if isinstance(value, list | tuple):
        return VALUE.join(_flat(part) for part in value)
    if isinstance(value, bool):
        return str(value).lower()
    return str("" if value is None else value).translate(_TO_SPACE)


def _schema(signature: type[Signature]) -> dict[str, Any]:
    return {name: _field_schema(name, f.annotation) for name, f in signature.output_fields.items()}


def _field_schema(name: str, annotation: Any) -> dict[str, Any]:
    if get_origin(annotation) is Literal:
        return {"enum": [_flat(value) for value in get_args(annotation)]}
    if annotation == list[str]:
        return {"type": "string"}
    if not _is_json(annotation):
        return _SCHEMAS[annotation]
    try:
        return TypeAdapter(annotation).json_schema()
    except PydanticUserError as error:
        raise InputError(
            f"expected {name} to be of a type that JSON has, found {annotation}: use str, or a pydantic model"
        ) from error


def _is_json(annotation: Any) -> bool:
    """Whether values of a type are written as JSON."""
    plain = get_origin(annotation) is Literal or annotation == list[str]
    return not plain and annotation not in (str, int, float, bool)


def _parsed(signature: type[Signature], name: str, annotation: Any, text: str) -> Any:
    """The text as a value of the field's type."""
    text = text.strip()
    if get_origin(annotation) is Literal:
        allowed = {_flat(value): value for value in get_args(annotation)}
    elif annotation is bool:
        allowed = {"true": True, "false": False}
    elif annotation == list[str]:
        return text.split(VALUE) if text else []
    elif _is_json(annotation):
        try:
            return TypeAdapter(annotation).validate_json(text)
        except ValidationError as error:
            raise CompactParseError(signature, text, f"{name} as JSON of {annotation}") from error
    else:
        try:
            return annotation(text)
        except ValueError as error:
            raise CompactParseError(signature, text, f"{name} as {annotation.__name__}") from error
    if text not in allowed:
        raise CompactParseError(signature, text, f"{name} as one of {list(allowed)}")
    return allowed[text]
