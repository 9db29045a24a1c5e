"""Where the table begins in the rows of a file, and whether its first row names the columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from statistics import median

from aegir_dspy.tables.infer import cell_type, is_null

__all__ = ["find_header"]

_TITLE_ROWS = 64
_BODY_ROWS, _BODY_CELLS = 200, 20_000
_LONGEST_NAME = 200
_TYPED = frozenset({"integer", "number", "date", "datetime", "time", "boolean"})


def find_header(rows: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """The names of the columns, none if the table has no header, and the index of its first row below.

    Rows above the header are titles, comments and blank lines. A row is a header unless its cells look like
    those below it: in doubt it is one. Of headers in several rows the lowest counts, with its gaps filled.
    """
    width = _usual_width(rows)
    body = _majority_types(rows, width)
    start = _first_row(rows, width, body)
    if start >= len(rows):
        return [], 0
    candidates = [start]
    for index in range(start, min(len(rows), start + _TITLE_ROWS)):
        if _votes(rows[index], body)[0] > 0 and not (index == start and _is_progression(rows[index])):
            break
        candidates.append(index)
    if any(kind in _TYPED for kind in body) and len(candidates) > 1:
        start = max(candidates, key=lambda index: (_distinct(rows[index]), -index))
        while start + 1 in candidates and _is_level_below(rows[start], rows[start + 1]):
            start += 1
    if not _is_header(rows[start], rows[start + 1 : start + 1 + _BODY_ROWS], body):
        return [], start
    names = list(rows[start])
    if start + 1 in candidates and _fills_gaps(names, rows[start + 1]):
        start += 1
        names = [name or cell for name, cell in zip_longest(names, rows[start], fillvalue="")]
    return names, start + 1


def _is_level_below(row: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the row below names the same columns again; both leave the first, that of the rows, blank."""
    places = _places(row)
    return bool(places) and 0 not in places and places == _places(below)


def _fills_gaps(row: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the row below names only columns that have no name yet, several of them."""
    places = _places(below)
    return len(places) > 1 and not places & _places(row)


def _places(row: Sequence[str]) -> set[int]:
    return {index for index, cell in enumerate(row) if cell.strip()}


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    """The commonest number of cells of a row that is not blank; the larger one of a tie."""
    widths = Counter(len(row) for row in rows if any(row))
    return max(widths, key=lambda width: (widths[width], width), default=1)


def _first_row(rows: Sequence[Sequence[str]], width: int, body: Sequence[str]) -> int:
    """The first row that is no title: about as full as the rows of the body are, and no comment."""
    filled = [_filled(row) for row in rows if len(row) == width and any(row)]
    least = max(1.0, median(filled) / 2) if filled else 1.0
    for index, row in enumerate(rows[:_TITLE_ROWS]):
        if _filled(row) >= least and not (_is_comment(row, width) and index + 1 < len(rows)):
            return index
    return next((index for index, row in enumerate(rows) if any(row)), 0)


def _is_comment(row: Sequence[str], width: int) -> bool:
    """``# generated …``; but ``#id,name`` above two columns is a header."""
    first = row[0].lstrip()
    return first.startswith(("# ", "##", "// ")) or (len(first) > 1 and first[0] == "#" and len(row) != width)


def _majority_types(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Per column the type that most of its cells that are not null have, from rows of the usual width."""
    count = max(8, min(_BODY_ROWS, _BODY_CELLS // width))
    body = [row for row in rows if len(row) == width][1 : 1 + count]
    kinds = []
    for column in range(width):
        found = Counter(cell_type(row[column]) for row in body)
        del found["empty"]
        found["number"] += found.pop("integer", 0)
        kind, count = max(found.items(), key=lambda item: (item[1], item[0]))
        kinds.append(kind if count > 0.6 * found.total() else "text")
    return kinds


def _votes(row: Sequence[str], body: Sequence[str]) -> tuple[int, int]:
    """Cells of a row in typed columns: how many are of the column's type, how many are words."""
    same = other = 0
    for cell, kind in zip(row, body, strict=False):
        if kind in _TYPED and not is_null(cell):
            found = cell_type(cell)
            same += found == kind or (found == "integer" and kind == "number")
            other += found not in _TYPED
    return same, other


def _is_header(row: Sequence[str], below: Sequence[Sequence[str]], body: Sequence[str]) -> bool:
    if not any(char.isalnum() for cell in row for char in cell):
        return False
    same, other = _votes(row, body)
    if same or other:
        return other >= same or (bool(below) and _counts_above(row, below[0]))
    if not below:
        return not any(cell_type(cell) in _TYPED for cell in row)
    repeated = sum(_recurs(cell, column, below) for column, cell in enumerate(row) if cell.strip())
    long = any(len(cell) > _LONGEST_NAME for cell in row)
    return not long and repeated * 2 < max(1, _filled(row))


def _recurs(cell: str, column: int, below: Sequence[Sequence[str]]) -> bool:
    return any(column < len(row) and row[column] == cell for row in below)


def _counts_above(row: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a row counts, as headers may, and the one below does not; years count whatever is below."""
    if _are_years(row):
        return not _are_years(below)
    return _is_progression(row) and not _is_progression(below)


def _is_progression(row: Sequence[str]) -> bool:
    """Whether the numbers of a row are consecutive or rising years, as those above a table are."""
    numbers = _integers(row)
    steps = {after - before for before, after in pairwise(numbers)}
    return _are_years(row) or (len(numbers) >= 3 and steps == {1})


def _are_years(row: Sequence[str]) -> bool:
    numbers = _integers(row)
    rising = all(before < after for before, after in pairwise(numbers))
    return len(numbers) >= 2 and rising and all(1000 <= number <= 2200 for number in numbers)


def _integers(row: Sequence[str]) -> list[int]:
    return [int(cell) for cell in row if cell_type(cell) == "integer"]


def _filled(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())


def _distinct(row: Sequence[str]) -> int:
    return len({cell.strip() for cell in row} - {""})
