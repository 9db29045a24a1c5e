"""The whole way from tables to the files of a swarm, a step or two a stage, by the command and resumed."""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import torch

from aegir_dspy import Swarm, read_tables
from aegir_dspy.annotator.bundle import load_bundle, load_member
from aegir_dspy.cli.main import main
from aegir_dspy.errors import InputError
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.rwkv import Geometry
from aegir_dspy.training import examples, finish, swarm
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import load_corpus
from aegir_dspy.training.finish import DOMAINS
from aegir_dspy.training.swarm import SwarmTraining, in_domain, train_swarm

STEPS = 2
STAGES = ("forward", "backward", "teacher", "primary", "turned", "comparing", "finished", *DOMAINS)
DEV = ("12min.com", "1dorama.club")  # dev hosts, one of each half
GEOMETRY = replace(Geometry.small(2, 32), ngram_buckets=65_536, ngram_width=64)  # as the command has it
CONFIG = SwarmTraining(GEOMETRY, max_steps=STEPS)
LABELS = {"Book/name": "name", "Person/name": "author", "email": "author mail", "Date": "datePublished"}
COLUMNS = ("name", "author", "mail", "published")


def cells(rng: random.Random) -> list[list[str]]:
    """Rows of a book, its author, the author's address and a day."""
    return [
        [
            f"The {rng.choice(['Book', 'Tale', 'Life'])} of {rng.randrange(999)}",
            f"{rng.choice(['Ann', 'Bob', 'Cem'])} {rng.choice(['Berg', 'Stein'])}",
            f"{rng.randrange(10**6)}@example.org",
            f"20{rng.randrange(10, 25)}-0{rng.randrange(1, 10)}-11",
        ]
        for _ in range(5)
    ]


def write_parquet(path: Path, columns: str, rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


def write_data(folder: Path, hosts: dict[str, list[str | None]]) -> Path:
    """Labelled tables: by source the host of each one, None for a table without a name that says it."""
    rng, lines = random.Random(0), []
    for source, named in hosts.items():
        task = "CPA" if "cpa" in source else "CTA"
        rows = []
        for number, host in enumerate(named):
            name = f"Book_{host}_September2020_{task}" if host else f"{source}{number}"
            rows.append((source, "train", name, list(COLUMNS), cells(rng), "{}"))
            for index, (label, relation) in enumerate(LABELS.items()):
                lines.append([name, index, label if task == "CTA" else relation, source, task, "0"])
        write_parquet(
            folder / f"tables/{source}.parquet",
            'source VARCHAR, split VARCHAR, "table" VARCHAR, "columns" VARCHAR[], "rows" VARCHAR[][], '
            "context VARCHAR",
            rows,
        )
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["table", "column_index", "label", "source", "task", "subject_column_index"])
        writer.writerows(lines)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(
        tmp_path / "data",
        {
            "sotabv2_cta": [*DEV, *(f"shop{n}.example" for n in range(6))],
            "sotabv2_cta_val82": [None, None],
            "sotabv2_cpa": [f"more{n}.example" for n in range(4)],
        },
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = random.Random(1)
    rows = [(f"source{n % 3}", f"t{n}", "CC0", list(COLUMNS), cells(rng)) for n in range(12)]
    write_parquet(
        tmp_path / "corpus/shard.parquet",
        'source VARCHAR, path VARCHAR, licence VARCHAR, "columns" VARCHAR[], "rows" VARCHAR[][]',
        rows,
    )
    return tmp_path / "corpus"


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """The command lets denormal numbers be zero in the whole process: what runs after it shall not notice."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some generated tables instead of thousands: they take a minute to make."""
    generated, relational = examples.generated_examples, examples.relational_examples
    matches = swarm.match_examples
    monkeypatch.setattr(swarm, "match_examples", lambda count, seed: matches(8, seed))
    monkeypatch.setattr(examples, "generated_examples", lambda count, seed: generated(8, seed))
    monkeypatch.setattr(examples, "relational_examples", lambda count, seed: relational(8, seed))
    monkeypatch.setattr(finish, "generated_examples", lambda count, seed: generated(4, seed))


class Stopped(Exception):
    """What ends a run in the middle."""


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_a_swarm_is_trained_continued_and_used(
    data: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, out = tmp_path / "run", tmp_path / "swarm" / "columns.safetensors"
    steps: list[dict[str, float]] = []

    def until_the_primary(numbers: dict[str, float]) -> None:
        steps.append(numbers)
        if len(steps) > 3 * STEPS:
            raise Stopped

    with pytest.raises(Stopped):
        train_swarm(data, list(load_corpus(corpus)), run, out, CONFIG, until_the_primary)
    assert not out.exists()
    done = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert [path.parent.name for path in done] == ["teacher"]

    arguments = ["train", "swarm", data, "--corpus", corpus, "--run", run, "--out", out, "--layers", 2]
    arguments += ["--width", 32, "--max-steps", STEPS]
    monkeypatch.setattr(sys, "argv", ["aegir", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    lines = (run / "swarm.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == STEPS * (len(STAGES) - 3)  # what was done before is not done again
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())
    assert {path.name for path in run.iterdir() if path.is_dir()} == set(STAGES)

    again = train_swarm(data, list(load_corpus(corpus)), run, out, CONFIG, no_more_steps)
    assert again == report
    check_files(out, report)
    annotate(out, tmp_path)


def no_more_steps(numbers: dict[str, float]) -> None:
    """What a finished run reports its steps to."""
    raise AssertionError(f"expected no training, found step {numbers}")


def check_files(out: Path, report: dict[str, object]) -> None:
    """The primary and its members load and belong together."""
    bundle = load_bundle(out)
    assert bundle.sha256 == report["sha256"]
    assert bundle.model.geometry == GEOMETRY
    assert set(load_vocabulary("schema").names) <= set(bundle.config.labels)
    assert bundle.ngrams is not None
    assert bundle.agreement is not None
    assert {"", "sotab82", "sotab32", "schema"} == set(bundle.config.decisions)
    members = {member.name: member for member in bundle.config.members}
    assert list(members) == ["backward", *DOMAINS]
    assert {name: member.sha256 for name, member in members.items()} == report["members"]
    for member in members.values():
        assert load_member(bundle, member).model.geometry == GEOMETRY
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(
        [out.name, "columns.json", *(member.file for member in members.values())]
    )


def annotate(out: Path, folder: Path) -> None:
    """Use the weights on a file."""
    (folder / "books.csv").write_text("name,mail\nThe Book of 1,a@b.org\nThe Life of 2,c@d.org\n")
    swarm = Swarm(checkpoint=str(out), vocabulary="sotab82", abstain_below=0.0)
    (found,) = swarm(tables=read_tables(folder / "books.csv")).annotations
    assert [column.name for column in found.columns] == ["name", "mail"]
    assert all(column.type in load_vocabulary("sotab82") for column in found.columns)


@pytest.mark.parametrize("named", [[*DEV[:1], "shop.example"], ["shop.example"]])
def test_data_without_dev_hosts_of_both_halves_is_refused_before_training(
    tmp_path: Path, named: list[str | None]
) -> None:
    data = write_data(tmp_path / "data", {"sotabv2_cta": named, "sotabv2_cta_val82": [None]})
    with pytest.raises(InputError, match="both halves of the hosts"):
        train_swarm(data, [], tmp_path / "run", tmp_path / "w.safetensors", CONFIG, no_more_steps)
    assert not (tmp_path / "run").exists()


def test_a_specialist_reads_mostly_of_its_domain() -> None:
    book, hotel, none = (Example((), (), (), "sotab82", theme) for theme in ("Book", "Hotel", ""))
    mixed = in_domain({"one": ([book, hotel, none], 0.4), "two": ([none], 0.6)}, "works")
    assert mixed == {
        "one": ([book, hotel, none], pytest.approx(0.1)),
        "one of works": ([book], pytest.approx(0.3)),
        "two": ([none], 0.6),
    }


def test_stages_are_scaled_together() -> None:
    half = CONFIG.scaled(0.5)
    assert (half.pretrain, half.specialist) == (0.5 * CONFIG.pretrain, 0.5 * CONFIG.specialist)
    assert (half.max_steps, half.geometry) == (CONFIG.max_steps, CONFIG.geometry)
