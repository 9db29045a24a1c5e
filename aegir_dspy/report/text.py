"""A result for people: one table of columns a table, then what could not be done."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from aegir_dspy.annotator.annotation import ColumnAnnotation, TableAnnotation

__all__ = ["render_result"]

_NAME_CHARS = 28
_VALUE_CHARS = 24
_SHOWN_FAILURES = 20
_SHOWN_ELEMENTS = 20


def render_result(prediction: Any, console: Console) -> None:
    """Print a `Swarm`'s prediction."""
    for table in prediction.annotations:
        console.print(_table(table))
    if prediction.elements:
        console.print(_elements(prediction.elements))
    undone = [f for f in prediction.failures if f.undone]
    unsure = sum(f.failure_class == "low_confidence" for f in prediction.failures)
    refused = [f for f in prediction.failures if f.failure_class.startswith("gate:")]
    if undone:
        console.print(_failures("could not be read or annotated", undone))
    if refused:
        console.print(_failures("refused by the verifier", refused))
    usage = prediction.usage
    columns = sum(len(table.columns) for table in prediction.annotations)
    console.print(
        f"{len(prediction.annotations)} tables, {columns} columns, {unsure} without a confident type, "
        f"{len(undone)} failures, {_scored(prediction.score)}, {usage.seconds:.1f} s",
        highlight=False,
    )


def _scored(score: Any) -> str:
    return "no score" if score is None else f"R {score.R:.2f}"


def _table(table: TableAnnotation) -> RenderableType:
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True, header_style="bold")
    grid.add_column("#", justify="right", no_wrap=True)
    grid.add_column("column", no_wrap=True, max_width=_NAME_CHARS)
    grid.add_column("type", no_wrap=True)
    grid.add_column("confidence", justify="right", no_wrap=True)
    grid.add_column("relation", no_wrap=True)
    grid.add_column("sample values", no_wrap=True, overflow="ellipsis", ratio=1)
    related = {one.object: one.property for one in table.relations}
    related |= {one.subject: "[dim](subject)[/dim]" for one in table.relations}
    for column in table.columns:
        grid.add_row(*_row(column, related.get(column.index)))
    return Group(Text(_shown(f"{table.name}  ({table.source})"), style="bold cyan"), grid, Text())


def _row(column: ColumnAnnotation, relation: str | None) -> list[str]:
    values = [e.text for e in column.evidence if e.kind == "value"]
    shown = " · ".join(v if len(v) <= _VALUE_CHARS else v[: _VALUE_CHARS - 1] + "…" for v in values)
    if column.type is not None:
        kind = escape(column.type)
    elif column.candidates:
        kind = f"[dim]? {escape(column.candidates[0].type)}[/dim]"
    else:
        kind = "[dim]? empty[/dim]"
    return [
        str(column.index + 1),
        escape(_shown(column.name)) if column.name else "[dim]–[/dim]",
        kind,
        f"{column.confidence:.2f}",
        relation or "[dim]–[/dim]",
        escape(_shown(shown)),
    ]


def _elements(elements: list[Any]) -> RenderableType:
    """Data elements, one a line."""
    lines = [Text("data elements", style="bold cyan")]
    for element in elements[:_SHOWN_ELEMENTS]:
        members = ", ".join(f"{m.table}[{m.column + 1}]" for m in element.members)
        lines.append(Text(_shown(f"  {element.name}: {members}"), overflow="ellipsis", no_wrap=True))
    if len(elements) > _SHOWN_ELEMENTS:
        lines.append(Text(f"  … and {len(elements) - _SHOWN_ELEMENTS} more: see --format json"))
    return Group(*lines, Text())


def _failures(title: str, failures: list[Any]) -> RenderableType:
    lines = [Text(title, style="bold red")]
    for failure in failures[:_SHOWN_FAILURES]:
        lines.append(Text(_shown(f"  {failure.task.removeprefix('read:')}: {failure.message}")))
    if len(failures) > _SHOWN_FAILURES:
        lines.append(Text(f"  … and {len(failures) - _SHOWN_FAILURES} more: see --format json"))
    return Group(*lines, Text())


def _shown(text: str) -> str:
    """Without what a terminal would obey instead of show: names and values come from other people's files."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
