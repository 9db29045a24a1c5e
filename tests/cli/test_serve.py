"""`aegir serve` as it is started and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
import httpx

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(*options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "aegir_dspy", "serve", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **environment})


@pytest.fixture
def weights(tmp_path: Path, make_weights: Callable[..., Path]) -> str:
    return str(make_weights(tmp_path / "tiny.safetensors"))


def test_it_starts_answers_and_finishes_what_is_open(weights: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = start("--model", weights, "--port", str(port), "--no-annotate", AEGIR_API_KEY="k")
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer k"}, timeout=60
        ) as client:
            deadline = time.monotonic() + 120
            while True:
                try:
                    assert client.get("/health").status_code == 200
                    break
                except httpx.ConnectError:
                    assert server.poll() is None and time.monotonic() < deadline
                    time.sleep(0.1)
            assert client.get("/v1/models").json()["data"][0]["id"] == "tiny"
            assert httpx.get(f"{client.base_url}/v1/models", timeout=60).status_code == 401
            refused = client.post("/v1/annotate", json={"tables": [{"csv": "a\n1\n"}]})
            assert refused.status_code == 404 and "--annotate" in refused.json()["error"]["message"]
            asked = {"model": "tiny", "prompt": "x", "max_tokens": 300, "temperature": 0, "stream": True}
            with client.stream("POST", "/v1/completions", json=asked) as stream:
                lines = stream.iter_lines()
                assert next(lines).startswith("data: {")
                server.send_signal(signal.SIGTERM)
                assert [line for line in lines if line][-1] == "data: [DONE]"
        assert server.wait(120) == 0
    finally:
        server.kill()
        server.communicate()


def test_another_address_needs_a_key(weights: str) -> None:
    server = start("--model", weights, "--host", "0.0.0.0", "--no-annotate", AEGIR_API_KEY="")
    said = server.communicate(timeout=120)[1]
    assert server.returncode == 2
    assert "expected an API key" in said
