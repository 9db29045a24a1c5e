"""The agents there are, and which of them is free for a task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.agent import Agent, TaskError
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
    """

    def __init__(self, agents: Sequence[Agent], most: int = 300, prefer: Preference = by_load) -> None:
        if most < 1:
            raise InputError(f"expected at least one agent at once, found max_agents {most}")
        if len({agent.name for agent in agents}) < len(agents):
            raise InputError("expected agents with names of their own, found two with the same name")
        self.agents, self.most, self.prefer = tuple(agents), most, prefer
        self.busy = {agent.name: 0 for agent in agents}
        self._all = 0
        self._by_skill: dict[str, tuple[Agent, ...]] = {}
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
            TaskError: no agent has the skill.
        """
        able = self.able(task.wanted)
        if not able:
            known = ", ".join(sorted({skill for agent in self.agents for skill in agent.skills}))
            raise TaskError(
                "resource", f"expected an agent with the skill {task.wanted}, found none: there are {known}"
            )
        wanted = [agent for agent in able if agent.name not in avoid] or list(able)
        if (agent := self._free(task, wanted)) is not None:
            self._occupy(agent)
            return agent
        return await self._wait(_Waiter(task, wanted, asyncio.get_running_loop().create_future()))

    def leave(self, agent: Agent) -> None:
        """Give a slot back; the task that waited longest for it has it at once."""
        full = self._all >= self.most
        self.busy[agent.name] -= 1
        self._all -= 1
        for skill in list(self._waiting) if full else sorted(agent.skills & self._waiting.keys()):
            if self._serve(self._waiting[skill]):
                return

    async def _wait(self, waiter: _Waiter) -> Agent:
        queue = self._waiting.setdefault(waiter.task.wanted, deque())
        queue.append(waiter)
        try:
            return await waiter.agent
        except asyncio.CancelledError:
            if waiter.agent.done() and not waiter.agent.cancelled():
                self.leave(waiter.agent.result())
            else:
                queue.remove(waiter)
            raise

    def _serve(self, queue: deque[_Waiter]) -> bool:
        """Give a slot to the first that can have one."""
        for waiter in queue:
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
