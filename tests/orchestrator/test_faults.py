"""Providers that fail, on real sockets: every task ends, none is done twice, the result is the same."""

from __future__ import annotations

import hashlib
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from aegir_dspy.orchestrator.agent import Job, Work
from aegir_dspy.orchestrator.dspy_agent import DSPyAgent
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.strategies import Rules
from aegir_dspy.orchestrator.task import Task, TaskBudget

FAULTS = ("429", "500", "hang", "malformed", "half")
TLS = ssl.create_default_context()  # unused here, and slow to make
QUICK = RuleReplanner(Rules(first_wait=0.05))


def answer(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


class Provider(ThreadingHTTPServer):
    """Answers a task's id with its hash; of `share` percent of the calls it makes one of the faults."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, share: int, faults: tuple[str, ...] = FAULTS) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.share, self.faults = share, faults
        self.calls: Counter[str] = Counter()
        self.made: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, name: str) -> str:
        """What goes wrong with the next call for a task: the same in every run."""
        with self.lock:
            self.calls[name] += 1
            draw = int(hashlib.sha256(f"{name}/{self.calls[name]}".encode()).hexdigest(), 16)
            fault = self.faults[draw // 100 % len(self.faults)] if draw % 100 < self.share else ""
            self.made[fault] += 1
        return fault

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.strip("/")
        body = f'{{"answer": "{answer(name)}"}}'.encode()
        match self.server.fault(name):
            case "429":
                self.reply(429, b"slow down", {"Retry-After": "0.05"})
            case "500":
                self.reply(500, b"oops: secret prompt of Ann Lee")
            case "hang":
                self.server.closing.wait(20)
                self.close_connection = True
            case "malformed":
                self.reply(200, body[:-3])
            case "half":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%s\r\n" % (5, body[:5]))
                self.close_connection = True
            case _:
                self.reply(200, body)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Callable[..., Provider]]:
    started: list[Provider] = []

    def start(*args: Any) -> Provider:
        started.append(Provider(*args))
        threading.Thread(target=started[-1].serve_forever, args=(0.05,), daemon=True).start()
        return started[-1]

    yield start
    for one in started:
        one.closing.set()
        one.shutdown()
        one.server_close()


class Remote:
    """An agent that asks over HTTP, and counts what it got done."""

    skills = frozenset({"ask"})

    def __init__(self, name: str, url: str, seconds: float = 1.0, slots: int = 16) -> None:
        self.name, self.url, self.slots, self.seconds = name, url, slots, seconds
        self.done: Counter[str] = Counter()

    async def perform(self, job: Job) -> Work:
        async with httpx.AsyncClient(timeout=self.seconds, trust_env=False, verify=TLS) as client:
            got = await client.get(f"{self.url}/{job.task.id}")
        got.raise_for_status()
        said = got.json()["answer"]
        self.done[job.task.id] += 1
        return Work(said + "".join(job.inputs.values())[:8])


def layers(width: int, depth: int, attempts: int = 8) -> list[Task]:
    """Every task needs two of the layer before."""
    budget = TaskBudget(attempts, seconds=20)
    return [
        Task(f"t{d}-{w}", "ask", needs=needs(width, d, w), budget=budget)
        for d in range(depth)
        for w in range(width)
    ]


def needs(width: int, depth: int, place: int) -> tuple[str, ...]:
    above = sorted({place, (place + 1) % width})
    return tuple(f"t{depth - 1}-{w}" for w in above) if depth else ()


def test_a_third_of_the_calls_fail(run: Any, provider: Callable[..., Provider]) -> None:
    tasks = layers(20, 4)
    calm, wild = provider(0), provider(30)
    undisturbed = run(tasks, [Remote("calm", calm.url, 20)])
    agents = [Remote(name, wild.url) for name in ("first", "second")]
    ran = run(tasks, agents, QUICK)
    assert all(one.ok for one in ran.run.outcomes.values()), ran.run.failures
    assert ran.values == undisturbed.values
    assert set((agents[0].done + agents[1].done).values()) == {1}
    assert all(wild.made[fault] for fault in FAULTS)
    recovered = Counter(one.failure_class for one in ran.run.recovered)
    assert recovered.keys() == {"resource", "provider_down", "timeout", "parse"}
    assert recovered.total() >= sum(wild.made[fault] for fault in FAULTS)
    assert "Ann Lee" not in str(ran.run.recovered)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_provider_that_only_fails(run: Any, provider: Callable[..., Provider], fault: str) -> None:
    """Every task ends, as a failure of its class, within its attempts; the other provider's are done."""
    kinds = {"429": "resource", "500": "provider_down", "hang": "timeout"}
    broken = provider(100, (fault,))

    def tasks(attempts: int) -> list[Task]:
        three = [Task(f"t{i}", "ask", budget=TaskBudget(attempts, seconds=20)) for i in range(3)]
        return [*three, Task("after", "ask", needs=("t0",))]

    ran = run(tasks(2), [Remote("broken", broken.url, 0.2)], QUICK)
    assert ran.values == {}
    last = {one.task: one for one in ran.run.failures}
    assert {last[f"t{i}"].failure_class for i in range(3)} == {kinds.get(fault, "parse")}
    assert last["after"].failure_class == "missing_dependency"
    assert all(count == 2 for count in broken.calls.values())
    agents = [Remote("broken", broken.url, 0.2), Remote("sound", provider(0).url, 20)]
    assert len(run(tasks(3), agents, QUICK).values) == 4


SERVER = """
import http.server, hashlib, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.02)
        body = b'{"answer": "%s"}' % hashlib.sha256(self.path.strip("/").encode()).hexdigest()[:12].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    def handle_error(self, *args):
        pass
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
"""


class Process:
    """A provider as a process of its own, which can be killed and started again on the same port."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()


@pytest.fixture
def process() -> Iterator[Process]:
    one = Process()
    yield one
    one.kill()


def test_a_provider_dies_and_comes_back(run: Any, process: Process) -> None:
    tasks = layers(10, 5, attempts=12)
    undisturbed = run(tasks, [Remote("only", process.url, 20)])
    agent = Remote("only", process.url, 20, slots=4)
    again: list[threading.Thread] = []

    def back() -> None:
        time.sleep(0.3)
        process.start()

    perform = agent.perform

    async def dying(job: Job) -> Work:
        if agent.done.total() >= 12 and not again:
            process.kill()
            again.append(threading.Thread(target=back))
            again[0].start()
        return await perform(job)

    agent.perform = dying  # type: ignore[method-assign]
    ran = run(tasks, [agent], QUICK)
    again[0].join()
    assert ran.values == undisturbed.values and not ran.run.failures
    assert set(agent.done.values()) == {1}
    assert {one.failure_class for one in ran.run.recovered} <= {"provider_down", "parse", "timeout"}
    assert ran.run.recovered


def test_a_provider_dies_for_good_and_another_takes_over(run: Any, process: Process, provider: Any) -> None:
    tasks = layers(10, 3)
    process.kill()
    agents = [Remote("dead", process.url), Remote("alive", provider(0).url, 20)]
    ran = run(tasks, agents, QUICK)
    assert len(ran.values) == len(tasks) and not agents[0].done
    assert {one.agent for one in ran.run.recovered} == {"dead"}


def test_nobody_answers_any_more(run: Any, process: Process) -> None:
    process.kill()
    ran = run(layers(5, 2, attempts=3), [Remote("dead", process.url)], QUICK)
    assert ran.values == {} and len(ran.run.outcomes) == 10
    kinds = Counter(one.failure_class for one in ran.run.failures)
    assert kinds == {"provider_down": 15, "missing_dependency": 5}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_given_up_at_once(agent_of: Any, run: Any) -> None:
    def write(job: Job) -> str:
        with Path("/dev/full" if job.task.id == "b" else "/dev/null").open("w") as file:
            file.write(job.task.id)
        return job.task.id

    agent = agent_of("disk", write)
    ran = run([Task("a", "do"), Task("b", "do"), Task("c", "do", needs=("a",))], [agent])
    assert sorted(ran.values) == ["a", "c"]
    (failure,) = ran.run.failures
    assert (failure.failure_class, failure.attempt) == ("resource", 1)
    assert "No space left" in failure.message and "errno=ENOSPC" in failure.evidence
    assert [task.id for task in agent.asked].count("b") == 1


@pytest.mark.slow
def test_a_remote_model_that_fails(
    run: Any, provider: Callable[..., Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OpenAI-compatible endpoint through DSPy and LiteLLM: what they raise has its class."""
    import dspy

    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setattr(Handler, "do_POST", Handler.do_GET, raising=False)
    for fault, kind in (("429", "resource"), ("500", "provider_down")):
        url = provider(100, (fault,)).url
        lm = dspy.LM("openai/x", api_base=url, api_key="none", num_retries=0, cache=False, timeout=5)
        agent = DSPyAgent("remote", ["ask"], "question -> answer", lm=lm)
        task = Task("t", "ask", {"question": "why?"}, budget=TaskBudget(1))
        (failure,) = run([task], [agent], QUICK).run.failures
        assert failure.failure_class == kind, failure
        assert "Ann Lee" not in str(failure)
