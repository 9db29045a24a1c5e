"""A table written in any dialect and encoding comes back cell by cell."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.tables import read_tables
from aegir_dspy.tables.parsing import Dialect, _Scanner, parse

NAMES = ["first name", "city", "amount", "note"]
words = st.sampled_from(["Müller", "Köln", "José", "São Paulo", "Ann", "Besançon", "x", "O'Neil", "naïve"])
hard = st.sampled_from(['say "hi"', "a,b", "a;b", "a\tb", "a|b", "two\nlines", "two\r\nlines", ' "q" ', ""])
rows = st.lists(
    st.tuples(words, words, st.integers(0, 9999).map(str), st.one_of(words, hard)), min_size=6, max_size=30
)


@settings(deadline=None, max_examples=150)
@given(
    rows,
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_cells_come_back(
    table: list[tuple[str, ...]], delimiter: str, encoding: str, end: str, quoting: int
) -> None:
    if end == "\r":  # the writer does not quote a line feed then, which nobody could read back
        quoting = csv.QUOTE_ALL
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([NAMES, *table])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        path.write_bytes(text.getvalue().encode(encoding))
        (read,) = read_tables(path)
    assert [column.name for column in read.columns] == NAMES
    assert list(zip(*(column.values for column in read.columns), strict=True)) == table
    assert read.row_count == len(table)


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|", "||", "::"]),
    st.sampled_from(['"', "'"]),
)
def test_parsing_undoes_quoting(table: list[list[str]], delimiter: str, quote: str) -> None:
    lines = [delimiter.join(quote + cell.replace(quote, quote * 2) + quote for cell in row) for row in table]
    parsed = parse("\n".join(lines), Dialect(delimiter, quote))
    assert [parsed[i] for i in range(len(parsed))] == table


@given(st.text(st.sampled_from(list("ab\",'\n ")), max_size=20), st.sampled_from(", "))
def test_the_quick_way_to_split_a_line_gives_the_same(text: str, delimiter: str) -> None:
    scanner = _Scanner(text, Dialect(delimiter), True)
    quick = scanner.faultless_line(0)
    assert quick is None or quick == _Scanner(text, Dialect(delimiter), True).any_record(0)


@given(st.text(st.sampled_from(list("a\",'\\\n\r ;")), max_size=60), st.booleans())
def test_any_text_is_parsed_without_loss_of_letters(text: str, whole: bool) -> None:
    for dialect in (
        Dialect(),
        Dialect(escape="\\"),
        Dialect(";", "'"),
        Dialect(" ", ""),
        Dialect("\\|", '"'),
    ):
        parsed = parse(text, dialect, whole=whole)
        assert "".join(cell for i in range(len(parsed)) for cell in parsed[i]).count("a") == text.count("a")
