"""What clients do to a server: OpenAI's own asynchronous client, many of them in one process."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import openai

__all__ = ["Kind", "every_kind", "load", "short_ones", "streamed", "whole"]

Kind = Callable[[Any, int], Awaitable[int]]  # (client, number of the request) → tokens of the answer
TOKENS, FEW = 96, 8  # most of an answer: three times its prompt, as in chats; of one that asks for little


def load(address: str, kind: Kind, clients: int, over: Callable[[int], bool]) -> list[tuple[int, float]]:
    """Clients that each ask again once they are answered, until it is over: (tokens, seconds) of all answers.

    `over` is told the number of the next request.
    """
    return asyncio.run(_load(address, kind, clients, over))


async def _load(
    address: str, kind: Kind, clients: int, over: Callable[[int], bool]
) -> list[tuple[int, float]]:
    numbers, done = itertools.count(), list[tuple[int, float]]()

    async def ask_on(client: Any) -> None:
        while not over(number := next(numbers)):
            start = time.perf_counter()
            tokens = await kind(client, number)
            done.append((tokens, time.perf_counter() - start))

    async with _client(address) as client:
        await asyncio.gather(*(ask_on(client) for _ in range(clients)))
    return done


def short_ones(address: str, count: int) -> list[float]:
    """The seconds of completions that ask for little, one after the other."""

    async def short(client: Any, number: int) -> int:
        prompt = f"Short {number % 10}"
        answer = await client.completions.create(model="model", prompt=prompt, max_tokens=FEW, temperature=0)
        return int(answer.usage.completion_tokens)

    done = load(address, short, 1, lambda number: number == count + 2)
    return [seconds for _, seconds in done[2:]]  # the first ones open the connection


async def whole(client: Any, number: int) -> int:
    """An answer at its end."""
    answer = await client.completions.create(**_asked(number))
    return int(answer.usage.completion_tokens)


async def streamed(client: Any, number: int) -> int:
    """An answer in pieces."""
    options = {"include_usage": True}
    stream = await client.completions.create(**_asked(number), stream=True, stream_options=options)
    return [int(event.usage.completion_tokens) async for event in stream if event.usage][-1]


async def every_kind(client: Any, number: int) -> int:
    """One after the other: whole, in pieces with log-probabilities, to a new schema, a vector, a state."""
    kinds = (whole, _scored, _formed, _embedded, _kept)
    return await kinds[number % len(kinds)](client, number)


async def _scored(client: Any, number: int) -> int:
    asked = {**_asked(number), "logprobs": 3, "stream": True, "extra_body": {"return_token_ids": True}}
    return sum([len(event.choices[0].token_ids) async for event in await client.completions.create(**asked)])


async def _formed(client: Any, number: int) -> int:
    names = {"title": f"asked as number {number}", "type": "object", "additionalProperties": False}
    schema = {**names, "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
    form = {"type": "json_schema", "json_schema": {"name": "found", "schema": schema}}
    chat = [{"role": "user", "content": _text(number)}]
    answer = await client.chat.completions.create(model="model", messages=chat, response_format=form)
    return int(answer.usage.completion_tokens)


async def _embedded(client: Any, number: int) -> int:
    await client.embeddings.create(model="model", input=[_text(number), "and this"])
    return 0


async def _kept(client: Any, number: int) -> int:
    asked = {"model": "model", "input": _text(number)}
    state = await client.post("/states", body=asked, cast_to=dict[str, Any])
    answer = await client.completions.create(
        **{**_asked(number), "prompt": ""}, extra_body={"state": state["id"]}
    )
    return int(answer.usage.completion_tokens)


def _asked(number: int) -> dict[str, Any]:
    return {"model": "model", "prompt": _text(number), "max_tokens": TOKENS, "seed": number}


def _text(number: int) -> str:
    return f"Client {number:06} asks what is next."


def _client(address: str) -> Any:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    http = httpx.AsyncClient(limits=limits, timeout=300)
    return openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", http_client=http)
