"""The trace of a run: what it says, that it is unbroken, goes on after a crash, holds nothing personal."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from aegir_dspy.errors import FailureRecord, InputError, PrerequisiteError
from aegir_dspy.orchestrator.agent import Job, TaskError, Work
from aegir_dspy.orchestrator.artifacts import FolderArtifacts
from aegir_dspy.orchestrator.decision import Decision, Decompose, GiveUp, Retry
from aegir_dspy.orchestrator.execution import Event, Execution, Run
from aegir_dspy.orchestrator.outcome import Outcome
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.spans import SpanWriter, spans_wanted
from aegir_dspy.orchestrator.task import Task, TaskGraph
from aegir_dspy.orchestrator.trace import FILE, TraceWriter, read_trace
from aegir_dspy.orchestrator.traced_run import TracedRun, differences


class Toy:
    """Does what the kind of a task says, or fails at it."""

    skills, slots = frozenset({"read", "flaky", "halves", "never"}), 4

    def __init__(self, name: str = "toy", salt: str = "") -> None:
        self.name, self.salt = name, salt

    async def perform(self, job: Job) -> Work:
        task = job.task
        await asyncio.sleep(task.inputs.get("seconds", 0))
        if task.kind == "never" or (task.kind == "flaky" and task.attempt == 1):
            raise TaskError("parse", "expected JSON of ann@example.org", "card 4111 1111 1111 1111", cost=0.5)
        if task.kind == "halves" and task.attempt == 1 and ":" not in task.id:
            raise TaskError("context_overflow", "too long")
        return Work({"id": task.id, "salt": self.salt, "given": sorted(job.inputs)}, tokens=7, cost=0.25)


class Replanner:
    steps = 0

    async def decide(self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Any]) -> Decision:
        if failures[-1].failure_class == "context_overflow":
            parts = tuple(Task(f"{task.id}:{i}", "halves") for i in range(2))
            return Decompose(parts, task.again())
        return Retry(task.again()) if task.kind == "flaky" else GiveUp("of no use for bo@example.org")


GRAPH = TaskGraph(
    [
        Task("read:a", "read", {"seconds": 0.02}),
        Task("read:b", "read"),
        Task("flaky:a", "flaky", needs=("read:a",)),
        Task("halves", "halves", needs=("read:b",)),
        Task("last", "read", needs=("flaky:a", "halves")),
        Task("never", "never"),
    ]
)


def run(folder: Path, *observers: Any, salt: str = "") -> Run:
    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    artifacts = FolderArtifacts(folder / "artifacts", {})
    execution = Execution(GRAPH, Roster([Toy(salt=salt)]), artifacts, Replanner(), on_event=tell)
    return asyncio.run(execution.run())


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    writer = TraceWriter(tmp_path / FILE)
    run(tmp_path, writer)
    writer.note("scored", R=0.5)
    writer.close()
    return tmp_path / FILE


def test_says_what_happened(traced: Path) -> None:
    trace = read_trace(traced)
    assert [entry["seq"] for entry in trace.entries] == list(range(len(trace.entries)))
    assert (trace.entries[0]["event"], trace.entries[-1]["R"], trace.torn) == ("began", 0.5, False)
    said = TracedRun(trace)
    assert set(said.tasks) == {*GRAPH, "halves:0", "halves:1"}
    assert {t.id: t.status for t in said.tasks.values() if t.status != "done"} == {"never": "failed"}
    flaky = said.tasks["flaky:a"]
    assert (flaky.attempts, flaky.agents, flaky.needs) == (2, ["toy", "toy"], ("read:a",))
    assert flaky.cost == 0.75, "the failed attempt has cost something"
    assert said.tasks["halves:0"].part_of == "halves" and said.tasks["halves:0"].status == "done"
    assert said.critical_path[0] == ("read:a", "flaky:a", "last")
    tree = said.children()
    assert set(tree[""]) == {"read:a", "read:b", "never"}
    assert tree["halves"][:2] == ["halves:0", "halves:1"]
    assert len(list(said.walk())) == len(said.tasks) == len(said.to_json()["tasks"])


def test_inputs_are_told_apart_by_hash(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / FILE)
    for inputs in ({"a": 1}, {"a": 1}, {"a": 2}):
        writer(Event("started", Task("x", "read", inputs), "toy"))
    writer.close()
    first, second, third = (entry["inputs"] for entry in read_trace(tmp_path / FILE).entries[1:])
    assert first == second != third


def test_nothing_personal_is_in_it(traced: Path) -> None:
    text = traced.read_text()
    assert "ann@" not in text and "bo@" not in text and "4111 1111" not in text
    assert "a***@e***.org" in text


@pytest.mark.parametrize("change", ["edit", "remove", "swap", "insert"])
def test_a_broken_chain_is_named(traced: Path, change: str) -> None:
    lines = traced.read_bytes().splitlines(keepends=True)
    if change == "edit":
        lines[3] = lines[3].replace(b'"toy"', b'"tom"')
    elif change == "remove":
        del lines[4]
    elif change == "swap":
        lines[4], lines[5] = lines[5], lines[4]
    else:
        lines.insert(4, lines[4])
    traced.write_bytes(b"".join(lines))
    number = {"insert": 6}.get(change, 5)
    with pytest.raises(InputError, match=rf"expected line {number} of .* to follow"):
        read_trace(traced)


@pytest.mark.parametrize("content", [b"", b"half a line", b"not json\n", b"[]\n", b'{"event": "began"}\n'])
def test_what_is_no_trace_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError):
        read_trace(tmp_path / FILE)
    with pytest.raises(InputError, match="found no"):
        read_trace(tmp_path / "none")


def test_goes_on_after_half_a_line(traced: Path) -> None:
    before = read_trace(traced)
    content = traced.read_bytes()
    traced.write_bytes(content + b'{"seq":99,"prev":"ab')
    assert read_trace(traced).torn
    writer = TraceWriter(traced)
    run(traced.parent, writer)
    writer.close()
    after = read_trace(traced)
    assert after.entries[: len(before.entries)] == before.entries
    assert after.entries[len(before.entries)] | {"time": 0, "prev": ""} == {
        "seq": len(before.entries), "prev": "", "time": 0, "event": "resumed", "torn": True,
    }  # fmt: skip
    assert after.head == writer.head
    ended = [e["task"] for e in after.entries if e["event"] == "ended"]
    assert sorted(ended) == sorted({*GRAPH, "halves:0", "halves:1"}), "what had ended is not told again"


KILLED = """
import sys
from pathlib import Path
from aegir_dspy.orchestrator.execution import Event
from aegir_dspy.orchestrator.task import Task
from aegir_dspy.orchestrator.trace import TraceWriter
writer = TraceWriter(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    writer(Event("started", Task(f"t{number}", "read"), "toy"))
    number += 1
"""


def test_a_killed_process_leaves_an_unbroken_chain(tmp_path: Path) -> None:
    path = tmp_path / FILE
    counts = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(0.05)
        process.kill()
        process.wait()
        process.stdout.close()
        counts.append(len(read_trace(path).entries))
    assert counts[0] > 2 and counts == sorted(set(counts))


def test_a_full_disk_does_not_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TraceWriter(tmp_path / FILE)
    event = Event("started", Task("x", "read"), "toy")
    writer(event)
    write = os.write

    def half(file: int, line: bytes) -> int:
        write(file, line[: len(line) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        writer(event)
        writer(event)
    assert writer.lost == 2
    writer(event)
    writer.close()
    trace = read_trace(tmp_path / FILE)
    assert [entry.get("lost") for entry in trace.entries] == [None, None, 2]
    assert trace.head == writer.head


def test_an_event_is_written_in_50_microseconds(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / FILE)
    task = Task("annotate:orders", "annotate", {"path": "orders.csv"}, ("read:orders",))
    outcome = Outcome("annotate:orders", "primary", "0" * 64, steps=2, tokens=900)
    best = 1.0
    for attempt in range(5):
        events = [
            one
            for i in range(200)
            for one in (
                Event("started", task, "primary"),
                Event("ended", task, "primary", {"outcome": Outcome("a", "b", f"{attempt}/{i}", steps=2)}),
            )
        ]
        gc.collect()
        began = time.thread_time()
        for event in events:
            writer(event)
        best = min(best, (time.thread_time() - began) / len(events))
    writer.close()
    assert outcome.ok and best < 50e-6


def test_differences_are_by_what_tasks_made(tmp_path: Path, traced: Path) -> None:
    said = TracedRun(read_trace(traced))
    assert differences(said, run(tmp_path / "again").outcomes) == []
    found = differences(said, run(tmp_path / "salted", salt="other").outcomes)
    assert {one.task for one in found} == set(GRAPH) - {"never"}
    assert all(one.before != one.after for one in found)
    assert {one.task for one in differences(said, {})} == set(GRAPH) - {"never"}


class Collector:
    """An OTLP endpoint on loopback."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Any]:
        service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        requests = [service.ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [s for r in requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{made.server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_spans_are_sent_to_the_endpoint(tmp_path: Path, collector: Collector) -> None:
    assert spans_wanted()
    writer = SpanWriter("first")
    run(tmp_path, writer)
    writer.close()
    spans = collector.spans()
    by_id = {span.span_id: span for span in spans}
    attempts = [span for span in spans if span.name == "invoke_agent toy"]
    assert len(attempts) == 10  # six tasks, of which two are tried twice, and two parts
    keys: Mapping[str, Any] = {a.key: a.value.string_value for a in attempts[0].attributes}
    assert keys["gen_ai.operation.name"] == "invoke_agent" and keys["gen_ai.agent.name"] == "toy"
    for attempt in attempts:
        task = by_id[attempt.parent_span_id]
        assert task.name.startswith("task ")
        assert by_id[task.parent_span_id].name == "invoke_workflow first"
    failed = [a for a in attempts if any(k.key == "error.type" for k in a.attributes)]
    assert len(failed) == 3
    assert b"ann@" not in b"".join(collector.bodies)


def test_no_spans_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert not spans_wanted()
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(PrerequisiteError, match="otel"):
        SpanWriter("first")


def test_lines_are_json_by_themselves(traced: Path) -> None:
    for line in traced.read_text().splitlines():
        assert {"seq", "prev", "time", "event"} <= json.loads(line).keys()
