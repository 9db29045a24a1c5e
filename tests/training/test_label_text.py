from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.label_text import LabelTexts
from aegir_dspy.latent import FrozenSpecialist
from aegir_dspy.ontology import Label, load_vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training import label_material
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.label_material import Material, MaterialConfig, gather_material, ontology_terms
from aegir_dspy.training.label_text import LabelTextConfig, _shown, fit_label_text
from aegir_dspy.training.label_weights import fit_text_weights

VALUES = {
    "email": ["a@b.de", "c@d.org", "e@f.com"],
    "Date": ["2021-01-02", "2020-12-31", "2019-05-06"],
    "price": ["1.20", "3.50", "17.99"],
}
SMALL = LabelTextConfig(steps=60, batch=24, hidden=32, size=16, buckets=128)


def example(rng: random.Random) -> Example:
    columns = tuple(tuple(rng.choices(v, k=3)) for v in VALUES.values())
    return Example(columns, tuple((name,) for name in VALUES), tuple(VALUES), "sotab82")


@pytest.fixture(scope="module")
def material(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Material:
    rng = random.Random(0)
    examples = {"sotab82": ([example(rng) for _ in range(20)], 1.0)}
    names = ["mail", "day", "cost"]
    columns = tuple(
        Column(i, n, tuple(v)) for i, (n, v) in enumerate(zip(names, VALUES.values(), strict=True))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_material, "gather_examples", lambda folder, seed: examples)
        config = MaterialConfig(corpus=60, labelled=(("sotab82", 60), ("nowhere", 9)))
        tables = [Table(f"t{i}", "t.csv", columns) for i in range(40)]
        return gather_material(bundle, tmp_path_factory.mktemp("none") / "data", tables, config)


def test_what_is_read(material: Material) -> None:
    assert len(material.columns) == len(material.header) == 60
    assert set(material.headers.texts) == {"mail", "day", "cost"}
    assert list(material.sets) == ["sotab82"]
    found = material.sets["sotab82"]
    assert len(found.columns) == len(found.label) == 120  # alone, and in context
    assert {found.labels[i] for i in found.label.tolist()} == set(VALUES)
    assert len(material.definitions.of) == 0


def test_every_label_shows_a_text(material: Material) -> None:
    texts, count = material.sets["sotab82"].texts, len(material.sets["sotab82"].labels)
    generator = torch.Generator().manual_seed(0)
    for shares in ((0.0, 0.0, 0.0, 0.0), (0.5, 0.7, 0.3, 0.3), (1.0, 1.0, 1.0, 1.0)):
        for _ in range(4):
            rows = _shown(texts, count, shares, generator)
            assert set(texts.of[rows].tolist()) == set(range(count))
            cells = list(zip(texts.of[rows].tolist(), texts.kind[rows].tolist(), strict=True))
            assert len(cells) == len(set(cells))


def test_one_seed_one_encoder(material: Material) -> None:
    one, again, other = (fit_label_text(material, replace(SMALL, seed=s, steps=3)) for s in (0, 0, 1))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(one.words.weight, other.words.weight)


def test_it_learns_and_its_weights_are_fitted(material: Material, bundle: Bundle) -> None:
    losses: list[float] = []
    encoder = fit_label_text(material, SMALL, lambda said: losses.append(said["label_loss"]))
    assert losses[-1] < losses[0]
    labels = [load_vocabulary("sotab82")[name] for name in VALUES]
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    found = material.sets["sotab82"]
    scores = LabelTexts(specialist, encoder, labels, bundle.config.serialize).scores(found.columns)
    gold = torch.tensor([list(VALUES).index(found.labels[i]) for i in found.label.tolist()])
    assert (scores.argmax(1) == gold).double().mean() > 0.5
    columns = tuple(Column(i, None, tuple(v)) for i, v in enumerate(VALUES.values()))
    gold_columns = tuple(LabelledColumn(i, name, (name,)) for i, name in enumerate(VALUES))
    dev = [LabelledTable(Table("t", "t.csv", columns), gold_columns, "s", "val", "h")] * 3
    reader = replace(bundle, label_text=encoder)
    weights = fit_text_weights(reader, dev, [])
    assert (weights.shift, weights.temperature) == (bundle.config.text_shift, 1.0)
    assert weights.accuracy[1] >= weights.accuracy[0]
    terms = [Label(x.label, x.iri, "Another text.") for x in load_vocabulary("sotab82")]
    assert fit_text_weights(reader, dev, terms).temperature != 1.0


def test_no_terms_without_the_files(tmp_path) -> None:
    assert ontology_terms(tmp_path) == []
