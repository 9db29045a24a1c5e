"""An agent that does what comes together together: recurrent models read a hundred columns as fast as ten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

from aegir_dspy.orchestrator.agent import Job, Work

__all__ = ["BatchAgent", "one_by_one"]

Batch = Callable[[Sequence[Job]], Sequence[Work]]


def one_by_one(perform: Callable[[Job], Work]) -> Batch:
    """For work that gains nothing from company."""
    return lambda jobs: [perform(job) for job in jobs]


class BatchAgent:
    """Gathers the jobs that are there at one moment and does them in one call, in a thread.

    While a batch is done the next one gathers. A batch that fails is done again job by job, so that a bad
    one does not take the others with it: `work` has to give each job the same whatever the batch.

    Args:
        name: of the agent. skills: the kinds of tasks it does.
        work: the values of some jobs, in their order; called in a thread, never twice at a time.
        executor: where; agents of one executor with one thread take turns.
        slots: jobs at once, those that wait for the batch included.
        most: jobs in one batch: what is lost when the process is killed.
    """

    def __init__(
        self,
        name: str,
        skills: Iterable[str],
        work: Batch,
        executor: Executor,
        slots: int = 300,
        most: int = 64,
    ) -> None:
        self.name, self.skills, self.slots, self._most = name, frozenset(skills), slots, most
        self._work, self._executor = work, executor
        self._gathered: list[tuple[Job, asyncio.Future[Work]]] = []
        self._working: asyncio.Task[None] | None = None

    async def perform(self, job: Job) -> Work:
        """See `aegir_dspy.orchestrator.agent.Agent`."""
        ended: asyncio.Future[Work] = asyncio.get_running_loop().create_future()
        self._gathered.append((job, ended))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_off())
        return await ended

    async def _work_off(self) -> None:
        await asyncio.sleep(0)  # tasks that start with this one come along
        while self._gathered:
            batch, self._gathered = self._gathered[: self._most], self._gathered[self._most :]
            wanted = [(job, ended) for job, ended in batch if not ended.done()]
            for size in (len(wanted), 1):
                open_ = [(job, ended) for job, ended in wanted if not ended.done()]
                for first in range(0, len(open_), max(1, size)):
                    await self._call(open_[first : first + size], alone=size == 1)

    async def _call(self, batch: Sequence[tuple[Job, asyncio.Future[Work]]], *, alone: bool) -> None:
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(self._executor, self._work, [job for job, _ in batch])
            for (_, ended), work in zip(batch, done, strict=True):
                if not ended.done():
                    ended.set_result(work)
        except Exception as error:
            for _, ended in batch if alone else ():
                if not ended.done():
                    ended.set_exception(error)
