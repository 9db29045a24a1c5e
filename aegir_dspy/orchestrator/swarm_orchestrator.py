"""`SwarmOrchestrator`: plans what a swarm does with tables, runs it, gathers what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.elements import DataElement
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.errors import FailureRecord
from aegir_dspy.ontology.composition import Composition
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.artifacts import Artifacts
from aegir_dspy.orchestrator.decision import Replanner
from aegir_dspy.orchestrator.deep_search import DeepSearch
from aegir_dspy.orchestrator.describe import Describer, refusals
from aegir_dspy.orchestrator.execution import Event, Execution, Limits, Run, Start, at_once
from aegir_dspy.orchestrator.failure import masked_record
from aegir_dspy.orchestrator.outcome import Usage
from aegir_dspy.orchestrator.plan import PlanConfig, TablePlan, plan_files, plan_given
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.roster import Preference, Roster, by_load
from aegir_dspy.orchestrator.table_agents import table_agents
from aegir_dspy.orchestrator.task import TaskBudget
from aegir_dspy.tables.table import Table, TableSet
from aegir_dspy.verifier import Score

__all__ = ["OrchestratorConfig", "Said", "SwarmOrchestrator"]


@dataclass(frozen=True, slots=True)
class OrchestratorConfig:
    """How a swarm works.

    Attributes:
        agents: tasks that are worked on at once, at most.
        deep: whether columns that stay unsure are looked at longer.
        budget: of every task. limits: of a run.
    """

    agents: int = 300
    deep: bool = False
    budget: TaskBudget = TaskBudget()
    limits: Limits = Limits()


@dataclass(frozen=True)
class Said:
    """What came of a run over tables.

    Attributes:
        tables: those that were read, and `annotations`, one for each that could be annotated.
        elements, composition, score: None or empty where they could not be made; `failures` says why.
        failures: of reading, of tasks, and of the verifier's gates.
        usage: what it cost.
    """

    tables: tuple[Table, ...]
    annotations: tuple[TableAnnotation, ...]
    elements: tuple[DataElement, ...]
    composition: Composition | None
    score: Score | None
    failures: tuple[FailureRecord, ...]
    usage: Usage


class SwarmOrchestrator:
    """Describes tables with a swarm.

    Args:
        annotator: reads columns. describer: says the rest.
        config: see `OrchestratorConfig`.
        agents: more agents than the local ones, for example of remote models.
        replanner: decides about failures; by default the rules of `RuleReplanner`.
        prefer: which of several agents a task would rather have.
        observe: told what happens in every run, so that `prefer` may learn.
    """

    def __init__(
        self,
        annotator: ColumnTypeAnnotator,
        describer: Describer,
        config: OrchestratorConfig | None = None,
        *,
        agents: Sequence[Agent] = (),
        replanner: Replanner | None = None,
        prefer: Preference = by_load,
        observe: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.annotator, self.describer = annotator, describer
        self.config = config or OrchestratorConfig()
        self.deep = DeepSearch(annotator.vocabulary, annotator.threshold)
        self.agents, self.replanner, self.prefer = tuple(agents), replanner or RuleReplanner(), prefer
        self.observe = observe

    def plan(self, data: TableSet | str | Path | Sequence[str | Path]) -> TablePlan:
        """The tasks for tables, or for the files, folders and globs the user named."""
        consult = any("consult" in agent.skills for agent in self.agents)
        config = PlanConfig(self.config.deep, consult, self.annotator.steps(), self.config.budget)
        if isinstance(data, TableSet):
            return plan_given([str(i) for i in range(len(data.tables))], config)
        return plan_files(data, config)

    async def run(
        self,
        plan: TablePlan,
        artifacts: Artifacts,
        given: TableSet | None = None,
        *,
        start: Start = at_once,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> Run:
        """Do what was planned; `given` are the tables where they are there already."""
        tables = {str(i): TableSet((table,)) for i, table in enumerate(given.tables if given else ())}
        # One thread reads: a model uses the cores there are by itself.
        with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as thinking:
            local = table_agents(self.annotator, self.describer, self.deep, tables, reading, thinking)
            roster = Roster([*local, *self.agents], self.config.agents, self.prefer)

            def told(event: Event) -> None:
                self.observe(event)
                on_event(event)

            execution = Execution(plan.graph, roster, artifacts, self.replanner, self.config.limits, told)
            return await execution.run(start)

    def said(self, plan: TablePlan, run: Run, artifacts: Artifacts) -> Said:
        """What came of it."""

        def made(*kinds: str) -> list[Any]:
            """The values of the tasks of some kinds that were done, in the graph's order."""
            ended = ((task.kind, run.outcomes[name].artifact) for name, task in run.graph.items())
            return [artifacts.get(kind, key) for kind, key in ended if kind in kinds and key is not None]

        sources: list[TableSet] = made("read", "given")
        score = next(iter(made("verify")), None)
        return Said(
            tuple(table for source in sources for table in source.tables),
            tuple(annotation for source in made("relate") for annotation in source),
            next(iter(made("elements")), ()),
            next(iter(made("compose")), None),
            score,
            (
                *plan.failures,
                *(masked_record(failure) for source in sources for failure in source.failures),
                *run.failures,
                *(refusals(score) if score is not None else ()),
            ),
            run.usage,
        )
