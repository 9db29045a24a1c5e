"""What happens to a run whose process, disk or checkpoint fails: it goes on, or says why not."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aegir_dspy.adapters.langgraph_app.drive import drive
from aegir_dspy.adapters.langgraph_app.folder import RunFolder
from aegir_dspy.errors import InputError, RunError
from aegir_dspy.orchestrator import artifacts as kept

SCRIPT = Path(__file__).with_name("langgraph_toy.py")
WINDOW = 5  # tasks that may end just before a kill without being kept


def _toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("langgraph_toy", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy = _toy()


def start(folder: Path, tasks: int, seconds: float = 0.02) -> subprocess.Popen[bytes]:
    """A process of its own that begins the run, or goes on with it."""
    command = [sys.executable, str(SCRIPT), str(folder), str(tasks), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    return out.decode()


def log(folder: Path) -> list[str]:
    path = folder / "ran.log"
    return path.read_text().splitlines() if path.exists() else []


def kill(process: subprocess.Popen[bytes], folder: Path, lines: int) -> None:
    """kill -9 as soon as the log has so many lines, or when the process has ended."""
    while len(log(folder)) < lines and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def here(folder: Path, tasks: int = 60, notes: list[str] | None = None) -> dict[str, Any]:
    """The run in this process."""
    folder.mkdir(exist_ok=True)
    application = toy.Toy(toy.Log(folder / "ran.log"), 0.0)
    notes = [] if notes is None else notes
    found = asyncio.run(drive(application, RunFolder(folder), [str(tasks)], on_damage=notes.append))
    document: dict[str, Any] = application.document(found.plan, found.run, found.artifacts, {})
    return document


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    return {n: here(tmp_path_factory.mktemp("whole"), n) for n in (60, 300)}


def result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def test_every_task_ends(undisturbed: dict[int, dict[str, Any]]) -> None:
    outcomes = undisturbed[300]["outcomes"]
    assert len(outcomes) == 300
    failed = {one["task"]: one["failures"][-1]["class"] for one in outcomes if not one["artifact"]}
    assert failed == {"t7": "resource", "t37": "missing_dependency"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_ten_random_points(tmp_path: Path, undisturbed: dict[int, dict[str, Any]]) -> None:
    repeated = []
    for point in sorted(random.Random(6).sample(range(20, 700), 10)):
        before = log(tmp_path)
        kill(start(tmp_path, 300, 0.3), tmp_path, point)
        repeated.append(twice(before, log(tmp_path)))
    before = log(tmp_path)
    end(start(tmp_path, 300))
    repeated.append(twice(before, log(tmp_path)))
    assert result(tmp_path) == undisturbed[300]
    assert sorted(repeated)[5] <= WINDOW and sum(repeated) <= WINDOW * 10, repeated


def twice(before: list[str], after: list[str]) -> int:
    """How many tasks that had ended before were done again."""
    done = {line for line in before if line.startswith("done")}
    return sum(line in done for line in after[len(before) :])


def test_killed_while_planning(tmp_path: Path, undisturbed: dict[int, dict[str, Any]]) -> None:
    kill(start(tmp_path, 60), tmp_path, 1)
    assert log(tmp_path)[0] == "planning"
    assert here(tmp_path) == undisturbed[60]


def test_a_planner_that_crashes_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[int, dict[str, Any]]
) -> None:
    plan, crashes = toy.Toy.plan, iter((RuntimeError("bad luck"), OSError(errno.EIO, "worse luck")))

    def crash(self: Any, data: Any) -> Any:
        if error := next(crashes, None):
            raise error
        return plan(self, data)

    monkeypatch.setattr(toy.Toy, "plan", crash)
    assert here(tmp_path) == undisturbed[60]


def test_a_planner_that_always_crashes_can_be_asked_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[int, dict[str, Any]]
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(toy.Toy, "plan", lambda *_: 1 // 0)
        with pytest.raises(InputError, match="division"):
            here(tmp_path)
    assert here(tmp_path) == undisturbed[60]


def test_a_finished_run_does_no_work(tmp_path: Path, undisturbed: dict[int, dict[str, Any]]) -> None:
    assert here(tmp_path) == undisturbed[60]
    lines = log(tmp_path)
    assert here(tmp_path) == undisturbed[60]
    assert log(tmp_path) == lines


def test_a_full_disk_stops_the_run_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[int, dict[str, Any]]
) -> None:
    write, left = kept._write, iter(range(30))

    def full(path: Path, content: bytes) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(kept, "_write", full)
    with pytest.raises(RunError, match="No space left on device"):
        here(tmp_path)
    monkeypatch.setattr(kept, "_write", write)
    before = len(log(tmp_path))
    assert here(tmp_path) == undisturbed[60]
    done = sum(line.startswith("done") for line in log(tmp_path)[before:])
    assert done <= len(undisturbed[60]["values"]) + 3 * 6 - 29 + WINDOW  # six tasks have three parts each


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_a_checkpoint_that_cannot_grow_stops_the_run(
    tmp_path: Path, undisturbed: dict[int, dict[str, Any]]
) -> None:
    import resource

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))

    command = [sys.executable, str(SCRIPT), str(tmp_path), "60", "0.01"]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("aegir_dspy.errors.RunError: expected to write")
    assert "free some space" in done.stderr
    assert here(tmp_path) == undisturbed[60]


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 tasks that was killed in the middle."""
    folder = tmp_path_factory.mktemp("half")
    kill(start(folder, 60, 0.1), folder, 110)
    with sqlite3.connect(folder / "checkpoint.sqlite") as connection:  # all of it into one file
        assert connection.execute("SELECT count(*) FROM writes").fetchone()[0] > 20
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder


def test_a_checkpoint_cut_short_begins_the_run_anew(
    half: Path, tmp_path: Path, undisturbed: dict[int, dict[str, Any]]
) -> None:
    for size in (0, 10, 5000, 20_000):
        folder, notes = tmp_path / str(size), list[str]()
        shutil.copytree(half, folder)
        os.truncate(folder / "checkpoint.sqlite", size)
        assert here(folder, notes=notes) == undisturbed[60]
        # An empty file is an empty database: there is nothing in it that could be damaged.
        assert len(notes) == (size > 0)
        assert (folder / "damaged-1.sqlite").exists() == (size > 0)


def test_flipped_bytes_never_make_a_wrong_result(
    half: Path, tmp_path: Path, undisturbed: dict[int, dict[str, Any]]
) -> None:
    chance, found = random.Random(6), Counter[bool]()
    for i in range(12):
        folder, notes = tmp_path / str(i), list[str]()
        shutil.copytree(half, folder)
        content = bytearray((folder / "checkpoint.sqlite").read_bytes())
        for position in chance.sample(range(len(content)), 3 * i):
            content[position] ^= 1 << chance.randrange(8)
        (folder / "checkpoint.sqlite").write_bytes(content)
        assert here(folder, notes=notes) == undisturbed[60]
        found[bool(notes)] += 1
    assert found[True] and found[False]


def test_damaged_artifacts_are_made_again(
    half: Path, tmp_path: Path, undisturbed: dict[int, dict[str, Any]]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    paths = sorted((folder / "artifacts").iterdir())
    for path in paths[::3]:
        path.write_text('"nonsense"')
    for path in paths[1::3]:
        path.unlink()
    assert here(folder) == undisturbed[60]


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.locked(), pytest.raises(InputError, match="another process"), folder.locked():
        pass
