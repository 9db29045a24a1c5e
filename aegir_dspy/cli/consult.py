"""Remote models that ``aegir annotate`` consults: those of ``[providers.<name>]`` in the settings' file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aegir_dspy.settings_file import read_settings

if TYPE_CHECKING:
    from aegir_dspy.adapters.providers import Estimate, Team
    from aegir_dspy.orchestrator.table_swarm import TableSwarm

__all__ = ["consulted", "learned", "rendered"]


def consulted(swarm: TableSwarm, max_cost: float | None, *, quiet: bool) -> Team | None:
    """Have the swarm consult them; None, and nothing is imported, where none are named.

    Raises:
        InputError: what is named cannot be used.
    """
    if not read_settings(Path.cwd())[0].get("providers"):
        return None
    from aegir_dspy.adapters.providers import ColumnSkill, read_providers, table_team
    from aegir_dspy.cli.doctor import home

    providers = read_providers(Path.cwd())
    skill = ColumnSkill(swarm.vocabulary, swarm.annotator.threshold)
    team = table_team(providers, skill, quality=home() / "providers.json", cost=max_cost)
    team.join(swarm.orchestrator)
    if not quiet:
        shown = ", ".join(f"{one.name}{' (cells unmasked)' if one.unmasked else ''}" for one in providers)
        sys.stderr.write(f"aegir: columns that stay unsure are shown to {shown}\n")
    return team


def learned(team: Team | None) -> None:
    """Keep how good the models were; a line on stderr where that cannot be written."""
    if team is None:
        return
    try:
        team.router.quality.save()
    except OSError as error:
        sys.stderr.write(f"aegir: how good the providers were is not kept: {error.strerror}\n")


def rendered(estimate: Estimate | None, *, as_json: bool) -> str:
    """What a run would cost, for people or programs."""
    if as_json:
        said = {"cost": 0.0, "unknown_prices": [], "shares": []} if estimate is None else estimate.to_json()
        return json.dumps({"schema": "aegir.estimate/1", **said}, indent=1) + "\n"
    return "\n".join(_lines(estimate)) + "\n"


def _lines(estimate: Estimate | None) -> Iterator[str]:
    if estimate is None:
        yield "no providers are named: the local swarm does everything, at no cost"
        return
    for one in estimate.shares:
        cost = "price unknown" if one.cost is None else f"cost {one.cost:.4g}, at most {one.most:.4g}"
        yield f"{one.provider}  {one.calls:.1f} calls  {one.tokens:.0f} tokens  {cost}"
    yield f"if every column stayed unsure: cost {estimate.cost:.4g}"
