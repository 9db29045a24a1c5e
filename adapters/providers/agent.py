"""Remote models as agents of the orchestrator: a question for a task, an answer of its schema, its price."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aegir_dspy.adapters.providers.config import Provider, Providers
from aegir_dspy.adapters.providers.pool import Price, ProviderPool, check_priced, litellm_module, price_of
from aegir_dspy.adapters.providers.question import Question, Skill, answer_of
from aegir_dspy.adapters.providers.remote_graph import RemoteGraphAgent
from aegir_dspy.adapters.providers.spending import Spending
from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.agent import Agent, Job, TaskError, Work

__all__ = ["ProviderAgent", "provider_agents"]

LETTERS = 4.0
"""Characters a token stands for, where they have to be guessed before a call."""


def provider_agents(
    providers: Providers, skills: Mapping[str, Skill], spending: Spending | None = None
) -> list[Agent]:
    """One agent a provider.

    Args:
        providers: from `aegir_dspy.adapters.providers.read_providers`.
        skills: kind of task → how it is asked about; a provider's skills have to be among them.
        spending: of the run; by default one that keeps the providers' budgets.

    Raises:
        InputError: a provider has a skill that is not there, a key that is unset, or a budget and no price.
    """
    spending = spending or Spending({p.name: p.budget for p in providers if p.budget is not None})
    pool = ProviderPool(providers)
    made: list[Agent] = []
    for provider in providers:
        provider.key_values()
        if unknown := sorted(set(provider.skills) - set(skills)):
            raise InputError(
                f"expected skills of provider {provider.name} among {', '.join(sorted(skills))}, "
                f"found {', '.join(unknown)}"
            )
        if provider.budget is not None:
            check_priced(provider)
        own = {kind: skills[kind] for kind in provider.skills}
        if provider.url:
            made.append(RemoteGraphAgent(provider, own))
        else:
            made.append(ProviderAgent(provider, own, pool, spending))
    return made


@dataclass(frozen=True, slots=True)
class _Reply:
    text: str
    tokens: int
    cost: float


class ProviderAgent:
    """A model behind LiteLLM's router.

    Args:
        provider: which one. skills: kind of task → how it is asked about.
        pool: the router, of all providers. spending: of the run.
    """

    def __init__(
        self, provider: Provider, skills: Mapping[str, Skill], pool: ProviderPool, spending: Spending
    ) -> None:
        self.provider, self._skills, self._pool, self.spending = provider, dict(skills), pool, spending
        self.name, self.skills, self.slots = provider.name, frozenset(skills), provider.parallel

    @cached_property
    def price(self) -> Price:
        """Of its tokens; nothing where nobody knows."""
        return price_of(self.provider) or Price()

    async def perform(self, job: Job) -> Work:
        """See `aegir_dspy.orchestrator.agent.Agent`.

        Raises:
            TaskError: ``parse`` for an answer that is not of the schema, ``provider_down`` while all its keys
                cool down, and for good when its budget is spent: then others do its tasks.
            Exception: what LiteLLM raises; `aegir_dspy.orchestrator.failure` knows what it means.
        """
        skill = self._skills[job.task.kind]
        question = skill.question(job, unmasked=self.provider.unmasked)
        if question is None:
            return Work(skill.value(job, None, self.name), steps=0, agents=0)
        reply = await self._paid(question, job)
        try:
            value = skill.value(job, answer_of(reply.text, question), self.name)
        except TaskError as error:
            error.tokens, error.cost = reply.tokens, reply.cost
            raise
        return Work(value, tokens=reply.tokens, cost=reply.cost)

    async def _paid(self, question: Question, job: Job) -> _Reply:
        """The reply, within the budgets; a call that fails has cost nothing that is known."""
        most = self.price.of(prompt_tokens(question), self.provider.max_tokens)
        if not self.spending.reserve(self.name, most):
            raise _spent(self.name)
        cost = 0.0
        try:
            reply = await self._asked(question, job)
            cost = reply.cost
            return reply
        except ValueError as error:
            raise _refused(error, self.name) from error
        finally:
            self.spending.settle(self.name, most, cost)

    async def _asked(self, question: Question, job: Job) -> _Reply:
        """One call; as a stream, which is three times the work, only where a heartbeat is listened for."""
        listened = job.task.budget.stall is not None
        response = await self._pool.router().acompletion(
            model=self.name,
            messages=question.messages(with_schema=not self._takes_schema),
            max_tokens=self.provider.max_tokens,
            temperature=job.task.inputs.get("temperature", 0.0),
            seed=job.task.inputs.get("seed"),
            drop_params=True,
            response_format=self._format(question),
            **({"stream": True, "stream_options": {"include_usage": True}} if listened else {}),
        )
        if listened:
            return await self._streamed(response, question, job.beat)
        hidden = getattr(response, "_hidden_params", {})
        return self._reply(
            response.choices[0].message.content or "", response.usage, hidden.get("response_cost"), question
        )

    async def _streamed(self, stream: Any, question: Question, beat: Callable[[], None]) -> _Reply:
        pieces, usage, ended = [], None, False
        async for chunk in stream:
            beat()
            usage = getattr(chunk, "usage", None) or usage
            for choice in chunk.choices:
                pieces.append(choice.delta.content or "")
                ended = ended or choice.finish_reason is not None
        if not ended:
            raise TaskError("provider_down", f"expected the whole answer of {self.name}, found a part of it")
        return self._reply("".join(pieces), usage, getattr(usage, "cost", None), question)

    def _reply(self, text: str, usage: Any, cost: float | None, question: Question) -> _Reply:
        """What was said, with what the provider counted, or else a guess."""
        read = getattr(usage, "prompt_tokens", None) or math.ceil(prompt_tokens(question))
        written = getattr(usage, "completion_tokens", None) or math.ceil(len(text) / LETTERS)
        return _Reply(text, read + written, self.price.of(read, written) if cost is None else float(cost))

    @cached_property
    def _takes_schema(self) -> bool:
        return bool(self.provider.api_base) or bool(
            litellm_module().supports_response_schema(self.provider.model)
        )

    def _format(self, question: Question) -> dict[str, Any]:
        if not self._takes_schema:
            return {"type": "json_object"}
        return {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": question.schema},
        }


def _refused(error: ValueError, name: str) -> Exception:
    """What the router raises as a plain ValueError: no key that can be asked now."""
    wait = getattr(error, "cooldown_time", None)
    if wait is not None:
        message = f"expected a key of {name} that can be asked, found all of them cooling down"
        return TaskError("provider_down", message, retry_after=float(wait))
    return error


def _spent(name: str) -> TaskError:
    return TaskError(
        "provider_down", f"expected a budget left for {name}, found it spent: allow more", permanent=True
    )


def prompt_tokens(question: Question) -> float:
    """About how many tokens a question has."""
    said = sum(len(message["content"]) for message in question.messages(with_schema=True))
    return said / LETTERS
