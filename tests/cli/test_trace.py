"""``aegir trace``: the tree, the critical path and the replay of a kept run, and what a changed one says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.execution import Event
from aegir_dspy.orchestrator.outcome import Outcome
from aegir_dspy.orchestrator.task import Task
from aegir_dspy.orchestrator.trace import FILE, TraceWriter

Aegir = Callable[..., Any]


def toy(folder: Path, siblings: int = 2) -> Path:
    """A trace of some reads, of which one is tried twice, and what is made of them."""
    writer = TraceWriter(folder / FILE)
    names = [f"read:{i}" for i in range(siblings)]
    for i, name in enumerate(names):
        task = Task(name, "read")
        writer(Event("started", task, "tables"))
        if i == 0:
            failure = FailureRecord(name, "tables", "timeout", "expected it to end\x1b[31m, found it running")
            writer(Event("failed", task, "tables", {"failure": failure, "cost": 0.0}))
            writer(Event("started", task.again(), "other"))
        outcome = Outcome(name, "tables", f"key{i}", seconds=1.0 + i, attempts=1 + (i == 0), cost=0.5)
        writer(Event("ended", task, "tables", {"outcome": outcome}))
    last = Task("verify", "verify", needs=tuple(names))
    writer(Event("started", last, "verifier"))
    failure = FailureRecord("verify", "verifier", "gate:slots", "the gate refuses")
    writer(
        Event(
            "ended",
            last,
            "verifier",
            {"outcome": Outcome("verify", "verifier", None, (failure,), seconds=0.5)},
        )
    )
    writer.close()
    return folder


def test_shows_the_tree_and_the_critical_path(aegir: Aegir, tmp_path: Path) -> None:
    done = aegir("trace", toy(tmp_path))
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert (
        lines[0]
        == "  read:0  1.00 s  tables, other  2 attempts  timeout  expected it to end [31m, found it running"
    )
    assert lines[1] == "* read:1  2.00 s  tables"
    assert lines[2] == "*   verify  0.50 s  verifier  failed  gate:slots  the gate refuses"
    assert "3 tasks: 2 done, 1 failed, 0 open; 2 attempts failed" in done.out and "cost 1" in done.out
    assert lines[-1] == "critical path 2.50 s over 2 tasks"


def test_json_has_all(aegir: Aegir, tmp_path: Path) -> None:
    done = aegir("trace", toy(tmp_path), "--format", "json")
    said = json.loads(done.out)
    assert (said["schema"], said["torn"], len(said["head"])) == ("aegir.trace/1", False, 64)
    assert said["critical_path"] == {"tasks": ["read:1", "verify"], "seconds": 2.5}
    assert [(task["id"], task["depth"], task["status"]) for task in said["tasks"]] == [
        ("read:0", 0, "done"), ("read:1", 0, "done"), ("verify", 1, "failed"),
    ]  # fmt: skip
    assert "differences" not in said


def test_many_of_a_kind_are_counted(aegir: Aegir, tmp_path: Path) -> None:
    out = aegir("trace", toy(tmp_path, siblings=40)).out
    assert out.count("read:") == 12 and "… 28 more tasks" in out
    assert "* read:39" in out, "the critical path is shown"


def test_a_changed_trace_is_refused(aegir: Aegir, tmp_path: Path) -> None:
    path = toy(tmp_path) / FILE
    path.write_text(path.read_text().replace("timeout", "success"))
    done = aegir("trace", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "expected line 4" in done.err and done.err.count("\n") == 1
    assert aegir("trace", tmp_path / "none").code == 2


@pytest.fixture
def kept(aegir: Aegir, folder: Path, weights: Path) -> Path:
    """A run over two files."""
    (folder / "data").mkdir()
    for name in ("orders", "people"):
        rows = "".join(f"{i},user{i}@example.org,2024-01-{i:02}\n" for i in range(1, 9))
        (folder / "data" / f"{name}.csv").write_text(f"id,email,since\n{rows}")
    assert aegir("annotate", "data", "--run", "runs/first", "-q").code == 0
    return folder / "runs" / "first"


def test_a_kept_run_is_traced_and_replayed(aegir: Aegir, kept: Path) -> None:
    done = aegir("trace", kept)
    assert done.code == 0 and "annotate:" in done.out and "verify" in done.out
    assert "user1@" not in (kept / FILE).read_text()
    done = aegir("trace", kept, "--replay")
    assert (done.code, done.err) == (0, ""), done.out
    assert done.out.endswith("replay: the same\n")


def test_a_replay_says_what_differs(aegir: Aegir, kept: Path) -> None:
    trace = TraceWriter(kept / FILE)
    task = Task("elements", "elements")
    trace(Event("ended", task, "elements", {"outcome": Outcome("elements", "elements", "0" * 64)}))
    trace.close()
    done = aegir("trace", kept, "--replay", "--format", "json")
    assert done.code == 1
    [found] = json.loads(done.out)["differences"]
    assert found["task"] == "elements" and found["before"] == "0" * 64 != found["after"]
    assert "replay: 1 tasks made something else" in aegir("trace", kept, "--replay").out


def test_a_replay_of_changed_data_is_refused(aegir: Aegir, kept: Path) -> None:
    (kept.parents[1] / "data" / "orders.csv").write_text("id\n1\n")
    done = aegir("trace", kept, "--replay")
    assert done.code == 2 and "orders.csv" in done.err


def test_providers_in_the_settings_are_no_command(aegir: Aegir, folder: Path) -> None:
    (folder / "aegir.toml").write_text('[providers.a]\nmodel = "openai/a"\n[annotate]\nquiet = true\n')
    assert aegir("trace", toy(folder)).code == 0
    (folder / "aegir.toml").write_text("[provider]\nquiet = true\n")
    done = aegir("trace", folder)
    assert done.code == 2 and "'provider'" in done.err


@pytest.fixture
def consultants(folder: Path, import_benchmark: Callable[[str], Any]) -> Iterator[Any]:
    """Two simulated models, one that always says email, one that is down."""
    simulated = import_benchmark("_simulated")

    def answer(request: dict[str, Any], rng: object) -> str:
        schema = request["response_format"]["json_schema"]["schema"]
        return json.dumps({name: {"type": "email", "confidence": 0.9} for name in schema["required"]})

    broken = simulated.Behaviour(failures={"500": 1.0})
    with simulated.SimulatedProvider(answer) as good, simulated.SimulatedProvider(answer, broken) as bad:
        sections = (
            f'[providers.{name}]\nmodel = "openai/x"\napi_base = "{server.address}"\n'
            "price_in = 1e-6\nprice_out = 2e-6\n"
            for name, server in (("good", good), ("bad", bad))
        )
        (folder / "aegir.toml").write_text("".join(sections))
        yield good


def test_unsure_columns_are_shown_to_providers(
    aegir: Aegir, kept: Path, consultants: Any, home: Path
) -> None:
    dry = aegir("annotate", "data", "--dry-run", "--format", "json")
    assert (dry.code, dry.err, consultants.requests) == (0, "", [])
    estimate = json.loads(dry.out)
    assert estimate["cost"] > 0 and {share["provider"] for share in estimate["shares"]} == {"good", "bad"}
    assert "if every column stayed unsure" in aegir("annotate", "data", "--dry-run").out

    done = aegir("annotate", "data", "--run", "runs/asked", "--format", "json", "--abstain-below", "0.8")
    assert done.code == 0 and "are shown to good, bad" in done.err
    said = json.loads(done.out)
    emails = [table["columns"][1] for table in said["tables"]]
    assert [column["type"] for column in emails] == ["email", "email"]
    assert all("good says email" in str(column["evidence"]) for column in emails)
    assert said["usage"]["cost"] > 0
    sent = str([request["messages"] for request in consultants.requests])
    assert sent and "user1@" not in sent
    assert json.loads((home / "providers.json").read_text())

    asked = len(consultants.requests)
    replay = aegir("trace", "runs/asked", "--replay")
    assert (replay.code, len(consultants.requests)) == (0, asked), replay.out
    assert "consult:" in replay.out and "good" in replay.out


def test_nothing_may_be_spent(aegir: Aegir, kept: Path, consultants: Any) -> None:
    done = aegir("annotate", "data", "--format", "json", "--abstain-below", "0.8", "--max-cost", "0")
    assert done.code == 0 and consultants.requests == [], "the result is that of the local swarm"
    said = json.loads(done.out)
    assert len(said["tables"]) == 2 and "cost" not in said["usage"]


def test_without_providers_nothing_costs_anything(aegir: Aegir, kept: Path) -> None:
    assert "no providers are named" in aegir("annotate", "data", "--dry-run").out
