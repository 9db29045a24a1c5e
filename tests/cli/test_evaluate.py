from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from aegir_dspy.ontology import load_vocabulary

LABELS = ("email", "price", "Person/name", "Date")
SOURCE = "toy"
pytestmark = pytest.mark.usefixtures("weights")


def write(folder: Path, lines: list[tuple[str, int, str]], label_set: list[str] | None = None) -> Path:
    """A folder in the labelled layout: three tables of four columns, labels as given."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    rows = [["a@b.de", "1.20", "Ann", "2021-01-02"], ["c@d.org", "3", "Bob", "2021-02-03"]]
    with duckdb.connect() as connection:
        connection.execute(
            'CREATE TABLE t (source VARCHAR, split VARCHAR, "table" VARCHAR, '
            '"columns" VARCHAR[], "rows" VARCHAR[][], context VARCHAR)'
        )
        for name in ("one", "two", "three"):
            shown = [[f"{cell}{name[0]}" for cell in row] for row in rows]
            connection.execute(
                "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)",
                [SOURCE, "train", name, ["mail", "price", "who", "day"], shown, "{}"],
            )
        connection.execute(f"COPY t TO '{folder}/tables/{SOURCE}.parquet' (FORMAT parquet)")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["table", "column_index", "label", "source", "task", "subject_column_index"])
        writer.writerows([table, index, label, SOURCE, "CTA", ""] for table, index, label in lines)
    sets = {f"{SOURCE}:CTA": label_set or list(LABELS)}
    (folder / "label_sets.json").write_text(json.dumps(sets), encoding="utf-8")
    return folder


def all_lines() -> list[tuple[str, int, str]]:
    return [(t, i, label) for t in ("two", "one", "three") for i, label in enumerate(LABELS)]


def predictions(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_exactly_the_labelled_columns_in_the_order_of_the_file(
    aegir: Callable[..., Any], folder: Path
) -> None:
    lines = all_lines()[1:]
    random.Random(0).shuffle(lines)
    write(folder / "data", lines)
    done = aegir("eval", "data", "--source", SOURCE, "--predictions", "p.csv", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = predictions(folder / "p.csv")
    assert list(found[0]) == ["table", "column_index", "predicted", "confidence"]
    assert [(p["table"], int(p["column_index"])) for p in found] == [(t, i) for t, i, _ in lines]
    assert {p["predicted"] for p in found} <= set(LABELS)
    score = json.loads(done.out)
    assert (score["columns"], score["answered"]) == (11, 1.0)
    right = sum(p["predicted"] == label for p, (_, _, label) in zip(found, lines, strict=True))
    assert score["micro_f1"] == pytest.approx(right / 11)
    assert score["right"] == pytest.approx(right / 11)


def test_the_labels_are_not_looked_at(aegir: Callable[..., Any], folder: Path) -> None:
    lines = all_lines()
    write(folder / "data", lines)
    aegir("eval", "data", "--source", SOURCE, "--predictions", "honest.csv")
    write(folder / "data", [(t, i, LABELS[(n * 3 + 1) % 4]) for n, (t, i, _) in enumerate(lines)])
    aegir("eval", "data", "--source", SOURCE, "--predictions", "permuted.csv")
    assert (folder / "honest.csv").read_text() == (folder / "permuted.csv").read_text()


def test_abstaining_leaves_the_type_empty(aegir: Callable[..., Any], folder: Path) -> None:
    write(folder / "data", all_lines())
    flags = ("--source", SOURCE, "--predictions", "p.csv", "--abstain-below", "1")
    done = aegir("eval", "data", *flags, "--context", "0")
    assert done.code == 0
    assert {p["predicted"] for p in predictions(folder / "p.csv")} == {""}
    assert "micro F1  0.0000" in done.out
    assert "12 (0.0% answered" in done.out


def test_the_vocabulary_of_the_source(aegir: Callable[..., Any], folder: Path) -> None:
    known = list(load_vocabulary("sotab32").names)
    write(folder / "data", [("one", 0, known[0])], known)
    assert aegir("eval", "data", "--source", SOURCE, "--predictions", "p.csv").code == 0
    assert predictions(folder / "p.csv")[0]["predicted"] in known
    (folder / "mine.txt").write_text("shoe size\ncolour\n")
    aegir("eval", "data", "--source", SOURCE, "--predictions", "p.csv", "--vocabulary", "mine.txt")
    assert predictions(folder / "p.csv")[0]["predicted"] in {"shoe size", "colour"}


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda f: None, ["none", "--source", SOURCE], "none"),
        (lambda f: None, ["data", "--source", "other"], "expected a source"),
        (lambda f: None, ["data"], "--source"),
        (lambda f: None, ["data", "--source", SOURCE, "--dev"], "expected labelled tables"),
        (lambda f: None, ["data", "--source", SOURCE, "--predictions", "none/p.csv"], "to write"),
        (lambda f: (f / "label_sets.json").unlink(), ["data", "--source", SOURCE], "--vocabulary"),
        (lambda f: (f / "labels.csv").write_text("a,b\n"), ["data", "--source", SOURCE], "labels.csv"),
        (
            lambda f: (f / "tables" / f"{SOURCE}.parquet").write_bytes(b"x"),
            ["data", "--source", SOURCE],
            "parquet",
        ),
    ],
)
def test_what_is_missing_is_one_line(
    aegir: Callable[..., Any],
    folder: Path,
    change: Callable[[Path], object],
    arguments: list[str],
    message: str,
) -> None:
    change(write(folder / "data", all_lines()))
    done = aegir("eval", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1, done.err
    assert message in done.err


def test_relations_to_the_subject_column(aegir: Callable[..., Any], folder: Path) -> None:
    lines = [
        (t, i, label) for t in ("two", "one") for i, label in ((0, "email"), (1, "price"), (3, "birthDate"))
    ]
    write(folder / "data", lines)
    labels = folder / "data" / "labels.csv"
    labels.write_text(labels.read_text().replace(",CTA,", ",CPA,2"))
    sets = {f"{SOURCE}:CPA": list(load_vocabulary("sotab_cpa").names)}
    (folder / "data" / "label_sets.json").write_text(json.dumps(sets))
    flags = ("--source", SOURCE, "--task", "CPA", "--predictions", "p.csv", "--format", "json")
    done = aegir("eval", "data", *flags)
    assert done.code == 0, done.err
    found = predictions(folder / "p.csv")
    assert [(p["table"], int(p["column_index"])) for p in found] == [(t, i) for t, i, _ in lines]
    assert {p["predicted"] for p in found} <= set(load_vocabulary("sotab_cpa").names)
    assert found[0]["predicted"] == "email"
    assert json.loads(done.out)["columns"] == 6
