"""The kinds of mess that real files are in, made small."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aegir_dspy.tables import ReadConfig, Table, read_tables

Within = Callable[..., Any]
MESSY = Path(__file__).resolve().parents[3] / "shared/data/messy"


def read(folder: Path, content: bytes | str, name: str = "t.csv", config: ReadConfig | None = None) -> Table:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = read_tables(path, config=config or ReadConfig())
    assert not found.failures
    (table,) = found
    return table


def names(table: Table) -> list[str | None]:
    return [column.name for column in table.columns]


KINDS: dict[str, tuple[bytes | str, list[str | None], list[str]]] = {
    # kind: content, names of the columns, first row
    "comma": ("a,b\n1,2\n", ["a", "b"], ["1", "2"]),
    "leading zeros": ("id,price\n0012,1.50\n", ["id", "price"], ["0012", "1.50"]),
    "semicolon, decimal commas": ("x;y\nall;0,61\nnone;81,2\n", ["x", "y"], ["all", "0,61"]),
    "pipe": ("id|name|city\n1|A, B|Rome\n2|C, D|Oslo\n", ["id", "name", "city"], ["1", "A, B", "Rome"]),
    "two characters": ("id||name\n1||Ann\n2||Bob\n", ["id", "name"], ["1", "Ann"]),
    "colons": (
        "1::Toy Story: II (1995)::Animation|Comedy\n2::Heat (1995)::Action\n3::Jumanji (1995)::Fantasy\n",
        [None] * 3,
        ["1", "Toy Story: II (1995)", "Animation|Comedy"],
    ),
    "colons, no other": (
        "7::Ann::F\n8::Bob::M\n",
        [None] * 3,
        ["7", "Ann", "F"],
    ),
    "pipe, many empty cells": ("a|b|c|d\n1||x|\n2|||y\n", ["a", "b", "c", "d"], ["1", "", "x", ""]),
    "names of several words": ("New York\nRome\nSan Francisco\nOslo\n", ["New York"], ["Rome"]),
    "marks in one column": ('!\n""""\n#\n","\n\'\n+\n', [None], ["!"]),
    "declared separator": ("sep=;\na;b\n1;2\n", ["a", "b"], ["1", "2"]),
    "carriage returns": ("a,b\r1,2\r3,4\r", ["a", "b"], ["1", "2"]),
    "quoted newline": ('a,b\n1,"ha\n""ha"""\n', ["a", "b"], ["1", 'ha\n"ha"']),
    "backslashes": ('a,b\n1,"say \\"hi\\", ok"\n2,"x"\n', ["a", "b"], ["1", 'say "hi", ok']),
    "json cells": ('k,v\n1,"{""a"": ""b"", ""c"": 1}"\n', ["k", "v"], ["1", '{"a": "b", "c": 1}']),
    "apostrophes": ("a,b\n1,'x, y'\n2,'z'\n", ["a", "b"], ["1", "x, y"]),
    "stray quote": ('a,b\n1,5" pipe\n2,"6 inch\n', ["a", "b"], ["1", '5" pipe']),
    "padded quotes": ('a,b\n1, "x"\n', ["a", "b"], ["1", "x"]),
    "byte order mark": ("\ufeffkitten,win\n1,2\n", ["kitten", "win"], ["1", "2"]),
    "UTF-16": ("name;n\nJosé;1\n".encode("utf-16"), ["name", "n"], ["José", "1"]),
    "UTF-16 without mark": ("name;n\nJosé;1\n".encode("utf-16-be"), ["name", "n"], ["José", "1"]),
    "replacement character": ("name,n\nJos\ufffd,1\nÉva,2\n", ["name", "n"], ["Jos\ufffd", "1"]),
    "latin 1": ("Année;ville\n2013;Liège\n".encode("latin-1"), ["Année", "ville"], ["2013", "Liège"]),
    "greek": ("id,name\n1,Λεωνιδας\n2,Αλεξανδρος\n".encode("iso8859-7"), ["id", "name"], ["1", "Λεωνιδας"]),
    "polish": (
        "id,name\n1,Świętosław\n2,Małgorzata\n".encode("iso8859-2"),
        ["id", "name"],
        ["1", "Świętosław"],
    ),
    "russian": ("id,name\n1,Москва\n2,Казань\n".encode("koi8-r"), ["id", "name"], ["1", "Москва"]),
    "japanese": ("id,名前\n1,田中太郎\n2,山田花子\n".encode("shift_jis"), ["id", "名前"], ["1", "田中太郎"]),
    "titles": (
        "Emissions by sector,,\nthousand tonnes,,\n,,\nYear,2000,2001\nTimber,12,13\nIron,7,8\n",
        ["Year", "2000", "2001"],
        ["Timber", "12", "13"],
    ),
    "years above small numbers": (
        "Country,2000,2001,2002\nA,1,2,3\nB,4,5,6\n",
        ["Country", "2000", "2001", "2002"],
        ["A", "1", "2", "3"],
    ),
    "years in rows too": ("A,2000,2001\nB,2003,2008\nC,2001,2002\n", [None] * 3, ["A", "2000", "2001"]),
    "header of three rows": (
        "Report,,,\n,,A,B\n,,Utrecht,Zeeland\nNr.,Cluster,,\n1,Tax,5,7\n2,Art,8,1\n",
        ["Nr.", "Cluster", "Utrecht", "Zeeland"],
        ["1", "Tax", "5", "7"],
    ),
    "comments": ("# made on Monday, by hand\n# twice\nid,n\n1,2\n3,4\n", ["id", "n"], ["1", "2"]),
    "commented header": ("#id,n\n1,2\n3,4\n", ["#id", "n"], ["1", "2"]),
    "blank lines first": ("\n\nid,n\n1,2\n", ["id", "n"], ["1", "2"]),
    "title of one cell": ("Report of today\nid;n\n1;2\n3;4\n", ["id", "n"], ["1", "2"]),
    "no header, numbers": ("1,null,0\n2,0,5\n3,4,\n", [None, None, None], ["1", "null", "0"]),
    "no header, one row": (
        "5258277067567845909,x,2013-07-02\n",
        [None] * 3,
        ["5258277067567845909", "x", "2013-07-02"],
    ),
    "no header, repeated": ("foo\n" * 9, [None], ["foo"]),
    "text only": ("name,city\nAnn,Rome\nBob,Oslo\n", ["name", "city"], ["Ann", "Rome"]),
    "empty name": ("id,,n\n1,x,2\n", ["id", None, "n"], ["1", "x", "2"]),
    "same names": ("a,a\n1,2\n", ["a", "a"], ["1", "2"]),
    "short row of a sparse table": ("a,b,c\n1,2\n1,2,\n4,,6\n", ["a", "b", "c"], ["1", "2", ""]),
    "notes": ("a,b,c\n1,2,3\n4,5,6\nSource: us\n* no data\n", ["a", "b", "c"], ["1", "2", "3"]),
    "empty cells beyond": ("a,b\n1,2,,\n4,5\n6,7\n", ["a", "b"], ["1", "2"]),
    "more cells than names": ("a,b\n1,2,x\n4,5,y\n", ["a", "b", None], ["1", "2", "x"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(tmp_path: Path, kind: str) -> None:
    content, expected, first = KINDS[kind]
    table = read(tmp_path, content)
    assert names(table) == expected
    assert [column.values[0] for column in table.columns] == first
    assert [column.index for column in table.columns] == list(range(len(expected)))


RAGGED = {
    # content: what is said, the line of the first such row and its text
    "a,b\n1,2,3\n4,5\n6,7\n": ("in each of 3 rows, found 1 longer, whose", "2: 1,2,3"),
    "a,b,c\n1,2,3\n1\n4,5,6\n": ("in each of 3 rows, found 1 shorter, filled", "3: 1"),
    'a,b\n"x\ny",1\n5,6,7\n8,9\n0\n1,1\n': (
        "found 1 longer, whose further cells are left out and 1",
        "4: 5,6,7",
    ),
    "sep=,\na,b\n1,2\n1,2\n1,2,3\n": ("found 1 longer", "5: 1,2,3"),
}


@pytest.mark.parametrize("content", RAGGED)
def test_rows_that_do_not_fit_are_recorded_once(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    found = read_tables(path)
    said, evidence = RAGGED[content]
    (failure,) = found.failures
    assert [len(column.values) for column in found[0].columns] == [found[0].row_count] * len(found[0].columns)
    assert failure.failure_class == "parse"
    assert said in failure.message
    assert failure.evidence == f"{path}:{evidence}"


def test_rows_of_empty_cells_at_the_end_are_none(tmp_path: Path) -> None:
    table = read(tmp_path, 'a,b\n1,2\n,\n3,4\n,,\n" ",\n\n')
    assert table.row_count == 3
    assert table.columns[0].values == ("1", "", "3")


PROSE = """# Readme

This package reads tables, lists and a few other things.
It is small, quick and careful; see the manual.

Use it like this: read, look, and then write.
    read("x.csv")
"""
PROGRAM = "import os\n\n\ndef main(path):\n    return os.listdir(path)\n\n\nmain('x')\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [("README.md", PROSE), ("notes.txt", PROSE), ("x.py", PROGRAM), ("x.yaml", "name: x\nsize: 1\n")],
)
def test_text_that_is_no_table(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    found = read_tables(path)
    (failure,) = found.failures
    assert not found.tables
    assert "not a table format" in failure.message
    assert failure.evidence.startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("cities.txt", "city\nNew York\nRome\nOslo\n", 1),
        ("x.md", "a|b\n1|2\n3|4\n", 2),
        ("x.csv", "some words\nand so many more\n", 1),
    ],
)
def test_other_text_that_is_a_table(tmp_path: Path, name: str, content: str, columns: int) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert [len(table.columns) for table in read_tables(path)] == [columns]


def test_suffix_gzip_and_row_count(tmp_path: Path) -> None:
    table = read(tmp_path, gzip.compress(b"a\tb\n1\t2\n3\t4\n"), "Data.v1.tsv.gz")
    assert (table.name, table.row_count, names(table)) == ("Data.v1", 2, ["a", "b"])


def test_a_sample_of_a_large_file_is_spread_and_repeatable(tmp_path: Path) -> None:
    config = ReadConfig(sample_rows=50, sample_bytes=1 << 14)
    content = "id,half\n" + "".join(f"{i},{i / 2}\n" for i in range(20_000))
    table = read(tmp_path, content, config=config)
    ids = [int(value) for value in table.columns[0].values]
    assert table.row_count is None
    assert len(ids) == 50
    assert ids == sorted(ids)
    assert ids[-1] > 19_000
    assert all(half == str(i / 2) for i, half in zip(ids, table.columns[1].values, strict=True))
    assert table == read(tmp_path, content, config=config)


def test_a_small_file_is_sampled_evenly(tmp_path: Path) -> None:
    table = read(tmp_path, "id\n" + "".join(f"{i}\n" for i in range(1000)), config=ReadConfig(sample_rows=10))
    assert table.columns[0].values == tuple(str(i) for i in range(0, 1000, 100))
    assert table.row_count == 1000


def test_large_cells_are_cut(tmp_path: Path) -> None:
    table = read(tmp_path, 'a,b\n1,"' + "x y,\n" * 200_000 + '"\n2,z\n')
    assert [len(value) for value in table.columns[1].values] == [ReadConfig().max_cell_chars, 1]
    assert table.row_count == 2


def test_a_cell_larger_than_the_sample(tmp_path: Path) -> None:
    table = read(
        tmp_path, 'a,b\n1,"' + "x y,\n" * 50_000 + '"\n2,z\n', config=ReadConfig(sample_bytes=1 << 14)
    )
    assert names(table) == ["a", "b"]
    assert table.columns[0].values[0] == "1"


@pytest.mark.parametrize(
    "text", ["so, it's\n", "'tis, 'lorem' it's\n", 'he said ""a, b"", then\n', '""a"", ""b""\n', "   ", "\n"]
)
@pytest.mark.parametrize("size", [20_000_000, 1_900_000])
def test_a_cell_of_megabytes(tmp_path: Path, text: str, size: int, within: Within) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,note\n1,"' + text * (size // len(text)) + '"\n2,"short"\n3,x\n')
    (table,) = within(3, lambda: read_tables(path))
    assert names(table) == ["id", "note"]
    assert table.columns[0].values == (("1",) if size > 2 << 20 else ("1", "2", "3"))


@pytest.mark.parametrize("cell", ["'a", '"a"', "2.5", "a b"])
def test_a_wide_table_is_quick(tmp_path: Path, cell: str, within: Within) -> None:
    lines = [",".join(f"c{i}" for i in range(10_000))]
    lines += [",".join(f"{cell[:2]}{row}{i % 7}{cell[2:]}" for i in range(10_000)) for row in range(100)]
    table = within(3, lambda: read(tmp_path, "\n".join(lines)))
    assert len(table.columns) == 10_000


def test_a_damaged_archive_is_read_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"".join(b"%d,x\n" % i for i in range(99_999)))[:9000])
    found = read_tables(path)
    (failure,) = found.failures
    assert names(found[0]) == ["a", "b"]
    assert "damage" in failure.message
    assert found[0].row_count is None


def test_ten_thousand_columns(tmp_path: Path) -> None:
    header = ",".join(f"c{i}" for i in range(10_000))
    table = read(tmp_path, header + "\n" + ",".join("1" * 10_000) + "\n")
    assert len(table.columns) == 10_000
    assert table.columns[-1].name == "c9999"


@pytest.mark.parametrize(
    ("content", "failure_class", "reason"),
    [
        (b"", "parse", "empty file"),
        (b"\n \n", "parse", "empty file"),
        (bytes(range(256)) * 40, "parse", "binary data"),
        (b"PK\x03\x04" + b"\0" * 50, "parse", "zip archive"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 50, "parse", "damage"),
        (b"," * 30_000, "resource", "20000 columns at most, found 30001"),
    ],
)
def test_failures(tmp_path: Path, content: bytes, failure_class: str, reason: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    found = read_tables(path)
    assert len(found) == 0
    (failure,) = found.failures
    assert (failure.task, failure.agent) == (f"read:{path}", "tables.csv")
    assert failure.failure_class == failure_class
    assert reason in failure.message
    assert failure.evidence.startswith(f"{path}:")


@pytest.mark.parametrize("line", ['%d,"%d inch,5" long\n', '%d,"%d\n', "%d,'tis %d l'ete'\n"])
def test_stray_quotes_do_not_take_quadratic_time(tmp_path: Path, line: str, within: Within) -> None:
    text = "id,size\n" + "".join(line % (i, i) for i in range(50_000))
    table = within(5, lambda: read(tmp_path, text))
    assert len(table.columns) >= 2


@pytest.mark.skipif(not MESSY.is_dir(), reason="the collection of messy files is not here")
def test_every_messy_file_is_accounted_for(within: Within) -> None:
    files = sorted(path for path in MESSY.rglob("*") if path.is_file())
    for path in files:
        found = within(5, partial(read_tables, path))
        assert len(found) + len(found.failures) > 0, path
        if path.suffix != ".sql":
            assert len(found) == 1 and not found.failures, path
        assert all(str(path) in failure.evidence for failure in found.failures)
