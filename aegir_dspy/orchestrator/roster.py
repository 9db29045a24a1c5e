"""The agents there are, and which of them is free for a task."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.agent import Agent, TaskError, Work
from aegir_dspy.orchestrator.task import Task

__all__ = ["Preference", "Roster", "by_load"]

Preference = Callable[[Task, Sequence[Agent]], Sequence[Agent]]
"""Orders the agents that have a task's skill, the one to take first; may leave some out."""


def by_load(task: Task, agents: Sequence[Agent]) -> Sequence[Agent]:
    """As they were named: what is free is found by `Roster`."""
    return agents


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A task that waits for one of some agents."""

    task: Task
    wanted: Sequence[Agent]
    agent: asyncio.Future[Agent]


class Roster:
    """Agents by name, with how many tasks each has.

    Args:
        agents: with names of their own.
        most: tasks at once over all agents: the budget of agents a run may spawn.
        prefer: which agent a task would rather have.
        create: makes one more agent for a task that the others could not do, or None.
        grace: seconds an agent has to end work that was given up before its slot counts as lost.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        most: int = 300,
        prefer: Preference = by_load,
        create: Callable[[Task], Agent | None] = lambda task: None,
        grace: float = 5.0,
    ) -> None:
        if most < 1:
            raise InputError(f"expected at least one agent at once, found max_agents {most}")
        if len({agent.name for agent in agents}) < len(agents):
            raise InputError("expected agents with names of their own, found two with the same name")
        self.agents, self.most, self.prefer = tuple(agents), most, prefer
        self._create, self._grace = create, grace
        self.busy = {agent.name: 0 for agent in agents}
        self._all = 0
        self._by_skill: dict[str, tuple[Agent, ...]] = {}
        self._lost: Counter[str] = Counter()  # slots whose work was given up and does not end
        self._waiting: dict[str, deque[_Waiter]] = {}  # by skill, those who came first in front

    def able(self, skill: str) -> tuple[Agent, ...]:
        """The agents with a skill, as they were named."""
        if skill not in self._by_skill:
            self._by_skill[skill] = tuple(agent for agent in self.agents if skill in agent.skills)
        return self._by_skill[skill]

    async def take(self, task: Task, avoid: frozenset[str] = frozenset()) -> Agent:
        """A slot of an agent that can do the task; waits for one. `leave` gives it back.

        Agents to avoid are taken only where there is no other.

        Raises:
            TaskError: no agent has the skill, or none of them has a slot that will ever be free.
        """
        able = self.able(task.wanted)
        if not able:
            known = ", ".join(sorted({skill for agent in self.agents for skill in agent.skills}))
            message = f"expected an agent with the skill {task.wanted}, found none: there are {known}"
            raise TaskError("resource", message, permanent=True)
        wanted = [agent for agent in able if agent.name not in avoid] or list(able)
        if (agent := self._free(task, wanted)) is not None:
            self._occupy(agent)
            return agent
        if self._none_left(wanted):
            raise _stuck(task)
        return await self._wait(_Waiter(task, wanted, asyncio.get_running_loop().create_future()))

    def leave(self, agent: Agent) -> None:
        """Give a slot back; the task that waited longest for it has it at once."""
        full = self._all >= self.most
        self.busy[agent.name] -= 1
        self._all -= 1
        for skill in list(self._waiting) if full else sorted(agent.skills & self._waiting.keys()):
            if self._serve(self._waiting[skill]):
                return

    def create_for(self, task: Task) -> None:
        """Add an agent for a task, where one can be made and there are not as many as may work at once."""
        if len(self.agents) < self.most and (agent := self._create(task)) is not None:
            if agent.name in self.busy:
                raise InputError(f"expected a new agent with a name of its own, found another {agent.name}")
            self.agents = (*self.agents, agent)
            self.busy[agent.name] = 0
            self._by_skill.clear()

    def overdue(self, agent: Agent, work: asyncio.Future[Work]) -> None:
        """The work of an agent was given up. It has its slot until it ends; in time, or the slot is lost."""
        if not work.done():
            asyncio.get_running_loop().call_later(self._grace, self._lose, agent, work)

    def _lose(self, agent: Agent, work: asyncio.Future[Work]) -> None:
        if work.done():
            return
        self._lost[agent.name] += 1
        work.add_done_callback(lambda _: self._lost.subtract([agent.name]))
        for waiter in [waiter for queue in self._waiting.values() for waiter in queue]:
            if not waiter.agent.done() and self._none_left(waiter.wanted):
                self._waiting[waiter.task.wanted].remove(waiter)
                waiter.agent.set_exception(_stuck(waiter.task))

    def _none_left(self, wanted: Sequence[Agent]) -> bool:
        lost = all(self._lost[agent.name] >= agent.slots for agent in wanted)
        return lost or self._lost.total() >= self.most

    async def _wait(self, waiter: _Waiter) -> Agent:
        queue = self._waiting.setdefault(waiter.task.wanted, deque())
        queue.append(waiter)
        try:
            return await waiter.agent
        except asyncio.CancelledError:
            if not waiter.agent.done() or waiter.agent.cancelled():
                queue.remove(waiter)
            elif waiter.agent.exception() is None:
                self.leave(waiter.agent.result())
            raise

    def _serve(self, queue: deque[_Waiter]) -> bool:
        """Give a slot to the first that can have one."""
        for waiter in queue:
            if waiter.agent.done():  # cancelled, and about to leave the queue
                continue
            agent = self._free(waiter.task, waiter.wanted)
            if agent is not None:
                queue.remove(waiter)
                self._occupy(agent)
                waiter.agent.set_result(agent)
                return True
        return False

    def _occupy(self, agent: Agent) -> None:
        self.busy[agent.name] += 1
        self._all += 1

    def _free(self, task: Task, wanted: Sequence[Agent]) -> Agent | None:
        if self._all >= self.most or not self._any_free(wanted):
            return None
        ordered = self.prefer(task, wanted) or wanted
        return next((agent for agent in ordered if self.busy[agent.name] < agent.slots), None)

    def _any_free(self, agents: Iterable[Agent]) -> bool:
        return any(self.busy[agent.name] < agent.slots for agent in agents)


def _stuck(task: Task) -> TaskError:
    return TaskError("timeout", f"expected an agent for {task.id}, found them all busy with work given up")
