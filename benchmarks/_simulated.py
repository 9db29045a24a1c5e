"""Providers of language models that are not there: OpenAI-compatible servers on loopback that misbehave.

What befalls a call (`Fate`) follows from the seed, its last message and how often that came: the same calls
meet the same fates, in whatever order they come. A provider runs in a thread of this process::

    with SimulatedProvider(answer, Behaviour(seconds=0.1, failures={"500": 0.3})) as provider:
        litellm.completion("openai/any", api_base=provider.address, api_key="none", messages=[...])

or, so that it takes no time from what is measured, in a process of its own: `simulated_process`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "FAILURES",
    "Behaviour",
    "Fate",
    "SimulatedProvider",
    "fate_of",
    "first_choice",
    "rng_of",
    "simulated_process",
]

Answer = Callable[[dict[str, Any], random.Random], str]

FAILURES = ("429", "500", "timeout", "malformed", "half")
"""What may befall a call: refused, broken, no answer, an answer that is no JSON, a stream that breaks off."""

_HANG = 600.0  # seconds until a call that is not answered is


@dataclass(frozen=True)
class Behaviour:
    """How a provider answers.

    seconds: latency. slow_share, slow_seconds: share of calls that take longer, and how long.
    failures: share of calls by what befalls them, see `FAILURES`. seed: of the fates.
    """

    seconds: float = 0.0
    slow_share: float = 0.0
    slow_seconds: float = 0.0
    failures: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Fate:
    """What befalls one call. failure: of `FAILURES`, or empty."""

    seconds: float
    failure: str


def rng_of(seed: int, content: str, time: int) -> random.Random:
    """What decides about the `time`-th call whose last message has that content."""
    return random.Random(f"{seed}/{hashlib.sha256(content.encode()).hexdigest()}/{time}")


def fate_of(behaviour: Behaviour, rng: random.Random) -> Fate:
    """Drawn by the shares of a behaviour."""
    slow, drawn = rng.random() < behaviour.slow_share, rng.random()
    for name in FAILURES:
        drawn -= behaviour.failures.get(name, 0.0)
        if drawn < 0:
            break
    else:
        name = ""
    return Fate(behaviour.slow_seconds if slow else behaviour.seconds, name)


def first_choice(request: dict[str, Any], rng: random.Random) -> str:
    """The shortest answer a JSON schema allows: of every choice the first."""
    schema = request.get("response_format", {}).get("json_schema", {}).get("schema", {})
    return json.dumps(_least(schema))


def _least(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [_least(schema["items"])] * schema.get("minItems", 0)
    if schema.get("type") in ("number", "integer"):
        return 1
    if schema.get("type") == "string":
        return "yes"
    return {name: _least(part) for name, part in schema.get("properties", {}).items()}


class SimulatedProvider:
    """A server in a thread, while a context lasts.

    Args:
        answer: the content of an answer to a request, by whatever quality it is to have.
        behaviour: may be replaced while it runs.

    Attributes:
        fates: how often what befell calls; ``""`` for those that were answered.
        requests: all that came, in the order they came.
    """

    def __init__(self, answer: Answer = first_choice, behaviour: Behaviour | None = None) -> None:
        self.answer, self.behaviour = answer, behaviour or Behaviour()
        self.fates: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.port = 0
        self._seen: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """To be given as ``api_base``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> SimulatedProvider:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.revive()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def die(self) -> None:
        """Break all connections and take no more."""
        asyncio.run_coroutine_threadsafe(self._die(), self._loop).result()

    def revive(self) -> None:
        """Take calls again, where it did before."""
        asyncio.run_coroutine_threadsafe(self.listen(), self._loop).result()

    async def listen(self) -> None:
        """Take calls on this loop."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _die(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            with suppress(RuntimeError):
                writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One call; whether the connection is still good."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head.split("\r\n"))}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = json.loads(body or b"{}")
        self.requests.append(request)
        self.keys.append(headers.get("authorization", "").removeprefix("Bearer "))
        rng = self._rng(request)
        fate = fate_of(self.behaviour, rng)
        self.fates[fate.failure] += 1
        await asyncio.sleep(_HANG if fate.failure == "timeout" else fate.seconds)
        whole = True
        for piece in _said(request, fate.failure, self.answer, rng):
            writer.write(piece)
            await writer.drain()
            whole = piece.endswith((b"}", b"\n\n"))
        return whole and fate.failure != "half"

    def _rng(self, request: Mapping[str, Any]) -> random.Random:
        content = str(request["messages"][-1]["content"])
        self._seen[content] += 1
        return rng_of(self.behaviour.seed, content, self._seen[content])


def _said(request: dict[str, Any], failure: str, answer: Answer, rng: random.Random) -> Iterator[bytes]:
    """The bytes of a response."""
    if failure in ("429", "500"):
        status = "429 Too Many Requests" if failure == "429" else "500 Internal Server Error"
        error = {"error": {"message": f"simulated {failure}", "type": "simulated", "code": failure}}
        yield _whole(status, error)
        return
    text = answer(request, rng)
    if failure == "malformed":
        text = text[: len(text) // 2] + " …and so on"
    prompt = sum(len(str(message.get("content", ""))) for message in request.get("messages", ())) // 4
    usage = {"prompt_tokens": prompt, "completion_tokens": len(text) // 4 + 1}
    usage["total_tokens"] = sum(usage.values())
    if request.get("stream"):
        yield from _stream(request, text, usage, half=failure == "half")
        return
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    made = {**_common(request, "chat.completion"), "choices": [choice], "usage": usage}
    response = _whole("200 OK", made)
    yield response[: len(response) // 2] if failure == "half" else response


def _common(request: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "simulated", "object": kind, "created": 0, "model": request.get("model", "")}


def _whole(status: str, content: Mapping[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _stream(
    request: Mapping[str, Any], text: str, usage: Mapping[str, int], *, half: bool
) -> Iterator[bytes]:
    """Server-sent events in chunks; half of them, and no end, where the stream breaks off."""
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    size = max(1, len(text) // 4)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    common = _common(request, "chat.completion.chunk")
    for piece in pieces[: len(pieces) // 2] if half else pieces:
        delta = {"role": "assistant", "content": piece}
        yield _event({**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    if half:
        return
    yield _event({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({**common, "choices": [], "usage": usage})
    yield _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _event(content: Mapping[str, Any]) -> bytes:
    return _chunk(b"data: " + json.dumps(content).encode() + b"\n\n")


def _chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


@contextmanager
def simulated_process(behaviour: Behaviour) -> Iterator[str]:
    """The address of a provider in a process of its own that answers with `first_choice`."""
    command = [sys.executable, __file__, json.dumps(asdict(behaviour))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


async def _forever(behaviour: Behaviour) -> None:
    provider = SimulatedProvider(behaviour=behaviour)
    await provider.listen()
    print(provider.address, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_forever(Behaviour(**json.loads(sys.argv[1]))))
