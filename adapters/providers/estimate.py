"""What a run would cost, before anything runs: tokens × prices, by kind and how often providers are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from aegir_dspy.adapters.providers.agent import prompt_tokens
from aegir_dspy.adapters.providers.columns import ColumnSkill
from aegir_dspy.adapters.providers.config import Providers
from aegir_dspy.adapters.providers.pool import price_of
from aegir_dspy.adapters.providers.routing import QualityRouter
from aegir_dspy.orchestrator.agent import Agent, Job
from aegir_dspy.orchestrator.task import Task
from aegir_dspy.tables.table import TableSet

__all__ = ["Estimate", "Share", "attempt_prices", "column_tokens", "estimate"]

Tokens = Callable[[Task], tuple[float, float]]
"""Tokens that one attempt at a task reads and writes."""

_WRITTEN = 24.0  # tokens of an answer about one column


@dataclass(frozen=True, slots=True)
class Share:
    """What one provider is expected to do of one kind.

    calls, tokens, cost: expected. most: the cost if every task took all its attempts with it. The last two
    are None where nobody knows its price.
    """

    kind: str
    provider: str
    calls: float
    tokens: float
    cost: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a run; `cost` leaves out `unknown`, the providers whose price nobody knows."""

    shares: tuple[Share, ...]

    @property
    def cost(self) -> float:
        """Expected."""
        return sum(one.cost or 0.0 for one in self.shares)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Providers without a price: give ``price_in`` and ``price_out``."""
        return tuple(dict.fromkeys(one.provider for one in self.shares if one.cost is None))

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "cost": self.cost,
            "unknown_prices": list(self.unknown),
            "shares": [asdict(one) for one in self.shares],
        }


def estimate(
    tasks: Iterable[Task],
    agents: Sequence[Agent],
    providers: Providers,
    router: QualityRouter,
    tokens: Tokens,
) -> Estimate:
    """What tasks are expected to cost.

    A first attempt goes where the router would send it by what it knows, the following ones, as often as the
    one before is expected to fail, to the strongest that has not tried. Nothing is asked and nothing learned.

    Args:
        tasks: of the plan. agents: all of them, the local ones included. providers: the paid ones.
        router: with what is known of their quality.
        tokens: of one attempt, see `column_tokens`.
    """
    prices = {one.name: price_of(one) for one in providers}
    shares: dict[tuple[str, str], Share] = {}
    for task in tasks:
        able = [agent.name for agent in agents if task.wanted in agent.skills]
        calls = _calls(task, able, router)
        for name in (name for name in able if name in prices):
            read, written = tokens(task)
            price, known = prices[name], shares.get((task.kind, name), Share(task.kind, name, 0, 0, 0, 0))
            one = price.of(read, written) if price else None
            shares[task.kind, name] = replace(
                known,
                calls=known.calls + calls.get(name, 0.0),
                tokens=known.tokens + calls.get(name, 0.0) * (read + written),
                cost=None if one is None else (known.cost or 0.0) + calls.get(name, 0.0) * one,
                most=None if one is None else (known.most or 0.0) + task.budget.attempts * one,
            )
    return Estimate(tuple(shares.values()))


def _calls(task: Task, able: Sequence[str], router: QualityRouter) -> dict[str, float]:
    """How often each agent is expected to be asked for a task."""
    found: dict[str, float] = {}
    left, reached = list(able), 1.0
    for _ in range(task.budget.attempts):
        if not left:
            break
        name = router.order(task, left, router.mean)[0]
        found[name] = reached
        reached *= 1 - router.mean(task, name)
        left.remove(name)
        task = task.again()
    return found


def column_tokens(skill: ColumnSkill, tables: TableSet, task: Task) -> tuple[float, float]:
    """Tokens read and written to ask about all columns of some tables."""
    question = skill.question(Job(task, {"tables": tables}), unmasked=False)
    if question is None:
        return 0.0, 0.0
    return prompt_tokens(question), _WRITTEN * len(question.data["asked"])


def attempt_prices(providers: Providers, read: float, written: float) -> Mapping[str, float]:
    """The price of one attempt by provider, for `QualityRouter`; those without a known price are left out."""
    known = ((one.name, price_of(one)) for one in providers)
    return {name: price.of(read, written) for name, price in known if price is not None}
