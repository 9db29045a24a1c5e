"""The command as people start it: version, help, doctor, and a few real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aegir_dspy import __version__
from aegir_dspy.annotator import bundle as bundles

ROOT = Path(__file__).parents[2]


def process(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`python -m aegir_dspy` as a process of its own."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "aegir_dspy", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
        capture_output=True,
        timeout=200,
        check=False,
    )


def test_version_and_help(aegir: Callable[..., Any]) -> None:
    done = aegir("--version")
    assert (done.code, done.out) == (0, f"aegir-dspy {__version__}\n")
    for arguments in (["--help"], ["annotate", "-h"], ["eval", "--help"], ["doctor", "--help"]):
        done = aegir(*arguments)
        assert (done.code, done.err) == (0, "")
        assert "Usage:" in done.out
    assert "aegir annotate orders.csv" in " ".join(aegir("annotate", "--help").out.split())


def test_usage(aegir: Callable[..., Any]) -> None:
    done = aegir("anotate")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "anotate" in done.err
    done = aegir()
    assert done.code == 2
    assert "annotate" in done.out + done.err


def test_doctor(aegir: Callable[..., Any], bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIR_HOME", "/somewhere")
    tiny = bundles.load_bundle(bundle_path)
    monkeypatch.setattr(bundles, "default_bundle", lambda device="cpu": tiny)
    done = aegir("doctor", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert list(found) == ["aegir", "packages", "extras", "device", "weights", "vocabularies"]
    assert found["aegir"]["version"] == __version__
    assert found["aegir"]["home"] == "/somewhere"
    assert "AEGIR_HOME" in found["aegir"]["settings"]
    assert found["weights"]["sha256"] == tiny.sha256
    assert found["weights"]["geometry"] == "L2 D32 N16, n-gram memory 997×12"
    assert found["vocabularies"]["sotab82"] == "82 types"
    text = aegir("doctor")
    assert text.code == 0
    assert tiny.sha256 in text.out


def test_doctor_finds_missing_weights_and_packages(
    aegir: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aegir_dspy.cli import doctor

    monkeypatch.setattr(bundles, "DEFAULT_FILE", "none.safetensors")
    bundles.default_bundle.cache_clear()
    monkeypatch.setattr(doctor, "_CORE", ("torch", "no-such-package"))
    done = aegir("doctor", "--format", "json")
    bundles.default_bundle.cache_clear()
    assert done.code == 1
    found = json.loads(done.out)
    assert found["packages"]["no-such-package"] == "missing: pip install no-such-package"
    assert "found no file" in found["weights"]["error"]


def test_a_defect_is_one_line_and_no_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aegir_dspy.cli import doctor
    from aegir_dspy.cli.main import main

    def broken() -> None:
        raise ValueError("not\nexpected")

    monkeypatch.setattr(doctor, "_findings", broken)
    monkeypatch.setattr(sys, "argv", ["aegir", "doctor"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "aegir: a defect, please report it: ValueError: not expected (AEGIR_TRACEBACK=1 shows where)\n"
    )
    monkeypatch.setenv("AEGIR_TRACEBACK", "1")
    with pytest.raises(ValueError, match="not"):
        main()


def test_a_process_of_its_own(folder: Path, bundle_path: Path) -> None:
    (folder / "größe.csv").write_text("größe,farbe\n42,rot\n43,grün\n", encoding="utf-8")
    flags = ("--checkpoint", str(bundle_path), "--format", "json")
    done = process(
        *("annotate", "größe.csv", *flags),
        cwd=folder,
        environment={"NO_COLOR": "1", "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    found = json.loads(done.stdout.decode("utf-8"))
    assert [c["name"] for c in found["tables"][0]["columns"]] == ["größe", "farbe"]


def test_an_error_in_a_process_of_its_own(folder: Path) -> None:
    done = process("annotate", "missing.csv", cwd=folder, environment={"AEGIR_ANNOTATE_DEVICE": "nowhere"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"aegir: ")
    assert done.stderr.count(b"\n") == 1


def test_the_reader_of_a_pipe_may_leave(folder: Path, bundle_path: Path) -> None:
    rows = ",".join(f"a very long name of a column {i}" for i in range(400))
    (folder / "wide.csv").write_text(f"{rows}\n{','.join('x' for _ in range(400))}\n")
    command = f'"{sys.executable}" -m aegir_dspy annotate wide.csv --checkpoint "{bundle_path}" | head -c 10'
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert len(done.stdout) == 10
