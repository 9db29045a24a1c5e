"""A server process that is sent what is wrong in every way: no 5xx, no crash, no leak."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
import httpx

MOST_MIB = 48  # that memory may grow: what is loaded when it is first used, and what the allocator keeps


@pytest.fixture(scope="module")
def server(
    import_benchmark: Callable[[str], Any],
    tmp_path_factory: pytest.TempPathFactory,
    make_weights: Callable[..., Path],
) -> Iterator[Any]:
    weights = make_weights(tmp_path_factory.mktemp("malformed") / "tiny.safetensors")
    if not Path("/proc/self/status").exists():
        pytest.skip("memory of another process is read from /proc")
    with import_benchmark("_server").started("--model", str(weights), "--max-body-mib", "1") as found:
        yield found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_malformed_request_is_a_defect(
    import_benchmark: Callable[[str], Any], server: Any, count: int
) -> None:
    wrong = import_benchmark("_malformed")
    wrong.tried(server.address, wrong.malformed(1, 200, "tiny", 1 << 20), {})
    before = server.mib
    found = wrong.tried(server.address, wrong.malformed(0, count, "tiny", 1 << 20), {})
    assert found.total() == count and max(found) < 500, found
    assert sum(n for status, n in found.items() if 400 <= status < 500) > 0.7 * count, found
    assert server.alive and server.metric("aegir_answers_open") == 0
    assert server.mib - before < MOST_MIB


def test_malformed_requests_repeat_and_differ(import_benchmark: Callable[[str], Any]) -> None:
    make = import_benchmark("_malformed").malformed
    first, second = list(make(0, 600, "m", 10)), list(make(0, 600, "m", 10))
    assert first == second != list(make(1, 600, "m", 10))
    assert len({(one.method, one.path, one.body, one.raw) for one in first}) > 500
    assert sum(one.raw is not None for one in first) == 59


def test_connections_that_say_nothing_harm_nobody(server: Any) -> None:
    where, begun = urlsplit(server.address), b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX-"
    with ExitStack() as stack:
        for number in range(200):
            connection = socket.create_connection((where.hostname or "", where.port or 0), timeout=10)
            stack.enter_context(connection)
            connection.sendall(begun if number % 2 else b"")
        asked = {"model": "tiny", "prompt": "x", "max_tokens": 2, "temperature": 0}
        answer = httpx.post(f"{server.address}/v1/completions", json=asked, timeout=60)
        assert answer.status_code == 200
    assert server.alive
