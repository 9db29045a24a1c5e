"""``aegir train``: make the weights, from reading tables without labels to column types."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegir_dspy.cli.annotate import check_output
from aegir_dspy.errors import InputError

if TYPE_CHECKING:
    from aegir_dspy.rwkv.geometry import Geometry

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Train the weights. Needs the extra: pip install 'aegir-dspy[train]'.",
    epilog=(
        "Example: aegir train swarm data/train_dev --corpus data/corpus --run runs/swarm "
        "--out swarm/columns.safetensors"
    ),
)

Run = Annotated[Path, typer.Option(help="Folder for checkpoints, configuration and metrics.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]


@app.command()
def pretrain(
    corpus: Annotated[Path, typer.Argument(help="Folder of parquet shards with unlabelled tables.")],
    run: Run,
    minutes: Annotated[float, typer.Option(help="Training time; pauses do not count.")] = 56.0,
    layers: Annotated[int, typer.Option(min=1)] = 3,
    width: Annotated[int, typer.Option(min=32, help="A multiple of 32.")] = 160,
    max_steps: Annotated[int, typer.Option(min=0, help="0: no limit.")] = 0,
    threads: Threads = 1,
    seed: Seed = 0,
) -> None:
    """Learn to read columns from unlabelled tables; continues the run found in the folder."""
    import torch

    from aegir_dspy.training.datasets import load_corpus
    from aegir_dspy.training.pretrain import PretrainConfig
    from aegir_dspy.training.pretrain import pretrain as run_pretraining

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # decayed states underflow, and denormal numbers are slow
    config = PretrainConfig(_geometry(layers, width), minutes=minutes, max_steps=max_steps, seed=seed)
    path = run_pretraining(list(load_corpus(corpus)), config, run, _metrics(run / "pretrain.jsonl"))
    typer.echo(path)


@app.command()
def swarm(
    data: Annotated[Path, typer.Argument(help="Folder with tables/*.parquet and labels.csv.")],
    corpus: Annotated[Path, typer.Option(help="Folder of parquet shards with unlabelled tables.")],
    run: Run,
    out: Annotated[Path, typer.Option(help="The primary's weights to write; members come beside it.")],
    share: Annotated[float, typer.Option(min=0.0, help="Of the default training time (3.5 hours).")] = 1.0,
    max_steps: Annotated[int, typer.Option(min=0, help="Most steps of a stage; 0: no limit.")] = 0,
    layers: Annotated[int, typer.Option(min=1)] = 3,
    width: Annotated[int, typer.Option(min=32, help="A multiple of 32.")] = 160,
    threads: Threads = 1,
    seed: Seed = 0,
) -> None:
    """Train the whole swarm: readers in both directions, primary, domain specialists, decisions.

    Continues the run found in the folder.
    """
    import torch

    from aegir_dspy.training.datasets import load_corpus
    from aegir_dspy.training.swarm import SwarmTraining, train_swarm

    check_output(out)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    config = SwarmTraining(_geometry(layers, width), max_steps=max_steps, seed=seed).scaled(share)
    tables = list(load_corpus(corpus))
    report = train_swarm(data, tables, run, out, config, _metrics(run / "swarm.jsonl"))
    typer.echo(json.dumps(report, indent=1))


@app.command()
def types(
    data: Annotated[Path, typer.Argument(help="Folder with tables/*.parquet and labels.csv.")],
    corpus: Annotated[Path, typer.Option(help="Folder of parquet shards with unlabelled tables.")],
    run: Run,
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors.")],
    start: Annotated[
        Path | None, typer.Option(help="An annotator to start from, instead of the pre-trained model.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="An annotator that labels the columns of the relation sets.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Training time; pauses do not count.")] = 24.0,
    lr: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 1e-3,
    max_steps: Annotated[int, typer.Option(min=0, help="0: no limit.")] = 0,
    threads: Threads = 2,
    seed: Seed = 0,
) -> None:
    """Train column types on the pre-trained weights of the run, calibrate on dev, write the weights.

    Continues a run found in the folder.
    """
    import torch

    from aegir_dspy.training.column_types import TypesConfig
    from aegir_dspy.training.datasets import load_corpus
    from aegir_dspy.training.finish import train_and_write

    check_output(out)
    pretrained = run / "pretrain.pt"
    if not pretrained.is_file():
        raise InputError(
            f"expected {pretrained}, found none: run 'aegir train pretrain' with this --run first"
        )
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    optimizer = replace(TypesConfig().optimizer, lr=lr)
    config = TypesConfig(minutes=minutes, max_steps=max_steps, seed=seed, optimizer=optimizer)
    metrics = _metrics(run / "types.jsonl")
    tables = list(load_corpus(corpus))
    report = train_and_write(pretrained, data, tables, config, run, out, metrics, start, teacher)
    typer.echo(json.dumps(report, indent=1))


@app.command()
def average(
    members: Annotated[list[Path], typer.Argument(help="Weights of 'train types' with several seeds.")],
    data: Annotated[Path, typer.Option(help="Folder with tables/*.parquet and labels.csv, to calibrate on.")],
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors.")],
) -> None:
    """Average weights that were trained from the same pre-trained run, calibrate, write them."""
    from aegir_dspy.training.finish import average_and_write

    check_output(out)
    typer.echo(json.dumps(average_and_write(members, data, out), indent=1))


@app.command()
def relations(
    data: Annotated[Path, typer.Option(help="Folder with tables/*.parquet and labels.csv.")],
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors; a report beside it.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="The annotator whose types the relations are told from.")
    ] = None,
) -> None:
    """Train the relations of columns to the subject column, measure them on dev, write the weights."""
    from aegir_dspy.annotator.bundle import default_bundle, load_bundle
    from aegir_dspy.training.relations import train_relations

    check_output(out)
    bundle = default_bundle() if checkpoint is None else load_bundle(checkpoint)
    typer.echo(json.dumps(train_relations(data, bundle, out), indent=1))


@app.command()
def router(
    data: Annotated[Path, typer.Option(help="Folder with tables/*.parquet and labels.csv.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="The annotator whose primary routes; by default the one that ships.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default beside the annotator.")] = None,
) -> None:
    """Train who is asked about a column after its first reading, measure that on dev, write it."""
    from aegir_dspy.annotator.bundle import default_bundle, load_bundle
    from aegir_dspy.training.router import train_router

    if out is not None:
        check_output(out)
    bundle = default_bundle() if checkpoint is None else load_bundle(checkpoint)
    typer.echo(json.dumps(train_router(data, bundle, out), indent=1))


def _geometry(layers: int, width: int) -> Geometry:
    from aegir_dspy.rwkv.geometry import Geometry

    if width % 32:
        raise InputError(f"expected a width that is a multiple of 32, found {width}")
    return replace(Geometry.small(layers, width), ngram_buckets=65_536, ngram_width=64)


def _metrics(path: Path) -> Callable[[dict[str, float]], None]:
    """Append every step's numbers to a JSONL file; one line a minute goes to stderr."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = time.monotonic()

    def report(numbers: dict[str, float]) -> None:
        nonlocal shown
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({k: round(v, 5) for k, v in numbers.items()}) + "\n")
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            typer.echo(" ".join(f"{k} {v:.4g}" for k, v in numbers.items()), err=True)

    return report
