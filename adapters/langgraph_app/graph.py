"""The graph: planning → working → review → reporting.

Each node starts from what is kept, so a run goes on in another process after a crash: one that is killed
while planning plans again, one that is killed at work does the tasks that had not ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.errors import NodeError
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from aegir_dspy.adapters.langgraph_app.application import Application, Verdict
from aegir_dspy.adapters.langgraph_app.durable import durable
from aegir_dspy.adapters.langgraph_app.folder import ARTIFACTS
from aegir_dspy.adapters.langgraph_app.messages import allowed, paths_in, summary, told
from aegir_dspy.adapters.langgraph_app.review import question, verdicts_of
from aegir_dspy.adapters.langgraph_app.state import RECORDS, KeptPlan, KeptRun, RunState
from aegir_dspy.errors import AegirError, FailureRecord, RunError
from aegir_dspy.orchestrator.artifacts import FolderArtifacts
from aegir_dspy.orchestrator.execution import Event, Run
from aegir_dspy.orchestrator.spans import SpanWriter, spans_wanted
from aegir_dspy.orchestrator.trace import FILE, TraceWriter

__all__ = ["Graph", "build_graph"]

Graph = CompiledStateGraph[RunState, None, RunState, RunState]
Folders = Callable[[RunnableConfig], Path]

_PLANNING = RetryPolicy(
    max_attempts=3, initial_interval=0.1, retry_on=lambda error: not isinstance(error, AegirError)
)


def build_graph(
    application: Application,
    folder: Folders,
    *,
    name: str = "aegir",
    roots: tuple[Path, ...] = (),
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Graph:
    """The graph around an application. Its nodes are coroutines: call `ainvoke` and `astream`.

    Args:
        folder: where a run is kept, artifacts and trace, by its configuration.
        name: of the graph, as a member of a swarm.
        roots: folders that data may be in; anywhere, where there are none.
        checkpointer: None for that of the graph it is a member of.
    """
    nodes = _Nodes(application, folder, roots, name)
    graph = StateGraph(RunState)
    graph.add_node("planning", nodes.planning, retry_policy=_PLANNING, error_handler=nodes.not_planned)
    graph.add_node("working", nodes.working)
    graph.add_node("review", nodes.review)
    graph.add_node("reporting", nodes.reporting)
    for before, after in pairwise(_ORDER):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=checkpointer, name=name)


_ORDER = (START, "planning", "working", "review", "reporting", END)


class _Nodes:
    def __init__(self, application: Application, folder: Folders, roots: tuple[Path, ...], name: str) -> None:
        self.application, self.folder, self.roots, self.name = application, folder, roots, name

    async def planning(self, state: RunState, config: RunnableConfig) -> dict[str, Any]:
        """From data, or a message that names it, to a plan."""

        def plan() -> str:
            named = state.get("data") or paths_in(state.get("messages", []))
            data = allowed(named, self.roots)
            return self._artifacts(config).put("plan", KeptPlan.of(data, self.application.plan(data)))

        return {"plan": await asyncio.to_thread(plan), "verdicts": {}, "failures": [], "summary": {}}

    async def not_planned(self, state: RunState, error: NodeError) -> Command[str]:
        """Say why there is no plan: the data cannot be used, or the planner failed again and again."""
        message = " ".join(str(error.error).split()) or type(error.error).__name__
        failure = "parse" if isinstance(error.error, AegirError) else "resource"
        record = FailureRecord("plan", "planner", failure, message, type(error.error).__name__)
        answer = AIMessage(f"Nothing could be planned: {message}", name=self.name)
        nothing = {"data": [], "plan": "", "run": "", "result": "", "summary": {}, "verdicts": {}}
        return Command(update={**nothing, "failures": [record.to_json()], "messages": [answer]}, goto=END)

    async def working(self, state: RunState, config: RunnableConfig) -> dict[str, Any]:
        """Do what was planned, each task once."""
        artifacts = self._artifacts(config)
        plan = artifacts.get("plan", state["plan"]).plan
        async with _traced(self.folder(config), config) as trace:
            told = _Progress(get_stream_writer(), plan.graph, trace)
            try:
                run = await self.application.run(plan, artifacts, durable(artifacts), told)
            except ExceptionGroup as group:
                raise _first(group) from group
        return {"run": artifacts.put("run", KeptRun.of(run))}

    async def review(self, state: RunState, config: RunnableConfig) -> dict[str, Any]:
        """Ask a person about what is doubtful, until the answer can be understood."""
        doubts = await asyncio.to_thread(self.application.doubts, *self._done(state, config))
        if not doubts:
            return {"verdicts": {}}
        verdicts, complaint = verdicts_of(interrupt(question(doubts)), doubts, self.application.labels)
        while complaint:
            answer = interrupt(question(doubts, complaint))
            verdicts, complaint = verdicts_of(answer, doubts, self.application.labels)
        return {"verdicts": {name: {"verdict": v.verdict, "value": v.value} for name, v in verdicts.items()}}

    async def reporting(self, state: RunState, config: RunnableConfig) -> dict[str, Any]:
        """The result, whole as an artifact, without cell values as an answer."""
        verdicts = {name: Verdict(**said) for name, said in state.get("verdicts", {}).items()}
        done = self._done(state, config)
        document = await asyncio.to_thread(self.application.document, *done, verdicts)
        result, shown = self._artifacts(config).put("result", document), summary(document)
        answer = AIMessage(told(shown), name=self.name)
        return {"result": result, "summary": shown, "messages": [answer], "data": []}

    def _artifacts(self, config: RunnableConfig) -> FolderArtifacts:
        return FolderArtifacts(self.folder(config) / ARTIFACTS, {**self.application.types, **RECORDS})

    def _done(self, state: RunState, config: RunnableConfig) -> tuple[Any, Run, FolderArtifacts]:
        artifacts = self._artifacts(config)
        plan = artifacts.get("plan", state["plan"]).plan
        return plan, artifacts.get("run", state["run"]).run(plan.graph), artifacts


@asynccontextmanager
async def _traced(folder: Path, config: RunnableConfig) -> AsyncIterator[Callable[[Event], None]]:
    """The trace of a run, and its spans; none without a thread: runs at the same time would share it."""
    if not config.get("configurable", {}).get("thread_id"):
        yield lambda event: None
        return
    spans = SpanWriter(folder.name) if spans_wanted() else None
    try:
        trace = TraceWriter(folder / FILE)
    except OSError as error:
        raise RunError(f"expected to write {folder / FILE}, found: {error.strerror}") from error

    def told(event: Event) -> None:
        trace(event)
        if spans is not None:
            spans(event)

    try:
        yield told
    finally:
        trace.close()
        if spans is not None:
            await asyncio.to_thread(spans.close)


class _Progress:
    """Tells what happens as LangGraph's custom events, names and counts but no values, and the trace."""

    def __init__(
        self, write: Callable[[Any], None], tasks: Collection[str], trace: Callable[[Event], None]
    ) -> None:
        self.write, self.tasks, self.trace, self.ended = write, tasks, trace, 0

    def __call__(self, event: Event) -> None:
        self.trace(event)
        self.ended += event.kind == "ended" and event.task.id in self.tasks  # not parts of one
        told = {"event": event.kind, "task": event.task.id, "kind": event.task.kind, "agent": event.agent}
        if event.kind == "ended":
            told["ok"] = event.detail["outcome"].ok
        if event.kind == "failed":
            told["class"] = event.detail["failure"].failure_class
        self.write({**told, "ended": self.ended, "tasks": len(self.tasks)})


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The error that stopped the run: what a group of tasks adds says nothing."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
