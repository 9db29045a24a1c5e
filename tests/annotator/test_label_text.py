from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.label_text import KINDS, LabelEncoder, LabelTexts, label_parts, verbalise
from aegir_dspy.latent import FrozenSpecialist
from aegir_dspy.latent.lens import LensCache
from aegir_dspy.ontology import Label
from aegir_dspy.tables.serialize import SerializeConfig

PRICE = Label("price", None, "What one pays.", ("1.20", "3"), ("cost", "unit_price"))
LABELS = (PRICE, Label("day"), Label("\ud800", description="日本"), Label("---"))


@pytest.fixture(scope="module")
def specialist(bundle: Bundle) -> FrozenSpecialist:
    return FrozenSpecialist(bundle.model, bundle.identity)


@pytest.fixture(scope="module")
def encoder(bundle: Bundle) -> LabelEncoder:
    torch.manual_seed(0)
    return LabelEncoder(bundle.model.geometry.width, 8, 16, 64)


def texts_of(specialist: FrozenSpecialist, encoder: LabelEncoder, *labels: Label) -> LabelTexts:
    return LabelTexts(specialist, encoder, labels, SerializeConfig())


@pytest.fixture(scope="module")
def features(specialist: FrozenSpecialist) -> torch.Tensor:
    return specialist.read([f"{i}\x1e{i * i} x\x1d".encode() for i in range(9)]).features


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("MusicAlbum/name", "music album name"),
        ("postal_code", "postal code"),
        ("xsd:double", "xsd double"),
        ("größe", "größe"),
        ("日本", "日本"),
        ("---", "---"),
    ],
)
def test_labels_are_said_in_words(label: str, text: str) -> None:
    assert verbalise(label) == text


def test_the_texts_of_a_label() -> None:
    found = [(KINDS[part.kind], part.piece) for part in label_parts(PRICE, SerializeConfig())]
    assert found == [
        ("name", b"price\x1f\x1d"),
        ("description", b"What one pays.\x1d"),
        ("headers", b"cost\x1f\x1d"),
        ("headers", b"unit price\x1f\x1d"),
        ("examples", b"1.20\x1e3\x1d"),
    ]
    assert len(label_parts(replace(PRICE, headers=tuple(map(str, range(50)))), SerializeConfig())) < 12


def test_a_column_is_scored_alike_in_any_batch(
    specialist: FrozenSpecialist, encoder: LabelEncoder, features: torch.Tensor
) -> None:
    texts = texts_of(specialist, encoder, *LABELS)
    whole = texts.scores(features)
    assert whole.shape == (9, 4)
    assert whole.dtype == torch.float64
    assert bool((whole.abs() <= encoder.scale.exp()).all())
    alone = torch.cat([texts.scores(row) for row in features.split(1)])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-12)


def test_a_label_is_scored_alike_beside_others(
    specialist: FrozenSpecialist, encoder: LabelEncoder, features: torch.Tensor
) -> None:
    whole = texts_of(specialist, encoder, *LABELS).scores(features)
    for i, label in enumerate(LABELS):
        alone = texts_of(specialist, encoder, label).scores(features)
        torch.testing.assert_close(alone[:, 0], whole[:, i], rtol=1e-5, atol=1e-5)
    again = texts_of(specialist, encoder, *LABELS).scores(features)
    assert torch.equal(again, whole)


@pytest.mark.parametrize(
    "other",
    [
        Label("cost"),
        replace(PRICE, description="How long it takes."),
        replace(PRICE, examples=("a", "b")),
        replace(PRICE, headers=("length",)),
    ],
)
def test_every_text_matters(
    specialist: FrozenSpecialist, encoder: LabelEncoder, features: torch.Tensor, other: Label
) -> None:
    scores = texts_of(specialist, encoder, PRICE, other).scores(features)
    assert (scores[:, 0] - scores[:, 1]).abs().max() > 1e-4


def test_hashed_words_are_the_same_everywhere(encoder: LabelEncoder) -> None:
    words, offsets = encoder.hashed(["a day", "", "day"])
    assert offsets.tolist() == [0, 4, 4]
    expected = [zlib.crc32(text) % 64 for text in (b"<a>", b"<day>", b"<day", b"day>")]
    assert words.tolist() == expected + expected[1:]


def test_a_lens_keeps_the_vectors(
    specialist: FrozenSpecialist, encoder: LabelEncoder, features: torch.Tensor, tmp_path: Path
) -> None:
    lenses = LensCache(tmp_path)
    fresh = texts_of(specialist, encoder, *LABELS).scores(features)
    for _ in range(2):
        kept = LabelTexts(specialist, encoder, LABELS, SerializeConfig(), lenses)
        assert torch.equal(kept.scores(features), fresh)
        assert len(list(tmp_path.iterdir())) == 1
    other = LabelTexts(specialist, encoder, LABELS[:2], SerializeConfig(), lenses)
    assert len(list(tmp_path.iterdir())) == 2
    assert other.lens(lenses).state.identity == specialist.identity
