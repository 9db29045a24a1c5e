"""A deployed LangGraph graph as an agent: it is sent messages, and its last one is the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from aegir_dspy.adapters.providers.config import Provider
from aegir_dspy.adapters.providers.question import Question, Skill, answer_of
from aegir_dspy.orchestrator.agent import Job, TaskError, Work

__all__ = ["RemoteGraphAgent"]


class RemoteGraphAgent:
    """The graph ``provider.graph`` of the deployment at ``provider.url``.

    Its state has to have ``messages``: the question comes as a system and a user message, with the schema in
    the first; the last message is the answer. Every event that it streams is a heartbeat.
    """

    def __init__(self, provider: Provider, skills: Mapping[str, Skill]) -> None:
        self.provider, self._skills = provider, dict(skills)
        self.name, self.skills, self.slots = provider.name, frozenset(skills), provider.parallel

    async def perform(self, job: Job) -> Work:
        """See `aegir_dspy.orchestrator.agent.Agent`. Raises TaskError as `ProviderAgent` does."""
        skill = self._skills[job.task.kind]
        question = skill.question(job, unmasked=self.provider.unmasked)
        if question is None:
            return Work(skill.value(job, None, self.name), steps=0, agents=0)
        async with asyncio.timeout(self.provider.timeout):
            state = await self._asked(question, job)
        text, tokens = _last(state, self.name)
        return Work(skill.value(job, answer_of(text, question), self.name), tokens=tokens)

    async def _asked(self, question: Question, job: Job) -> Any:
        last: Any = None
        graph = self._graph()
        asked = {"messages": question.messages(with_schema=True)}
        async for last in graph.astream(asked, stream_mode="values"):  # noqa: B007
            job.beat()
        return last

    def _graph(self) -> Any:
        """Made for every call: its client belongs to the loop that runs."""
        key = next(iter(self.provider.key_values()), None)  # None: no key of another, from the environment
        client = import_module("langgraph_sdk").get_client(
            url=self.provider.url, api_key=key, timeout=self.provider.timeout
        )
        return import_module("langgraph.pregel.remote").RemoteGraph(self.provider.graph, client=client)


def _last(state: Any, name: str) -> tuple[str, int]:
    """The content of the last message, and the tokens that the messages say they took."""
    messages = state.get("messages") if isinstance(state, Mapping) else None
    if not messages or not isinstance(messages[-1], Mapping):
        raise TaskError("parse", f"expected messages in the state of {name}, found none")
    content = messages[-1].get("content")
    if isinstance(content, list):  # blocks
        content = "".join(block.get("text", "") for block in content if isinstance(block, Mapping))
    usages = (m.get("usage_metadata") or {} for m in messages if isinstance(m, Mapping))
    return str(content or ""), sum(int(usage.get("total_tokens", 0)) for usage in usages)
