"""Requests with something wrong about them, for a server that has the routes of `aegir serve`; a seed each.

Most come through an HTTP client; what no client would send (heads that are none, half of a request) goes
straight to a socket.
"""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

__all__ = ["Malformed", "malformed", "tried"]

ROUTES = (
    "/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/states", "/v1/annotate", "/v1/models",
    "/v1/states/x", "/v1/models/x", "/health", "/metrics", "/", "/v1", "/v1/x", "/%00", "/v1/states/%ff%fe",
    "/v1/models/" + "m" * 3000, "/../../etc/passwd", "//v1//models", "/docs/x", "/v1/completions/",
)  # fmt: skip
METHODS = ("POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW")
TYPES = (
    "application/json", "application/json; charset=x", "text/plain", "text/csv", "multipart/form-data", "",
    "application/x-www-form-urlencoded", "application/octet-stream", "a" * 3000, "application/json, text/csv",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {"Content-Encoding": "gzip"}, {"Accept": "image/png"}, {"X-Long": "x" * 6000}, {"Authorization": "Bea"},
    {"Expect": "nothing"}, {"Range": "bytes=9-1"}, {"Cookie": "a" * 4000}, {"Accept-Encoding": "br;q=7"},
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 10**40, -(10**30), 2**63, "", "\ud800", "x", [], {}, [[]], [None], [-1], [256],
    ["\ud800"], [10**20], [1.5], {"a": 1}, float("nan"), float("inf"), {"type": "json_schema"}, "(", "[",
    "a{1,999999}", "(?=a)", "\x00", [{"role": "tool", "content": "x"}], [{"role": "user", "content": [{}]}],
    [{"rows": [{}]}], [{"columns": {}}], [{"columns": {"a": [[1]]}}], [{"csv": ""}], [{"csv": "\x00"}],
    [{"csv": "a", "rows": []}], {"include_usage": "x"}, [{"name": "", "csv": "a\n1"}],
    *({"type": "json_schema", "json_schema": {"schema": schema}}
      for schema in ({"type": "no"}, {"$ref": "#/x"}, {"$ref": "#"}, {"enum": []}, 7, {"pattern": "("})),
)  # fmt: skip
WRONG = (-1, "\ud800", [1], {"a": 1}, "", 1e99)  # of fields that every request of a route must get right
NAMES = (
    "model", "prompt", "messages", "input", "tables", "max_tokens", "max_completion_tokens", "temperature",
    "top_p", "n", "seed", "stop", "logprobs", "top_logprobs", "response_format", "guided_regex",
    "guided_choice", "state", "stream", "stream_options", "tools", "logit_bias", "encoding_format",
    "dimensions", "return_token_ids",
)  # fmt: skip


@dataclass(frozen=True)
class Malformed:
    """One request; `raw` are the bytes for a socket, where it is none a client could send."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


def malformed(seed: int, count: int, model: str, body_bytes: int) -> Iterator[Malformed]:
    """So many of them; a few turn out to be right, none asks for much. `body_bytes`: the server's limit."""
    chance = random.Random(seed)
    for number in range(count):
        if number % 500 == 499:
            yield Malformed("POST", "/v1/completions", b"x" * (body_bytes + 1))
        elif number % 10 == 9:
            yield Malformed("", "", b"", raw=_raw(chance))
        elif number % 3 == 0:
            yield Malformed(
                chance.choice(METHODS), chance.choice(ROUTES), _bytes(chance, model), _head(chance)
            )
        else:
            yield Malformed("POST", chance.choice(ROUTES[:5]), _fields(chance, model),
                            {"Content-Type": "application/json"})  # fmt: skip


def tried(address: str, requests: Iterator[Malformed], headers: dict[str, str]) -> Counter[int]:
    """Send them one after the other; how often each status came, 0 for a connection that was closed."""
    found: Counter[int] = Counter()
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        for one in requests:
            if one.raw is not None:
                found[_through_socket(address, one.raw)] += 1
                continue
            answer = client.request(one.method, one.path, content=one.body, headers=one.headers)
            found[answer.status_code] += 1
            if answer.status_code >= 500:
                raise AssertionError(f"{one.method} {one.path} {one.body[:300]!r}: {answer.text[:300]}")
    return found


def _request(model: str) -> dict[str, Any]:
    """Right for every route."""
    chat = [{"role": "user", "content": "x"}]
    return {"model": model, "prompt": "x", "messages": chat, "input": "x", "max_tokens": 2,
            "tables": [{"csv": "a\n1"}]}  # fmt: skip


def _fields(chance: random.Random, model: str) -> bytes:
    """Fields of wrong types and sizes."""
    asked = _request(model)
    for _ in range(chance.randrange(1, 5)):
        asked[chance.choice(NAMES)] = chance.choice(ODD)
    asked[chance.choice(["model", "max_tokens", "temperature", "n"])] = chance.choice(WRONG)
    return json.dumps(asked).encode()


def _bytes(chance: random.Random, model: str) -> bytes:
    """What is no JSON object, or hardly one."""
    text = json.dumps(_request(model))
    deep = chance.randrange(100, 20_000)
    found = (
        b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * deep, b'{"a":' * deep,
        b'{"prompt":' + b"[" * deep + b"]" * deep + b"}", text.encode("utf-16"), text.encode() * 2,
        text[: chance.randrange(len(text))].encode(), b'{"n":' + b"9" * chance.randrange(1, 9000) + b"}",
        chance.randbytes(chance.randrange(1, 400)), text.replace('"x"', '"\\ud800"').encode(),
        text.replace(":", " ").encode(), b"\x00" * 50, b"--x\r\nContent-Disposition: form-data\r\n\r\n",
    )  # fmt: skip
    return chance.choice(found)


def _head(chance: random.Random) -> dict[str, str]:
    extra = chance.choice(HEADERS) if chance.random() < 0.4 else {}
    return {"Content-Type": chance.choice(TYPES), **extra}


def _raw(chance: random.Random) -> bytes:
    """What is no HTTP, or not all of it."""
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n"
    found = (
        b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", head,
        head + b"Content-Length: 9\r\n\r\n{", head + b"Content-Length: -1\r\n\r\n",
        head + b"Content-Length: 99999999999999999999\r\n\r\n", head + b"Content-Length: 1\r\n" * 2 + b"\r\n",
        chunked + b"\r\nzz\r\n", chunked + b"\r\n5\r\nab", chunked + b"Content-Length: 3\r\n\r\n0\r\n\r\n",
        head + b"No colon\r\n\r\n", head + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        head + b"\xff\xfe: \x00\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /v1/completions HTTP/1.0\r\n\r\n", chance.randbytes(200),
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    )  # fmt: skip
    return chance.choice(found)


def _through_socket(address: str, data: bytes) -> int:
    """The status of what comes back, 0 for none: the connection is left as it is after a moment."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as connection:
        connection.settimeout(0.02)
        try:
            connection.sendall(data)
            answer = connection.recv(4096)
        except OSError:
            return 0
    status = answer.split(b" ", 2)[1:2]
    return int(status[0]) if status and status[0].isdigit() else 0
