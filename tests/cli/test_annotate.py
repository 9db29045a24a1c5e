from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aegir_dspy.cli import annotate as command

ORDERS = "name,price,mail\nAnn,1.20,a@b.de\nBob,3,c@d.org\nCem,17.5,e@f.net\n"
pytestmark = pytest.mark.usefixtures("weights")


@pytest.fixture
def orders(folder: Path) -> Path:
    (folder / "orders.csv").write_text(ORDERS)
    return folder / "orders.csv"


def one_line(text: str) -> bool:
    return text.startswith("aegir: ") and text.count("\n") == 1 and text.endswith("\n")


def columns(text: str) -> list[Any]:
    return [column for table in json.loads(text)["tables"] for column in table["columns"]]


def test_text_for_people(aegir: Callable[..., Any], orders: Path) -> None:
    done = aegir("annotate", "orders.csv", "--abstain-below", "0")
    assert done.code == 0
    assert done.err == ""
    assert "\x1b" not in done.out
    assert [line.split()[1] for line in done.out.splitlines()[2:5]] == ["name", "price", "mail"]
    assert "1 tables, 3 columns, 0 without a confident type, 0 failures" in done.out


def test_json_is_the_contract(aegir: Callable[..., Any], orders: Path) -> None:
    done = aegir("annotate", "orders.csv", "--format", "json", "--abstain-below", "1")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert list(found) == ["schema", "tables", "elements", "score", "failures", "usage", "identity"]
    assert found["schema"] == "aegir.result/1"
    (table,) = found["tables"]
    assert list(table) == ["name", "source", "columns", "relations"]
    assert (table["name"], table["source"]) == ("orders", "orders.csv")
    assert [c["index"] for c in table["columns"]] == [0, 1, 2]
    for column in table["columns"]:
        assert list(column) == [
            *("index", "name", "type", "iri", "confidence", "abstained", "candidates", "evidence")
        ]
        assert (column["type"], column["iri"], column["abstained"]) == (None, None, True)
        assert [list(c) for c in column["candidates"]] == [["type", "probability"]] * 5
        assert {e["kind"] for e in column["evidence"]} == {"header", "value", "context"}
    assert list(found["score"]) == ["R", "gates", "components", "diagnostics"]
    assert list(found["usage"]) == ["agents", "critical_steps", "serial_steps", "tokens_read", "seconds"]
    assert list(found["identity"]) == ["version", "checkpoints", "vocabulary", "verifier", "run"]
    assert [list(f) for f in found["failures"]] == [
        ["task", "agent", "class", "message", "evidence", "attempt"]
    ] * 3


def test_the_result_does_not_depend_on_the_batch(aegir: Callable[..., Any], orders: Path) -> None:
    (orders.parent / "more.csv").write_text("a,b\n1,x\n2,y\n")
    always = ("annotate", ".", "--format", "json", "--no-store")
    runs = [aegir(*always, "--max-agents", n) for n in ("1", "512")]
    found = [json.loads(run.out) for run in runs]
    for one in found:
        del one["usage"]["seconds"]
    assert found[0] == found[1]


def test_out_is_written_whole_or_not_at_all(
    aegir: Callable[..., Any], orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = orders.parent / "result.json"
    done = aegir("annotate", "orders.csv", "--format", "json", "--out", "result.json")
    assert (done.code, done.out, done.err) == (0, "", "")
    before = out.read_text()
    assert len(columns(before)) == 3
    assert out.stat().st_mode & 0o777 == 0o666 & ~command._umask()

    def broken(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", broken)
    done = aegir("annotate", "orders.csv", "--out", "result.json")
    assert done.code == 2
    assert one_line(done.err)
    assert "No space left on device" in done.err
    assert out.read_text() == before
    assert sorted(p.name for p in orders.parent.iterdir()) == ["orders.csv", "result.json"]


def test_where_to_write_is_checked_first(aegir: Callable[..., Any], orders: Path) -> None:
    for out in ("none/result.json", "."):
        done = aegir("annotate", "nothing-there.csv", "--out", out)
        assert done.code == 2
        assert one_line(done.err)
        assert "to write" in done.err


def test_part_of_the_input_cannot_be_read(aegir: Callable[..., Any], orders: Path) -> None:
    (orders.parent / "broken.parquet").write_bytes(b"no parquet at all")
    done = aegir("annotate", ".", "--format", "json")
    assert done.code == 1
    assert one_line(done.err)
    assert "broken.parquet" in done.err
    found = json.loads(done.out)
    assert [t["name"] for t in found["tables"]] == ["orders"]
    assert found["failures"][0]["task"] == "read:broken.parquet"
    assert "could not be read" in aegir("annotate", ".").out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("binary.csv", bytes(range(256)) * 20),
        ("x.parquet", b"PAR1\x00\x00"),
        ("x.json", b"{"),
    ],
)
def test_nothing_can_be_read(aegir: Callable[..., Any], folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    done = aegir("annotate", name, "--format", "json")
    assert done.code == 2
    assert one_line(done.err)
    assert name in done.err
    found = json.loads(done.out)
    assert (found["tables"], [f["task"] for f in found["failures"]]) == ([], [f"read:{name}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv"], "missing.csv"),
        (["*.parquet"], "expected files that match"),
        (["notes"], "expected table files"),
        (["orders.csv", "--vocabulary", "nothing"], "expected a built-in vocabulary"),
        (["orders.csv", "--vocabulary", "bad.json"], "expected a JSON list"),
        (["orders.csv", "--vocabulary", "notes"], "notes"),
        (["orders.csv", "--checkpoint", "none.safetensors"], "found no file at none.safetensors"),
        (["orders.csv", "--checkpoint", "orders.csv"], "expected an RWKV-7"),
        (["orders.csv", "--device", "tpu"], "device"),
        (["orders.csv", "--device", "cuda:99"], "device"),
        (["orders.csv", "--format", "xml"], "xml"),
        (["orders.csv", "--abstain-below", "2"], "abstain"),
        (["orders.csv", "--max-agents", "0"], "max-agents"),
        (["orders.csv", "--unknown"], "--unknown"),
        ([], "DATA"),
    ],
)
def test_bad_input_is_one_line_and_code_two(
    aegir: Callable[..., Any], orders: Path, arguments: list[str], message: str
) -> None:
    (orders.parent / "notes").mkdir()
    (orders.parent / "notes" / "a.txt").write_text("no table")
    (orders.parent / "bad.json").write_text('{"a": 1}')
    done = aegir("annotate", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert one_line(done.err), done.err
    assert message in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_cuda(aegir: Callable[..., Any], orders: Path) -> None:
    done = aegir("annotate", "orders.csv", "--device", "cuda")
    assert (done.code, done.out) == (2, "")
    assert done.err == "aegir: expected a device of this machine (cpu), found 'cuda'\n"


def test_a_vocabulary_of_ones_own(aegir: Callable[..., Any], orders: Path) -> None:
    (orders.parent / "mine.json").write_text(
        json.dumps([{"label": "shoe size", "iri": "https://example.org/s"}, "colour"])
    )
    (orders.parent / "mine.txt").write_text("shoe size\ncolour\n")
    found = [
        columns(aegir("annotate", "orders.csv", *flags, "--format", "json", "--abstain-below", "0").out)
        for flags in (["--vocabulary", "mine.json"], ["--vocabulary", "mine.txt"])
    ]
    for one in found:
        assert {c["type"] for c in one} <= {"shoe size", "colour"}
        assert all(abs(sum(k["probability"] for k in c["candidates"]) - 1) < 1e-3 for c in one)
    assert [c["candidates"] for c in found[0]] == [c["candidates"] for c in found[1]]
    assert {c["iri"] for c in found[0]} <= {"https://example.org/s", None}


def test_the_flag_before_the_environment_before_the_file(
    aegir: Callable[..., Any], orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vocabulary(*flags: str) -> str:
        done = aegir("annotate", "orders.csv", "--format", "json", *flags)
        return str(json.loads(done.out)["identity"]["vocabulary"]).partition("@")[0]

    assert vocabulary() == "schema"
    (orders.parent / "pyproject.toml").write_text('[tool.aegir.annotate]\nvocabulary = "sotab32"\n')
    assert vocabulary() == "sotab32"
    (orders.parent / "aegir.toml").write_text('[annotate]\nvocabulary = "dbpedia"\nabstain-below = 0.0\n')
    assert vocabulary() == "dbpedia"
    assert "0 without a confident type" in aegir("annotate", "orders.csv").out
    monkeypatch.setenv("AEGIR_ANNOTATE_VOCABULARY", "sotab82")
    assert vocabulary() == "sotab82"
    assert vocabulary("--vocabulary", "schema") == "schema"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[annotat]\nvocabulary = 'x'", "found 'annotat'"),
        ("[annotate]\nvocabulry = 'x'", "found 'vocabulry'"),
        ("annotate = 'schema'", "found 'schema'"),
        ("[annotate]\nmax_agents = 'many'", "max-agents"),
        ("[annotate]\nmax_agents = 0", "max-agents"),
        ("[train.pretrain]\nlayer = 3", "found 'layer'"),
        ("[annotate", "expected TOML"),
        ("[annotate]\nvocabulary = 'nothing'", "expected a built-in vocabulary"),
    ],
)
def test_wrong_settings_are_one_line(
    aegir: Callable[..., Any], orders: Path, text: str, message: str
) -> None:
    (orders.parent / "aegir.toml").write_text(text)
    done = aegir("annotate", "orders.csv")
    assert (done.code, done.out) == (2, "")
    assert one_line(done.err), done.err
    assert message in done.err


@pytest.mark.parametrize("text", ["tool = 3\n", "[tool]\naegir = 0\n", "[project]\nname = 'x'\n"])
def test_a_pyproject_without_our_settings_is_nobodys_business(
    aegir: Callable[..., Any], orders: Path, text: str
) -> None:
    (orders.parent / "pyproject.toml").write_text(text)
    assert aegir("annotate", "orders.csv").code == 0


def test_a_megabyte_in_one_cell(aegir: Callable[..., Any], folder: Path) -> None:
    (folder / "big.csv").write_text(f"id,text\n1,{'x' * 1_000_000}\n2,short\n")
    done = aegir("annotate", "big.csv", "--format", "json")
    assert done.code == 0
    assert [c["name"] for c in columns(done.out)] == ["id", "text"]
    assert len(done.out) < 10_000


def test_names_that_are_no_unicode(aegir: Callable[..., Any], folder: Path) -> None:
    name = b"caf\xe9.csv".decode("utf-8", "surrogateescape")
    (folder / name).write_text(ORDERS)
    done = aegir("annotate", ".", "--format", "json")
    assert done.code == 0
    assert json.loads(done.out)["tables"][0]["name"] == name.removesuffix(".csv")
    assert aegir("annotate", ".").code == 0


@pytest.mark.slow
def test_ten_thousand_columns(aegir: Callable[..., Any], folder: Path) -> None:
    names = ",".join(f"c{i}" for i in range(10_000))
    rows = "\n".join(",".join(str(i * j) for i in range(10_000)) for j in range(1, 4))
    (folder / "wide.csv").write_text(f"{names}\n{rows}\n")
    done = aegir("annotate", "wide.csv", "--format", "json")
    assert done.code == 0
    assert [c["index"] for c in columns(done.out)] == list(range(10_000))


def test_a_second_run_reads_nothing_and_says_the_same(
    aegir: Callable[..., Any], orders: Path, home: Path
) -> None:
    runs = []
    for _ in range(2):
        runs.append(json.loads(aegir("annotate", "orders.csv", "--format", "json").out))
    read = [run["usage"].pop("tokens_read") for run in runs]
    for run in runs:
        del run["usage"]["seconds"]
    assert read[0] > read[1] == 0
    assert runs[0] == runs[1]
    assert list((home / "states").glob("features-*.safetensors"))


def test_no_store_keeps_nothing(
    aegir: Callable[..., Any], orders: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [aegir("annotate", "orders.csv", "--format", "json", "--no-store") for _ in range(2)]
    read = [json.loads(run.out)["usage"]["tokens_read"] for run in runs]
    assert read[0] == read[1] > 0
    monkeypatch.setenv("AEGIR_ANNOTATE_STORE", "false")
    assert aegir("annotate", "orders.csv").code == 0
    assert not (home / "states").exists()


def test_a_home_that_cannot_be_written_is_no_reason_to_stop(
    aegir: Callable[..., Any], orders: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "states").write_text("a file")
    done = aegir("annotate", "orders.csv", "--format", "json")
    assert done.code == 0
    assert len(columns(done.out)) == 3
    assert one_line(done.err)
    assert "nothing is kept" in done.err
