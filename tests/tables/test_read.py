"""Paths, the other formats, and what is recorded."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from aegir_dspy.errors import InputError
from aegir_dspy.tables import ForeignKey, ReadConfig, read_tables


def write(path: Path, content: str = "a,b\n1,2\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_folders_globs_and_duplicates(tmp_path: Path) -> None:
    files = [
        write(tmp_path / name) for name in ("b.csv", "sub/A.TSV", "a[1].csv", ".hidden/x.csv", "notes.txt")
    ]
    found = read_tables([files[0], tmp_path, str(tmp_path / "*.csv")])
    assert [table.name for table in found] == ["b", "a[1]", "A"]
    assert found.skipped == (str(tmp_path / ".hidden"), str(tmp_path / "notes.txt"))
    assert not found.failures
    assert [table.name for table in read_tables(files[2])] == ["a[1]"]
    assert [table.name for table in read_tables(str(tmp_path / "**/*.TSV"))] == ["A"]


def test_a_named_text_file_of_unknown_type_is_read(tmp_path: Path) -> None:
    (table,) = read_tables(write(tmp_path / "export.dat", "id;name\n1;Ann\n2;Bob\n"))
    assert [column.name for column in table.columns] == ["id", "name"]


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    write(tmp_path / "only.txt")
    for path in (tmp_path / "missing.csv", str(tmp_path / "*.csv"), tmp_path):
        with pytest.raises(InputError, match=r"expected .* found"):
            read_tables(path)


def test_what_cannot_be_opened_is_recorded(tmp_path: Path) -> None:
    write(tmp_path / "ok.csv")
    (tmp_path / "dangling.csv").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.csv")
    found = read_tables(tmp_path)
    assert len(found) == 1
    assert {(Path(f.task).name, f.failure_class) for f in found.failures} == {
        ("dangling.csv", "resource"),
        ("pipe.csv", "resource"),
    }


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "secret.csv")

    def deny(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", deny)
    (failure,) = read_tables(path).failures
    assert failure.failure_class == "resource"
    assert "Permission denied" in failure.message


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        '{"a": 1.50, "b": "x\\n\\u00e9", "c": null}',
        '{"a": 007}',
        "",
        '{"d": {"k": [1,  2]}, "a": true}',
    ]
    path = write(tmp_path / "t.jsonl", "\n".join(lines))
    found = read_tables(path)
    assert [(c.name, c.values) for c in found[0].columns] == [
        ("a", ("1.50", "true")),
        ("b", ("x\né", "")),
        ("c", ("", "")),
        ("d", ("", '{"k": [1,  2]}')),
    ]
    (failure,) = found.failures
    assert failure.evidence.startswith(f"{path}:2: ")


@pytest.mark.parametrize("indent", [None, 1])
def test_json_array(tmp_path: Path, indent: int | None) -> None:
    rows = [{"id": i, "name": f"n{i}"} for i in range(5)]
    (table,) = read_tables(write(tmp_path / "t.json", json.dumps(rows, indent=indent)))
    assert table.row_count == 5
    assert table.columns[1].values == tuple(f"n{i}" for i in range(5))


@pytest.mark.parametrize("content", ["[1, 2]", '"x"', '{"a":' + "[" * 100_000, "[]", "{", "nonsense"])
def test_json_without_objects(tmp_path: Path, content: str) -> None:
    found = read_tables(write(tmp_path / "t.json", content))
    assert not found.tables
    assert len(found.failures) == 1


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            "CREATE TABLE person(id INTEGER PRIMARY KEY, code TEXT, photo BLOB);"
            'CREATE TABLE "order x"(nr INT, person INT REFERENCES person(id), PRIMARY KEY (nr, person));'
            "CREATE TABLE empty(x)"
        )
        database.executemany(
            "INSERT INTO person VALUES (?, ?, ?)", [(i, f"{i:04}", b"\x01") for i in range(1000)]
        )
    before = path.read_bytes()
    person, order, empty = read_tables(path, config=ReadConfig(sample_rows=8))
    assert (person.row_count, person.primary_key) == (1000, ("id",))
    assert [c.declared_type for c in person.columns] == ["INTEGER", "TEXT", "BLOB"]
    assert len(person.columns[1].values) == 8
    assert all(len(code) == 4 for code in person.columns[1].values)
    assert int(person.columns[0].values[-1]) > 700
    assert order.foreign_keys == (ForeignKey(("person",), "person", ("id",)),)
    assert order.primary_key == ("nr", "person")
    assert empty.row_count == 0
    assert path.read_bytes() == before


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    spark = {"fields": [{"name": "id", "metadata": {"comment": "the key"}}, {"name": "code", "metadata": {}}]}
    data = arrow.table({"id": list(range(1000)), "code": [None, *(f"{i:04}" for i in range(999))]})
    data = data.replace_schema_metadata({"org.apache.spark.sql.parquet.row.metadata": json.dumps(spark)})
    path = tmp_path / "t[1].parquet"
    parquet.write_table(data, path)
    (table,) = read_tables(path, config=ReadConfig(sample_rows=8))
    first, second = table.columns
    assert (table.name, table.row_count) == ("t[1]", 1000)
    assert (first.declared_type, first.comment, second.comment) == ("BIGINT", "the key", None)
    assert len(first.values) == 8 and int(first.values[-1]) > 700
    assert second.values[:2] == ("", "0000")
    path.write_bytes(path.read_bytes()[:200] + b"PAR1")
    (failure,) = read_tables(path).failures
    assert failure.failure_class == "parse"


def test_config_is_checked() -> None:
    with pytest.raises(InputError, match="sample_rows"):
        ReadConfig(sample_rows=0)


def test_imports_stay_light() -> None:
    code = (
        "import sys, aegir_dspy.tables\n"
        "heavy = 'duckdb sqlglot charset_normalizer pandas pyarrow'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
