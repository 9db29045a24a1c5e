from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from aegir_dspy.cli.main import main


class Done(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for caches of this test's own, outside its working folder."""
    found = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("AEGIR_HOME", str(found))
    return found


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def aegir(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the command in this process."""

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["aegir", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "a defect" not in err
        return Done(int(end.value.code or 0), out, err)

    return run


@pytest.fixture
def weights(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny annotator as the checkpoint of every command."""
    for command in ("ANNOTATE", "EVAL"):
        monkeypatch.setenv(f"AEGIR_{command}_CHECKPOINT", str(bundle_path))
    return bundle_path
