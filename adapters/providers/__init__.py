"""Remote models beside the local swarm: named in ``aegir.toml``, called through LiteLLM, chosen by what they
cost and how good they were. With none named, nothing here is used.

>>> providers = read_providers(".")                       # [providers.<name>] of aegir.toml
>>> team = table_team(providers, ColumnSkill(swarm.vocabulary, swarm.annotator.threshold), cost=2.0)
>>> team.join(swarm.orchestrator)
"""

from aegir_dspy.adapters.providers.agent import ProviderAgent, provider_agents
from aegir_dspy.adapters.providers.columns import ColumnSkill
from aegir_dspy.adapters.providers.config import Provider, Providers, providers_from, read_providers
from aegir_dspy.adapters.providers.estimate import Estimate, attempt_prices, column_tokens, estimate
from aegir_dspy.adapters.providers.quality import Quality
from aegir_dspy.adapters.providers.question import GeneralSkill, Question, Skill
from aegir_dspy.adapters.providers.remote_graph import RemoteGraphAgent
from aegir_dspy.adapters.providers.routing import QualityRouter
from aegir_dspy.adapters.providers.spending import Spending
from aegir_dspy.adapters.providers.team import Team, table_team

__all__ = [
    "ColumnSkill",
    "Estimate",
    "GeneralSkill",
    "Provider",
    "ProviderAgent",
    "Providers",
    "Quality",
    "QualityRouter",
    "Question",
    "RemoteGraphAgent",
    "Skill",
    "Spending",
    "Team",
    "attempt_prices",
    "column_tokens",
    "estimate",
    "provider_agents",
    "providers_from",
    "read_providers",
    "table_team",
]
