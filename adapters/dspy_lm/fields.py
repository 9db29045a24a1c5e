"""How a request becomes what the engine decodes: a prompt, then fields, each fixed, chosen or free."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dspy.lm15 import Request, UnsupportedFeatureError

__all__ = ["ANSWER", "COLUMN", "EXTENSION", "HEADER", "VALUE", "Field", "planned_fields", "prompt_of"]

# The separators of aegir_dspy.tables.serialize (a test compares them): this room does not import tables.
ANSWER, COLUMN, VALUE, HEADER = "\x1c", "\x1d", "\x1e", "\x1f"

EXTENSION = "aegir"  # key in Config.extensions; {"layout": "compact"} asks for bytes without decoration


@dataclass(frozen=True, slots=True)
class Field:
    """One stretch of the answer.

    Attributes:
        lead: what the model reads before it.
        shown_lead: what the answer shows before it.
        stop: strings that end it.
        choices: the only values allowed, or None for free text.
        written: how the generated text appears in the answer.
        live: whether `written` changes nothing, so that pieces can be shown as they come.
    """

    lead: str = ""
    shown_lead: str = ""
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    written: Callable[[str], str] = str
    live: bool = True


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
    """The fields of the answer, from the JSON schema in `response_format` where there is one.

    Raises:
        UnsupportedFeatureError: a property that is neither an enumeration nor a string, number or boolean.
    """
    format_ = request.config.response_format or {}
    properties = (format_.get("schema") or {}).get("properties") or {}
    if not properties:
        stop = request.config.stop or (() if _is_compact(request) else ("\n\n",))
        return [Field(stop=tuple(stop))]
    if _is_compact(request):
        return [_compact_field(name, schema, len(properties) > 1) for name, schema in properties.items()]
    fields = [_json_field(name, schema, first=i == 0) for i, (name, schema) in enumerate(properties.items())]
    return [*fields[:-1], _closing(fields[-1])]


def _is_compact(request: Request) -> bool:
    return ((request.config.extensions or {}).get(EXTENSION) or {}).get("layout") == "compact"


def _compact_field(name: str, schema: dict[str, Any], named: bool) -> Field:
    lead = f"{name}{HEADER}" if named else ""
    values = _values(name, schema)
    choices = None if values is None else tuple(str(v) for v in values)
    if not named:
        return Field(lead, lead, (ANSWER,), choices)
    return Field(lead, lead, (ANSWER,), choices, lambda text: text + ANSWER, live=False)


def _json_field(name: str, schema: dict[str, Any], first: bool) -> Field:
    """Values stand on lines of their own: a line end cannot be part of a JSON value."""
    lead = f"{'{' if first else chr(10) + ','}\n{json.dumps(name)}: "
    values = _values(name, schema)
    if values is not None:
        choices = tuple(json.dumps(v, ensure_ascii=False) for v in values)
        return Field(lead, lead, ("\n",), choices, live=False)
    if schema.get("type") == "string":
        return Field(lead + '"', lead, ('"', "\n"), None, _quoted, live=False)
    return Field(lead, lead, ("\n", ",", "}"), None, _number, live=False)


def _values(name: str, schema: dict[str, Any]) -> list[Any] | None:
    """The values a schema allows, or None when it is open."""
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    if schema.get("type") == "boolean":
        return [True, False]
    if schema.get("type") in ("string", "integer", "number"):
        return None
    raise UnsupportedFeatureError(
        f"expected {name} to be an enumeration, string, number or boolean, found {json.dumps(schema)[:80]}"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(text: str) -> str:
    """The number as it was written, or a string when it is none: the reader of the answer decides."""
    try:
        return json.dumps(json.loads(text))
    except ValueError:
        return _quoted(text.strip())


def _closing(field: Field) -> Field:
    """The last field of a JSON object."""
    return replace(field, written=lambda text: field.written(text) + "\n}")
