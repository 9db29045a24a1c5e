"""Runs that are kept: begun, killed, gone on with, finished."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aegir_dspy

pytestmark = pytest.mark.usefixtures("weights")

JSON = ("--format", "json")


@pytest.fixture
def data(folder: Path) -> Path:
    """Twelve files with a few columns each, and one that cannot be read."""
    chance = random.Random(6)
    (folder / "data").mkdir()
    for i in range(12):
        names = [f"c{j}" for j in range(1 + i % 4)]
        rows = [
            ",".join(str(chance.randrange(10**j, 10 ** (j + 3))) for j in range(len(names))) for _ in range(9)
        ]
        (folder / "data" / f"t{i:02}.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    (folder / "data" / "broken.parquet").write_bytes(b"no parquet at all")
    return folder / "data"


def document(text: str) -> Any:
    """A result without what differs from run to run."""
    found = json.loads(text)
    assert found["usage"].pop("seconds") >= 0
    return found


def killed(folder: Path, *arguments: str, artifacts: int) -> int:
    """The command in a process of its own, killed when so many artifacts are there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aegir_dspy", "annotate", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(aegir_dspy.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kept = folder / "artifacts"
    while process.poll() is None and (not kept.exists() or len(list(kept.glob("*.json"))) < artifacts):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def test_a_kept_run_says_what_one_that_is_not_kept_says(aegir: Callable[..., Any], data: Path) -> None:
    plain, kept = aegir("annotate", "data", *JSON), aegir("annotate", "data", *JSON, "--run", "runs/a")
    assert (kept.code, kept.err) == (plain.code, plain.err) == (1, plain.err)
    found, expected = document(kept.out), document(plain.out)
    for one in (found, expected):  # files that cannot be read come first where all are read first
        one["failures"].sort(key=str)
    assert found == expected
    assert Path("runs/a/result.json").read_text() == kept.out
    names = {path.name for path in Path("runs/a").iterdir()}
    assert names >= {"run.json", "checkpoint.sqlite", "trace.jsonl", "artifacts"}


def test_a_finished_run_is_told_again_without_work(
    aegir: Callable[..., Any], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aegir_dspy.orchestrator.swarm_orchestrator import SwarmOrchestrator

    first = aegir("annotate", "data", *JSON, "--run", "a")
    monkeypatch.setattr(SwarmOrchestrator, "run", None)
    assert aegir("annotate", "--resume", "a", *JSON) == first
    assert aegir("annotate", "data", "--resume", "a", *JSON) == first
    for form in ("text", "turtle", "composition"):
        assert aegir("annotate", "--resume", "a", "--format", form).out == (
            aegir("annotate", "--resume", "a", "--format", form).out
        )


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(aegir: Callable[..., Any], data: Path) -> None:
    whole = aegir("annotate", "data", *JSON, "--run", "whole")
    run, everything = Path("run"), len(list(Path("whole/artifacts").iterdir()))
    for begin, point in ((("data", "--run"), 3), (("--resume",), everything // 2)):
        assert killed(run, *begin, "run", artifacts=point) == -signal.SIGKILL
        assert point <= len(list((run / "artifacts").iterdir())) < everything
    done = aegir("annotate", "--resume", "run", *JSON)
    assert (done.code, done.err) == (whole.code, whole.err)
    assert document(done.out) == document(whole.out)


def test_a_folder_is_taken_once(aegir: Callable[..., Any], data: Path) -> None:
    assert aegir("annotate", "data", *JSON, "--run", "a").code == 1
    again = aegir("annotate", "data", *JSON, "--run", "a")
    assert again.code == 2 and "go on with --resume" in again.err
    other = aegir("annotate", "data", *JSON, "--run", "data")
    assert other.code == 2 and "name another one" in other.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume", "nothing"), "expected a run in nothing, found none"),
        (("--resume", "a", "--run", "b"), "found both"),
        (("data/t01.csv", "--resume", "a"), "expected DATA as the run began, data, found data/t01.csv"),
        (("--resume", "a", "--vocabulary", "dbpedia"), "expected --vocabulary as the run began, schema"),
        (("--resume", "a", "--abstain-below", "0.5"), "expected --abstain-below as the run began, None"),
        (("--resume", "a", "--deep"), "expected --deep as the run began, False, found True"),
        ((), "Missing argument 'DATA…'"),
    ],
)
def test_another_run_is_not_gone_on_with(
    aegir: Callable[..., Any], data: Path, arguments: tuple[str, ...], message: str
) -> None:
    begun = aegir("annotate", "data", *JSON, "--run", "a")
    assert begun.code == 1
    done = aegir("annotate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_data_that_changed_is_another_run(
    aegir: Callable[..., Any], data: Path, make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    aegir("annotate", "data", *JSON, "--run", "a")
    (data / "t01.csv").write_text("c0\n1\n")
    assert "expected the content of data/t01.csv as it was" in aegir("annotate", "--resume", "a").err
    aegir("annotate", "data", *JSON, "--run", "b")
    (data / "new.csv").write_text("c0\n1\n")
    assert "expected the content of data/new.csv as it was" in aegir("annotate", "--resume", "b").err
    aegir("annotate", "data", *JSON, "--run", "c")
    make_bundle(Path(os.environ["AEGIR_ANNOTATE_CHECKPOINT"]), 1)
    try:
        assert "expected the same checkpoints as it was" in aegir("annotate", "--resume", "c").err
    finally:
        make_bundle(Path(os.environ["AEGIR_ANNOTATE_CHECKPOINT"]), 0)


def test_a_run_is_resumed_where_it_began(
    aegir: Callable[..., Any], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aegir("annotate", "data", *JSON, "--run", "a")
    monkeypatch.chdir(data)
    assert "where the run began" in aegir("annotate", "--resume", "../a").err


def test_a_damaged_run(aegir: Callable[..., Any], data: Path) -> None:
    first = aegir("annotate", "data", *JSON, "--run", "a")
    os.truncate("a/checkpoint.sqlite", 6000)
    again = aegir("annotate", "--resume", "a", *JSON)
    assert document(again.out) == document(first.out)
    assert "the run begins anew" in again.err and Path("a/damaged-1.sqlite").exists()
    Path("a/run.json").write_text("{")
    assert aegir("annotate", "--resume", "a").code == 2
    shutil.rmtree("a")


def test_data_that_is_not_there(aegir: Callable[..., Any], data: Path) -> None:
    done = aegir("annotate", "missing.csv", "--run", "a")
    assert (done.code, done.out) == (2, "")
    assert "missing.csv" in done.err and not Path("a").exists()
