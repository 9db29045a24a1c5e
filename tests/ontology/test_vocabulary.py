from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aegir_dspy.errors import VocabularyError
from aegir_dspy.ontology import VOCABULARIES, Label, load_vocabulary

DATA = Path(__file__).parents[2] / "../shared/data"
PREFIXES = (
    "https://schema.org/",
    "http://dbpedia.org/ontology/",
    "https://w3id.org/aegir/type/",
    "http://www.w3.org/2001/XMLSchema#",
)


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_label_is_complete(name: str) -> None:
    for label in load_vocabulary(name):
        assert label.iri is not None and label.iri.startswith(PREFIXES), label
        assert label.description.endswith("."), label
        assert len(set(label.examples)) == 3, label
        assert 6 <= len(set(label.headers)) == len(label.headers) <= 14, label
        assert all(text == text.strip() != "" for text in label.examples + label.headers), label


def test_schema_is_sotab82_and_then_the_technical_types() -> None:
    schema, sotab = load_vocabulary(), load_vocabulary("sotab82")
    assert schema.labels[: len(sotab)] == sotab.labels
    assert {"IBAN", "UUID", "isbn", "latitude", "HTTPStatus"} <= set(schema.names[len(sotab) :])


def test_iris_are_shared_only_where_documented() -> None:
    shared = {"https://schema.org/description", "https://schema.org/CreativeWork"}
    for name in VOCABULARIES:
        iris = [label.iri for label in load_vocabulary(name) if label.iri not in shared]
        assert len(iris) == len(set(iris)), name


def test_labels_are_found_by_name() -> None:
    vocabulary = load_vocabulary("sotab82")
    assert vocabulary["email"].iri == "https://schema.org/email"
    assert "email" in vocabulary and "IBAN" not in vocabulary
    assert [label.label for label in vocabulary] == list(vocabulary.names)
    with pytest.raises(VocabularyError, match="'IBAN'"):
        vocabulary["IBAN"]


def test_hash_depends_on_content_and_order_only(tmp_path: Path) -> None:
    one = load_vocabulary(write(tmp_path / "a.json", [{"label": "x", "iri": "urn:x"}, "y"]))
    same = load_vocabulary(write(tmp_path / "b.json", [{"iri": "urn:x", "label": "x"}, {"label": "y"}]))
    turned = load_vocabulary(write(tmp_path / "c.json", ["y", {"label": "x", "iri": "urn:x"}]))
    assert one.sha256 == same.sha256 != turned.sha256
    assert len(one.sha256) == 64


def test_files_of_each_form(tmp_path: Path) -> None:
    entry = {"label": "Cow", "iri": "urn:cow", "description": "A cow.", "examples": ["Elsa"], "extra": 1}
    full = load_vocabulary(write(tmp_path / "farm.json", [entry]))
    assert full.name == "farm"
    assert full.labels == (Label("Cow", "urn:cow", "A cow.", ("Elsa",)),)
    assert load_vocabulary(write(tmp_path / "plain.json", ["a", "b"])).names == ("a", "b")
    (tmp_path / "lines.txt").write_bytes("\ufeffKüche\r\n\r\n  Bad \n".encode())
    assert load_vocabulary(str(tmp_path / "lines.txt")).names == ("Küche", "Bad")


def test_a_built_in_name_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema").write_text("only\n")
    assert len(load_vocabulary("schema")) > 100
    assert load_vocabulary("./schema").names == ("only",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, ", "line 1"),
        (b"[]", "at least one label"),
        (b'{"label": "a"}', "a JSON list"),
        (b'["a", "b", "a"]', "'a' twice"),
        (b'[{"iri": "urn:x"}]', "non-empty 'label'"),
        (b'[{"label": "  "}]', "non-empty 'label'"),
        (b'[{"label": 7}]', "a number"),
        (b'["a", null]', "entry 2"),
        (b'[{"label": "a", "iri": 5}]', "'iri'"),
        (b'[{"label": "a", "examples": "b"}]', "'examples'"),
        (b'[{"label": "a", "examples": [1]}]', "'examples'"),
        (b"\x89PNG\r\n\x1a\n", "UTF-8"),
        (b"[" * 100_000, "bad JSON"),
    ],
)
def test_bad_json_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(VocabularyError, match=message) as caught:
        load_vocabulary(path)
    assert "bad.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n\n", b"a\0b\n", b"same\nsame\n"])
def test_bad_text_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(VocabularyError, match=r"bad\.txt"):
        load_vocabulary(tmp_path / "bad.txt")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="schema, sotab82, sotab32, dbpedia"):
        load_vocabulary("shema")
    with pytest.raises(VocabularyError, match=r"missing\.json"):
        load_vocabulary(tmp_path / "missing.json")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="readable"):
        load_vocabulary(tmp_path)
    (tmp_path / "locked.json").write_text('["a"]')
    (tmp_path / "locked.json").chmod(0)
    if not os.access(tmp_path / "locked.json", os.R_OK):  # root may read everything
        with pytest.raises(VocabularyError, match="locked"):
            load_vocabulary(tmp_path / "locked.json")


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_labels_are_those_of_the_benchmarks() -> None:
    sets = json.loads((DATA / "train_dev/label_sets.json").read_text())
    assert set(load_vocabulary("sotab82").names) == set(sets["sotabv2_cta:CTA"])
    assert set(load_vocabulary("sotab32").names) == set(sets["sotab32_cta:CTA"])
    assert set(sets["t2dv2:CTA"]) <= set(load_vocabulary("dbpedia").names)


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_iris_are_terms_of_their_ontologies() -> None:
    schema = (DATA / "ontologies/schemaorg/schemaorg-current-https.ttl").read_text()
    dbpedia = (DATA / "ontologies/dbpedia/dbo-snapshots.ttl").read_text()
    for name in VOCABULARIES:
        for iri in (label.iri or "" for label in load_vocabulary(name)):
            term = iri.rpartition("/")[2]
            if iri.startswith("https://schema.org/"):
                assert f"\nschema:{term} a " in schema, iri
            elif iri.startswith("http://dbpedia.org/ontology/"):
                assert f"\n:{term}\n" in dbpedia or f"\n:{term} " in dbpedia, iri
