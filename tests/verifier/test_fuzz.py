from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.ontology.composition_json import composition_to_json
from aegir_dspy.verifier.score import Score
from aegir_dspy.verifier.verifier import Verifier

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["schema", "tables", "name", "columns", "index", "type", "axioms", "template", "slots"]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@pytest.fixture(scope="module")
def fuzz(import_benchmark: Callable[[str], Any]) -> Any:
    return import_benchmark("_fuzz")


def test_every_kind_of_damage_is_refused_in_time(
    verifier: Verifier, sample: Any, fuzz: Any, within: Callable[..., Score]
) -> None:
    content = composition_to_json(sample.good)
    verifier.score(content, [sample.orders])  # what is made once is not what is timed

    def scored(text: str) -> Score:
        verifier.standard.ontology.derived.pop("verdicts", None)  # a verdict that is known takes no time
        return verifier.score(text, [sample.orders])

    for seed in range(600):
        kind, text = fuzz.fuzzed(content, random.Random(seed))
        score = within(0.5, partial(scored, text))  # 0.1 on a machine that does nothing else
        assert score.R == 0 and not score.ok, (kind, seed)
        assert score.diagnostics and 0 <= score.shaped < 0.5, (kind, seed)
    assert content == composition_to_json(sample.good)


def test_every_kind_occurs(sample: Any, fuzz: Any) -> None:
    content = composition_to_json(sample.good)
    assert {fuzz.fuzzed(content, random.Random(seed))[0] for seed in range(300)} == set(fuzz.BREAKS)


def test_other_words_for_the_same_are_scored_the_same(verifier: Verifier, sample: Any, fuzz: Any) -> None:
    content = composition_to_json(sample.good)
    R = verifier.score(content, [sample.orders]).R
    assert {
        verifier.score(fuzz.harmless(content, random.Random(i)), [sample.orders]).R for i in range(20)
    } == {R}


@settings(max_examples=200)
@given(JSON)
def test_random_json_is_no_composition(verifier: Verifier, sample: Any, content: Any) -> None:
    text = json.dumps(content)
    assert verifier.score(text, [sample.orders]).R == 0
    if isinstance(content, dict):
        assert verifier.score(content, [sample.orders]).R == 0


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_random_text_is_no_composition(verifier: Verifier, sample: Any, content: Any) -> None:
    assert verifier.score(content, [sample.orders]).R == 0
