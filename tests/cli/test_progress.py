from __future__ import annotations

import io
import sys

import pytest

from aegir_dspy.cli.progress import ColumnProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "quiet", "shown"),
    [(Terminal(), False, True), (Terminal(), True, False), (io.StringIO(), False, False)],
)
def test_a_bar_only_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, quiet: bool, shown: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with ColumnProgress(10, quiet=quiet) as progress:
        progress.advance(3)
        progress.advance(7)
    assert bool(stream.getvalue()) is shown
