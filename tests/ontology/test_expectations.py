import json
from collections import Counter
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.ontology.expectations import NEUTRAL, Expectation, expectation, expectations
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.verifier.validators import VALIDATORS, kind_of, validate

ORDER = ["checksum", "format", "lexicon", "shape"]
LABELS = [label for name in ("schema", "sotab32") for label in load_vocabulary(name)]


def test_every_label_has_an_expectation() -> None:
    assert len(LABELS) == 178
    for label in LABELS:
        assert label.label in expectations(), label.label
        assert expectation(label.label).validators


def test_expectations_are_well_formed() -> None:
    datatypes = {t.name for t in load_ontology() if t.kind == "datatype"}
    for label, known in expectations().items():
        assert known.datatype in datatypes, label
        assert set(known.validators) <= VALIDATORS.keys(), label
        assert len(set(known.validators)) == len(known.validators) <= 6
        assert known.kind == min(map(kind_of, known.validators), key=ORDER.index), label
        if known.low is not None and known.high is not None:
            assert known.low < known.high
        if known.length:
            assert 0 < known.length[0] <= known.length[1]
        if known.lexicon:
            assert known.unique is False, label


def test_closed_lists_are_members_of_their_enumerations() -> None:
    schema = load_ontology()
    for label in ("ItemAvailability", "OfferItemCondition", "EventStatusType", "RestrictedDiet"):
        members = {t.name for t in schema if t.kind == "individual" and f"schema:{label}" in t.parents}
        assert {f"schema:{word}" for word in expectation(label).lexicon} <= members


def test_the_examples_of_the_vocabulary_meet_their_expectations() -> None:
    """At least nine of ten labels have a majority of examples that a validator and the length accept."""
    good = Counter[bool]()
    for label in load_vocabulary("schema"):
        known = expectation(label.label)
        met = [
            any(validate(name, value) for name in known.validators)
            and (known.length is None or known.length[0] <= len(value) <= known.length[1])
            for value in label.examples
        ]
        good[sum(met) * 2 > len(met)] += 1
    assert good[True] >= 0.9 * (good[True] + good[False]), good


@pytest.mark.parametrize(
    ("label", "like"),
    [
        ("schema:isbn", "isbn"),
        ("https://schema.org/isbn", "isbn"),
        ("https://w3id.org/aegir/type/IBAN", "IBAN"),
        ("schema:Text", "xsd:string"),
        ("schema:Date", "Date"),
        ("http://www.w3.org/2001/XMLSchema#date", "xsd:date"),
        ("Poem/description", "Book/description"),
        ("Poem/name", "Product/name"),
        ("schema:description", "Product/description"),
    ],
)
def test_terms_iris_and_endings(label: str, like: str) -> None:
    known = expectation(like)
    assert known.validators
    assert expectation(label).validators == known.validators


def test_swapped_labels_differ() -> None:
    assert validate(expectation("IBAN").validators[0], "DE89 3704 0044 0532 0130 00")
    assert not any(validate(name, "DE89 3704 0044 0532 0130 00") for name in expectation("email").validators)
    assert expectation("IBAN").kind == "checksum"
    assert expectation("latitude").high == 90
    assert expectation("SurrogateKey").unique is True
    assert expectation("Country").unique is False


@given(st.text())
def test_any_label_has_one(label: str) -> None:
    assert isinstance(expectation(label), Expectation)
    if label.isspace():
        assert expectation(label) is NEUTRAL


def test_one_label_a_line() -> None:
    text = (resources.files("aegir_dspy.assets") / "expectations.json").read_text("utf-8")
    assert len(text.splitlines()) == len(json.loads(text)) + 2
