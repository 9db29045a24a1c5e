"""Delimited text to records, leniently.

Not the csv module: its field size limit is global to the process, it knows neither delimiters of several
characters nor line numbers inside a quoted cell, and one stray quote makes it swallow the rest of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Dialect", "Record", "records"]

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


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its cells, the 1-based line it starts on, and whether the text ended inside it."""

    cells: list[str]
    line: int
    cut: bool = False


def records(text: str, dialect: Dialect, *, whole: bool = True) -> Iterator[Record]:
    """The records of a text; a blank line gives a record with one empty cell.

    ``whole=False`` says that the text was cut off somewhere, which marks the last record as `Record.cut`.
    """
    scanner = _Scanner(text, dialect)
    position, line, size = 0, 1, len(text)
    while position < size:
        match = _EOL.search(text, position)
        end, after = match.span() if match else (size, size)
        lines = 1
        if scanner.is_plain(position, end):
            cells = text[position:end].split(dialect.delimiter)
        else:
            cells, end = scanner.record(position)
            match = _EOL.match(text, end)
            after = match.end() if match else size
            lines = len(_EOL.findall(text, position, after))
        yield Record(cells, line, cut=not whole and after == size)
        position, line = after, line + lines


class _Scanner:
    """Reads the cells of records in which something is quoted or escaped."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self.text, self.dialect, self.reach = text, dialect, _LONGEST_QUOTED
        delimiter, quote, escape = map(re.escape, (dialect.delimiter, dialect.quote, dialect.escape))
        blanks = "" if dialect.delimiter[0] == " " else " *"
        escaped = f"{escape}.|" if escape else ""
        end = rf"{blanks}(?={delimiter}|[\r\n]|\Z)"
        self.stop = re.compile(rf"{delimiter}|{escaped}[\r\n]", re.DOTALL)
        # Possessive, so that a long cell costs neither stack nor a second look.
        self.cell = re.compile(
            rf"{blanks}{quote}((?:[^{quote}{escape}]++|{quote * 2}|{escaped}{quote}(?!{end}))*+){quote}{end}"
            if quote
            else r"(?!)",
            re.DOTALL,
        )
        self.pair = re.compile(rf"{quote}({quote})" + (rf"|{escape}([{quote}{escape}])" if escape else ""))

    def is_plain(self, start: int, end: int) -> bool:
        """Whether a line can simply be split."""
        marks = (self.dialect.quote, self.dialect.escape)
        return not any(mark and self.text.find(mark, start, end) >= 0 for mark in marks)

    def record(self, position: int) -> tuple[list[str], int]:
        """The cells of the record at a position, and where its line end stands."""
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
        opening = self.text[start : start + 64].lstrip(" ")
        if not self.dialect.quote or not opening.startswith(self.dialect.quote):
            return None
        limit = start + self.reach
        match = self.cell.match(self.text, start, limit)
        if not match or match.end() == limit < len(self.text):
            self.reach = max(self.reach // 8, 1 << 12)
            return None
        return self.pair.sub(lambda pair: pair[pair.lastindex or 0], match[1]), match.end()
