"""How much one server takes on."""

from __future__ import annotations

from dataclasses import dataclass, fields

from aegir_dspy.errors import InputError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is more than this is refused with a 4xx.

    Attributes:
        requests: answers that are made or wait at the same time; 429 beyond.
        body_bytes: of one request; 413 beyond.
        prompt_tokens: of one prompt.
        max_tokens: of one answer.
        answers: to one request: ``n`` times the number of prompts.
        schema_chars: of a JSON schema or pattern.
        schema_depth: of the nesting of a JSON schema.
        states: that are kept; the one not used for longest goes first.
        columns: of the tables of one request.
        body_seconds: that a request may take to arrive; 408 beyond.
    """

    requests: int = 256
    body_bytes: int = 4 << 20
    prompt_tokens: int = 65_536
    max_tokens: int = 4096
    answers: int = 64
    schema_chars: int = 65_536
    schema_depth: int = 48
    states: int = 64
    columns: int = 2000
    body_seconds: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"Limits.{field.name}: expected an integer >= 1, found {value!r}")
