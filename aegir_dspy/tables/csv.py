"""Delimited text (CSV, TSV, PSV, SSV, gzipped or not) to tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.build import build_columns, spread
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.dialect import detect_dialect
from aegir_dspy.tables.failure import Unreadable
from aegir_dspy.tables.files import table_name
from aegir_dspy.tables.header import find_header
from aegir_dspy.tables.parsing import Dialect, Parsed, parse
from aegir_dspy.tables.table import Table
from aegir_dspy.tables.text import TextSample, read_text

__all__ = ["read_csv"]

_HEAD_ROWS = 300


def read_csv(path: Path, config: ReadConfig) -> tuple[list[Table], list[FailureRecord]]:
    """The table of a delimited file.

    Raises:
        Unreadable: the file holds no delimited text.
        OSError: the file cannot be read.
    """
    sample = read_text(path, config)
    dialect, skip = detect_dialect(sample.head, _suffix(path))
    parsed = _head(sample, dialect, skip)
    width = _usual_width(parsed.raw[:_HEAD_ROWS], dialect)
    if width > config.max_columns:
        reason = f"expected {config.max_columns} columns at most, found {width}; raise max_columns"
        raise Unreadable(reason, line=parsed.line(0), failure_class="resource")
    start, has_header = find_header([parsed[i] for i in range(min(_HEAD_ROWS, len(parsed)))])
    header = parsed[start] if has_header else []
    body: list[str | list[str]] = [row for row in parsed.raw[start + has_header :] if row or len(header) == 1]
    width = max(len(header), _usual_width(body[:_HEAD_ROWS], dialect))
    count = len(body) if sample.complete else None
    for chunk in sample.chunks:
        body += _chunk_rows(chunk, dialect, width)
    cells = [_split(row, dialect) for row in spread(body, config.sample_rows)]
    names = [header[i].strip() or None if i < len(header) else None for i in range(width)]
    return [Table(table_name(path), str(path), build_columns(names, cells, config), row_count=count)], []


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def _head(sample: TextSample, dialect: Dialect, skip: int) -> Parsed:
    """The records of the head; one that was cut off is left out unless there are hardly others."""
    parsed = parse(sample.head[skip:], dialect, whole=sample.complete)
    if parsed.cut and len(parsed) > 2:
        parsed.raw.pop()
    while parsed.raw and not parsed.raw[-1]:
        parsed.raw.pop()
    if not parsed.raw:
        raise Unreadable("expected a table, found blank lines only; remove the file or fill it", line=1)
    return parsed


def _chunk_rows(chunk: str, dialect: Dialect, width: int) -> list[str | list[str]]:
    """Whole rows of the right width from inside a file.

    The first is left out: a chunk that begins inside a quoted cell goes wrong there.
    """
    return [row for row in parse(chunk, dialect, whole=False).raw[1:-1] if len(_split(row, dialect)) == width]


def _split(row: str | list[str], dialect: Dialect) -> list[str]:
    return row.split(dialect.delimiter) if isinstance(row, str) else row


def _usual_width(body: Sequence[str | list[str]], dialect: Dialect) -> int:
    """The commonest number of cells, the larger one of a tie."""
    counts = Counter(len(_split(row, dialect)) for row in body)
    return max(counts, key=lambda width: (counts[width], width), default=1)
