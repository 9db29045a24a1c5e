from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from aegir_dspy.errors import InputError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_harness", BENCHMARKS / "_harness.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_harness"] = module
    spec.loader.exec_module(module)
    return module


def test_writes_the_contract(harness: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(bench: object) -> None:
        bench.row(arm="ours", f1=0.83456, tables=3)  # type: ignore[attr-defined]
        bench.row(arm="svm", note=None)  # type: ignore[attr-defined]
        bench.check("over the baseline", 0.06, at_least=0.0, at_most=1)  # type: ignore[attr-defined]

    file = tmp_path / "out.json"
    assert harness.main("types", measure, argv=["--json", str(file)]) == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    assert list(written) == ["name", "machine", "rows", "checks"]
    assert written["name"] == "types"
    assert written["rows"] == [{"arm": "ours", "f1": 0.83456, "tables": 3}, {"arm": "svm", "note": None}]
    assert written["checks"] == [
        {"name": "over the baseline", "value": 0.06, "goal": ">= 0 and <= 1", "ok": True}
    ]
    assert {"cpu", "cores", "python"} <= set(written["machine"])
    printed = capsys.readouterr().out
    assert "0.8346" in printed
    assert "over the baseline" in printed


@pytest.mark.parametrize(
    ("value", "bounds", "code"),
    [
        (0.5, {"at_least": 0.5}, 0),
        (0.4, {"at_least": 0.5}, 1),
        (0.6, {"at_most": 0.5}, 1),
        (float("nan"), {"at_least": 0.0}, 1),
        (float("nan"), {"at_most": 0.0}, 1),
    ],
)
def test_exit_code_says_whether_the_checks_hold(
    harness: ModuleType, tmp_path: Path, value: float, bounds: dict[str, float], code: int
) -> None:
    file = tmp_path / "out.json"
    argv = ["--json", str(file)]
    assert harness.main("x", lambda bench: bench.check("c", value, **bounds), argv=argv) == code
    written = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert written["checks"][0]["ok"] is (code == 0)
    assert written["checks"][0]["value"] == (None if math.isnan(value) else value)


def test_a_failed_check_among_good_ones_fails(harness: ModuleType) -> None:
    def measure(bench: object) -> None:
        for value in (1.0, 0.0, 1.0):
            bench.check("c", value, at_least=0.5)  # type: ignore[attr-defined]

    assert harness.main("x", measure, argv=[]) == 1


def test_a_check_needs_a_bound(harness: ModuleType) -> None:
    with pytest.raises(ValueError, match="at_least or at_most"):
        harness.main("x", lambda bench: bench.check("c", 1.0), argv=[])


def test_options_of_its_own(harness: ModuleType) -> None:
    seen: list[argparse.Namespace] = []
    code = harness.main(
        "x",
        lambda bench: seen.append(bench.options),
        lambda parser: parser.add_argument("--arms", nargs="+"),
        ["--quick", "--seed", "7", "--arms", "a", "b"],
    )
    assert code == 0
    assert (seen[0].quick, seen[0].seed, seen[0].arms, seen[0].json) == (True, 7, ["a", "b"], None)


def test_what_cannot_be_measured_exits_2(harness: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(bench: object) -> None:
        raise InputError("expected data; found none")

    assert harness.main("x", measure, argv=[]) == 2
    assert capsys.readouterr().err == "x: expected data; found none\n"


def test_data_defaults_to_the_folder_beside_the_checkout(harness: ModuleType, tmp_path: Path) -> None:
    seen: list[Path] = []
    harness.main("x", lambda bench: seen.append(bench.options.data), argv=[])
    assert seen[0].resolve() == BENCHMARKS.parents[1] / "shared/data"
    assert harness.main("x", harness.labelled_folder, argv=["--data", str(tmp_path)]) == 2


def test_machine_names_torch_only_where_it_is_in_use(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "H200")
    torch = SimpleNamespace(__version__="2.9.1", get_num_threads=lambda: 2, cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = harness.machine()
    assert (found["torch"], found["threads"], found["gpu"]) == ("2.9.1", 2, "H200")
    monkeypatch.delitem(sys.modules, "torch")
    assert "torch" not in harness.machine()
    assert found["cores"] >= 1
    assert found["cpu"]
