"""Delimited text (CSV, TSV, PSV, SSV, gzipped or not) to tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.build import build_columns, spread
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.dialect import TABLE_SUFFIXES, detect_dialect
from aegir_dspy.tables.failure import Unreadable, failure
from aegir_dspy.tables.files import table_name
from aegir_dspy.tables.header import find_header
from aegir_dspy.tables.parsing import Dialect, Parsed, parse
from aegir_dspy.tables.ragged import find_ragged
from aegir_dspy.tables.table import Table
from aegir_dspy.tables.text import TextSample, read_text

__all__ = ["read_csv"]

_HEAD_ROWS = 300
# A head that ends inside a quoted cell longer than this says that the chunks lie inside that cell.
_LONG_CELL = 1 << 16
# Files of these suffixes may be lists of words, or separate cells by blanks or colons.
_LISTS = frozenset({"", ".txt", ".dat", ".lst"})
_LONGEST_ENTRY = 40
_LEAST_AGREEMENT = 0.5


def read_csv(path: Path, config: ReadConfig) -> tuple[list[Table], list[FailureRecord]]:
    """The table of a delimited file, and a record of the rows that do not fit it.

    Raises:
        Unreadable: the file holds no delimited text.
        OSError: the file cannot be read.
    """
    sample = read_text(path, config)
    dialect, skip = detect_dialect(sample.head, _suffix(path))
    parsed = _head(sample, dialect, skip)
    _check_format(parsed, dialect, _suffix(path))
    width = _usual_width(parsed.raw[:_HEAD_ROWS], dialect)
    if width > config.max_columns:
        reason = f"expected {config.max_columns} columns at most, found {width}; raise max_columns"
        raise Unreadable(reason, line=parsed.line(0), failure_class="resource")
    header, start = find_header([parsed[i] for i in range(min(_HEAD_ROWS, len(parsed)))])
    indices = [i for i in range(start, len(parsed)) if parsed.raw[i] or len(header) == 1]
    body = [parsed.raw[i] for i in indices]
    width = max(len(header), _usual_width(body[:_HEAD_ROWS], dialect))
    problems = [sample.damage, find_ragged(parsed, indices, width)]
    count = len(body) if sample.complete else None
    for chunk in sample.chunks if parsed.unclosed <= _LONG_CELL else ():
        body += _chunk_rows(chunk, dialect, width)
    cells = [_split(row, dialect) for row in spread(body, config.sample_rows)]
    names = [header[i].strip() or None if i < len(header) else None for i in range(width)]
    table = Table(table_name(path), str(path), build_columns(names, cells, config), row_count=count)
    return [table], [failure(path, "csv", problem) for problem in problems if problem]


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def _head(sample: TextSample, dialect: Dialect, skip: int) -> Parsed:
    """The records of the head, without blank ones at its end.

    One that was cut off is left out unless there are hardly others.
    """
    parsed = parse(sample.head[skip:], dialect, whole=sample.complete)
    parsed.first_line += skip > 0
    if parsed.cut and len(parsed) > 2:
        parsed.raw.pop()
    while len(parsed) > 1 and not any(cell.strip() for cell in parsed[-1]):
        parsed.raw.pop()
    if not any(parsed.raw):
        raise Unreadable("expected a table, found blank lines only; remove the file or fill it")
    return parsed


def _check_format(parsed: Parsed, dialect: Dialect, suffix: str) -> None:
    """Raise for prose and program text, which only a file named as a table may look like."""
    if suffix in TABLE_SUFFIXES:
        return
    lines = [row for row in parsed.raw[:_HEAD_ROWS] if row]
    widths = Counter(len(_split(line, dialect)) for line in lines)
    width = _usual_width(lines, dialect)
    agree = width > 1 and widths[width] >= _LEAST_AGREEMENT * len(lines)
    if agree and (suffix in _LISTS or dialect.delimiter not in " :"):
        return
    if width == 1 and suffix in _LISTS and median(map(_characters, lines)) <= _LONGEST_ENTRY:
        return
    reason = "expected delimited text, found other text, not a table format; name it .csv if it is a table"
    raise Unreadable(reason, line=parsed.line(0))


def _characters(record: str | list[str]) -> int:
    return len(record) if isinstance(record, str) else sum(map(len, record))


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
