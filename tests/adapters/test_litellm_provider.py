"""LiteLLM calls the local engine as it calls any provider; random weights, no network."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel

from aegir_dspy.adapters.litellm_provider import register
from aegir_dspy.adapters.openai_server.plan import chat_prompt
from aegir_dspy.adapters.openai_server.wire import Message
from aegir_dspy.rwkv import Engine

CHAT = [{"role": "user", "content": "Say it."}]
ASKED: dict[str, Any] = {"model": "aegir/tiny", "messages": CHAT, "max_tokens": 24, "seed": 4}


class Found(BaseModel):
    kind: Literal["city", "name"]
    count: int


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, make_weights: Callable[..., Path]) -> Engine:
    return Engine.load(make_weights(tmp_path_factory.mktemp("litellm") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def litellm(engine: Engine) -> Any:
    register({"tiny": engine})
    import litellm

    return litellm


def test_litellm_is_imported_when_it_is_registered() -> None:
    code = "import aegir_dspy.adapters.litellm_provider, sys; assert 'litellm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_completion(litellm: Any, engine: Engine) -> None:
    found = litellm.completion(**ASKED, temperature=0)
    prompt = chat_prompt([Message(**turn) for turn in CHAT])
    made = engine.generate([prompt])[0].text[: len(found.choices[0].message.content)]
    assert found.choices[0].message.content == made
    assert found.model == "aegir/tiny"
    assert found.usage.prompt_tokens == len(prompt) and found.usage.completion_tokens <= 24


def test_awaited_calls_answer_as_single_ones(litellm: Any) -> None:
    async def together() -> list[str]:
        calls = (litellm.acompletion(**{**ASKED, "seed": seed}, temperature=0.9) for seed in range(8))
        return [found.choices[0].message.content for found in await asyncio.gather(*calls)]

    alone = [
        litellm.completion(**{**ASKED, "seed": seed}, temperature=0.9).choices[0].message.content
        for seed in range(8)
    ]
    assert asyncio.run(together()) == alone and len(set(alone)) > 4


def test_several_answers(litellm: Any) -> None:
    found = litellm.completion(**ASKED, temperature=1.0, n=3)
    assert len({choice.message.content for choice in found.choices}) == 3


def test_streams_come_in_pieces(litellm: Any) -> None:
    whole = litellm.completion(**ASKED, temperature=0).choices[0].message.content
    events = list(litellm.completion(**ASKED, temperature=0, stream=True))
    assert "".join(event.choices[0].delta.content or "" for event in events) == whole and len(events) > 5

    async def awaited() -> list[Any]:
        return [event async for event in await litellm.acompletion(**ASKED, temperature=0, stream=True)]

    told = asyncio.run(awaited())
    assert "".join(event.choices[0].delta.content or "" for event in told) == whole and len(told) > 5
    assert told[-1].choices[0].finish_reason in ("stop", "length")


def test_logprobs(litellm: Any) -> None:
    [choice] = litellm.completion(**ASKED, temperature=0, logprobs=True, top_logprobs=2).choices
    scores = choice.logprobs.content
    data = b"".join(bytes(score.bytes) for score in scores)
    assert data.decode("utf-8", "replace") == choice.message.content
    assert all(len(score.top_logprobs) == 2 for score in scores)
    assert all(score.top_logprobs[0].logprob == pytest.approx(score.logprob) for score in scores)


@pytest.mark.parametrize("as_model", [True, False])
def test_response_format_holds_under_random_weights(litellm: Any, as_model: bool) -> None:
    schema = Found.model_json_schema()
    form: Any = {"type": "json_schema", "json_schema": {"name": "found", "schema": schema}}
    for seed in range(4):
        asked = {**ASKED, "seed": seed, "response_format": Found if as_model else form}
        text = litellm.completion(**asked, temperature=1.5).choices[0].message.content
        jsonschema.validate(json.loads(text), schema)


def test_router_beside_another_model(litellm: Any) -> None:
    entries = [
        {"model_name": "local", "litellm_params": {"model": "aegir/tiny"}},
        {"model_name": "remote", "litellm_params": {"model": "openai/gpt", "mock_response": "from afar"}},
    ]
    router = litellm.Router(model_list=entries)
    local = router.completion(model="local", messages=CHAT, max_tokens=24, seed=4, temperature=0)
    assert (
        local.choices[0].message.content
        == litellm.completion(**ASKED, temperature=0).choices[0].message.content
    )
    assert router.completion(model="remote", messages=CHAT).choices[0].message.content == "from afar"


def test_embedding(litellm: Any) -> None:
    found = litellm.embedding(model="aegir/tiny", input=["one", "two", "one"])
    vectors = [entry["embedding"] for entry in found.data]
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-5) and vectors[0] != pytest.approx(vectors[1])
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-4)
    assert found.usage.prompt_tokens == 9
    awaited = asyncio.run(litellm.aembedding(model="aegir/tiny", input=["two"]))
    assert awaited.data[0]["embedding"] == pytest.approx(vectors[1], abs=1e-5)
    with pytest.raises((litellm.BadRequestError, litellm.APIError, litellm.APIConnectionError)):
        litellm.embedding(model="aegir/tiny", input=[""])


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "aegir/no-such-weights"},
        {"temperature": -1.0},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "no"}}}},
    ],
)
def test_refusals_are_litellms(litellm: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((litellm.BadRequestError, litellm.APIError, litellm.APIConnectionError)) as caught:
        litellm.completion(**{**ASKED, **wrong})
    assert "expected" in str(caught.value) or "greater than or equal" in str(caught.value)
