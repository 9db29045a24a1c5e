from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, Relation, TableAnnotation
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.elements import DataElement, find_elements
from aegir_dspy.errors import FailureRecord
from aegir_dspy.ontology.composition import Composition
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.orchestrator.describe import Describer, refusals
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.verifier import Score

SCHEMA = load_vocabulary("schema")
ROWS = (
    ("Ann Lee", "ann@example.org", "20095", "2024-03-01", "+49 40 1234567", "+49 40 1234568"),
    ("Bo Kim", "bo@example.org", "69001", "2024-03-02", "+33 4 78123456", "+33 4 78123457"),
    ("Cy Roe", "cy@example.org", "35210", "2024-03-04", "+90 232 123456", "+90 232 123457"),
    ("Di Fox", "di@example.org", "01500", "2024-03-05", "+47 22 123456", "+47 22 123457"),
    ("Ed Ray", "ed@example.org", "80100", "2024-03-09", "+43 316 12345", "+43 316 12346"),
)
HEADERS = ("name", "email", "zip", "since", "phone", "fax")
TYPES = ("Person/name", "email", "postalCode", "Date", "telephone", "faxNumber")
PEOPLE = Table(
    "people",
    "people.csv",
    tuple(Column(i, name, tuple(r[i] for r in ROWS)) for i, name in enumerate(HEADERS)),
)


def annotated(table: Table, types: tuple[str | None, ...]) -> TableAnnotation:
    columns = tuple(
        ColumnAnnotation(
            column.index,
            column.name,
            kind,
            SCHEMA[kind].iri if kind else None,
            0.9 if kind else 0.1,
            kind is None,
            (Candidate(kind or "URL", 0.9 if kind else 0.1),),
        )
        for column, kind in zip(table.columns, types, strict=True)
    )
    return TableAnnotation(table.name, table.source, columns)


@dataclass(frozen=True)
class Description:
    annotations: tuple[TableAnnotation, ...]
    elements: tuple[DataElement, ...]
    composition: Composition
    score: Score
    failures: tuple[FailureRecord, ...]


def describe(
    describer: Describer, tables: Sequence[Table], annotations: Sequence[TableAnnotation]
) -> Description:
    """The steps in their order."""
    known = [describer.relate(table, one) for table, one in zip(tables, annotations, strict=True)]
    elements = find_elements(tables, known)
    composition = describer.compose(tables, known, elements)
    score = describer.verifier.score(composition, tables)
    return Description(tuple(known), elements, composition, score, tuple(refusals(score)))


@pytest.fixture(scope="module")
def describer(bundle: Bundle) -> Describer:
    return Describer(bundle, SCHEMA, load_vocabulary("sotab_cpa"), 0.3)


def test_everything_that_follows_from_the_types_is_said(describer: Describer) -> None:
    said = describe(describer, [PEOPLE], [annotated(PEOPLE, TYPES)])
    (table,) = said.annotations
    assert [c.type for c in table.columns] == list(TYPES)
    assert {r.property for r in table.relations} >= {"email", "telephone"}
    assert all(r.subject == 0 for r in table.relations)
    (types,) = said.composition.tables
    assert (types.subject, types.term) == (0, ":People")
    assert {r.property for r in types.relations} >= {"schema:email", "schema:telephone"}
    assert said.score.ok and said.score.R > 0.5 and said.failures == ()
    assert said.score == describer.verifier.score(said.composition, [PEOPLE])


def test_columns_of_several_tables_are_one_element(describer: Describer) -> None:
    other = replace(PEOPLE, name="newsletter", columns=PEOPLE.columns[:2])
    said = describe(describer, [PEOPLE, other], [annotated(PEOPLE, TYPES), annotated(other, TYPES[:2])])
    members = {frozenset((m.table, m.column) for m in element.members) for element in said.elements}
    assert frozenset({("people", 1), ("newsletter", 1)}) in members
    assert [e.name for e in said.elements] == [e.name for e in said.composition.elements]


def test_wrong_types_are_worth_less(describer: Describer) -> None:
    right = describe(describer, [PEOPLE], [annotated(PEOPLE, TYPES)]).score
    wrong = describe(describer, [PEOPLE], [annotated(PEOPLE, TYPES[::-1])]).score
    assert wrong.R < 0.6 * right.R


def test_an_abstention_has_its_reason(describer: Describer) -> None:
    said = describe(describer, [PEOPLE], [annotated(PEOPLE, ("Person/name", None, *TYPES[2:]))])
    column = said.composition.tables[0].columns[1]
    assert column.type is None and "URL" in column.reason and "0.10" in column.reason
    assert said.score.ok


def test_types_that_are_easily_confused_are_looked_at_again(describer: Describer) -> None:
    types = annotated(PEOPLE, TYPES)
    torn = (Candidate("telephone", 0.5), Candidate("faxNumber", 0.4))
    fax = replace(types.columns[5], type="telephone", confidence=0.5, candidates=torn)
    said = describe(describer, [PEOPLE], [replace(types, columns=(*types.columns[:5], fax))])
    found = said.annotations[0].columns[5]
    assert (found.type, found.confidence, found.abstained) == ("faxNumber", 0.9, False)
    assert found.iri == "https://schema.org/faxNumber"
    assert [e.kind for e in found.evidence] == ["second look"]


def test_what_the_verifier_refuses_is_a_failure(describer: Describer) -> None:
    mute = replace(PEOPLE, columns=PEOPLE.columns[:1])
    twice = describe(describer, [mute, mute], [annotated(mute, TYPES[:1])] * 2)
    gates = {gate.name: gate.ok for gate in twice.score.gates}
    records = {f.failure_class for f in twice.failures}
    assert records == {f"gate:{name}" for name, ok in gates.items() if not ok}
    assert (twice.score.R == 0.0) == bool(records)


def test_a_relation_whose_form_no_cell_has_is_not_said(
    describer: Describer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (Relation(0, 2, "email", 0.9), Relation(0, 1, "email", 0.9), Relation(0, 2, "author", 0.9))
    monkeypatch.setattr(describer.relating, "annotate", lambda table, types: said)
    found = describe(describer, [PEOPLE], [annotated(PEOPLE, TYPES)]).annotations[0].relations
    assert [(r.object, r.property) for r in found] == [(1, "email"), (2, "author")]


def test_relations_stay_where_types_are_of_another_ontology(bundle: Bundle) -> None:
    dbpedia = Describer(bundle, load_vocabulary("dbpedia"), load_vocabulary("sotab_cpa"), 0.3)
    types = ("Person", None, None, "date", None, None)
    told = annotated(PEOPLE, (None,) * 6)
    columns = tuple(
        replace(c, type=kind, abstained=kind is None, confidence=0.9 if kind else 0.1)
        for c, kind in zip(told.columns, types, strict=True)
    )
    said = describe(dbpedia, [PEOPLE], [replace(told, columns=columns)])
    assert len(said.composition.tables[0].relations) == len(said.annotations[0].relations) > 0
    assert said.composition.ontology == "dbpedia+schema" and said.score.ok
