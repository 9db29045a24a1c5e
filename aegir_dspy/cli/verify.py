"""``aegir verify``: score a composition against the tables it speaks about."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegir_dspy.cli.annotate import Format, check_output, write_output
from aegir_dspy.errors import InputError

if TYPE_CHECKING:
    from aegir_dspy.verifier.score import Score

__all__ = ["EXAMPLES", "verify"]

EXAMPLES = (
    "Examples: aegir annotate orders.csv --format composition --out orders.json · "
    "aegir verify orders.json --tables orders.csv · "
    "aegir verify orders.json --tables orders.csv --texts glossary.txt --format json"
)
_MOST_BYTES = 16_000_000


class ProfileName(StrEnum):
    """Which gates and weights make R."""

    ANNOTATION = "annotation"
    COMPOSITION = "composition"
    ORIGINAL = "aegir-0.3"


def verify(
    composition: Annotated[
        Path,
        typer.Argument(help="JSON, as aegir annotate --format composition.", metavar="COMPOSITION"),
    ],
    tables: Annotated[
        list[str], typer.Option("--tables", help="Files, folders or globs it speaks about; repeatable.")
    ],
    texts: Annotated[list[Path] | None, typer.Option(help="Text files about the tables; repeatable.")] = None,
    profile: Annotated[ProfileName, typer.Option(help="Gates and weights.")] = ProfileName.ANNOTATION,
    vocabulary: Annotated[str, typer.Option(help="Name or file of the types columns may have.")] = "schema",
    ontology: Annotated[
        list[str] | None,
        typer.Option(help="schema (default), dbpedia, cco, or a Turtle, RDF or JSON-LD file; repeatable."),
    ] = None,
    relations: Annotated[
        str | None, typer.Option(help="Name or file of the relations; by default every known property.")
    ] = None,
    format: Annotated[Format, typer.Option(help="text or json.")] = Format.TEXT,
    out: Annotated[Path | None, typer.Option(help="Write here instead of to stdout.")] = None,
) -> None:
    """Say how well a composition fits its tables, and why: gates, components, reasons.

    Exit code 1 when a gate refuses it, or when some of the tables could not be read.
    """
    check_output(out)
    from aegir_dspy.ontology.registry import load_ontology
    from aegir_dspy.tables import read_tables
    from aegir_dspy.verifier import Verifier

    told = _read(composition)
    read = read_tables(tables)
    documents = [_read(path).decode("utf-8", "replace") for path in texts or ()]
    terms = load_ontology(ontology or "schema")
    verifier = Verifier(profile.value, vocabulary=vocabulary, ontology=terms, relations=relations)
    score = verifier.score(told, read.tables, documents)
    write_output(_render(score, verifier.feedback(score), format), out)
    for failure in read.failures:
        sys.stderr.write(f"aegir: {' '.join(failure.message.split())}\n")
    if not score.ok or read.failures:
        raise typer.Exit(1)


def _read(path: Path) -> bytes:
    """The bytes of a file of at most 16 MB."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"expected a file of at most {_MOST_BYTES:,} bytes, found {path}: split it")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a readable file, found {path}: {error.strerror}") from error


def _render(score: Score, feedback: str, format: Format) -> str:
    if format is Format.JSON:
        content = {**score.to_json(), "verifier": score.verifier, "inputs": score.inputs}
        return json.dumps({**content, "identity": score.identity}, ensure_ascii=False, indent=1) + "\n"
    gates = " ".join(f"{gate.name}:{'ok' if gate.ok else 'REFUSED'}" for gate in score.gates)
    shown = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in feedback)
    return f"{shown}\ngates  {gates}\nidentity  {score.identity}\n"
