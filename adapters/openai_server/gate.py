"""What every request passes before it is looked at: the key, and how much it may send."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from aegir_dspy.adapters.openai_server.errors import ApiError
from aegir_dspy.adapters.openai_server.host import Host
from aegir_dspy.adapters.openai_server.metrics import Metrics
from aegir_dspy.adapters.openai_server.origin import is_local

__all__ = ["LEASES", "Gate"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LEASES = "aegir.leases"  # in the scope: what the request has taken of the host's load
_DRAINED = 8  # times the limit of a body that are read and thrown away, so that the refusal arrives


class Gate:
    """ASGI middleware: 401, 403, 413 and 408 before the application hears of a request; counts all of them.

    What a request has taken of the host's load is given back when its answer has been sent, or could not be.
    With `local`, only what names this machine as Host and Origin is let through.
    """

    def __init__(
        self, app: Any, host: Host, metrics: Metrics, api_key: str | None, local: bool = False
    ) -> None:
        self.app, self.host, self.metrics, self.local = app, host, metrics, local
        self._key = None if not api_key else _digest(api_key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(self.host, self.metrics, scope)

        async def counted(message: Message) -> None:
            visit.note(message)
            await send(message)

        try:
            await self._pass(scope, receive, counted)
        except Exception:  # a defect: what is around us answers it with 500
            visit.status = 500
            raise
        finally:
            visit.end()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._locate(scope)
            self._authorize(scope)
            body = await self._body(scope, receive)
        except ApiError as error:
            await _refuse(error, send)
            return
        if body is not None:
            await self.app(scope, _replayed(body, receive), send)

    def _locate(self, scope: Scope) -> None:
        named = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self.local and not is_local(named.get(b"host", ""), named.get(b"origin")):
            found = "expected this machine as Host and Origin: use the address the server printed"
            raise ApiError(403, found, code="host_not_allowed")

    def _authorize(self, scope: Scope) -> None:
        if self._key is None or scope["path"] == "/health":
            return
        given = _header(scope, b"authorization")
        kind, _, key = given.partition(b" ")
        # Digests, so that neither the length of the key nor that of the guess shows in the time.
        if not hmac.compare_digest(_digest(key.strip()), self._key) or kind.lower() != b"bearer":
            headers = {"WWW-Authenticate": "Bearer"}
            raise ApiError(
                401, "expected the API key of this server", code="invalid_api_key", headers=headers
            )

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """All of the body; None when the client has gone."""
        limits = self.host.limits
        declared = _header(scope, b"content-length")
        if declared.isdigit() and len(declared) < 20 and int(declared) > _DRAINED * limits.body_bytes:
            raise _too_large(limits.body_bytes)
        try:
            async with asyncio.timeout(limits.body_seconds):
                return await _received(receive, limits.body_bytes)
        except TimeoutError:
            found = f"expected the whole request within {limits.body_seconds} s"
            raise ApiError(408, found, headers={"Connection": "close"}) from None


class _Visit:
    """One request, from its beginning to its end: what it has taken, how it was answered."""

    def __init__(self, host: Host, metrics: Metrics, scope: Scope) -> None:
        self.host, self.metrics, self.path, self.began = host, metrics, scope["path"], time.monotonic()
        self.leases: list[int] = scope.setdefault(LEASES, [])
        self.status, self.ended = 499, False  # the client went before there was an answer

    def note(self, message: Message) -> None:
        """What is about to be sent; with the last of it the request ends, so that no client sees it open."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.end()

    def end(self) -> None:
        """Give back what was taken, and count the request."""
        if not self.ended:
            self.ended = True
            self.host.load.give_back(sum(self.leases))
            self.metrics.count_request(self.path, self.status, time.monotonic() - self.began)


async def _received(receive: Receive, limit: int) -> bytes | None:
    parts, size, more = list[bytes](), 0, True
    while more and size <= _DRAINED * limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            parts.clear()
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, then what the server says."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"expected at most {limit} bytes", code="request_too_large")


def _header(scope: Scope, name: bytes) -> bytes:
    found: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


async def _refuse(error: ApiError, send: Send) -> None:
    body = json.dumps(error.to_json()).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
