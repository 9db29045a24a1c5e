"""The subject column of made tables."""

from __future__ import annotations

import pytest

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, TableAnnotation
from aegir_dspy.annotator.subject import detect_subject
from aegir_dspy.tables.table import Column, Table


def table(**columns: list[str]) -> Table:
    return Table("t", "t.csv", tuple(Column(i, n, tuple(v)) for i, (n, v) in enumerate(columns.items())))


def typed(*types: tuple[str, float]) -> TableAnnotation:
    columns = [
        ColumnAnnotation(i, None, name, None, p, False, (Candidate(name, p),))
        for i, (name, p) in enumerate(types)
    ]
    return TableAnnotation("t", "t.csv", tuple(columns))


NAMES = ["Ann Lee", "Bo Ek", "Cy Ray", "Di Fox"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"id": ["1", "2", "3", "4"], "x": NAMES, "city": ["Rome", "Rome", "Oslo", "Oslo"]}, 1),
        ({"note": ["late", "early", "ok", "new"], "full_name": NAMES}, 1),  # the header says so
        ({"mail": ["a@b.de", "c@d.de", "e@f.de", "g@h.de"], "who": NAMES}, 1),
        ({"kind": ["a", "a", "b", "b"], "count": ["1", "2", "3", "4"]}, 1),  # no text is unique
        ({"kind": ["a", "a", "b", "b"]}, 0),
        ({"empty": ["", "", "", ""], "who": NAMES}, 1),
        ({"who": NAMES, "partner": NAMES[::-1]}, 0),  # the first of equals
    ],
)
def test_subject_of_made_tables(columns: dict[str, list[str]], expected: int) -> None:
    assert detect_subject(table(**columns)) == expected


def test_a_table_without_values_has_no_subject() -> None:
    assert detect_subject(table(a=["", ""], b=["NULL", ""])) is None
    assert detect_subject(Table("t", "t.csv", ())) is None


def test_a_sure_type_decides_and_an_unsure_one_does_not() -> None:
    two = table(x=["north", "south", "east", "west"], y=NAMES)
    assert detect_subject(two) == 0
    assert detect_subject(two, typed(("category", 0.9), ("Person/name", 0.9))) == 1
    assert detect_subject(two, typed(("category", 0.4), ("Person/name", 0.4))) == 0


def test_long_texts_are_no_names() -> None:
    long = [f"{i} " + "a long description of the thing " * 4 for i in range(4)]
    assert detect_subject(table(about=long, y=NAMES)) == 1
