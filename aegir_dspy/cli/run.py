"""``aegir annotate --run`` and ``--resume``: a run that is kept in a folder, and goes on from there."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aegir_dspy.cli.progress import ColumnProgress
from aegir_dspy.errors import InputError

if TYPE_CHECKING:
    from aegir_dspy.orchestrator.swarm_orchestrator import Said
    from aegir_dspy.orchestrator.table_swarm import TableSwarm

__all__ = ["Asked", "asked_for", "carried_out"]


@dataclass(frozen=True)
class Asked:
    """What a command is about: data and the settings of the swarm; folder: of the run, None for none kept."""

    data: Sequence[str]
    settings: Mapping[str, Any]
    folder: Path | None = None
    resumed: bool = False


def asked_for(
    context: typer.Context,
    data: Sequence[str],
    settings: Mapping[str, Any],
    run: Path | None,
    resume: Path | None,
) -> Asked:
    """Data and settings, those of the run where one is resumed.

    Raises:
        InputError: no data, both options, or what is resumed is not what is asked for.
    """
    if run is not None and resume is not None:
        raise InputError("expected --run or --resume, found both: one begins a run, one goes on with it")
    if resume is None:
        if not data:
            raise typer.BadParameter("Missing argument 'DATA…'", context)
        return Asked(data, settings, run)
    from aegir_dspy.adapters.langgraph_app.folder import RunFolder

    begun = RunFolder(resume).settings()
    if begun.where != str(Path.cwd()):
        raise InputError(
            f"expected to be in {begun.where}, where the run began, found {Path.cwd()}: go there"
        )
    given = {name for name in settings if _is_given(context, name)}
    for name, was, now in [
        ("DATA", begun.data, tuple(data) or begun.data),
        *(
            (f"--{name.replace('_', '-')}", begun.settings.get(name), settings[name])
            for name in sorted(given)
        ),
    ]:
        if was != now:
            raise InputError(
                f"expected {name} as the run began, {_shown(was)}, found {_shown(now)}: leave it out, or "
                "begin another run with --run"
            )
    return Asked(begun.data, begun.settings, resume, resumed=True)


def carried_out(asked: Asked, swarm: TableSwarm, *, quiet: bool) -> Said:
    """The run to its end, from where it is.

    Raises:
        InputError: data, weights or vocabulary are not the run's any more, or another process works on it.
        RunError: it cannot be kept; it can be resumed.
    """
    from aegir_dspy.adapters.langgraph_app.drive import drive
    from aegir_dspy.adapters.langgraph_app.folder import RunFolder, RunSettings
    from aegir_dspy.adapters.langgraph_app.swarm_application import SwarmApplication
    from aegir_dspy.cli.annotate import write_output
    from aegir_dspy.result import result_document

    assert asked.folder is not None
    folder, application = RunFolder(asked.folder), SwarmApplication(swarm)
    settings = RunSettings.of(asked.data, asked.settings, swarm.identity())
    if asked.resumed:
        folder.check(settings)
    else:
        folder.begin(settings)
    with folder.locked(), ColumnProgress(0, quiet=quiet, what="tasks") as progress:
        done = asyncio.run(
            drive(
                application,
                folder,
                asked.data,
                on_progress=lambda event: progress.reached(event["ended"], event["tasks"]),
                on_damage=lambda message: print(f"aegir: {message}", file=sys.stderr),
            )
        )
        said = application.said(done.plan, done.run, done.artifacts)
        document = result_document(swarm.prediction(said))
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        write_output(text, asked.folder / "result.json")
    return said


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
