"""The application: routes, and every refusal in OpenAI's form."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from torch import Tensor

from aegir_dspy._version import __version__
from aegir_dspy.adapters.openai_server.answers import Answers
from aegir_dspy.adapters.openai_server.decode import finished, pieces
from aegir_dspy.adapters.openai_server.document import ANNOTATED, STREAMED, DocumentedApp
from aegir_dspy.adapters.openai_server.embedding import embedded, packed
from aegir_dspy.adapters.openai_server.errors import ApiError, refusal, refusal_of_fields
from aegir_dspy.adapters.openai_server.gate import LEASES, Gate
from aegir_dspy.adapters.openai_server.host import Host
from aegir_dspy.adapters.openai_server.metrics import Metrics
from aegir_dspy.adapters.openai_server.plan import plan, tokens_of
from aegir_dspy.adapters.openai_server.replies import (
    AnnotateReply,
    ChatReply,
    CompletionReply,
    EmbeddingReply,
    HealthReply,
    ModelList,
    ModelReply,
    Refusal,
    StateDeleted,
    StateList,
    StateReply,
)
from aegir_dspy.adapters.openai_server.tables import csv_table, tables_of
from aegir_dspy.adapters.openai_server.wire import (
    AnnotateRequest,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    StateRequest,
)
from aegir_dspy.errors import AegirError
from aegir_dspy.rwkv import Generation, State
from aegir_dspy.tables import TableSet

__all__ = ["application"]

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_TEXTS = ("text/csv", "text/tab-separated-values")


def application(host: Host, api_key: str | None, local: bool) -> FastAPI:
    """See `create_app`."""
    refused: dict[int | str, Any] = {"4XX": {"model": Refusal, "description": "Refused"}}
    app, server = DocumentedApp(title="aegir", version=__version__, responses=refused), _Server(host)
    for method, path, serve, reply, more in server.routes():
        told: dict[int | str, Any] = {200: {"model": reply} if reply else {}}
        app.add_api_route(path, serve, methods=[method], response_model=None, responses=told, **more)
    app.add_exception_handler(RequestValidationError, _on_fields)
    app.add_exception_handler(HTTPException, _on_http)
    for kind in (ApiError, AegirError, Exception):
        app.add_exception_handler(kind, _on_error)
    app.add_middleware(Gate, host=host, metrics=server.metrics, api_key=api_key, local=local)
    return app


class _Server:
    """What the routes do."""

    def __init__(self, host: Host) -> None:
        self.host, self.metrics = host, Metrics()

    def routes(self) -> Iterator[tuple[str, str, Callable[..., Any], type[BaseModel] | None, dict[str, Any]]]:
        """Method, path, what answers, what the answer is, and what else the document says."""
        yield "GET", "/health", self.health, HealthReply, {}
        yield "GET", "/metrics", self.show_metrics, None, {"response_class": PlainTextResponse}
        yield "GET", "/v1/models", self.models, ModelList, {}
        yield "GET", "/v1/models/{name:path}", self.model, ModelReply, {}
        yield "POST", "/v1/completions", self.completions, CompletionReply, STREAMED
        yield "POST", "/v1/chat/completions", self.chat, ChatReply, STREAMED
        yield "POST", "/v1/embeddings", self.embeddings, EmbeddingReply, {}
        yield "GET", "/v1/states", self.states, StateList, {}
        yield "POST", "/v1/states", self.read_state, StateReply, {}
        yield "GET", "/v1/states/{handle}", self.state, StateReply, {}
        yield "DELETE", "/v1/states/{handle}", self.drop_state, StateDeleted, {}
        yield "POST", "/v1/annotate", self.annotate, AnnotateReply, ANNOTATED

    async def health(self) -> dict[str, str]:
        """Whether the server runs; needs no key."""
        return {"status": "ok", "version": __version__}

    async def show_metrics(self) -> PlainTextResponse:
        """What it has done, for Prometheus."""
        return PlainTextResponse(self.metrics.text(self.host), media_type="text/plain; version=0.0.4")

    async def models(self) -> dict[str, Any]:
        """The models."""
        return {"object": "list", "data": [await self.model(name) for name in self.host.engines]}

    async def model(self, name: str) -> dict[str, Any]:
        """One model."""
        name, engine = self.host.engine(name)
        identity, g = engine.identity, engine.identity.geometry
        told = {"checkpoint": identity.checkpoint, "tokenizer": identity.tokenizer}
        shape = {"layers": g.layers, "width": g.width, "vocab": g.vocab}
        head = {"id": name, "object": "model", "created": self.host.started, "owned_by": "aegir"}
        return {**head, "aegir": {**told, **shape}}

    async def completions(self, body: CompletionRequest, request: Request) -> Response:
        """Continue texts."""
        return await self._answer(body, request)

    async def chat(self, body: ChatRequest, request: Request) -> Response:
        """Answer a chat."""
        return await self._answer(body, request)

    async def read_state(self, body: StateRequest, request: Request) -> dict[str, Any]:
        """Read a text once, to be continued any number of times by naming the handle as `state`."""
        self._take(request, 1)
        return await asyncio.to_thread(self._read, body)

    async def embeddings(self, body: EmbeddingRequest, request: Request) -> Response:
        """Texts as vectors of length 1: the model's output at the last token of each."""
        self._take(request, 1)
        return JSONResponse(await asyncio.to_thread(self._embed, body))

    async def states(self) -> dict[str, Any]:
        """The handles of what is kept."""
        return {"object": "list", "data": [{"id": handle} for handle in self.host.shelf.handles()]}

    async def state(self, handle: str) -> dict[str, Any]:
        """What is kept under a handle."""
        return _state_json(handle, *self.host.shelf.get(handle))

    async def drop_state(self, handle: str) -> dict[str, Any]:
        """Forget a state."""
        self.host.shelf.drop(handle)
        return {"id": handle, "object": "state", "deleted": True}

    async def annotate(self, request: Request) -> dict[str, Any]:
        """What the columns of tables mean: JSON (see the schema) or one table as text/csv."""
        self._take(request, 1)
        kind, data = request.headers.get("content-type", ""), await request.body()
        tables = await asyncio.to_thread(self._tables, kind, data)
        return await asyncio.to_thread(self.host.annotate, tables)

    def _tables(self, kind: str, data: bytes) -> TableSet:
        if kind.partition(";")[0].strip().lower() not in _TEXTS:
            try:
                asked = AnnotateRequest.model_validate_json(data)
            except ValidationError as error:
                raise refusal(error) from None
            return tables_of(asked, self.host.limits.columns)
        found = csv_table("table", data)
        count = sum(len(table.columns) for table in found.tables)
        if not 0 < count <= self.host.limits.columns:
            told = found.failures[0].message if found.failures else f"found {count}"
            raise ApiError(400, f"expected 1 to {self.host.limits.columns} columns: {told}")
        return found

    def _read(self, body: StateRequest) -> dict[str, Any]:
        name, engine = self.host.engine(body.model)
        tokens = tokens_of(engine, body.input, self.host.limits, "input")
        start = engine.zero_state() if body.state is None else self.host.shelf.get(body.state, name)[1]
        [state] = engine.read([tokens], [start])
        self.metrics.count_tokens(len(tokens), 0)
        return _state_json(self.host.shelf.put(name, state), name, state)

    def _embed(self, body: EmbeddingRequest) -> dict[str, Any]:
        name, engine = self.host.engine(body.model)
        width = engine.identity.geometry.width
        if body.dimensions not in (None, width):
            found = f"expected {width} dimensions, found {body.dimensions}"
            raise ApiError(400, found, param="dimensions")
        texts = [tokens_of(engine, text, self.host.limits, "input") for text in body.texts]
        vectors, read = embedded(engine, texts), sum(map(len, texts))
        self.metrics.count_tokens(read, 0)
        packs = packed if body.encoding_format == "base64" else Tensor.tolist
        data = [{"object": "embedding", "index": i, "embedding": packs(v)} for i, v in enumerate(vectors)]
        usage = {"prompt_tokens": read, "total_tokens": read}
        return {"object": "list", "data": data, "model": name, "usage": usage}

    async def _answer(self, body: CompletionRequest | ChatRequest, request: Request) -> Response:
        made = await asyncio.to_thread(plan, body, self.host)
        self._take(request, len(made.jobs))
        answers = Answers(made)
        if body.stream:
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            events = self._events(answers)
            return StreamingResponse(events, media_type="text/event-stream", headers=headers)
        done = await _while_connected(request, finished(made))
        if done is None:
            return Response(status_code=499)
        self._count(answers, done)
        return JSONResponse(answers.whole(done))

    async def _events(self, answers: Answers) -> AsyncIterator[str]:
        """The answers as server-sent events."""
        options = answers.plan.request.stream_options
        done: dict[int, Generation] = {}
        events = answers.events()
        for one in events:
            if opening := one.first():
                yield _event(opening)
        try:
            async for index, item in pieces(answers.plan):
                if isinstance(item, Generation):
                    done[index] = item
                    yield _event(events[index].last(item))
                else:
                    yield _event(events[index].piece(item))
        except Exception as error:  # too late for a status
            _report(error)
            yield _event(refusal(error).to_json())
            return
        finally:
            self._count(answers, list(done.values()))
        if options and options.include_usage:
            yield _event(answers.costs(list(done.values())))
        yield "data: [DONE]\n\n"

    def _count(self, answers: Answers, done: list[Generation]) -> None:
        usage = answers.usage(done)
        self.metrics.count_tokens(usage["prompt_tokens"], usage["completion_tokens"])

    def _take(self, request: Request, count: int) -> None:
        """Take on answers; the gate gives them back when the request is over."""
        request.scope[LEASES].append(self.host.load.take(count))


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; None, and the work given up, when the client goes before."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _state_json(handle: str, model: str, state: State) -> dict[str, Any]:
    return {
        "id": handle,
        "object": "state",
        "created": int(time.time()),
        "model": model,
        "tokens": state.tokens,
    }


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _report(error: Exception) -> None:
    if refusal(error).status >= 500:
        _LOG.error("a request could not be answered", exc_info=error)


def _refused(error: ApiError) -> JSONResponse:
    return JSONResponse(error.to_json(), error.status, error.headers)


async def _on_error(_: Request, error: Exception) -> Response:
    _report(error)
    return _refused(refusal(error))


async def _on_fields(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _refused(refusal_of_fields(error.errors()))


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return _refused(ApiError(error.status_code, str(error.detail), headers=headers))
