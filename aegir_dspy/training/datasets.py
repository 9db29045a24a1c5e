"""Labelled and unlabelled tables for training and evaluation, read from parquet by duckdb.

The labelled layout is a folder with ``tables/<source>.parquet`` (source, split, table, columns, rows,
context), ``labels.csv`` (one line a labelled column, joined on source and table) and
``label_sets.json`` (the vocabulary per ``"<source>:<task>"``). Needs the core dependencies only.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from aegir_dspy.errors import InputError
from aegir_dspy.tables.table import Column, Table

__all__ = [
    "LabelledColumn",
    "LabelledTable",
    "host_of",
    "load_corpus",
    "load_label_set",
    "load_labelled",
    "theme_of",
]

# Headers a publisher invented because the file had none.
_PLACEHOLDER = re.compile(r"Column \d+")
# SOTAB names a table Domain_host_Crawl_TASK, for example Book_12min.com_September2020_CTA.
_SOTAB_NAME = re.compile(r"(?P<theme>[^_]+)_(?P<host>.+)_[A-Z][a-z]+\d{4}_C[TP]A")
# What duckdb would take for a pattern; each is matched literally inside brackets.
_GLOB = re.compile(r"[*?\[]")
_LABEL_FIELDS = {"table", "column_index", "label", "source", "task"}
_BATCH = 256  # rows fetched at once: shards need not fit in memory


@dataclass(frozen=True, slots=True)
class LabelledColumn:
    """The gold label of one column.

    Attributes:
        column_index: 0-based position in the table.
        label: the label as ``labels.csv`` writes it.
        labels: every label that applies: ``label`` split on ``|``, except for task SEM, where
            ``class | property`` is one label.
    """

    column_index: int
    label: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelledTable:
    """A table with the labels of one task.

    Attributes:
        table: the table; its labels are not in it.
        labels: the labelled columns, in the order of ``labels.csv``.
        source: the data set, for example ``"sotabv2_cta"``.
        split: the split its publisher put it in, ``"train"`` or ``"val"``.
        host: the web site the table is from, where its name says so, or None.
        subject: the column the relations of task CPA start from, or None.
    """

    table: Table
    labels: tuple[LabelledColumn, ...]
    source: str
    split: str
    host: str | None
    subject: int | None = None


def load_labelled(folder: Path, source: str, task: str = "CTA") -> list[LabelledTable]:
    """Every table of ``source`` that has a label for ``task``, in the order of ``labels.csv``.

    Raises:
        InputError: the folder lacks the layout, or does not know the source or the task, or a label
            points at a table or column that is not there.
    """
    lines = _label_lines(Path(folder), source, task)
    path = Path(folder) / "tables" / f"{source}.parquet"
    rows = _parquet([path], '"table", split, columns, "rows", context')
    records = {name: (split, columns, cells, context) for name, split, columns, cells, context in rows}
    tables = []
    for name, gold in lines.items():
        if name not in records:
            raise InputError(
                f"expected table {name!r} of labels.csv in {path}; found none: fetch the set again"
            )
        split, columns, cells, context = records[name]
        table = _table(name, path, columns, cells, json.loads(context or "{}"))
        labels = tuple(_labelled_column(line, table, task) for line in gold)
        subject = gold[0].get("subject_column_index") or None
        tables.append(
            LabelledTable(table, labels, source, split, host_of(name), int(subject) if subject else None)
        )
    return tables


def load_label_set(folder: Path, source: str, task: str = "CTA") -> list[str]:
    """The labels allowed for ``source`` and ``task``, in the order of ``label_sets.json``.

    Raises:
        InputError: the folder lacks the file, or the file has no such set.
    """
    path = Path(folder) / "label_sets.json"
    try:
        sets: dict[str, list[str]] = json.loads(_need(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"expected a JSON object of label sets in {path}; found: {error}") from error
    if f"{source}:{task}" not in sets:
        raise InputError(f"expected one of {', '.join(sorted(sets))} from {path}; found {source}:{task}")
    return list(sets[f"{source}:{task}"])


def load_corpus(folder: Path) -> Iterator[Table]:
    """The unlabelled tables of every ``*.parquet`` in ``folder``, shard by shard in name order.

    Each shard has the columns source, path, licence, columns and rows; ``Table.source`` is the source
    (tables of one source are alike: split by it) and ``Table.name`` the path.

    Raises:
        InputError: the folder holds no parquet file, or one without these columns.
    """
    shards = sorted(Path(folder).glob("*.parquet"))
    if not shards:
        raise InputError(f"expected parquet shards in {folder}; found none: name the folder of the corpus")
    for source, path, columns, rows in _parquet(shards, 'source, path, columns, "rows"'):
        yield Table(path, source, _columns(columns, rows))


def host_of(name: str) -> str | None:
    """The web site in a SOTAB table name, or None: ``Book_12min.com_September2020_CTA`` → ``12min.com``."""
    match = _SOTAB_NAME.fullmatch(name)
    return match["host"].lower() if match else None


def theme_of(name: str) -> str | None:
    """What the rows of a SOTAB table are, by its name: ``Book_12min.com_September2020_CTA`` → ``Book``."""
    match = _SOTAB_NAME.fullmatch(name)
    return match["theme"] if match else None


def _label_lines(folder: Path, source: str, task: str) -> dict[str, list[dict[str, str]]]:
    """The lines of ``labels.csv`` for a source and task, by table, in file order."""
    _need(folder / "tables")
    path = _need(folder / "labels.csv")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := sorted(_LABEL_FIELDS - set(reader.fieldnames or ())):
            raise InputError(
                f"expected the columns {', '.join(missing)} in {path}; found a file without them"
            )
        lines = list(reader)
    known = sorted({line["source"] for line in lines})
    if source not in known:
        raise InputError(f"expected a source of {path}, one of {', '.join(known)}; found {source!r}")
    tasks = sorted({line["task"] for line in lines if line["source"] == source})
    if task not in tasks:
        raise InputError(f"expected a task of source {source}, one of {', '.join(tasks)}; found {task!r}")
    by_table: dict[str, list[dict[str, str]]] = {}
    for line in lines:
        if (line["source"], line["task"]) == (source, task):
            by_table.setdefault(line["table"], []).append(line)
    return by_table


def _table(
    name: str,
    path: Path,
    columns: Sequence[str | None],
    rows: Sequence[Sequence[str | None]],
    context: dict[str, Any],
) -> Table:
    # Only the titles are the table's own text; other fields of the context come from its annotators.
    titles = [context.get("page_title"), context.get("section_title")]
    return Table(
        name,
        str(path),
        _columns(columns, rows),
        row_count=context.get("rows_in_source"),
        comment=" / ".join(title for title in titles if title) or None,
    )


def _labelled_column(line: dict[str, str], table: Table, task: str) -> LabelledColumn:
    text, label = line["column_index"], line["label"]
    if not text.isdecimal() or int(text) >= len(table.columns):
        raise InputError(
            f"expected a column index below {len(table.columns)} for table {table.name!r} in labels.csv; "
            f"found {text!r}: labels.csv and the tables are not of one release"
        )
    labels = [label] if task == "SEM" else label.split("|")
    return LabelledColumn(int(text), label, tuple(part.strip() for part in labels))


def _columns(names: Sequence[str | None], rows: Sequence[Sequence[str | None]]) -> tuple[Column, ...]:
    return tuple(
        Column(
            index=index,
            name=None if not name or _PLACEHOLDER.fullmatch(name) else name,
            values=tuple((row[index] or "") if index < len(row) else "" for row in rows),
        )
        for index, name in enumerate(names)
    )


def _parquet(paths: Sequence[Path], select: str) -> Iterator[tuple[Any, ...]]:
    """The selected columns of parquet files, row by row in file order, without any network access."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "threads": 1,
    }
    with duckdb.connect(config=config) as connection:
        connection.execute("SET enable_progress_bar = false")  # it would go to stdout, in a notebook too
        for path in map(_need, paths):
            literal = _GLOB.sub(r"[\g<0>]", str(path))
            try:
                found = connection.execute(f"SELECT {select} FROM read_parquet(?)", [literal])
                while batch := found.fetchmany(_BATCH):
                    yield from batch
            except duckdb.Error as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"expected parquet with {select} in {path}; found: {reason}") from error


def _need(path: Path) -> Path:
    if not path.exists():
        raise InputError(
            f"expected {path}; found none: name a folder with tables/, labels.csv, label_sets.json"
        )
    return path
