"""How a column becomes bytes for a byte-level model.

::

    column := [header US] value (RS value)* GS [answer FS]

US, RS, GS and FS are the ASCII separators 0x1F, 0x1E, 0x1D and 0x1C. They never occur inside values
(control characters become spaces), and every column ends with the same delimiter, which is what lets
states of separately read columns be fused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from aegir_dspy.tables.table import Column

__all__ = [
    "ANSWER_END",
    "COLUMN_END",
    "HEADER_END",
    "VALUE_END",
    "SerializeConfig",
    "sample_values",
    "serialize_column",
    "serialize_values",
]

ANSWER_END = b"\x1c"
COLUMN_END = b"\x1d"
VALUE_END = b"\x1e"
HEADER_END = b"\x1f"

_TO_SPACE = dict.fromkeys([*range(32), 127], " ")


@dataclass(frozen=True, slots=True)
class SerializeConfig:
    """How much of a column is read.

    Attributes:
        value_bytes: a longer value is cut here.
        column_bytes: budget of all values of a column together, delimiters included.
        header_bytes: a longer header is cut here.
        max_values: most values of a column that are read.
        headers: whether headers are shown to the model.
        direction: ``backward`` reverses the bytes of every header and value, for a specialist that reads
            endings first; the delimiters stay where they are.
    """

    value_bytes: int = 48
    column_bytes: int = 200
    header_bytes: int = 40
    max_values: int = 8
    headers: bool = True
    direction: Literal["forward", "backward"] = "forward"


def serialize_column(column: Column, config: SerializeConfig) -> bytes:
    """The bytes of one column, ending with the column delimiter."""
    header = column.name if config.headers else None
    return serialize_values(header, sample_values(column.values, config.max_values), config)


def serialize_values(header: str | None, values: Sequence[str], config: SerializeConfig) -> bytes:
    """Bytes of a header and the values given, as many as fit the budget."""
    parts: list[bytes] = []
    room = config.column_bytes
    for value in values:
        encoded = _clean(value, min(config.value_bytes, room - 1))
        if room <= 1 or (parts and len(encoded) + 1 > room):
            break
        parts.append(encoded)
        room -= len(encoded) + 1
    step = -1 if config.direction == "backward" else 1
    text = VALUE_END.join(part[::step] for part in parts) + COLUMN_END
    return _clean(header, config.header_bytes)[::step] + HEADER_END + text if header else text


def sample_values(values: Sequence[str], count: int) -> list[str]:
    """Up to `count` distinct non-empty values, spread over the column, in the order of the column.

    Deterministic. Values are taken evenly from the whole sample rather than from its head, because files
    are often sorted.
    """
    distinct = list(dict.fromkeys(value for value in values if value.strip()))
    if len(distinct) <= count:
        return distinct
    step = len(distinct) / count
    return [distinct[int(i * step)] for i in range(count)]


def content_hash(parts: Iterable[bytes]) -> str:
    """sha256 of serialized columns, the key under which what was read from them is kept."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()


def _clean(text: str, limit: int) -> bytes:
    """UTF-8 without control characters, runs of spaces collapsed, cut at a character boundary."""
    squeezed = " ".join(text[: 4 * limit].translate(_TO_SPACE).split())
    return squeezed.encode("utf-8", "replace")[: max(0, limit)].decode("utf-8", "ignore").encode()
