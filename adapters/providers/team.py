"""Remote models as they join a swarm for tables: asked about columns that it stays unsure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aegir_dspy.adapters.providers.agent import provider_agents
from aegir_dspy.adapters.providers.columns import ColumnSkill
from aegir_dspy.adapters.providers.config import Providers
from aegir_dspy.adapters.providers.estimate import Estimate, attempt_prices, column_tokens, estimate
from aegir_dspy.adapters.providers.pool import check_priced
from aegir_dspy.adapters.providers.quality import Quality
from aegir_dspy.adapters.providers.question import Skill
from aegir_dspy.adapters.providers.routing import QualityRouter
from aegir_dspy.adapters.providers.spending import Spending
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.task import Task
from aegir_dspy.tables.table import Column, Table, TableSet

if TYPE_CHECKING:  # it imports the models
    from aegir_dspy.orchestrator.swarm_orchestrator import SwarmOrchestrator

__all__ = ["Team", "table_team"]

_CONSULT = Task("consult", "consult")
# What a question is about, when nothing is known of it yet: one column of short texts.
_TYPICAL = TableSet((Table("", "", (Column(0, "name", tuple(f"some text {i}" for i in range(12))),)),))


@dataclass(frozen=True)
class Team:
    """Agents, and what chooses among them.

    Attributes:
        providers: as they are named. agents: one for each.
        router: the preference. spending: of the run. skill: how they are asked.
    """

    providers: Providers
    agents: tuple[Agent, ...]
    router: QualityRouter
    spending: Spending
    skill: ColumnSkill

    def join(self, orchestrator: SwarmOrchestrator) -> None:
        """Be consulted in its runs, and learn from them."""
        orchestrator.agents = (*orchestrator.agents, *self.agents)
        orchestrator.prefer, orchestrator.observe = self.router, self.router.observe

    def estimate(self, tables: TableSet) -> Estimate:
        """What it would cost at most to be consulted about tables: as if every column stayed unsure."""
        sources = {f"consult:{i}": TableSet((table,)) for i, table in enumerate(tables.tables)}
        tasks = [Task(name, "consult") for name in sources]
        return estimate(
            tasks,
            self.agents,
            self.providers,
            self.router,
            lambda task: column_tokens(self.skill, sources[task.id], task),
        )


def table_team(
    providers: Providers,
    skill: ColumnSkill,
    *,
    quality: Path | None = None,
    cost: float | None = None,
    seed: int = 0,
) -> Team:
    """The team that some providers make.

    Args:
        providers: from `read_providers`.
        skill: how they are asked about columns, as ``consult`` and any other of their skills.
        quality: the file that keeps how good they were; None to start anew.
        cost: of all of them in one run, at most; None for no limit but their own budgets.
        seed: of the router.

    Raises:
        InputError: a provider has a skill that is none of tables, a key that is unset, or no price though its
            cost is limited.
    """
    for provider in providers if cost is not None else ():
        check_priced(provider)
    budgets = {one.name: one.budget for one in providers if one.budget is not None}
    spending = Spending(budgets, cost)
    skills: Mapping[str, Skill] = dict.fromkeys(("annotate", "deepen", "consult"), skill)
    prices = attempt_prices(providers, *column_tokens(skill, _TYPICAL, _CONSULT))
    router = QualityRouter(Quality(quality), prices, spending, seed=seed)
    return Team(providers, tuple(provider_agents(providers, skills, spending)), router, spending, skill)
