from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from aegir_dspy.errors import InputError
from aegir_dspy.training.datasets import LabelledTable, host_of, load_corpus, load_label_set, load_labelled

FIELDS = [
    *("table", "column_index", "column_name", "label", "source", "task", "label_set", "split"),
    *("subject_column_index", "note"),
]


def write_parquet(path: Path, columns: dict[str, str], rows: list[tuple[Any, ...]]) -> None:
    declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({declared})")
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", rows)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


class Layout:
    """A folder of labelled data, written table by table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables: dict[str, list[tuple[Any, ...]]] = {}
        self.labels: list[dict[str, str]] = []

    def add(
        self,
        source: str,
        name: str,
        columns: list[str],
        rows: Sequence[Sequence[str | None]],
        labels: dict[int, str],
        *,
        task: str = "CTA",
        context: str = "{}",
        subject: str = "",
    ) -> None:
        self.tables.setdefault(source, []).append((source, "train", name, columns, rows, context))
        self.labels += [
            dict.fromkeys(FIELDS, "")
            | {"table": name, "column_index": str(index), "label": label, "source": source, "task": task}
            | {"subject_column_index": subject}
            for index, label in labels.items()
        ]

    def write(self) -> Path:
        (self.folder / "tables").mkdir(parents=True, exist_ok=True)
        kinds = dict.fromkeys(("source", "split", "table"), "VARCHAR")
        kinds |= {"columns": "VARCHAR[]", "rows": "VARCHAR[][]", "context": "VARCHAR"}
        for source, rows in self.tables.items():
            write_parquet(self.folder / "tables" / f"{source}.parquet", kinds, rows)
        with (self.folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(self.labels)
        (self.folder / "label_sets.json").write_text(json.dumps({"s:CTA": ["b", "a"]}), encoding="utf-8")
        return self.folder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data [1] *")


def names(tables: list[LabelledTable]) -> list[str]:
    return [table.table.name for table in tables]


def test_text_is_kept_exactly(layout: Layout) -> None:
    cells = ['a "b",\r\n', " ü\t", "1.2e+10", "007", "\u2028€\U0001f600"]
    layout.add("s", "t", ["Name ", ""], [[cell, None] for cell in cells], {0: "a"})
    (table,) = load_labelled(layout.write(), "s")
    assert table.table.columns[0].values == tuple(cells)
    assert table.table.columns[0].name == "Name "
    assert table.table.columns[1].values == ("",) * 5
    assert table.table.columns[1].name is None


def test_placeholder_headers_are_no_headers(layout: Layout) -> None:
    layout.add("s", "t", ["Column 1", "Column 12", "Column A", "column 1"], [["x"] * 4], {0: "a"})
    (table,) = load_labelled(layout.write(), "s")
    assert [column.name for column in table.table.columns] == [None, None, "Column A", "column 1"]
    assert [column.index for column in table.table.columns] == [0, 1, 2, 3]


def test_short_rows_end_in_empty_cells(layout: Layout) -> None:
    layout.add("s", "t", ["p", "q"], [["1", "2"], ["3"]], {1: "a"})
    (table,) = load_labelled(layout.write(), "s")
    assert table.table.columns[1].values == ("2", "")


def test_labels_are_joined_on_source_and_table(layout: Layout) -> None:
    layout.add("s", "late", ["p", "q"], [["1", "2"]], {1: "b", 0: "a"})
    layout.add("other", "late", ["z"], [["9"]], {0: "c"})
    layout.add("s", "unlabelled", ["p"], [["1"]], {})
    layout.add("s", "first", ["p"], [["5"]], {0: "a"})
    tables = load_labelled(layout.write(), "s")
    assert names(tables) == ["late", "first"]
    assert [(gold.column_index, gold.label) for gold in tables[0].labels] == [(1, "b"), (0, "a")]
    assert {table.source for table in tables} == {"s"}
    assert names(load_labelled(layout.folder, "other")) == ["late"]


def test_task_selects_the_labels(layout: Layout) -> None:
    layout.add("s", "t", ["p", "q"], [["1", "2"]], {0: "a"})
    layout.tables["s"].pop()
    layout.add("s", "t", ["p", "q"], [["1", "2"]], {1: "author"}, task="CPA", subject="0")
    (relation,) = load_labelled(layout.write(), "s", "CPA")
    assert [(gold.column_index, gold.label) for gold in relation.labels] == [(1, "author")]
    assert relation.subject == 0
    assert load_labelled(layout.folder, "s")[0].subject is None


@pytest.mark.parametrize(
    ("task", "label", "expected"),
    [
        ("CTA", "a", ("a",)),
        ("CTA", "people.person|sports.athlete", ("people.person", "sports.athlete")),
        ("SEM", "http://x/C | http://x/p", ("http://x/C | http://x/p",)),
    ],
)
def test_labels_that_all_apply(layout: Layout, task: str, label: str, expected: tuple[str, ...]) -> None:
    layout.add("s", "t", ["p"], [["1"]], {0: label}, task=task)
    assert load_labelled(layout.write(), "s", task)[0].labels[0].labels == expected


def test_titles_are_the_comment_and_nothing_else_of_the_context(layout: Layout) -> None:
    context = {
        "page_title": "oslo",
        "section_title": "clubs",
        "table_class": "Company",
        "rows_in_source": 736,
    }
    layout.add("s", "t", ["p"], [["1"]], {0: "a"}, context=json.dumps(context))
    (table,) = load_labelled(layout.write(), "s")
    assert table.table.comment == "oslo / clubs"
    assert table.table.row_count == 736
    assert "Company" not in repr(table)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("Book_2014brazil.co.uk_September2020_CTA", "2014brazil.co.uk"),
        ("LocalBusiness_a_b.com_October2021_CPA", "a_b.com"),
        ("Book_51.81.254.90_September2020_CTA", "51.81.254.90"),
        ("Book_Mixed.COM_September2020_CTA", "mixed.com"),
        ("val_cta_0003", None),
        ("10083610-4", None),
    ],
)
def test_host_is_read_from_the_name(name: str, host: str | None) -> None:
    assert host_of(name) == host


def test_label_set_keeps_its_order(layout: Layout) -> None:
    assert load_label_set(layout.write(), "s", "CTA") == ["b", "a"]
    with pytest.raises(InputError, match=r"expected one of s:CTA.*found s:CPA"):
        load_label_set(layout.folder, "s", "CPA")


def test_what_cannot_be_loaded_says_so_in_one_line(layout: Layout, tmp_path: Path) -> None:
    layout.add("s", "t", ["p"], [["1"]], {0: "a"})
    layout.add("r", "t", ["p"], [["1"]], {0: "a"})
    folder = layout.write()
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = [
        ((empty, "s", "CTA"), "tables; found none"),
        ((folder, "x", "CTA"), "one of r, s; found 'x'"),
        ((folder, "s", "CPA"), "one of CTA; found 'CPA'"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError) as caught:
            load_labelled(*arguments)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("index", "table", "message"),
    [("1", "t", "below 1 for table 't'.*'1'"), ("-1", "t", "'-1'"), ("0", "gone", "expected table 'gone'")],
)
def test_labels_that_point_nowhere(layout: Layout, index: str, table: str, message: str) -> None:
    layout.add("s", "t", ["p"], [["1"]], {0: "a"})
    layout.labels[0] |= {"column_index": index, "table": table}
    with pytest.raises(InputError, match=message):
        load_labelled(layout.write(), "s")


def test_damaged_files(layout: Layout) -> None:
    layout.add("s", "t", ["p"], [["1"]], {0: "a"})
    folder = layout.write()
    (folder / "tables/s.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match=r"s\.parquet; found"):
        load_labelled(folder, "s")
    (folder / "label_sets.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="JSON object of label sets"):
        load_label_set(folder, "s")
    (folder / "labels.csv").write_text("table,label\n", encoding="utf-8")
    with pytest.raises(InputError, match="column_index, source, task"):
        load_labelled(folder, "s")


def test_corpus_reads_every_shard_in_order(tmp_path: Path) -> None:
    kinds = dict.fromkeys(("source", "path", "licence"), "VARCHAR")
    kinds |= {"columns": "VARCHAR[]", "rows": "VARCHAR[][]"}
    for shard in ("b-1", "a-0"):
        rows = [
            ("org/" + shard, f"{shard}/{i}.csv", "MIT", ["name"], [[f"v{i}"], [None]]) for i in range(300)
        ]
        write_parquet(tmp_path / f"{shard}.parquet", kinds, rows)
    tables = list(load_corpus(tmp_path))
    assert len(tables) == 600
    assert [table.source for table in tables] == ["org/a-0"] * 300 + ["org/b-1"] * 300
    assert tables[299].name == "a-0/299.csv"
    assert tables[299].columns[0].values == ("v299", "")
    with pytest.raises(InputError, match="parquet shards"):
        next(load_corpus(tmp_path / "nowhere"))
