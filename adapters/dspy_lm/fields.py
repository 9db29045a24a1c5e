"""How a request becomes what the engine decodes: a prompt, then fields, each chosen, constrained or free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dspy.lm15 import Request

from aegir_dspy.rwkv import Grammar

__all__ = ["ANSWER", "COLUMN", "EXTENSION", "HEADER", "VALUE", "Field", "planned_fields", "prompt_of", "told"]

# The separators of aegir_dspy.tables.serialize (a test compares them): this room does not import tables.
ANSWER, COLUMN, VALUE, HEADER = "\x1c", "\x1d", "\x1e", "\x1f"

EXTENSION = "aegir"  # key in Config.extensions; {"layout": "compact"} asks for bytes without decoration

_TURNS = ("\n\nUser:", "\n\nSystem:")  # where a chat goes on without us
_NUMBERS = {
    "integer": "-?(0|[1-9][0-9]{0,17})",
    "number": r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One stretch of the answer.

    Attributes:
        lead: what the model reads before it.
        shown_lead: what the answer shows before it.
        stop: strings that end it.
        choices: the only values allowed, or None for free text.
        grammar: what the value has to be, or None.
        written: how the generated text appears in the answer.
        live: whether `written` changes nothing, so that pieces can be shown as they come.
        size: how many values it holds: a measure of how long it may be.
    """

    lead: str = ""
    shown_lead: str = ""
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    grammar: Grammar | None = None
    written: Callable[[str], str] = str
    live: bool = True
    size: int = 1


def prompt_of(request: Request) -> str:
    """The text the model reads first: as it is in the compact layout, as a chat otherwise."""
    system = request.system or ""
    if not isinstance(system, str):
        system = "".join(part.text for part in system)
    turns = [(message.role, message.text or "") for message in request.messages]
    if _is_compact(request):
        return system + "".join(text for _, text in turns)
    names = {"user": "User", "assistant": "Assistant"}
    chat = [f"System: {system}"] if system else []
    chat += [f"{names.get(role, 'System')}: {text}" for role, text in turns]
    return "\n\n".join([*chat, "Assistant:"])


def planned_fields(request: Request) -> list[Field]:
    """The fields of the answer: those of the compact layout one by one, JSON and all else as one.

    What constrains an answer: ``response_format`` with a JSON schema (or any JSON object), or, in the
    request's ``metadata``, ``{"aegir": {"regex": ...}}`` or ``{"aegir": {"choices": [...]}}``.
    """
    format_, told = request.config.response_format or {}, _told(request)
    schema = format_.get("schema")
    stop = tuple(request.config.stop)
    if _is_compact(request) and schema and schema.get("properties"):
        properties = schema["properties"]
        return [_compact_field(name, one, len(properties) > 1) for name, one in properties.items()]
    if schema is not None or format_.get("type") == "json_object":
        size = len((schema or {}).get("properties") or ())
        grammar = Grammar.json_schema({"type": "object"} if schema is None else schema)
        return [Field(grammar=grammar, size=max(1, size))]
    if "regex" in told:
        return [Field(stop=stop, grammar=Grammar.regex(told["regex"]))]
    if "choices" in told:
        return [Field(stop=stop, choices=tuple(told["choices"]))]
    return [Field(stop=stop or (() if _is_compact(request) else _TURNS))]


def _told(request: Request) -> dict[str, Any]:
    """What the request says to our engine alone: an extension of ours, or metadata among DSPy's keywords."""
    extensions = request.config.extensions or {}
    metadata: Any = extensions.get("metadata")
    by_keyword = metadata.get(EXTENSION) if isinstance(metadata, dict) else None
    return {**(by_keyword or {}), **(extensions.get(EXTENSION) or {})}


def told(request: Request, name: str) -> Any:
    """One of the things a request says to our engine alone, or None."""
    return _told(request).get(name)


def _is_compact(request: Request) -> bool:
    return bool(told(request, "layout") == "compact")


def _compact_field(name: str, schema: dict[str, Any], named: bool) -> Field:
    lead = f"{name}{HEADER}" if named else ""
    choices, grammar = None, None
    if "enum" in schema:
        choices = tuple(str(value) for value in schema["enum"])
    elif schema.get("type") in _NUMBERS:
        grammar = Grammar.regex(_NUMBERS[schema["type"]])
    elif schema != {"type": "string"}:
        grammar = Grammar.json_schema(schema)
    if not named:
        return Field(lead, lead, (ANSWER,), choices, grammar)
    return Field(lead, lead, (ANSWER,), choices, grammar, lambda text: text + ANSWER, live=False)
