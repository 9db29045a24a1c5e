"""Delimited text to records, leniently.

Not the csv module alone: its field size limit is global to the process, it knows neither delimiters of
several characters nor line numbers inside a quoted cell, and one stray quote makes it swallow the rest of a
file. It only splits single lines that are without fault, which it does quickly.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

__all__ = ["Dialect", "Parsed", "parse"]

_EOL = re.compile(r"\r\n|\n|\r")
# A quoted cell longer than this whose end would be another cell's quote is taken for a stray quote.
_LONGEST_QUOTED = 2 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are separated.

    Attributes:
        delimiter: one or more characters between cells.
        quote: the character around a cell, or ``""``.
        escape: the character that takes the meaning from a quote inside a cell, or ``""``; a doubled quote
            always stands for a quote.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""


@dataclass(slots=True)
class Parsed:
    """The records of a text.

    A line that quotes nothing is kept as it is and split when it is asked for: of a million rows a few
    hundred are looked at.

    Attributes:
        raw: the records, each a line still to be split or the list of its cells.
        delimiter: what to split lines at.
        cut: whether the text was cut off inside the last record.
        unclosed: characters of the quoted cell in which the text was cut off, 0 where it was in none.
        first_line: the 1-based line the text begins on.
    """

    raw: list[str | list[str]]
    delimiter: str
    cut: bool = False
    unclosed: int = 0
    first_line: int = 1

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: int) -> list[str]:
        record = self.raw[index]
        return record.split(self.delimiter) if isinstance(record, str) else record

    def width(self, index: int) -> int:
        """The number of cells of a record."""
        record = self.raw[index]
        return record.count(self.delimiter) + 1 if isinstance(record, str) else len(record)

    def line(self, index: int) -> int:
        """The 1-based line a record starts on."""
        quoted = (cell for record in self.raw[:index] if isinstance(record, list) for cell in record)
        return self.first_line + index + sum(len(_EOL.findall(cell)) for cell in quoted)


def parse(text: str, dialect: Dialect, *, whole: bool = True) -> Parsed:
    """Split a text into records; a blank line is a record with one empty cell.

    ``whole=False`` says that the text was cut off somewhere, so that its last record may be incomplete.
    """
    scanner = _Scanner(text, dialect, whole)
    parsed = Parsed([], dialect.delimiter)
    position, size = 0, len(text)
    while position < size:
        marked = scanner.next_marked_line(position)
        if position < marked:
            lines = _EOL.split(text[position:marked])
            parsed.raw += lines if lines[-1] else lines[:-1]
        if marked < size:
            cells, end = scanner.record(marked)
            parsed.raw.append(cells)
            match = _EOL.match(text, end)
            marked = match.end() if match else size
        position = marked
    parsed.cut, parsed.unclosed = not whole and bool(parsed.raw), scanner.unclosed
    return parsed


class _Scanner:
    """Reads the cells of records in which something is quoted or escaped."""

    def __init__(self, text: str, dialect: Dialect, whole: bool) -> None:
        self.text, self.dialect, self.whole, self.reach = text, dialect, whole, _LONGEST_QUOTED
        self.unclosed, self.closing = 0, -1
        delimiter, quote, escape = map(re.escape, (dialect.delimiter, dialect.quote, dialect.escape))
        blanks = "" if dialect.delimiter[0] == " " else " *"
        escaped = f"{escape}.|" if escape else ""
        end = rf"{blanks}(?={delimiter}|[\r\n]|\Z)"
        self.stop = re.compile(rf"{delimiter}|{escaped}[\r\n]", re.DOTALL)
        never = r"(?!)"
        inner = rf"[^{quote}{escape}]++|{quote * 2}|{escaped}"
        # Possessive, so that a long cell costs neither stack nor a second look.
        cell = rf"{blanks}{quote}((?:{inner}{quote}(?!{end}))*+){quote}{end}"
        self.cell = re.compile(cell if quote else never, re.DOTALL)
        self.open_cell = re.compile(rf"(?:{inner}{never})*+\Z" if quote else never, re.DOTALL)
        self.pair = re.compile(rf"{quote}({quote})" + (rf"|{escape}([{quote}{escape}])" if escape else ""))
        self.opening = re.compile(f"{blanks}{quote}" if quote else never)
        self.closing_quote = re.compile(f"{quote}{end}")
        self.mark = re.compile(f"[{quote}{escape}]" if quote or escape else r"(?!)")

    def next_marked_line(self, position: int) -> int:
        """Where the next line begins that cannot simply be split; the end of the text if there is none."""
        if not (match := self.mark.search(self.text, position)):
            return len(self.text)
        feed, start = self.text.rfind("\n", position, match.start()), match.start()
        return max(position, feed + 1, self.text.rfind("\r", max(position, feed), start) + 1)

    def record(self, position: int) -> tuple[list[str], int]:
        """The cells of the record at a position, and where its line end stands."""
        return self.faultless_line(position) or self.any_record(position)

    def faultless_line(self, position: int) -> tuple[list[str], int] | None:
        """The record at a position where it is one line that is quoted as the books say; None elsewhere."""
        delimiter, quote, escape = self.dialect.delimiter, self.dialect.quote, self.dialect.escape
        match = _EOL.search(self.text, position)
        end = match.start() if match else len(self.text)
        line = self.text[position:end]
        padded = delimiter != " " and f" {quote}" in line
        if len(delimiter) > 1 or not quote or padded or (escape and escape in line):
            return None
        try:
            (cells,) = csv.reader([line], delimiter=delimiter, quotechar=quote, strict=True)
        except csv.Error:
            return None
        return cells or [""], end

    def any_record(self, position: int) -> tuple[list[str], int]:
        """The cells of the record at a position, however it is quoted, and where its line end stands."""
        cells = []
        while True:
            cell, position = self.quoted(position) or self.bare(position)
            cells.append(cell)
            if not self.text.startswith(self.dialect.delimiter, position):
                return cells, position
            position += len(self.dialect.delimiter)

    def bare(self, start: int) -> tuple[str, int]:
        """A cell without quotes around it, and its end."""
        escape, position = self.dialect.escape, start
        while match := self.stop.search(self.text, position):
            if not escape or match.group()[0] != escape or match.group() == self.dialect.delimiter:
                break
            position = match.end()
        end = match.start() if match else len(self.text)
        cell, delimiter = self.text[start:end], self.dialect.delimiter
        return cell.replace(escape + delimiter, delimiter) if escape else cell, end

    def quoted(self, start: int) -> tuple[str, int] | None:
        """A cell up to a quote that a delimiter or a line end follows; None where no quote is opened.

        A quote that is never closed is a character like others. Every such quote lowers how far the next
        one is looked for, or a file with a stray quote in each line would take quadratic time.
        """
        if not (opening := self.opening.match(self.text, start)):
            return None
        first, limit = opening.end(), start + self.reach
        match = self.cell.match(self.text, start, limit) if self.next_closing(first) < limit else None
        size = len(self.text)
        if not match or match.end() == limit < size:
            if not self.whole and self.open_cell.match(self.text, first):
                self.unclosed = size - first
                return self.unpaired(self.text[first:]), size
            self.reach = max(self.reach // 8, 1 << 9)
            return None
        if match.end() == size and not self.whole:
            self.unclosed = size - first  # its last quote may be the first of two
        return self.unpaired(match[1]), match.end()

    def unpaired(self, cell: str) -> str:
        """The inside of a quoted cell with its doubled and escaped quotes undone."""
        return self.pair.sub(lambda pair: pair[pair.lastindex or 0], cell)

    def next_closing(self, position: int) -> int:
        """Where the next quote stands that could close a cell; asked for positions that only grow."""
        if self.closing < position:
            match = self.closing_quote.search(self.text, position)
            self.closing = match.start() if match else len(self.text)
        return self.closing
