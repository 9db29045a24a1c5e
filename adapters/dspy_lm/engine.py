"""DSPy on the local engine: `lm` makes a `dspy.LM` of a checkpoint.

Two things are kept apart on purpose. The checkpoint's hash is part of the model string, because DSPy's
cache knows nothing else about an engine. And an engine is never copied: DSPy's optimizers deep-copy
programs all the time, weights are shared.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

import dspy
import torch
from dspy.clients.engines.base import validate_request
from dspy.lm15 import (
    InvalidRequestError,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
)

from aegir_dspy.adapters.dspy_lm.answer import Answer, Ask
from aegir_dspy.adapters.dspy_lm.fields import told
from aegir_dspy.errors import AegirError, CheckpointError, InputError, StateError
from aegir_dspy.rwkv import Engine, Generation, State
from aegir_dspy.rwkv.checkpoint import file_sha256

__all__ = ["AegirAsyncEngine", "AegirEngine", "AegirLM", "lm", "weights_file", "weights_type"]

_LOADED: WeakValueDictionary[str, Engine] = WeakValueDictionary()
_LOADING = threading.Lock()  # many threads that ask for the same weights at once load them once
_ROLLOUT_SEEDS = 1 << 20  # seeds of one rollout
_CALL: ContextVar[tuple[int | None, Iterator[int]] | None] = ContextVar("aegir_call", default=None)


def lm(
    path_or_name: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    tokenizer: str | None = None,
    backend: Literal["torch", "rwkv"] = "torch",
    cache: bool = True,
    **kwargs: Any,
) -> dspy.LM:
    """A `dspy.LM` on a local RWKV-7 checkpoint.

    Args:
        path_or_name: a weights file, or the name of embedded weights.
        device: ``"cpu"``, ``"cuda"``, …
        dtype: ``"float32"``, ``"bfloat16"`` or ``"int8"``, see `Engine.load`.
        tokenizer: ``"bytes"`` or ``"world"``; by default what fits the vocabulary.
        backend: ``"torch"`` or ``"rwkv"``, see `Engine.load`.
        cache: whether DSPy caches answers; the checkpoint is part of the key.
        **kwargs: what `dspy.LM` takes, for example ``max_tokens`` and ``temperature``.

    Raises:
        CheckpointError: no such weights, or not RWKV-7.
    """
    path = weights_file(path_or_name)
    source = {"path": str(path), "device": device, "dtype": dtype, "tokenizer": tokenizer, "backend": backend}
    engine = AegirEngine(path.stem, source)
    return AegirLM(engine.model, engine=engine, async_engine=AegirAsyncEngine(engine), cache=cache, **kwargs)


class AegirEngine:
    """DSPy's engine protocol (dspy/clients/engines/base.py) on an `Engine`.

    A saved program keeps the name, the source and the checkpoint's hash, never weights. Requests without
    a seed or rollout at a temperature above 0 get the seeds 0, 1, 2, … when they repeat, so that candidates
    differ and a program still runs the same way twice.

    Args:
        name: what the model is called.
        source: path, device, dtype, tokenizer and backend; the path is None for weights without a file.
        engine: the model of such a source; None to load it.

    Attributes:
        engine: the loaded model, shared by all copies.
        model: ``aegir/<name>@<first 12 digits of the checkpoint's sha256>``, and what else changes results.
    """

    reads_fields = True  # tells `CompactAdapter` that constraints are obeyed
    supports_response_schema = True
    supports_function_calling = False
    supports_reasoning = False
    supported_params = (
        "temperature", "max_tokens", "top_p", "seed", "stop", "response_format", "logprobs", "top_logprobs",
    )  # fmt: skip

    def __init__(self, name: str, source: dict[str, Any], engine: Engine | None = None) -> None:
        self.name, self.source = name, source
        self.engine = engine or _shared_engine(source)
        variant = "".join(
            f"+{source[key]}"
            for key, usual in (("dtype", "float32"), ("backend", "torch"))
            if source[key] != usual
        )
        self.model = f"aegir/{name}@{self.engine.identity.checkpoint[:12]}{variant}"
        self._held: dict[str, tuple[State, int]] = {}
        self._repeats: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, state: State) -> Iterator[str]:
        """Keep a state for requests that name its digest, for as long as the context lasts.

        Several threads may hold the same state. Raises StateError when the state is another model's.
        """
        self.engine.identity.require(state.identity)
        digest = state.digest
        with self._lock:
            self._held[digest] = (state, self._held.get(digest, (state, 0))[1] + 1)
        try:
            yield digest
        finally:
            with self._lock:
                state, count = self._held.pop(digest)
                if count > 1:
                    self._held[digest] = (state, count - 1)

    def complete(self, request: Request) -> Response:
        """Answer one request."""
        with _refusals():
            answer = self.answer(request)
            for ask in answer.asks():
                states = None if ask.state is None else [ask.state]
                answer.take(self.engine.generate([ask.prompt], states=states, config=ask.config)[0])
            return answer.response()

    def stream(self, request: Request) -> Iterator[Any]:
        """The answer as events: start, pieces of text as they become certain, end."""
        yield StreamStartEvent(model=request.model)
        with _refusals():
            answer = self.answer(request)
            for ask in answer.asks():
                for item in self.engine.stream(ask.prompt, state=ask.state, config=ask.config):
                    if piece := _shown(answer, ask, item):
                        yield piece
            yield from _last_events(answer)

    def answer(self, request: Request) -> Answer:
        """The answer to a request, nothing of it decoded yet.

        Raises:
            StateError: the request names a state that is not held.
            InvalidRequestError: not a request for one answer.
        """
        validate_request(request)
        return Answer(request, self.engine, self._start(request), self._seed(request))

    def close(self) -> None:
        """Nothing to close: the weights go when nobody uses them."""

    def dump_state(self) -> dict[str, Any]:
        """What a saved program keeps. Raises CheckpointError when the weights are in no file."""
        if self.source["path"] is None:
            raise CheckpointError(
                f"expected weights in a file, found {self.name} in memory only: save them with "
                "aegir_dspy.rwkv.save_weights and name the file, because programs are saved without weights"
            )
        return {"name": self.name, "checkpoint": self.engine.identity.checkpoint, "source": self.source}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> AegirEngine:
        """Inverse of `dump_state`. Raises CheckpointError when the file is another one by now."""
        engine = cls(state["name"], state["source"])
        found, expected = engine.engine.identity.checkpoint, state["checkpoint"]
        if found != expected:
            raise CheckpointError(
                f"expected checkpoint {expected[:12]} at {state['source']['path']}, found {found[:12]}: "
                "restore the file, or compile the program again"
            )
        return engine

    def __deepcopy__(self, memo: dict[int, Any]) -> AegirEngine:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.dump_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(self.load_state(state).__dict__)

    def _start(self, request: Request) -> State | None:
        """The remembered state a request names, or None."""
        digest = told(request, "latent")
        if digest is None:
            return None
        held = self._held.get(digest)
        if held is None:
            raise StateError(f"expected to hold the state {digest[:12]}, found none: read its source again")
        return held[0]

    def _seed(self, request: Request) -> int:
        config, call = request.config, _CALL.get()
        rollout, candidates = (None, count()) if call is None else call
        if config.seed is not None or rollout is not None or not config.temperature:
            return (config.seed or 0) + _ROLLOUT_SEEDS * (rollout or 0) + next(candidates)
        key = hashlib.sha256(repr(request).encode()).hexdigest()
        with self._lock:
            self._repeats[key] += 1
            return self._repeats[key] - 1


class AegirAsyncEngine:
    """The async counterpart: requests of one event loop, and of all others, share the engine's steps."""

    def __init__(self, sync: AegirEngine) -> None:
        self.sync = sync

    async def complete(self, request: Request) -> Response:
        """Answer one request."""
        with _refusals():
            answer = self.sync.answer(request)
            for ask in answer.asks():
                found = await self.sync.engine.agenerate(ask.prompt, state=ask.state, config=ask.config)
                answer.take(found)
            return answer.response()

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        """See `AegirEngine.stream`."""
        yield StreamStartEvent(model=request.model)
        with _refusals():
            answer = self.sync.answer(request)
            for ask in answer.asks():
                async for item in self.sync.engine.astream(ask.prompt, state=ask.state, config=ask.config):
                    if piece := _shown(answer, ask, item):
                        yield piece
            for event in _last_events(answer):
                yield event

    async def aclose(self) -> None:
        """Nothing to close."""

    def dump_state(self) -> dict[str, Any]:
        """What a saved program keeps."""
        return self.sync.dump_state()

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> AegirAsyncEngine:
        """Inverse of `dump_state`."""
        return cls(AegirEngine.load_state(state))

    def __deepcopy__(self, memo: dict[int, Any]) -> AegirAsyncEngine:
        return self


class AegirLM(dspy.LM):  # type: ignore[misc]
    """A `dspy.LM` on a local engine.

    Beside what every LM does: a seed or a `rollout_id` decides about an answer whatever was asked before,
    and the ``n`` answers to one request differ.
    """

    def __call__(
        self, prompt: Any = None, *, messages: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> Any:
        """See `dspy.LM`."""
        with self._calling(kwargs):
            return super().__call__(prompt, messages=messages, **kwargs)

    async def acall(
        self, prompt: Any = None, *, messages: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> Any:
        """See `dspy.LM`."""
        with self._calling(kwargs):
            return await super().acall(prompt, messages=messages, **kwargs)

    @contextmanager
    def _calling(self, kwargs: dict[str, Any]) -> Iterator[None]:
        """Tell the engine what DSPy keeps from it: the rollout, and which of ``n`` answers this is."""
        token = _CALL.set(({**self.kwargs, **kwargs}.get("rollout_id"), count()))
        try:
            yield
        finally:
            _CALL.reset(token)


def _shown(answer: Answer, ask: Ask, item: str | Generation) -> StreamDeltaEvent | None:
    """The event of something decoded, if it shows anything."""
    if isinstance(item, Generation):
        item = answer.take(item)
    elif not ask.live:
        return None
    return StreamDeltaEvent(TextDelta(item)) if item else None


def _last_events(answer: Answer) -> Iterator[Any]:
    response = answer.response()
    if response.logprobs:
        scores = {"logprobs": response.logprobs, "logprobs_complete": response.logprobs_complete}
        yield StreamDeltaEvent(TextDelta("", **scores))
    yield StreamEndEvent(response.finish_reason, response.usage, response.provider_data)


@contextmanager
def _refusals() -> Iterator[None]:
    """Say what is wrong with a request in the way DSPy expects."""
    try:
        yield
    except AegirError as error:
        raise InvalidRequestError(str(error)) from error


def weights_file(path_or_name: str | Path) -> Path:
    """The file of weights, or of weights that ship in the package. Raises CheckpointError for neither."""
    path = Path(path_or_name)
    if path.is_file():
        return path
    embedded = Path(str(files("aegir_dspy.assets"))) / f"{path_or_name}.safetensors"
    if embedded.is_file():
        return embedded
    names = sorted(p.stem for p in embedded.parent.glob("*.safetensors")) if embedded.parent.is_dir() else []
    raise CheckpointError(f"expected a weights file or one of {names}, found {str(path_or_name)!r}")


def weights_type(name: str) -> torch.dtype:
    """The type of weights in memory. Raises InputError for an unknown one."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
    if name not in known:
        raise InputError(f"expected a dtype of {', '.join(known)}, found {name!r}")
    return known[name]


def _shared_engine(source: dict[str, Any]) -> Engine:
    """The engine of a source, loaded once for as long as somebody uses it."""
    dtype = weights_type(source["dtype"])
    path = weights_file(source["path"])
    key = json.dumps({**source, "path": None, "sha256": file_sha256(path)}, sort_keys=True)
    with _LOADING:
        if (engine := _LOADED.get(key)) is None:
            options = {k: source[k] for k in ("device", "tokenizer", "backend")}
            engine = _LOADED[key] = Engine.load(path, dtype=dtype, **options)
    return engine
