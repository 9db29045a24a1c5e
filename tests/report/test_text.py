from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, Evidence, Relation, TableAnnotation
from aegir_dspy.annotator.elements import DataElement
from aegir_dspy.errors import FailureRecord
from aegir_dspy.ontology.composition import Member
from aegir_dspy.report.text import render_result
from aegir_dspy.swarm import Usage


def rendered(
    columns: list[ColumnAnnotation],
    failures: list[FailureRecord],
    relations: tuple[Relation, ...] = (),
    elements: list[DataElement] | None = None,
    **console: Any,
) -> str:
    table = TableAnnotation("orders[bold]", "orders.csv", tuple(columns))
    prediction = SimpleNamespace(
        annotations=[replace(table, relations=relations)],
        elements=elements or [],
        failures=failures,
        score=SimpleNamespace(R=0.875),
        usage=Usage(1, 1, 1, 1, 0.25),
    )
    out = io.StringIO()
    render_result(prediction, Console(file=out, width=100, **console))
    return out.getvalue()


def column(name: str | None, kind: str | None = "email", values: tuple[str, ...] = ()) -> ColumnAnnotation:
    evidence = tuple(Evidence("value", v) for v in values)
    candidates = (Candidate("email", 0.456), Candidate("URL", 0.1))
    return ColumnAnnotation(0, name, kind, None, 0.456, kind is None, candidates, evidence)


def test_a_person_sees_types_confidence_and_values() -> None:
    text = rendered([column("mail", values=("a@b.de", "c" * 30))], [])
    assert "orders[bold]  (orders.csv)" in text
    line = next(line for line in text.splitlines() if "mail" in line)
    assert line.split()[:4] == ["1", "mail", "email", "0.46"]
    assert f"a@b.de · {'c' * 23}…" in line
    assert text.endswith("1 tables, 1 columns, 0 without a confident type, 0 failures, R 0.88, 0.2 s\n")


def test_what_is_unsure_or_empty_is_shown_as_such() -> None:
    empty = ColumnAnnotation(1, None, None, None, 0.0, True)
    failures = [FailureRecord("annotate:orders[0]", "primary", "low_confidence", "…")] * 2
    text = rendered([column("mail", None), empty], failures)
    assert "? email" in text
    assert "? empty" in text
    assert "2 without a confident type, 0 failures" in text


def test_failures_to_read_are_listed_up_to_a_bound() -> None:
    failures = [FailureRecord(f"read:f{i}.csv", "tables.csv", "parse", "broken") for i in range(25)]
    text = rendered([], failures)
    assert "f19.csv: broken" in text
    assert "f20.csv" not in text
    assert "… and 5 more" in text
    assert "25 failures" in text


def test_names_and_values_are_never_markup_or_commands() -> None:
    text = rendered(
        [column("[red]x[/red]", values=("\x1b[31mred", "a\nb", "[/]", "back\\"))],
        [FailureRecord("read:\x1b]0;title\x07.csv", "tables.csv", "parse", "\x9b31m")],
        force_terminal=True,
        no_color=True,
        color_system=None,
    )
    assert "[red]x[/red]" in text
    assert "[31mred" in text
    assert "[/]" in text
    assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_relations_elements_and_refusals_are_shown() -> None:
    gate = FailureRecord("verify", "verifier", "gate:coverage", "expected every column once", "orders[1]")
    element = DataElement("PostalAddress", (Member("orders", 0), Member("shops", 2)), 0.9)
    columns = [column("mail", values=("a@b.de",)), replace(column("city"), index=1)]
    text = rendered(columns, [gate], (Relation(0, 1, "addressLocality", 0.7),), [element])
    first, second = (line for line in text.splitlines() if "mail" in line or "city" in line)
    assert "(subject)" in first and "addressLocality" in second
    assert "PostalAddress: orders[1], shops[3]" in text
    assert "refused by the verifier" in text and "expected every column once" in text
    assert "0 without a confident type, 0 failures" in text
