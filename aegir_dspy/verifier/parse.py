"""Gate parse: what is to be judged is a composition, and of a size that can be judged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aegir_dspy.ontology.composition import Composition
from aegir_dspy.ontology.composition_json import MAX_AXIOMS, MAX_BYTES, MAX_ITEMS, parse_composition
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["Unread", "read"]


@dataclass(frozen=True, slots=True)
class Unread:
    """What is no composition.

    Attributes:
        text: what was to be read.
        diagnostics: why it cannot be read.
        share: the part of the text before the first place that is no JSON; 1 when all of it is JSON.
    """

    text: str
    diagnostics: tuple[Diagnostic, ...]
    share: float = 1.0


def read(content: Composition | str | bytes | dict[str, Any]) -> Composition | Unread:
    """The composition, or why there is none.

    A `Composition` is taken as it is, within the limits that its JSON would have.
    """
    if isinstance(content, Composition):
        return _sized(content)
    composition, problems = parse_composition(content)
    if composition is not None:
        return composition
    reasons = tuple(
        Diagnostic(f"parse.{one.code}", one.path, one.message, (), _HINTS.get(one.code, ""))
        for one in problems
    )
    text = _text(content)
    return Unread(text, reasons, _share(text) if any(one.code == "syntax" for one in problems) else 1.0)


_HINTS = {
    "syntax": "answer with one JSON object and nothing around it",
    "missing": "add the key",
    "unknown_key": "leave the key out",
    "size": "split the tables up",
    "limit": "split the tables up",
}


def _sized(composition: Composition) -> Composition | Unread:
    lists = (composition.tables, composition.elements, composition.terms, composition.axioms)
    total = sum(map(len, lists))
    total += sum(len(types.columns) + len(types.relations) for types in composition.tables)
    total += sum(len(element.members) for element in composition.elements)
    total += sum(len(entry.slots) for entry in composition.axioms)
    for found, most, what in (
        (total, MAX_ITEMS, "entries in all lists"),
        (len(composition.axioms), MAX_AXIOMS, "axioms"),
    ):
        if found > most:
            message = f"expected at most {most} {what}, found {found}"
            reason = Diagnostic("parse.limit", f"$.axioms[{most}]", message, (), _HINTS["limit"])
            return Unread(ascii(composition), (reason,))
    return composition


def _text(content: Any) -> str:
    """What was to be read, as a text to hash."""
    if isinstance(content, str | bytes):
        cut = content[:MAX_BYTES]
        return cut if isinstance(cut, str) else cut.decode("latin-1")
    try:
        return json.dumps(content)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(content).__name__}>"


def _share(text: str) -> float:
    """How far a text is JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos / (len(text) + 1)
    except (ValueError, RecursionError):
        return 0.0
    return 1.0
