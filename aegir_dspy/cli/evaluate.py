"""``aegir eval``: predict a labelled data set and print micro and macro F1."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegir_dspy.cli.annotate import Format, check_output, write_output
from aegir_dspy.cli.progress import ColumnProgress
from aegir_dspy.errors import InputError, VocabularyError

if TYPE_CHECKING:
    from aegir_dspy.annotator.annotation import TableAnnotation
    from aegir_dspy.annotator.evaluation import Prediction, Score
    from aegir_dspy.ontology import Vocabulary
    from aegir_dspy.swarm import Swarm, Usage
    from aegir_dspy.training.datasets import LabelledTable

__all__ = ["EXAMPLES", "Task", "evaluate"]

EXAMPLES = (
    "Examples: aegir eval data/train_dev --source sotabv2_cta --dev · "
    "aegir eval data/train_dev --source sotab32_cta --vocabulary sotab32 --predictions out.csv · "
    "aegir eval data/train_dev --source sotabv2_cpa --task CPA"
)


class Task(StrEnum):
    """What is predicted: the type of a column, or its relation to the subject column."""

    CTA = "CTA"
    CPA = "CPA"


def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="Folder with tables/*.parquet and labels.csv.", metavar="DATASET_DIR")
    ],
    source: Annotated[str, typer.Option(help="Which source of the data set.")],
    task: Annotated[
        Task, typer.Option(help="CTA: the type of a column; CPA: its relation to the subject column.")
    ] = Task.CTA,
    vocabulary: Annotated[
        str | None, typer.Option(help="Name or file; by default the label set of the source.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write table,column_index,predicted,confidence.")
    ] = None,
    dev: Annotated[bool, typer.Option(help="Only the tables of the committed dev hosts.")] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights written by aegir train.")] = None,
    abstain_below: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Confidence under which no type is given.")
    ] = 0.0,
    context: Annotated[int, typer.Option(min=0, help="Most context columns of a target.")] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    format: Annotated[Format, typer.Option(help="text or json.")] = Format.TEXT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Predict exactly the columns that labels.csv lists; the labels are not looked at while predicting."""
    from aegir_dspy.annotator.evaluation import score_predictions
    from aegir_dspy.swarm import Swarm
    from aegir_dspy.training.datasets import load_labelled
    from aegir_dspy.training.split import dev_hosts

    check_output(predictions)
    labelled = load_labelled(folder, source, task.value)
    if dev:
        labelled = [table for table in labelled if table.host in dev_hosts()]
    if not labelled:
        raise InputError(f"expected labelled tables of {source} for {task.value}, found none in {folder}")
    asked = _vocabulary(vocabulary, folder, source, task)
    given: dict[str, Any] = {"relations": asked} if task is Task.CPA else {"vocabulary": asked}
    swarm = Swarm(
        checkpoint=str(checkpoint) if checkpoint else None,
        device=device,
        context=context,
        abstain_below=abstain_below,
        **given,
    )
    tables = [table.table for table in labelled]
    with ColumnProgress(sum(len(t.columns) for t in tables), quiet=quiet) as progress:
        out = swarm(tables=tables, on_table=lambda table: progress.advance(len(table.columns)))
    answer = _relations if task is Task.CPA else _types
    answers = answer(swarm, labelled, out.annotations, abstain_below)
    score = score_predictions(answers, [g.labels for t in labelled for g in t.labels])
    if predictions:
        write_output(_csv(_in_file_order(answers, labelled, folder, source, task)), predictions)
    _print(score, out.usage, format)


def _types(
    swarm: Swarm, labelled: list[LabelledTable], annotations: list[TableAnnotation], abstain_below: float
) -> list[Prediction]:
    """The types of the labelled columns."""
    from aegir_dspy.annotator.evaluation import Prediction

    return [
        Prediction(t.table.name, g.column_index, c.type, c.confidence)
        for t, annotation in zip(labelled, annotations, strict=True)
        for g in t.labels
        for c in (annotation.columns[g.column_index],)
    ]


def _relations(
    swarm: Swarm, labelled: list[LabelledTable], annotations: list[TableAnnotation], abstain_below: float
) -> list[Prediction]:
    """The relations of the labelled columns to the column that the data set names."""
    from aegir_dspy.annotator.evaluation import Prediction

    answers = []
    for t, annotation in zip(labelled, annotations, strict=True):
        found = swarm.relations.scores(t.table, annotation, t.subject or 0)
        said = {} if found is None else dict(zip(found.objects, found.logits.exp(), strict=True))
        for g in t.labels:
            sure, row = said[g.column_index].max(0) if g.column_index in said else (0.0, None)
            label = None if row is None or sure < abstain_below else swarm.relations.relations.names[row]
            answers.append(Prediction(t.table.name, g.column_index, label, float(sure)))
    return answers


def _vocabulary(name: str | None, folder: Path, source: str, task: Task) -> str | Vocabulary:
    """The vocabulary asked for; else the built-in one with the source's labels; else those labels."""
    from aegir_dspy.ontology.vocabulary import (
        RELATION_VOCABULARIES,
        VOCABULARIES,
        Label,
        Vocabulary,
        load_vocabulary,
    )
    from aegir_dspy.training.datasets import load_label_set

    if name is not None:
        return name
    try:
        labels = load_label_set(folder, source, task.value)
    except InputError as error:
        raise VocabularyError(f"{error}: name the types with --vocabulary") from error
    for known in RELATION_VOCABULARIES if task is Task.CPA else VOCABULARIES:
        if set(load_vocabulary(known).names) == set(labels):
            return known
    return Vocabulary(source, tuple(Label(label) for label in labels))


def _in_file_order(
    answers: list[Prediction], labelled: list[LabelledTable], folder: Path, source: str, task: Task
) -> list[Prediction]:
    """The predictions in the order of labels.csv."""
    by_column = {(a.table, a.column_index): a for a in answers}
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        keys = [
            (line["table"], int(line["column_index"]))
            for line in csv.DictReader(file)
            if line["source"] == source and line["task"] == task.value
        ]
    return [by_column[key] for key in keys if key in by_column]


def _csv(answers: list[Prediction]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "column_index", "predicted", "confidence"])
    for a in answers:
        writer.writerow([a.table, a.column_index, a.type or "", f"{a.confidence:.4f}"])
    return text.getvalue()


def _print(score: Score, usage: Usage, format: Format) -> None:
    seconds = usage.seconds
    speed = usage.agents / max(1e-9, seconds)  # of all columns: the unlabelled ones are read too
    if format is Format.JSON:
        sys.stdout.write(
            json.dumps({**asdict(score), "seconds": seconds, "columns_per_second": speed}) + "\n"
        )
        return
    typer.echo(f"micro F1  {score.micro_f1:.4f}")
    typer.echo(f"macro F1  {score.macro_f1:.4f}")
    typer.echo(f"columns   {score.columns} ({score.answered:.1%} answered, {score.right:.1%} of those right)")
    typer.echo(f"ECE       {score.ece:.4f}")
    typer.echo(f"seconds   {seconds:.1f} ({speed:.0f} columns/s)")
