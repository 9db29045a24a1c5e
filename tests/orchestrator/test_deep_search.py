from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, TableAnnotation
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.orchestrator.deep_search import DeepConfig, DeepSearch
from aegir_dspy.tables.table import Column, Table

SCHEMA = load_vocabulary("schema")
MAILS = ("ann@example.org", "bo@example.org", "cy@example.org", "di@example.com")
TYPES = ("telephone", "email", "Person/name", "Date", "URL")


def unsure(*candidates: tuple[str, float]) -> ColumnAnnotation:
    best = candidates[0]
    found = tuple(Candidate(*one) for one in candidates)
    return ColumnAnnotation(0, "contact", best[0], SCHEMA[best[0]].iri, best[1], False, found)


@pytest.fixture(scope="module")
def deep() -> DeepSearch:
    return DeepSearch(SCHEMA, 0.3)


def test_cells_decide_between_candidates(deep: DeepSearch) -> None:
    judged = deep.judge(MAILS, unsure(("telephone", 0.4), ("email", 0.35), ("URL", 0.05)))
    assert (judged.type, judged.iri) == ("email", SCHEMA["email"].iri)
    assert judged.confidence > 0.5 and not judged.abstained
    assert judged.evidence[-1].text == "the cells back email rather than telephone"


def test_what_was_sure_stays_as_it_was(deep: DeepSearch) -> None:
    table = Table("t", "t.csv", (Column(0, "contact", MAILS),))
    sure = unsure(("telephone", 0.9), ("email", 0.05))
    assert deep.deepen(table, TableAnnotation("t", "t.csv", (sure,))).columns == (sure,)
    only = replace(sure, confidence=0.2, candidates=sure.candidates[:1])
    assert not deep.unsure(only)


def test_nothing_is_given_below_the_threshold() -> None:
    column = unsure(("telephone", 0.2), ("email", 0.15))
    judged = DeepSearch(SCHEMA, 0.9).judge(MAILS, column)
    assert judged.abstained and judged.type is None and judged.iri is None
    assert judged.candidates[0].type == "email"


def test_a_weight_of_nothing_changes_nothing(deep: DeepSearch) -> None:
    column = unsure(("telephone", 0.4), ("email", 0.35))
    same = DeepSearch(SCHEMA, 0.3, DeepConfig(evidence=0.0)).judge(MAILS, column)
    assert [(c.type, round(c.probability, 2)) for c in same.candidates] == [
        ("telephone", 0.4),
        ("email", 0.35),
    ]


@given(
    st.lists(st.floats(0.0, 0.3), min_size=2, max_size=5),
    st.lists(st.text(max_size=12), max_size=6),
)
def test_what_the_candidates_share_stays_what_it_was(shares: list[float], cells: list[str]) -> None:
    ordered = sorted(shares, reverse=True)
    column = unsure(*zip(TYPES, ordered, strict=False))
    judged = DeepSearch(SCHEMA, 0.3).judge(tuple(cells), column)
    probabilities = [c.probability for c in judged.candidates]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(sum(ordered), abs=1e-3)
    assert {c.type for c in judged.candidates} == {c.type for c in column.candidates}
    assert judged.confidence == probabilities[0]


def test_a_config_has_to_make_sense() -> None:
    with pytest.raises(InputError, match="sure"):
        DeepConfig(sure=0.0)
