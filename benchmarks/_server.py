"""A server of its own process on a free port of loopback, and what it costs while it runs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from aegir_dspy.errors import InputError

__all__ = ["Server", "started"]

_PATIENCE = 120  # seconds until it has to answer


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    address: str

    @property
    def alive(self) -> bool:
        """Whether the process is there and answers."""
        try:
            return self.process.poll() is None and httpx.get(f"{self.address}/health").status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def mib(self) -> float:
        """Resident memory that is its own, MiB: pages of files that it maps are not counted."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0]) / 1024

    @property
    def processor_seconds(self) -> float:
        """What it has used of the processors."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """One of its metrics without labels."""
        lines = httpx.get(f"{self.address}/metrics").text.splitlines()
        return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"{name} ")))


@contextmanager
def started(*options: str, threads: int = 1) -> Iterator[Server]:
    """`aegir serve` with these options, until the context ends. Raises InputError when it does not start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "aegir_dspy", "serve", "--port", str(port), "--no-annotate", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AEGIR_")}
    environment |= {"OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + _PATIENCE
        while not server.alive:
            if process.poll() is not None or time.monotonic() > deadline:
                raise InputError(f"expected a server at {server.address}; found none: {' '.join(command)}")
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
