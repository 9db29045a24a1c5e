"""The kinds of mess that real files are in, made small."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from aegir_dspy.tables import ReadConfig, Table, read_tables

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
    "short row": ("a,b,c\n1\n1,2,3\n4,5,6\n", ["a", "b", "c"], ["1", "", ""]),
    "long row": ("a,b\n1,2,3\n4,5\n6,7\n", ["a", "b"], ["1", "2"]),
    "more cells than names": ("a,b\n1,2,x\n4,5,y\n", ["a", "b", None], ["1", "2", "x"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(tmp_path: Path, kind: str) -> None:
    content, expected, first = KINDS[kind]
    table = read(tmp_path, content)
    assert names(table) == expected
    assert [column.values[0] for column in table.columns] == first
    assert [column.index for column in table.columns] == list(range(len(expected)))


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
def test_stray_quotes_do_not_take_quadratic_time(tmp_path: Path, line: str) -> None:
    start = time.process_time()
    table = read(tmp_path, "id,size\n" + "".join(line % (i, i) for i in range(50_000)))
    assert time.process_time() - start < 5
    assert len(table.columns) >= 2


@pytest.mark.skipif(not MESSY.is_dir(), reason="the collection of messy files is not here")
def test_every_messy_file_is_accounted_for() -> None:
    files = sorted(path for path in MESSY.rglob("*") if path.is_file())
    for path in files:
        start = time.process_time()
        found = read_tables(path)
        assert time.process_time() - start < 5
        assert len(found) + len(found.failures) > 0, path
        if path.suffix != ".sql":
            assert len(found) == 1 and not found.failures, path
        assert all(str(path) in failure.evidence for failure in found.failures)
