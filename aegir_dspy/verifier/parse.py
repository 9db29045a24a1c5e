"""Gate parse: a text is the JSON of a composition, and of a size that can be judged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aegir_dspy.ontology.composition import Composition
from aegir_dspy.ontology.composition_json import parse_composition
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["MOST_AXIOMS", "MOST_COLUMNS", "MOST_TEXT", "Unread", "read"]

MOST_TEXT = 16_000_000
"""Characters of a composition's JSON."""
MOST_AXIOMS = 2_000
MOST_COLUMNS = 50_000
_MOST_REASONS = 32


@dataclass(frozen=True, slots=True)
class Unread:
    """What is no composition.

    Attributes:
        text: what was to be read.
        diagnostics: why it cannot be read.
        read: the share of the text before the first place that is no JSON; 1 when all of it is JSON.
    """

    text: str
    diagnostics: tuple[Diagnostic, ...]
    read: float = 1.0


def read(composition: Composition | str | bytes | dict[str, Any]) -> Composition | Unread:
    """The composition, or why there is none."""
    if isinstance(composition, Composition):
        return _sized(composition)
    if isinstance(composition, str | bytes):
        return _of_text(composition)
    return _of_json(composition, _text(composition))


def _of_text(content: str | bytes) -> Composition | Unread:
    if len(content) > MOST_TEXT:
        message = f"expected at most {MOST_TEXT} characters, found {len(content)}"
        return Unread(f"{len(content)}", (Diagnostic("parse.too_large", "composition", message),))
    text = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        where, share = f"line {error.lineno}, column {error.colno}", error.pos / max(1, len(text))
        return _no_json(text, where, error.msg, share)
    except RecursionError:
        return _no_json(text, "composition", "nesting that is too deep")
    except ValueError as error:  # a number of too many digits
        return _no_json(text, "composition", str(error).splitlines()[0])
    return _of_json(found, text)


def _no_json(text: str, where: str, found: str, share: float = 0.0) -> Unread:
    message = f"expected the JSON of a composition, found: {found[:120]}"
    reason = Diagnostic("parse.json", where, message, (), "answer with one JSON object and nothing around it")
    return Unread(text, (reason,), share)


def _of_json(content: Any, text: str) -> Composition | Unread:
    found = parse_composition(content)
    if isinstance(found, Composition):
        return _sized(found)
    reasons = [Diagnostic("parse.form", one.path, one.message) for one in found[:_MOST_REASONS]]
    if len(found) > len(reasons):
        message = f"expected none, found {len(found) - len(reasons)} more problems"
        reasons.append(Diagnostic("parse.more", "composition", message))
    return Unread(text, tuple(reasons))


def _sized(composition: Composition) -> Composition | Unread:
    columns = sum(len(types.columns) for types in composition.tables)
    for what, found, most in (
        ("axiom", len(composition.axioms), MOST_AXIOMS),
        ("column", columns, MOST_COLUMNS),
        ("term", len(composition.terms), MOST_AXIOMS),
        ("element", len(composition.elements), MOST_AXIOMS),
    ):
        if found > most:
            message = f"expected at most {most} {what}s, found {found}"
            reason = Diagnostic("parse.too_large", f"{what} {most}", message, (), "split the tables up")
            return Unread(ascii(composition), (reason,))
    return composition


def _text(content: Any) -> str:
    """Something to hash an object by that is not the text of a composition."""
    try:
        return json.dumps(content)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(content).__name__}>"
