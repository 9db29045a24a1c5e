from __future__ import annotations

import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.ontology.compose import compose
from aegir_dspy.ontology.composition import ColumnType, TableTypes
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.verifier import topics
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.documents import Lexicon, cosine, joined
from aegir_dspy.verifier.score import Finding
from aegir_dspy.verifier.topics import assigned, topic_alignment
from aegir_dspy.verifier.verifier import Verifier
from aegir_dspy.verifier.words import stem, words


@pytest.fixture(scope="module")
def lexicon(verifier: Verifier) -> Lexicon:
    return Lexicon(verifier.standard)


def hotels() -> tuple[Table, tuple[str, ...]]:
    headers = ("hotel_name", "street", "postal_code", "telephone", "price_range")
    labels = ("Hotel/name", "streetAddress", "postalCode", "telephone", "priceRange")
    return Table("hotels", "", tuple(Column(i, name) for i, name in enumerate(headers))), labels


def alignment(verifier: Verifier, lexicon: Lexicon, table: Table, labels: Any, texts: Any = ()) -> Any:
    standard = verifier.standard
    types = TableTypes(table.name, tuple(ColumnType(i, label) for i, label in enumerate(labels)), subject=0)
    composition = compose([types], standard.vocabulary, standard.ontology, standard.catalog, data=[table])
    return topic_alignment(Case(standard, composition, (table,), tuple(texts)), lexicon)


def test_words_are_those_of_names_and_texts() -> None:
    assert words(["orderDate", "ORDER_ID", "the Addresses of XMLFiles"]) == [
        *("order", "date", "order", "id", "addresse", "xml", "file"),
    ]
    assert [stem(one) for one in ("Companies", "address", "bus", "analysis", "news")] == [
        *("company", "address", "bus", "analysis", "new"),
    ]


def test_right_types_are_on_topic_and_those_of_another_table_are_not(
    verifier: Verifier, lexicon: Lexicon
) -> None:
    table, labels = hotels()
    right = alignment(verifier, lexicon, table, labels)
    other = alignment(
        verifier, lexicon, table, ("MusicAlbum/name", "Duration", "isbn", "Recipe/description", "LogLevel")
    )
    assert isinstance(right, Finding) and isinstance(other, Finding)
    assert right.value > 0.9
    assert other.value < 0.3
    assert {one.code for one in other.diagnostics} >= {"topics.unmatched"}


def test_which_column_has_a_type_is_for_other_components(verifier: Verifier, lexicon: Lexicon) -> None:
    table, labels = hotels()
    turned = (labels[0], *reversed(labels[1:]))
    right, other = (alignment(verifier, lexicon, table, one) for one in (labels, turned))
    assert right.value == other.value


def test_an_input_without_words_has_no_topics(verifier: Verifier, lexicon: Lexicon) -> None:
    table = Table("1234", "", tuple(Column(i, None, ("17", "4.5", "-")) for i in range(5)))
    found = alignment(verifier, lexicon, table, hotels()[1])
    assert isinstance(found, Diagnostic) and found.code == "topics.none"
    texts = ["Hotels of the city with street, postal code, telephone and a price range"]
    assert isinstance(alignment(verifier, lexicon, table, hotels()[1], texts), Finding)


def test_own_texts_are_no_evidence(verifier: Verifier, lexicon: Lexicon, sample: Any) -> None:
    from dataclasses import replace

    stuffed = replace(
        sample.good,
        terms=(replace(sample.good.terms[0], definition="order number customer email total price " * 3),),
    )
    values = [
        topic_alignment(Case(verifier.standard, one, (sample.orders,)), lexicon)
        for one in (sample.good, stuffed)
    ]
    assert values[0] == values[1]


def test_many_documents_become_twelve_topics_in_any_order(lexicon: Lexicon) -> None:
    documents = [
        lexicon.document(str(i), "column", Counter(words([label.label, label.description])))
        for i, label in enumerate(load_vocabulary("schema"))
    ]
    documents = [one for one in documents if one.vector][:60]
    topics = joined(documents)
    assert len(topics) == 12
    assert joined(documents[:5]) == documents[:5]
    near = [max(cosine(one, topic) for topic in topics) for one in documents]
    assert min(near) >= 0 and sum(near) / len(near) > 300_000


def test_assignment_is_the_best_one_to_one() -> None:
    assert assigned(np.array([[9, 8], [7, 1]], dtype=np.int64)) == 15
    assert assigned(np.array([[1], [5], [3]], dtype=np.int64)) == 5


@pytest.mark.parametrize("alone", [True, False], ids=["compiled module", "whole package"])
def test_a_matching_is_one_to_one(alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not alone:
        monkeypatch.setattr(topics, "PathFinder", SimpleNamespace(find_spec=lambda *_: None))
    topics._assignment.cache_clear()
    assert assigned(np.array([[9, 8, 0], [9, 1, 0]])) == 17
    assert assigned(np.array([[2], [3]])) == 3
    topics._assignment.cache_clear()


def test_a_score_does_without_most_of_scipy() -> None:
    code = "import sys; from aegir_dspy.verifier.topics import *; import numpy; assigned(numpy.eye(2));"
    code += "print([m for m in ('scipy.optimize', 'scipy.sparse') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
