"""JSON lines, and a JSON array of objects, to a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.build import build_columns, spread
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.failure import Unreadable, failure
from aegir_dspy.tables.files import table_name
from aegir_dspy.tables.table import Table
from aegir_dspy.tables.text import TextSample, read_text

__all__ = ["read_json"]

_DECODER = json.JSONDecoder()
_MOST_FAILURES = 20

Row = dict[str, str]


def read_json(path: Path, config: ReadConfig) -> tuple[list[Table], list[FailureRecord]]:
    """The table of a file of JSON objects, one a line or in one array; a column for every key met.

    Strings are unquoted, ``null`` is an empty cell, and any other value stays as it is written in the file.
    A broken line is left out and recorded.

    Raises:
        Unreadable: the file holds no JSON objects.
        OSError: the file cannot be read.
    """
    sample = read_text(path, config)
    is_array = sample.head.lstrip()[:1] == "["
    rows, errors = _objects(sample, sample.head.index("[") + 1) if is_array else _line_rows(sample)
    errors += [sample.damage] if sample.damage else []
    if not rows:
        raise errors[0] if errors else Unreadable("expected JSON objects, found none", line=1)
    count = len(rows) if sample.complete and not errors else None
    for chunk in () if is_array else sample.chunks:
        rows += [row for _, line in _lines(chunk) if (row := _quietly(line)) is not None]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > config.max_columns:
        reason = f"expected {config.max_columns} keys at most, found {len(names)}; raise max_columns"
        raise Unreadable(reason, failure_class="resource")
    cells = [[row.get(name, "") for name in names] for row in spread(rows, config.sample_rows)]
    table = Table(table_name(path), str(path), build_columns(names, cells, config), row_count=count)
    return [table], [failure(path, "jsonlines", error) for error in errors[:_MOST_FAILURES]]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if line.strip():
            yield number, line


def _line_rows(sample: TextSample) -> tuple[list[Row], list[Unreadable]]:
    """Rows of JSON lines; objects that run over several lines are read one after the other."""
    rows: list[Row] = []
    errors: list[Unreadable] = []
    found = list(_lines(sample.head))
    for number, line in found:
        try:
            rows.append(_line(line))
        except json.JSONDecodeError as error:
            if sample.complete or number < found[-1][0]:
                errors.append(_unreadable(error, number))
    if len(errors) > len(rows):
        spanning, broken = _objects(sample, 0)
        if spanning:
            return spanning, broken
    return rows, errors


def _objects(sample: TextSample, position: int) -> tuple[list[Row], list[Unreadable]]:
    """Objects one after the other, with or without commas, up to where they end, are cut or break."""
    text, rows = sample.head, []
    try:
        while (position := _skip(text, position, ",")) < len(text) and text[position] != "]":
            row, position = _object(text, position)
            rows.append(row)
    except json.JSONDecodeError as error:
        return rows, [_unreadable(error, error.lineno)] if sample.complete else []
    return rows, []


def _line(line: str) -> Row:
    row, end = _object(line, _skip(line, 0))
    if _skip(line, end) < len(line):
        raise json.JSONDecodeError("expected one object a line, found more", line, end)
    return row


def _object(text: str, position: int) -> tuple[Row, int]:
    """The object at a position and where it ends. Values are cut out rather than formatted anew."""
    if text[position : position + 1] != "{":
        raise json.JSONDecodeError("expected an object, found another value", text, position)
    row: Row = {}
    position = _skip(text, position + 1)
    while text[position : position + 1] != "}":
        key, position = _DECODER.raw_decode(text, position)
        position = _skip(text, position)
        if not isinstance(key, str) or text[position : position + 1] != ":":
            raise json.JSONDecodeError("expected a name and a colon", text, position)
        start = _skip(text, position + 1)
        value, end = _DECODER.raw_decode(text, start)
        row[key] = value if isinstance(value, str) else "" if value is None else text[start:end]
        position = _skip(text, end)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
        elif text[position : position + 1] != "}":
            raise json.JSONDecodeError("expected a comma or the end of the object", text, position)
    return row, position + 1


def _quietly(line: str) -> Row | None:
    try:
        return _line(line)
    except json.JSONDecodeError:
        return None


def _skip(text: str, position: int, extra: str = "") -> int:
    while position < len(text) and (text[position] in " \t\r\n" or text[position] in extra):
        position += 1
    return position


def _unreadable(error: json.JSONDecodeError, line: int) -> Unreadable:
    return Unreadable(f"expected JSON objects: {error.msg}, column {error.colno}; mend the line", line=line)
