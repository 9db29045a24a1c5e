from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def replanning(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_replanning").replanning


@pytest.mark.slow
def test_rules_do_what_retrying_cannot_and_no_worse_what_it_can(replanning: Any) -> None:
    found = replanning(1, True)
    assert found["rules"] >= 0.98 and found["retry_only"] <= 0.9
    share = {(row["arm"], row["kind"]): row["accepted"] for row in found["rows"]}
    assert share["rules", "plain"] >= share["retry only", "plain"] > 0.98  # transient failures: both
    assert share["retry only, twice", "too long"] == 0  # more attempts do not help
    assert replanning(1, True) == found
