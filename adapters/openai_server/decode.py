"""All answers to a request at once, on an event loop: whole, or piece by piece as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aegir_dspy.adapters.openai_server.plan import Job, Plan
from aegir_dspy.rwkv import Generation

__all__ = ["finished", "pieces"]

_Item = tuple[int, str | Generation | Exception]


async def finished(plan: Plan) -> list[Generation]:
    """Every answer, in order; those of all requests share the engine's steps."""
    tasks = [asyncio.ensure_future(_finished(plan, job)) for job in plan.jobs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def pieces(plan: Plan) -> AsyncIterator[tuple[int, str | Generation]]:
    """(Which answer, a piece of its text) as it comes, and (which answer, all of it) at its end."""
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
        async for item in plan.engine.astream(job.tokens, state=job.state, config=job.config):
            found.put_nowait((index, item))
    except Exception as error:
        found.put_nowait((index, error))
