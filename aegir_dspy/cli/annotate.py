"""``aegir annotate``: the types of the columns of files, folders and globs."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from aegir_dspy.cli.consult import consulted, learned, rendered
from aegir_dspy.cli.progress import ColumnProgress
from aegir_dspy.cli.run import asked_for, carried_out
from aegir_dspy.errors import InputError

if TYPE_CHECKING:
    from aegir_dspy.orchestrator.table_swarm import TableResult, TableSwarm
    from aegir_dspy.tables import Table

__all__ = ["EXAMPLES", "AnnotateFormat", "Format", "annotate", "check_output", "write_output"]

EXAMPLES = (
    "Examples: aegir annotate orders.csv · aegir annotate data/ --format json --out result.json · "
    "aegir annotate 'exports/*.parquet' --vocabulary my_types.json · "
    "aegir annotate data/ --format turtle --out data.ttl"
)


class Format(StrEnum):
    """How a result is written."""

    TEXT = "text"
    JSON = "json"


class AnnotateFormat(StrEnum):
    """How annotations are written: for people, for programs, for `aegir verify`, for ontology tools."""

    TEXT = "text"
    JSON = "json"
    COMPOSITION = "composition"
    TURTLE = "turtle"
    JSONLD = "jsonld"
    MANCHESTER = "manchester"
    SHACL = "shacl"


def annotate(
    ctx: typer.Context,
    data: Annotated[
        list[str] | None, typer.Argument(help="Files, folders (recursive) or globs.", metavar="DATA…")
    ] = None,
    vocabulary: Annotated[
        str, typer.Option(help="schema, sotab82, sotab32, dbpedia, or a file of labels.")
    ] = "schema",
    relations: Annotated[
        str,
        typer.Option(help="sotab_cpa, or a file of relations to the subject column."),
    ] = "sotab_cpa",
    format: Annotated[
        AnnotateFormat,
        typer.Option(help="text for people, json for programs, composition for aegir verify, RDF or OWL."),
    ] = AnnotateFormat.TEXT,
    out: Annotated[Path | None, typer.Option(help="Write here instead of to stdout.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights written by aegir train.")] = None,
    abstain_below: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Confidence under which no type is given.")
    ] = None,
    max_agents: Annotated[int, typer.Option(min=1, help="Most columns read at once; bounds memory.")] = 512,
    deep: Annotated[
        bool, typer.Option("--deep", help="Judge columns that stay unsure by how well their cells fit.")
    ] = False,
    max_critical_steps: Annotated[
        int | None, typer.Option(min=0, help="Readings one after the other after which no more is started.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Without effect: annotation draws no random numbers.")] = 0,
    store: Annotated[
        bool, typer.Option(help="Keep what is read in AEGIR_HOME/states (1 GB) and do not read it again.")
    ] = True,
    run: Annotated[
        Path | None, typer.Option(help="Keep the run in this new folder: it can be resumed.", metavar="DIR")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder; DATA is known.", metavar="DIR")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0.0, help="What the [providers] of aegir.toml may cost together.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the providers would cost, ask nobody.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Say what each column means: type, confidence, reasons; how columns are related; an ontology fragment.

    Exit code 1 when some file could not be read (the others are annotated), 2 when nothing could.
    """
    check_output(out)
    settings = {
        "vocabulary": vocabulary,
        "relations": relations,
        "checkpoint": str(checkpoint) if checkpoint else None,
        "device": device,
        "abstain_below": abstain_below,
        "deep": deep,
        "max_critical_steps": max_critical_steps,
    }
    asked = asked_for(ctx, data or (), settings, run, resume)
    # A kept run reads everything itself: what it counts does not depend on when it was killed.
    swarm = _swarm({**asked.settings, "max_agents": max_agents}, keep=store and asked.folder is None)
    from aegir_dspy.tables import read_tables

    team = consulted(swarm, max_cost, quiet=quiet or dry_run)
    if dry_run:
        estimate = team.estimate(read_tables(asked.data)) if team else None
        write_output(rendered(estimate, as_json=format is AnnotateFormat.JSON), out)
        return
    if asked.folder is not None:
        said = carried_out(asked, swarm, quiet=quiet)
        prediction, annotated = swarm.prediction(said), said.tables
    else:
        tables = read_tables(asked.data)
        total = sum(len(table.columns) for table in tables)
        with ColumnProgress(total, quiet=quiet) as progress:
            prediction = swarm(tables=tables, on_table=lambda table: progress.advance(len(table.columns)))
        annotated = tables.tables
    learned(team)
    write_output(_render(prediction, annotated, swarm, format, to_file=out is not None), out)
    if undone := [failure for failure in prediction.failures if failure.undone]:
        sys.stderr.write(
            f"aegir: {len(undone)} of the files, or parts of them, could not be done, the first: "
            f"{' '.join(undone[0].message.split())}\n"
        )
        raise typer.Exit(1 if prediction.annotations else 2)


def _swarm(settings: Mapping[str, Any], *, keep: bool) -> TableSwarm:
    """The swarm, which is loaded with garbage collection off: all that is made stays, to look is in vain."""
    gc.disable()
    try:
        from aegir_dspy.orchestrator.table_swarm import SwarmConfig, TableSwarm

        return TableSwarm(SwarmConfig(**settings, store=_usable_store() if keep else None))
    finally:
        gc.freeze()
        gc.enable()


def _usable_store() -> Path | None:
    """The folder of states, or None, with a line about it, where there can be none: annotating goes on."""
    from aegir_dspy.cli.doctor import home
    from aegir_dspy.latent.store import StateStore

    folder = home() / "states"
    try:
        StateStore(folder)
    except InputError as error:
        sys.stderr.write(f"aegir: nothing is kept: {' '.join(str(error).split())} (--no-store)\n")
        return None
    return folder


def _render(
    prediction: TableResult,
    tables: Sequence[Table],
    swarm: TableSwarm,
    format: AnnotateFormat,
    *,
    to_file: bool,
) -> str:
    if format is AnnotateFormat.JSON:
        from aegir_dspy.result import result_document

        return json.dumps(result_document(prediction), ensure_ascii=False, indent=1) + "\n"
    if format is not AnnotateFormat.TEXT:
        from aegir_dspy.report.ontology import written

        if prediction.composition is None:
            raise InputError("expected a composition to write, found none: --format json says what failed")
        return written(prediction.composition, tables, swarm.verifier, format.value)
    from aegir_dspy.report.text import render_result

    colour = sys.stdout.isatty() and not to_file
    console = Console(width=None if colour else 120, force_terminal=colour, no_color=None if colour else True)
    with console.capture() as captured:
        render_result(prediction, console)
    return captured.get()


def check_output(out: Path | None) -> None:
    """Raise InputError, before any work is done, for a file that could not be written afterwards."""
    if out is not None and not out.parent.is_dir():
        raise InputError(f"expected a folder to write {out.name} in, found none at {out.parent}: create it")
    if out is not None and out.is_dir():
        raise InputError(f"expected a file to write, found the folder {out}: name a file in it")


def write_output(text: str, out: Path | None) -> None:
    """To stdout, or to a temporary name that is renamed when complete: never a half-written file.

    What UTF-8 cannot encode (bytes of a file name that are none) is escaped as in JSON.
    """
    data = text.encode("utf-8", "backslashreplace")
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(out)
    except OSError as error:
        raise InputError(f"expected to write {out}, found: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
