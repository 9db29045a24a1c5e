"""Which characters separate and quote the cells of a text.

The measure is that of van den Burg, Nazabal and Sutton, "Wrangling messy CSV files by detecting row and type
patterns" (2019): a dialect is good when rows have few different widths, wide rather than narrow, and its
cells look like values. Row patterns are widths only here, types those of `infer.cell_type` and words.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from itertools import product

from aegir_dspy.tables.infer import cell_type
from aegir_dspy.tables.parsing import Dialect, parse

__all__ = ["TABLE_SUFFIXES", "detect_dialect"]

# The most usual first: a tie goes to the earlier one.
_DELIMITERS = (",", ";", "\t", "||", "\\|", "|", "::", "~", "^", "\x01", "\x1f", ":", " ")
# Common in prose as well, so rows must agree on how many there are.
_PROSE = " :"
_LEAST_SCORE, _LEAST_AGREEMENT = 0.01, 0.8
TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|", ".ssv": ";"}
_SEP_LINE = re.compile(r"[\"']?sep=(.)[\"']?(?:\r\n|\n|\r)", re.IGNORECASE)
_WORD = re.compile(r"[^\W_][\w .'/&()%-]*")
_SAMPLE_CHARS = 1 << 16
_SAMPLE_ROWS = 200
_SAMPLE_CELLS = 4000


def detect_dialect(text: str, suffix: str = "") -> tuple[Dialect, int]:
    """The dialect of a text, and how many characters of a leading ``sep=`` line to leave out.

    A file's suffix (``".tsv"``) decides between dialects that fit about equally well.
    """
    if declared := _SEP_LINE.match(text):
        delimiters: tuple[str, ...] = (declared.group(1),)
        text = text[declared.end() :]
    else:
        delimiters = _present(text[:_SAMPLE_CHARS])
    sample, whole = text[:_SAMPLE_CHARS], len(text) <= _SAMPLE_CHARS
    usual = TABLE_SUFFIXES.get(suffix, ",")
    best, best_score = Dialect(usual, *_quoting(sample, usual)[0]), _LEAST_SCORE
    for delimiter in delimiters:
        for quote, escape in _quoting(sample, delimiter):
            dialect = Dialect(delimiter, quote, escape)
            score = _score(sample, dialect, whole) * (1.25 if delimiter == usual else 1.0)
            if score > best_score * 1.001:
                best, best_score = dialect, score
    return best, declared.end() if declared else 0


def _present(sample: str) -> tuple[str, ...]:
    """Delimiters that occur; not the character of a longer one where it occurs in no other way."""
    found = [d for d in _DELIMITERS if d in sample]
    parts = {c for d in found if len(d) > 1 for c in d if sample.count(c) == sample.count(d) * d.count(c)}
    return tuple(d for d in found if d not in parts)


def _quoting(sample: str, delimiter: str) -> list[tuple[str, str]]:
    """The pairs of quote and escape character worth trying: those that occur where they would have to.

    A cell in double quotes may be longer than the sample; an apostrophe that nothing closes is none.
    """
    edge, blanks = re.escape(delimiter), "" if delimiter[0] == " " else " *"
    quotes = [
        q
        for q in "\"'"
        if re.search(rf"(?:^|{edge}){blanks}{q}", sample, re.MULTILINE)
        and (q == '"' or re.search(rf"(?<!{edge})(?<!\n){q}{blanks}(?:{edge}|$)", sample, re.MULTILINE))
    ]
    escapes = ["", "\\"] if re.search(r"\\[\"']", sample) else [""]
    return [*product(quotes, escapes), ("", "")] if "'" in quotes else [*product(quotes or ['"'], escapes)]


def _score(sample: str, dialect: Dialect, whole: bool) -> float:
    parsed = parse(sample, dialect, whole=whole)
    count = min(_SAMPLE_ROWS, len(parsed) - (parsed.cut and len(parsed) > 1))
    rows = [row for index in range(count) if (row := parsed[index]) != [""]]
    if not rows or max(map(len, rows)) == 1:
        return 0.0
    widths = _widths(rows)
    if dialect.delimiter in _PROSE and max(widths.values()) < _LEAST_AGREEMENT * len(rows):
        return 0.0
    pattern = sum(count * (width - 1) / width for width, count in widths.items()) / len(rows) / len(widths)
    cells = [cell for row in rows for cell in row]
    step = max(1, len(cells) // _SAMPLE_CELLS)
    kinds = [_looks_like_value(cell, dialect) for cell in cells[::step]]
    return pattern * max(1e-3, sum(kinds) / len(kinds))


def _widths(rows: list[list[str]]) -> Counter[int]:
    """How often each number of cells occurs, columns without any value left out.

    Every second column is such a one where ``::`` is taken for two delimiters.
    """
    live = {index for row in rows for index, cell in enumerate(row) if cell.strip()}
    dead = [index for index in range(max(map(len, rows))) if index not in live]
    return Counter(max(1, len(row) - bisect_left(dead, len(row))) for row in rows)


def _looks_like_value(cell: str, dialect: Dialect) -> bool:
    """Whether a cell is null, typed, or begins like a word; not with a stray quote or a delimiter."""
    text = cell.strip()
    return cell_type(text) != "text" or (bool(_WORD.match(text)) and not text.endswith(dialect.quote or '"'))
