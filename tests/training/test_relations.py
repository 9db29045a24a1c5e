"""Training the relation model on made tables."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aegir_dspy.annotator.decision import DecisionConfig
from aegir_dspy.annotator.relation_model import KINDS
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.relations import (
    RelationsConfig,
    Typed,
    count_company,
    cross_fitted,
    decided_by,
    fit_decision,
    fit_relations,
    relation_split,
    tell,
)
from aegir_dspy.training.split import leakage

DATA = Path(__file__).resolve().parents[3] / "shared/data/train_dev"
CONFIG = RelationsConfig(folds=2)
VOCABULARY = load_vocabulary("sotab_cpa")


def made_tables(count: int, seed: int) -> list[LabelledTable]:
    """Tables of books with an ISBN and a currency, and of people with a mail address and a phone number."""
    rng = random.Random(seed)

    def words(n: int) -> str:
        return " ".join(rng.choice(("grey", "harbour", "winter", "road", "small", "room")) for _ in range(n))

    makers = {
        "isbn": lambda: f"978{rng.randint(10**9, 10**10 - 1)}",
        "priceCurrency": lambda: rng.choice(("EUR", "USD", "GBP")),
        "email": lambda: f"{words(1)}@{words(1)}.org",
        "telephone": lambda: f"+49 30 {rng.randint(10**5, 10**6 - 1)}",
    }
    tables = []
    for i in range(count):
        labels = ("isbn", "priceCurrency") if i % 2 else ("email", "telephone")
        columns = [Column(0, None, tuple(words(3) for _ in range(4)))]
        columns += [Column(j + 1, None, tuple(makers[n]() for _ in range(4))) for j, n in enumerate(labels)]
        gold = tuple(LabelledColumn(j + 1, name, (name,)) for j, name in enumerate(labels))
        table = Table(f"t{i}", "made", tuple(columns))
        tables.append(LabelledTable(table, gold, "made", "train", f"h{i}.org", 0))
    return tables


@pytest.fixture(scope="module")
def train() -> list[Typed]:
    return [Typed(table) for table in made_tables(40, seed=3)]


def test_learns_made_relations(train: list[Typed]) -> None:
    model = fit_relations(train, VOCABULARY, CONFIG)
    unseen = [Typed(table) for table in made_tables(10, seed=4)]
    log_p, gold = decided_by(tell(model, unseen), DecisionConfig({"ngrams": 4.0}))
    assert bool((log_p.argmax(1) == gold).all())
    assert model.weights.dtype == torch.int8
    silent = model.labels.index("latitude")  # no column had it
    assert bool((model.margins([c for t in unseen for c in t.described()])[:, silent] == -2).all())


def test_the_same_seed_gives_the_same_weights(train: list[Typed]) -> None:
    one, other = (fit_relations(train, VOCABULARY, CONFIG) for _ in range(2))
    assert torch.equal(one.weights, other.weights) and torch.equal(one.bias, other.bias)


def test_headers_are_learnt(train: list[Typed]) -> None:
    model = fit_relations(train, VOCABULARY, CONFIG)
    said = []
    for name in (None, "telephone"):
        columns = (Column(0, None, ("a b", "c d")), Column(1, name, ("7", "8")))
        one = Typed(
            LabelledTable(Table("t", "t", columns), (LabelledColumn(1, "email", ()),), "", "", None, 0)
        )
        said.append(model.margins(one.described())[0, model.labels.index("telephone")])
    assert said[1] > said[0]


def test_every_table_is_told_by_others(train: list[Typed]) -> None:
    told = cross_fitted(train, VOCABULARY, CONFIG)
    assert len(told) == len(train)
    decision = fit_decision(told)
    log_p, gold = decided_by(told, decision)
    assert float((log_p.argmax(1) == gold).double().mean()) > 0.9
    before = torch.nn.functional.nll_loss(*decided_by(told, DecisionConfig({"ngrams": 1.0})))
    assert torch.nn.functional.nll_loss(log_p, gold) < before


def test_a_kind_of_bag_can_be_left_out(train: list[Typed]) -> None:
    config = replace(CONFIG, without=("own", "shape", "types"), varied=False)
    model = fit_relations(train, VOCABULARY, config)
    own, _ = KINDS["own"]
    assert not model.weights[:own].any() and model.weights.any() and not model.by_type.any()


def test_company_counts_pairs_from_left_to_right() -> None:
    company = count_company([["a", "b"]] * 8 + [["c", "d"]] * 8, "abcd", 0.5)
    assert company[0, 1] > 0.5 and company[0, 3] < -0.5
    assert company[0, 1] > company[1, 0]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no labelled tables in {DATA}")
def test_the_split_keeps_sites_and_contents_apart() -> None:
    split = relation_split(DATA)
    found = leakage(split)
    assert (found.hosts, found.nameless) == (0, 0)
    assert sum(len(t.labels) for t in split.dev) > 350
    assert {g.label for t in split.dev for g in t.labels} <= set(VOCABULARY.names)
    assert [t.table.name for t in split.dev] == [t.table.name for t in relation_split(DATA).dev]
