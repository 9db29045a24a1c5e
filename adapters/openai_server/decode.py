"""All answers to a request at once, on an event loop: whole, or piece by piece as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from aegir_dspy.adapters.openai_server.plan import Job, Plan
from aegir_dspy.rwkv import Generation
from aegir_dspy.rwkv.decoding import Piece

__all__ = ["finished", "pieces"]

_Item = tuple[int, Piece | Generation | Exception]


async def finished(plan: Plan) -> list[Generation]:
    """Every answer, in order; those of all requests share the engine's steps."""
    tasks = [asyncio.ensure_future(_finished(plan, job)) for job in plan.jobs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def pieces(plan: Plan) -> AsyncIterator[tuple[int, Piece | Generation]]:
    """(Which answer, a piece of its text) as it comes, and (which answer, all of it) at its end."""
    if len(plan.jobs) == 1:  # the usual case, without a task and a queue in between
        async with aclosing(_stream(plan, plan.jobs[0])) as stream:
            async for only in stream:
                yield 0, only
        return
    found = asyncio.Queue[_Item]()
    tasks = [asyncio.ensure_future(_follow(plan, index, job, found)) for index, job in enumerate(plan.jobs)]
    left = len(tasks)
    try:
        while left:
            index, item = await found.get()
            if isinstance(item, Exception):
                raise item
            left -= isinstance(item, Generation)
            yield index, item
    finally:
        for task in tasks:
            task.cancel()


async def _finished(plan: Plan, job: Job) -> Generation:
    return await plan.engine.agenerate(job.tokens, state=job.state, config=job.config)


async def _follow(plan: Plan, index: int, job: Job, found: asyncio.Queue[_Item]) -> None:
    try:
        async for item in _stream(plan, job):
            found.put_nowait((index, item))
    except Exception as error:
        found.put_nowait((index, error))


def _stream(plan: Plan, job: Job) -> AsyncGenerator[Piece | Generation]:
    found = plan.engine.astream(job.tokens, state=job.state, config=job.config)
    return cast("AsyncGenerator[Piece | Generation]", found)
