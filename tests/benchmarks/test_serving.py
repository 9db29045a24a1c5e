"""The benchmark of serving: what it measures, on a tiny model."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("openai", reason="OpenAI's client is not installed")


@pytest.fixture(scope="module")
def serving(import_benchmark: Callable[[str], Any]) -> Any:
    return import_benchmark("serving")


def bench(**options: Any) -> Any:
    given = {"quick": True, "seed": 0, "threads": 1, "minutes": None, "model": None, **options}
    return importlib.import_module("_harness").Bench("serving", argparse.Namespace(**given))


@pytest.fixture
def weights(tmp_path: Path, make_weights: Callable[..., Path]) -> Path:
    return make_weights(tmp_path / "tiny.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_every_part_measures(serving: Any, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = serving.Scale(turns=1, alone=2, each=1, short=5, malformed=60, minutes=0.05, most_growth=1e9)
    monkeypatch.setattr(serving, "QUICK", small)
    made = bench(model=weights)
    serving.measure(made)
    rows = {row["arm"]: row for row in made.rows}
    assert rows["64 at once, whole"]["answers"] == rows["64 at once, streamed"]["answers"] == 64
    assert rows["short completion, idle"]["answers"] == rows["short completion, 64 others"]["answers"] == 5
    assert rows["malformed requests"]["answers"] == 60 and rows["malformed requests"]["status_4xx"] > 30
    for name in ("one at a time, whole", "64 at once, whole", "64 at once, no batching"):
        assert rows[name]["tokens_per_second"] > 0 and rows[name]["processor_ms_a_token"] > 0
    checks = {check["name"]: check for check in made.checks}
    assert len(checks) == 6
    for name in ("malformed requests answered by 5xx", "server alive at the end"):
        assert checks[name]["ok"]


def test_clients_ask_again_until_it_is_over(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = importlib.import_module("_clients")
    asked: list[int] = []

    async def kind(client: Any, number: int) -> int:
        asked.append(number)
        return 2

    done = clients.load("http://127.0.0.1:9", kind, 4, lambda number: number >= 10)
    assert sorted(asked) == list(range(10)) and [tokens for tokens, _ in done] == [2] * 10
    server = argparse.Namespace(address="http://127.0.0.1:9", processor_seconds=1.0)
    run = serving._run(server, kind, 4, 6)
    assert len(run.times) == 6 and run.rate > 0 and run.processor == 0
    made = bench()
    serving._row(made, "arm", [run, run])
    assert made.rows[0]["answers"] == 12 and made.rows[0]["tokens_per_second"] == run.rate
