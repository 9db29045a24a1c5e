"""Relations of columns on a tiny model trained on made tables."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, TableAnnotation
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.decision import DecisionConfig
from aegir_dspy.annotator.relation_model import (
    RelationModel,
    describe,
    load_relation_model,
    save_relation_model,
)
from aegir_dspy.annotator.relation_ranges import Ranges
from aegir_dspy.annotator.relations import RelationAnnotator
from aegir_dspy.errors import CheckpointError
from aegir_dspy.ontology import Label, Vocabulary, load_vocabulary
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.relations import RelationsConfig, Typed, fit_relations

BOOK = Table(
    "books",
    "books.csv",
    (
        Column(0, None, ("The Grey Harbour", "A Winter Road", "Nine Small Rooms")),
        Column(1, None, ("9783161484100", "9780306406157", "9781861972712")),
        Column(2, None, ("", "", "")),
        Column(3, None, ("EUR", "USD", "EUR")),
    ),
)


def typed(*types: str) -> TableAnnotation:
    columns = (
        ColumnAnnotation(i, None, name, None, 1.0, False, (Candidate(name, 1.0),))
        for i, name in enumerate(types)
    )
    return TableAnnotation("t", "t.csv", tuple(columns))


def made_tables(count: int, seed: int) -> list[LabelledTable]:
    """Tables of books: a title, then an ISBN, a currency and an author, in any order."""
    rng = random.Random(seed)
    makers = {
        "isbn": lambda: f"978{rng.randint(10**9, 10**10 - 1)}",
        "priceCurrency": lambda: rng.choice(("EUR", "USD", "GBP")),
        "author": lambda: f"{rng.choice('ABCDE')}. {rng.choice(('Lee', 'Ek', 'Ray'))}",
    }
    tables = []
    for i in range(count):
        titles = tuple(f"The {rng.choice(('Grey', 'Cold'))} {rng.choice(('Harbour', 'Road'))}" for _ in "abc")
        labels = rng.sample(sorted(makers), 2)
        columns = [Column(0, None, titles)]
        columns += [Column(j, None, tuple(makers[n]() for _ in "abc")) for j, n in enumerate(labels, 1)]
        gold = tuple(LabelledColumn(j, n, (n,)) for j, n in enumerate(labels, 1))
        tables.append(LabelledTable(Table(f"t{i}", "made", tuple(columns)), gold, "made", "train", None, 0))
    return tables


@pytest.fixture(scope="module")
def model() -> RelationModel:
    tables = [Typed(table) for table in made_tables(60, seed=1)]
    fitted = fit_relations(tables, load_vocabulary("sotab_cpa"), RelationsConfig())
    return replace(fitted, decision=DecisionConfig({"ngrams": 6.0}, company=0.3))


def test_relations_of_a_table(model: RelationModel) -> None:
    found = RelationAnnotator(model=model).annotate(BOOK)
    assert [(r.subject, r.object, r.property) for r in found] == [(0, 1, "isbn"), (0, 3, "priceCurrency")]
    assert all(0.3 <= r.confidence <= 1 for r in found)


def test_it_abstains_below_the_threshold(model: RelationModel) -> None:
    assert RelationAnnotator(model=model, abstain_below=1.01).annotate(BOOK) == ()
    vague = replace(model, decision=DecisionConfig({"ngrams": 0.01}))
    assert RelationAnnotator(model=vague).annotate(BOOK) == ()
    assert len(RelationAnnotator(model=vague, abstain_below=0.0).annotate(BOOK)) == 2


def test_a_table_with_nothing_beside_the_subject_has_no_relations(model: RelationModel) -> None:
    annotator = RelationAnnotator(model=model)
    assert annotator.annotate(replace(BOOK, columns=BOOK.columns[:1])) == ()
    assert annotator.annotate(Table("empty", "empty.csv", ())) == ()


def test_probabilities_sum_to_one_over_the_relations(model: RelationModel) -> None:
    scores = RelationAnnotator(model=model).scores(BOOK)
    assert scores is not None and scores.objects == (1, 3)
    assert torch.allclose(scores.logits.exp().sum(1), torch.ones(2, dtype=torch.float64))


def test_a_part_of_the_vocabulary_and_iris_are_known(model: RelationModel) -> None:
    some = Vocabulary("mine", (Label("the ISBN", "http://schema.org/isbn"), Label("price")))
    annotator = RelationAnnotator(model=model, relations=some, abstain_below=0.0)
    assert annotator.known
    assert annotator.annotate(BOOK)[0].property == "the ISBN"


def test_other_relations_are_scored_as_text(model: RelationModel, bundle: Bundle) -> None:
    other = Vocabulary("mine", (Label("shoe size"), Label("was paid in"), Label("isbn")))
    annotator = RelationAnnotator(bundle, other, model=model, abstain_below=0.0)
    assert not annotator.known
    scores = annotator.scores(BOOK)
    assert scores is not None and scores.logits.shape == (2, 3)
    assert torch.allclose(scores.logits.exp().sum(1), torch.ones(2, dtype=torch.float64))
    assert len(annotator.annotate(BOOK)) == 2


def test_file_keeps_every_bit(model: RelationModel, tmp_path: Path) -> None:
    path = tmp_path / "relations.safetensors"
    sha256 = save_relation_model(path, model)
    again = load_relation_model(path)
    assert again.sha256 == sha256
    columns = describe(BOOK, None, 0, [1, 3])
    assert torch.equal(again.margins(columns), model.margins(columns))
    assert RelationAnnotator(model=path).annotate(BOOK) == RelationAnnotator(model=model).annotate(BOOK)


def test_another_file_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    with pytest.raises(CheckpointError, match=r"other\.safetensors"):
        load_relation_model(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="relation weights"):
        load_relation_model(path)


def test_types_of_the_columns_are_heard(model: RelationModel) -> None:
    row = model.labels.index("author")
    heard = replace(model, by_type=model.by_type.clone())
    heard.by_type[model.types.index("Person/name"), row] += 3.0
    without = heard.margins(describe(BOOK, None, 0, [3]))
    told = heard.margins(describe(BOOK, typed("Book/name", "x", "x", "Person/name"), 0, [3]))
    assert told[0, row] > without[0, row] + 2.9


def test_domain_and_range_speak_against_what_does_not_fit() -> None:
    vocabulary = load_vocabulary("sotab_cpa")
    ranges = Ranges.of(vocabulary, load_ontology("schema"))
    dates = Table(
        "t",
        "t.csv",
        (
            Column(0, None, ("Ann Lee", "Bo Ek")),
            Column(1, None, ("2001-02-03", "1999-12-31")),
            Column(2, None, ("12", "13")),
        ),
    )
    said = ranges.opinion(dates, typed("Person/name", "Date", "Number"), 0, [1, 2])
    row = {name: i for i, name in enumerate(vocabulary.names)}
    assert said[0, row["birthDate"]] == 0  # a person's, and a date
    assert said[1, row["birthDate"]] < -2  # a person's, but no date
    assert said[0, row["datePublished"]] < -2  # a date, but not a person's
    assert said[0, row["byArtist"]] < said[0, row["birthDate"]]
    assert not ranges.opinion(dates, None, 0, [1])[0, row["datePublished"]]  # nothing is known of the subject
