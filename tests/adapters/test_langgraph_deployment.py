"""`langgraph dev` serves the example: a real server on loopback, offline, killed in the middle of a run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import aegir_dspy

EXAMPLE = Path(__file__).parents[2] / "examples" / "langgraph_deployment"
OFF = dict.fromkeys(("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"), "false")
QUIET = {**OFF, "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true"}
FILES = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        find_spec("langgraph_cli") is None or find_spec("langgraph_api") is None,
        reason="needs langgraph-cli[inmem]",
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="kills a group of processes"),
]


class Server:
    """`langgraph dev` in a folder, started and killed at will."""

    def __init__(self, folder: Path, weights: Path) -> None:
        shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
        self.folder, self.log = folder, folder / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            **QUIET,
            "PYTHONPATH": str(Path(aegir_dspy.__file__).parents[1]),
            "AEGIR_HOME": str(folder / "home"),
            "AEGIR_DATA": str(folder / "data"),
            "AEGIR_CHECKPOINT": str(weights),
            "OMP_NUM_THREADS": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--allow-blocking", "--port", str(self.port)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(600):
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                with urllib.request.urlopen(f"{self.url}/ok", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-3000:])

    def kill(self) -> None:
        """kill -9, it and what it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def artifacts(self) -> int:
        return len(list((self.folder / "home" / "runs").rglob("artifacts/*.json")))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "data").mkdir()
    for i in range(FILES):
        rows = [f"{i * j},{chr(97 + j % 26) * 3}@example.org,202{j % 10}-01-02" for j in range(20)]
        (folder / "data" / f"t{i:02}.csv").write_text("\n".join(["amount,mail,day", *rows]) + "\n")
    found = Server(folder, bundle_path)
    found.start()
    yield found
    found.kill()


def stream(server: Server, given: dict[str, Any]) -> list[tuple[str, Any]]:
    """The events of ``/runs/stream``, as any HTTP client sees them."""
    body = {"assistant_id": "aegir", "input": given, "stream_mode": ["custom", "values"]}
    request = urllib.request.Request(
        f"{server.url}/runs/stream", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    found, name = [], ""
    with urllib.request.urlopen(request, timeout=300) as response:
        for line in response.read().decode().splitlines():
            kind, _, text = line.partition(": ")
            name = text if kind == "event" else name
            if kind == "data":
                found.append((name, json.loads(text)))
    return found


def test_runs_are_streamed(server: Server) -> None:
    events = stream(server, {"data": [str(server.folder / "data" / "t01.csv")]})
    told = [said for name, said in events if name == "custom"]
    assert told[-1]["ended"] == told[-1]["tasks"] == 6
    last = [said for name, said in events if name == "values"][-1]
    assert [column["name"] for column in last["summary"]["tables"][0]["columns"]] == ["amount", "mail", "day"]
    assert "@example.org" not in json.dumps(events)


def test_data_outside_is_refused(server: Server) -> None:
    last = stream(server, {"messages": [{"role": "user", "content": "look at /etc/passwd"}]})[-1][1]
    assert "not among what may be read" in last["failures"][0]["message"]


def test_a_remote_graph(server: Server) -> None:
    from langgraph.pregel.remote import RemoteGraph

    given = {"data": [str(server.folder / "data" / "t02.csv")]}
    result = asyncio.run(RemoteGraph("aegir", url=server.url).ainvoke(given))
    assert result["summary"]["tables"][0]["name"] == "t02"


def test_a_run_goes_on_after_the_server_was_killed(server: Server) -> None:
    whole = stream(server, {"data": [str(server.folder / "data")]})[-1][1]["summary"]
    thread, before = str(uuid.uuid4()), server.artifacts()

    async def run(given: dict[str, Any] | None, *, wait: bool) -> Any:
        from langgraph_sdk import get_client

        client = get_client(url=server.url)
        await client.threads.create(thread_id=thread, if_exists="do_nothing")
        if wait:
            return await client.runs.wait(thread, "aegir", input=given)
        return await client.runs.create(thread, "aegir", input=given)

    asyncio.run(run({"data": [str(server.folder / "data")]}, wait=False))
    while server.artifacts() < before + FILES // 2:
        time.sleep(0.005)
    server.kill()
    kept = server.artifacts() - before
    assert kept < 2 * FILES + 5
    server.start()
    summary = asyncio.run(run(None, wait=True))["summary"]
    for one in (summary, whole):
        one["usage"].pop("seconds"), one["usage"].pop("tokens_read")  # what is in the store is not read again
    assert summary == whole
