"""Delimited text (CSV, TSV, PSV, SSV, gzipped or not) to tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.build import build_columns, spread
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.dialect import detect_dialect
from aegir_dspy.tables.failure import Unreadable
from aegir_dspy.tables.files import table_name
from aegir_dspy.tables.header import find_header
from aegir_dspy.tables.parsing import Dialect, Record, records
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
    rows = _head_records(sample, dialect, skip)
    start, has_header = find_header([record.cells for record in rows[:_HEAD_ROWS]])
    header = rows[start].cells if has_header else []
    body = [record.cells for record in rows[start + has_header :] if record.cells != [""] or len(header) == 1]
    width = max(len(header), _width(body))
    if width > config.max_columns:
        raise Unreadable(
            f"expected at most {config.max_columns} columns, found {width}; raise ReadConfig.max_columns",
            line=rows[start].line,
            failure_class="resource",
        )
    count = len(body) if sample.complete else None
    for chunk in sample.chunks:
        body += _chunk_rows(chunk, dialect, width)
    names = [header[i].strip() or None if i < len(header) else None for i in range(width)]
    columns = build_columns(names, spread(body, config.sample_rows), config)
    return [Table(table_name(path), str(path), columns, row_count=count)], []


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def _head_records(sample: TextSample, dialect: Dialect, skip: int) -> list[Record]:
    """The records of the head; one that was cut off is left out unless there are hardly others."""
    found = list(records(sample.head[skip:], dialect, whole=sample.complete))
    while found and found[-1].cells == [""]:
        found.pop()
    if not found:
        raise Unreadable("expected a table, found blank lines only; remove the file or fill it", line=1)
    return found[:-1] if found[-1].cut and len(found) > 2 else found


def _chunk_rows(chunk: str, dialect: Dialect, width: int) -> list[list[str]]:
    """Whole rows of the right width from inside a file.

    The first is left out: a chunk that begins inside a quoted cell goes wrong there.
    """
    found = list(records(chunk, dialect, whole=False))
    return [record.cells for record in found[1:] if len(record.cells) == width and not record.cut]


def _width(body: Sequence[Sequence[str]]) -> int:
    """The commonest number of cells, the larger one of a tie."""
    counts: dict[int, int] = {}
    for row in body:
        counts[len(row)] = counts.get(len(row), 0) + 1
    return max(counts, key=lambda width: (counts[width], width), default=1)
