from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aegir_dspy.annotator.bundle import Bundle, default_bundle, load_bundle, save_bundle
from aegir_dspy.annotator.label_text import LabelEncoder
from aegir_dspy.annotator.text_scores import KnownScore, TextScore, label_score, reference
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.errors import CheckpointError
from aegir_dspy.ontology import Label, Vocabulary, load_vocabulary
from aegir_dspy.tables import Table
from aegir_dspy.tables.table import Column

TELEPHONE, FAX = (load_vocabulary("sotab82")[name] for name in ("telephone", "faxNumber"))
SWAPPED = Vocabulary(
    "own",
    (
        replace(TELEPHONE, description=FAX.description),
        replace(FAX, description=TELEPHONE.description),
        Label("Date"),
    ),
)
PLAIN = Vocabulary("own", (TELEPHONE, FAX, Label("Date")))
MINE = Vocabulary("mine", (Label("costs", description="What one pays."), Label("Date"), Label("when")))


@pytest.fixture(scope="module")
def reader(bundle: Bundle) -> Bundle:
    """A tiny annotator with an encoder of labels."""
    torch.manual_seed(0)
    encoder = LabelEncoder(bundle.model.geometry.width, 8, 16, 64).requires_grad_(False)
    return replace(bundle, label_text=encoder)


def test_built_in_texts_are_their_own_reference() -> None:
    for name in ("schema", "sotab32", "dbpedia"):
        assert all(reference(label) == label for label in load_vocabulary(name))
    for bare in (Label("telephone"), Label("telephone", description=TELEPHONE.description), Label("mine")):
        assert reference(bare) == bare


def test_a_changed_text_is_compared_with_the_built_in_one() -> None:
    own = Label("telephone", description="How to ring them up.")
    assert reference(own) == Label("telephone", description=TELEPHONE.description)


def test_who_scores_what(reader: Bundle) -> None:
    assert label_score(reader, load_vocabulary("schema")) is None
    assert label_score(reader, PLAIN) is None
    assert isinstance(label_score(reader, SWAPPED), KnownScore)
    assert isinstance(label_score(reader, MINE), TextScore)
    shared = replace(reader, config=replace(reader.config, text_share={"own": 0.5}))
    assert isinstance(label_score(shared, PLAIN), KnownScore)


def test_only_changed_texts_change_scores(reader: Bundle, tables: list[Table]) -> None:
    scorers = {shift: label_score(_shifted(reader, shift), SWAPPED) for shift in (0.0, 1.0)}
    reading = ColumnTypeAnnotator(reader, PLAIN).primary.specialist.read([b"030 1234\x1d", b"+49 7\x1d"])
    still, moved = (scorer(reading) for scorer in scorers.values() if scorer is not None)
    assert bool(((still - moved)[:, :2].abs() > 1e-4).all())
    torch.testing.assert_close(still[:, 2], moved[:, 2], rtol=0, atol=1e-9)


def test_swapped_descriptions_move_the_answers(reader: Bundle, tables: list[Table]) -> None:
    plain, swapped = (
        ColumnTypeAnnotator(_shifted(reader, 1.0), v).scores(tables).logits for v in (PLAIN, SWAPPED)
    )
    assert (plain - swapped).abs().max() > 1e-3


def _shifted(bundle: Bundle, shift: float) -> Bundle:
    return replace(bundle, config=replace(bundle.config, text_shift=shift))


@pytest.mark.parametrize("vocabulary", [SWAPPED, MINE], ids=lambda v: v.name)
def test_scores_do_not_depend_on_the_batch(
    reader: Bundle, tables: list[Table], vocabulary: Vocabulary
) -> None:
    annotator = ColumnTypeAnnotator(reader, vocabulary)
    whole = annotator.scores(tables).logits
    alone = torch.cat([annotator.scores([table]).logits for table in tables])
    # As close as the readings themselves, see tests/latent/test_specialist.py; answers are the same.
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4)
    assert torch.equal(alone.argmax(1), whole.argmax(1))


def test_the_encoder_travels_with_the_weights(reader: Bundle, tables: list[Table], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_bundle(path, reader.model, reader.head, reader.config, label_text=reader.label_text)
    found = load_bundle(path)
    assert found.label_text is not None
    size = sum(t.numel() for t in found.label_text.state_dict().values())
    assert size == sum(t.numel() for t in reader.label_text.state_dict().values())  # type: ignore[union-attr]
    scores = [ColumnTypeAnnotator(b, MINE).scores(tables).logits for b in (found, load_bundle(path))]
    assert torch.equal(*scores)


def test_a_broken_encoder_is_refused(reader: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    broken = LabelEncoder(reader.model.geometry.width, 8, 16, 64)
    broken.words = torch.nn.EmbeddingBag(64, 9)
    save_bundle(path, reader.model, reader.head, reader.config, label_text=broken)
    with pytest.raises(CheckpointError, match="size mismatch"):
        load_bundle(path)


PAIRS = {
    ("telephone", "faxNumber"): ["+49 30 1234567", "030 765432", "+44 20 7946 0958"],
    ("Time", "Duration"): ["10:30", "02:15", "1:45"],
    ("Book/name", "Movie/name"): ["The Old Lighthouse", "Winter Road", "A Summer Away"],
    ("postalCode", "IdentifierAT"): ["10115", "89073", "50667"],
}


@pytest.mark.skipif(default_bundle().label_text is None, reason="the weights have no encoder of labels")
def test_swapped_descriptions_move_every_answer_the_right_way() -> None:
    schema = load_vocabulary("schema")
    for names, values in PAIRS.items():
        one, two = (schema[name] for name in names)
        swapped = (
            replace(one, description=two.description),
            replace(two, description=one.description),
        )
        table = Table("t", "t.csv", (Column(0, None, tuple(values)),))
        margins = []
        for labels in ((one, two), swapped):
            logits = ColumnTypeAnnotator(default_bundle(), Vocabulary("pair", labels)).scores([table]).logits
            margins.append(float(logits[0, 0] - logits[0, 1]))
        assert margins[0] > margins[1] + 0.05, names
