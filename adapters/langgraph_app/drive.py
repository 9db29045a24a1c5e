"""Runs the graph in the folder of a run, from where it is to its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot
from langsmith import tracing_context

from aegir_dspy.adapters.langgraph_app.application import Application
from aegir_dspy.adapters.langgraph_app.folder import RunFolder
from aegir_dspy.adapters.langgraph_app.graph import Graph, build_graph
from aegir_dspy.adapters.langgraph_app.saver import open_saver
from aegir_dspy.adapters.langgraph_app.state import RECORDS
from aegir_dspy.errors import AegirError, DamagedRunError, InputError, RunError
from aegir_dspy.orchestrator.artifacts import FolderArtifacts
from aegir_dspy.orchestrator.execution import Run
from aegir_dspy.orchestrator.plan import TablePlan

__all__ = ["Finished", "drive"]

_CONFIG: RunnableConfig = {"configurable": {"thread_id": "run"}}
# What a disk or another process can be blamed for; all else SQLite finds wrong with a file is damage.
_OUTSIDE = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM),
)


@dataclass(frozen=True)
class Finished:
    """A run that has ended: what was planned, how it went, what it made."""

    plan: TablePlan
    run: Run
    artifacts: FolderArtifacts


async def drive(
    application: Application,
    folder: RunFolder,
    data: Sequence[str],
    *,
    on_progress: Callable[[dict[str, Any]], None] = lambda event: None,
    on_damage: Callable[[str], None] = lambda message: None,
) -> Finished:
    """Begin the run, or go on with it, or say what a finished one came to.

    Args:
        on_progress: told the custom events of the graph.
        on_damage: told, in one line, when the checkpoint is damaged and the run begins anew.

    Raises:
        InputError: the data cannot be used. RunError: the run cannot be kept; it can be resumed.
    """
    try:
        return await _drive(application, folder, data, on_progress)
    except DamagedRunError as error:
        told = " ".join(str(error).split())
        on_damage(f"{told}: the checkpoint is now {folder.set_aside()}, the run begins anew")
        return await _drive(application, folder, data, on_progress)


class _NotPlannedError(Exception):
    """Why there is no plan."""


async def _drive(
    application: Application,
    folder: RunFolder,
    data: Sequence[str],
    on_progress: Callable[[dict[str, Any]], None],
) -> Finished:
    try:
        with tracing_context(enabled=False):
            async with open_saver(folder.checkpoint) as saver:
                graph = build_graph(application, lambda _: folder.path, checkpointer=saver)
                state = await _state(graph)
                if not _ended(state):
                    # None goes on from the checkpoint; without one, or after a plan that failed, it begins.
                    begin: Any = None if state.next else {"data": list(data)}
                    async for event in graph.astream(begin, _CONFIG, stream_mode="custom"):
                        on_progress(event)
                    state = await _state(graph)
        if failures := state.values.get("failures"):
            raise _NotPlannedError(failures[0]["message"])
        return _finished(application, folder, state)
    except sqlite3.Error as error:
        raise _told(error, folder) from error
    except _NotPlannedError as error:
        raise InputError(str(error)) from None
    except InputError as error:  # of an artifact: what planning finds wrong is not raised
        raise DamagedRunError(str(error)) from error


async def _state(graph: Graph) -> StateSnapshot:
    try:
        return await graph.aget_state(_CONFIG)
    except (AegirError, sqlite3.Error):
        raise
    except Exception as error:  # what a library makes of damaged bytes
        found = f"{type(error).__name__}: {error}"
        raise DamagedRunError(f"expected a checkpoint that can be read, found {found}") from error


def _ended(state: StateSnapshot) -> bool:
    return bool(state.values.get("result")) and not state.next


def _finished(application: Application, folder: RunFolder, state: StateSnapshot) -> Finished:
    if not _ended(state):
        raise DamagedRunError(f"expected a run that has ended, found it before {', '.join(state.next)}")
    artifacts = FolderArtifacts(folder.artifacts, {**application.types, **RECORDS})
    plan = artifacts.get("plan", state.values["plan"]).plan
    return Finished(plan, artifacts.get("run", state.values["run"]).run(plan.graph), artifacts)


def _told(error: sqlite3.Error, folder: RunFolder) -> RunError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in _OUTSIDE:
        return DamagedRunError(f"expected a whole checkpoint in {folder.checkpoint}, found: {error}")
    return RunError(
        f"expected to write {folder.checkpoint}, found: {error}; free some space, then --resume {folder.path}"
    )
