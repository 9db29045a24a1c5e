"""LiteLLM on local engines: `register` makes ``aegir/<name>`` a model like any other.

>>> from aegir_dspy.adapters import litellm_provider
>>> litellm_provider.register({"small": "rwkv7.pth"})
>>> litellm.completion("aegir/small", messages=[{"role": "user", "content": "…"}])

LiteLLM is imported by `register` (3 to 5 s), without its look-up of prices on the network.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from aegir_dspy.adapters.dspy_lm.engine import weights_file, weights_type
from aegir_dspy.adapters.openai_server.answers import Answers
from aegir_dspy.adapters.openai_server.decode import finished, pieces
from aegir_dspy.adapters.openai_server.embedding import embedded
from aegir_dspy.adapters.openai_server.errors import ApiError, refusal
from aegir_dspy.adapters.openai_server.host import Host
from aegir_dspy.adapters.openai_server.limits import Limits
from aegir_dspy.adapters.openai_server.plan import Plan, plan
from aegir_dspy.adapters.openai_server.wire import ChatRequest
from aegir_dspy.errors import AegirError
from aegir_dspy.rwkv import Engine, Generation

__all__ = ["Local", "register"]

PROVIDER = "aegir"
_LIMITS = Limits(requests=1 << 30, prompt_tokens=1 << 24, max_tokens=1 << 20, answers=1 << 10)


def register(
    models: Mapping[str, Engine | str | Path] | None = None, *, device: str = "cpu", dtype: str = "auto"
) -> Local:
    """Make ``aegir/<name>`` known to LiteLLM; a second call replaces what the first one registered.

    Args:
        models: an engine, or weights that are loaded when they are first asked for, under every name. A
            name that is not among them may be that of weights that ship.
        device: of weights that are loaded.
        dtype: of weights that are loaded: ``"float32"``, ``"bfloat16"``, ``"int8"`` or ``"auto"``, see
            `Engine.load`.

    Returns:
        The models, as the handler that LiteLLM calls asks them.
    """
    local = Local(models or {}, device, dtype)
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm: Any = import_module("litellm")
    known = [entry for entry in litellm.custom_provider_map if entry["provider"] != PROVIDER]
    litellm.custom_provider_map = [*known, {"provider": PROVIDER, "custom_handler": _handler(local)}]
    return local


class Local:
    """The models, loaded when they are used."""

    def __init__(self, models: Mapping[str, Engine | str | Path], device: str, dtype: str) -> None:
        self._models, self._device = dict(models), device
        self._dtype = None if dtype == "auto" else weights_type(dtype)
        self._host, self._lock = Host({}, limits=_LIMITS), threading.Lock()

    def engine(self, name: str) -> Engine:
        """The model of a name, loaded now if it is not. Raises CheckpointError for no such weights."""
        with self._lock:
            if name not in self._host.engines:
                source = self._models.get(name, name)
                if not isinstance(source, Engine):
                    source = Engine.load(weights_file(source), device=self._device, dtype=self._dtype)
                self._host.engines[name] = source
            return self._host.engines[name]

    def plan(self, model: str, messages: Any, options: Mapping[str, Any]) -> Plan:
        """What a call asks for; refused as the server refuses it."""
        self.engine(model)
        given = {name: value for name, value in options.items() if value is not None and name != "stream"}
        describe = getattr(given.get("response_format"), "model_json_schema", None)
        if describe is not None:  # a pydantic model
            given["response_format"] = {"type": "json_schema", "json_schema": {"schema": describe()}}
        return plan(ChatRequest.model_validate({**given, "model": model, "messages": messages}), self._host)


def _handler(local: Local) -> Any:
    """What LiteLLM calls: a `CustomLLM`, of which the class is known only now."""
    litellm: Any = import_module("litellm")
    failure: Any = import_module("litellm.llms.custom_llm").CustomLLMError

    def planned(given: Mapping[str, Any]) -> Plan:
        try:
            return local.plan(given["model"], given["messages"], given["optional_params"])
        except Exception as error:
            raise _failed(failure, error) from error

    def whole(given: Mapping[str, Any], made: Plan, done: list[Generation]) -> Any:
        answer = litellm.ModelResponse(**Answers(made).whole(done))
        answer.model = f"{PROVIDER}/{given['model']}"
        return answer

    class Handler(litellm.CustomLLM):  # type: ignore[misc]
        def completion(self, **given: Any) -> Any:
            made = planned(given)
            jobs = made.jobs
            try:
                done = made.engine.generate([job.tokens for job in jobs], config=[job.config for job in jobs])
            except AegirError as error:
                raise _failed(failure, error) from error
            return whole(given, made, done)

        async def acompletion(self, **given: Any) -> Any:
            made = await asyncio.to_thread(planned, given)
            try:
                return whole(given, made, await finished(made))
            except AegirError as error:
                raise _failed(failure, error) from error

        def streaming(self, **given: Any) -> Iterator[dict[str, Any]]:
            made = _single(planned(given), failure)
            [job] = made.jobs
            try:
                for item in made.engine.stream(job.tokens, config=job.config):
                    yield _chunk(made, item)
            except AegirError as error:
                raise _failed(failure, error) from error

        async def astreaming(self, **given: Any) -> AsyncIterator[dict[str, Any]]:
            made = _single(await asyncio.to_thread(planned, given), failure)
            try:
                async for _, item in pieces(made):
                    yield _chunk(made, item)
            except AegirError as error:
                raise _failed(failure, error) from error

        def embedding(self, **given: Any) -> Any:
            texts = [given["input"]] if isinstance(given["input"], str) else list(given["input"])
            try:
                engine = local.engine(given["model"])
                vectors, tokens = embedded(engine, texts), sum(len(engine.encode(text)) for text in texts)
            except Exception as error:
                raise _failed(failure, error) from error
            answer = given["model_response"]
            answer.model, answer.object = f"{PROVIDER}/{given['model']}", "list"
            answer.data = [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(vectors.tolist())
            ]
            answer.usage = litellm.Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)
            return answer

        async def aembedding(self, **given: Any) -> Any:
            return await asyncio.to_thread(lambda: self.embedding(**given))

    return Handler()


def _single(made: Plan, failure: Any) -> Plan:
    if len(made.jobs) > 1:
        raise failure(400, f"expected n=1 for a stream, found {len(made.jobs)}: ask once for each")
    return made


def _chunk(made: Plan, item: str | Generation) -> dict[str, Any]:
    """A piece of a stream as LiteLLM takes it; log-probabilities come with the last one."""
    chunk = {
        "text": "",
        "tool_use": None,
        "is_finished": False,
        "finish_reason": "",
        "usage": None,
        "index": 0,
    }
    if isinstance(item, str):
        return {**chunk, "text": item}
    answers = Answers(made)
    [choice] = answers.whole([item])["choices"]
    told = {"logprobs": choice["logprobs"]} if choice["logprobs"] else None
    last = {"is_finished": True, "finish_reason": item.finish_reason, "usage": answers.usage([item])}
    return {**chunk, **last, "provider_specific_fields": told}


def _failed(failure: Any, error: Exception) -> Exception:
    """As LiteLLM knows it; a defect stays what it is."""
    found: ApiError = refusal(error)
    if found.status >= 500:
        return error
    made: Exception = failure(found.status, found.message)
    return made
