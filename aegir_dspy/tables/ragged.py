"""Rows of a delimited file that have more or fewer cells than the table has columns."""

from __future__ import annotations

from collections.abc import Sequence

from aegir_dspy.tables.build import spread
from aegir_dspy.tables.failure import Unreadable
from aegir_dspy.tables.parsing import Parsed

__all__ = ["find_ragged"]

_SAMPLE_ROWS = 200


def find_ragged(parsed: Parsed, rows: Sequence[int], width: int) -> Unreadable | None:
    """What to say of rows that do not fit; None where all do.

    Only what may be a loss counts: cells beyond the last column that hold something, and missing cells of
    columns that most rows fill. Many programs leave out or add empty cells at the end of a row, and what
    follows a row of one cell at the end of a table are its notes.

    Args:
        parsed: the records of the file.
        rows: the indices of those that are rows of the table.
        width: the number of columns.
    """
    needed = _last_filled_column(parsed, rows, width)
    notes = _notes(parsed, rows, width)
    longer, shorter = [], []
    for index in rows:
        count = parsed.width(index)
        if count > width and any(cell.strip() for cell in parsed[index][width:]):
            longer.append(index)
        elif count <= needed and index < notes and any(cell.strip() for cell in parsed[index]):
            shorter.append(index)
    if not longer and not shorter:
        return None
    first = min(longer[:1] + shorter[:1])
    found = [f"{len(longer):,} longer, whose further cells are left out"] if longer else []
    found += [f"{len(shorter):,} shorter, filled up with empty cells"] if shorter else []
    reason = f"expected {width} cells in each of {len(rows):,} rows, found {' and '.join(found)}; mend them"
    return Unreadable(reason, line=parsed.line(first), text=parsed.delimiter.join(parsed[first]))


def _notes(parsed: Parsed, rows: Sequence[int], width: int) -> int:
    """The record the notes below a table begin with; behind the last one where there are none."""
    after = next((i + 1 for i in reversed(range(len(rows))) if parsed.width(rows[i]) >= width), len(rows))
    return rows[after] if after < len(rows) and parsed.width(rows[after]) == 1 else len(parsed)


def _last_filled_column(parsed: Parsed, rows: Sequence[int], width: int) -> int:
    """The last column that most rows of the full width fill, -1 where there is none."""
    whole = [index for index in rows if parsed.width(index) >= width]
    cells = [parsed[index] for index in spread(whole, _SAMPLE_ROWS)]
    for column in reversed(range(width)):
        if 2 * sum(bool(row[column].strip()) for row in cells) > len(cells):
            return column
    return -1
