from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aegir_dspy.errors import InputError, VocabularyError
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.ontology.composition import ColumnType
from aegir_dspy.ontology.composition_json import composition_to_json, dump_composition
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.verifier.metric import Judgement
from aegir_dspy.verifier.profiles import COMPONENTS, GATES, PROFILES, Profile
from aegir_dspy.verifier.shaped import shaped, shaped_unread, variety
from aegir_dspy.verifier.verifier import Verifier

# --- what is scored -------------------------------------------------------------------------------


def test_text_bytes_dict_and_value_of_a_composition_are_one(verifier: Verifier, sample: Any) -> None:
    text = dump_composition(sample.good)
    forms = (
        sample.good,
        text,
        text.encode(),
        composition_to_json(sample.good),
        dump_composition(sample.good, 2),
    )
    records = {verifier.score(form, [sample.orders]).record() for form in forms}
    assert len(records) == 1


def test_a_comment_changes_nothing_and_a_cell_does(verifier: Verifier, sample: Any) -> None:
    one = verifier.score(sample.good, [sample.orders])
    assert verifier.score(replace(sample.good, comment="draft"), [sample.orders]).record() == one.record()
    column = replace(sample.orders.columns[0], values=(*sample.orders.columns[0].values[1:], "SO-99"))
    other = replace(sample.orders, columns=(column, *sample.orders.columns[1:]))
    assert verifier.score(sample.good, [other]).inputs != one.inputs
    assert verifier.score(sample.good, [replace(sample.orders, source="/elsewhere")]).inputs == one.inputs


UNREADABLE: list[Any] = [
    *("", "{", "null", "[]", "7", '"x"', "{}", "NaN", '{"tables": []} trailing', "[" * 100_000, "9" * 10_000),
    *(b"\xff\xfe", b"", b"{", {}, {1: 2}, {"tables": 3}, {"schema": object()}, {"a": {"b": [float("nan")]}}),
]


@pytest.mark.parametrize("content", UNREADABLE, ids=[f"{i}" for i in range(len(UNREADABLE))])
def test_what_is_no_composition_is_refused_without_an_error(
    verifier: Verifier, sample: Any, content: Any
) -> None:
    score = verifier.score(content, [sample.orders])
    assert score.R == 0 and score.components == {}
    assert [gate.name for gate in score.gates] == list(GATES) and not any(gate.ok for gate in score.gates)
    assert score.diagnostics and all(one.code.startswith("parse.") for one in score.diagnostics)
    assert 0 <= score.shaped <= 0.1
    json.loads(score.record())


def test_ten_thousand_axioms_are_refused_with_their_place(verifier: Verifier, sample: Any) -> None:
    many = replace(sample.good, axioms=sample.good.axioms * 1_700)
    for form in (
        many,
        json.dumps({"schema": "aegir.composition/1", "axioms": [{"template": "a", "slots": {}}] * 10_000}),
    ):
        score = verifier.score(form, [sample.orders])
        assert sample.closed(score) == list(GATES)
        assert "axioms" in score.diagnostics[0].subject


# --- R --------------------------------------------------------------------------------------------


def test_r_is_the_weighted_mean_of_the_components(verifier: Verifier, sample: Any) -> None:
    score = verifier.score(sample.good, [sample.orders])
    weights = dict(verifier.profile.weights)
    assert set(score.components) == set(COMPONENTS)
    mean = sum(weights[name] * value for name, value in score.components.items()) / sum(weights.values())
    assert pytest.approx(mean, abs=1e-8) == score.R


def test_a_component_that_cannot_tell_is_left_out(verifier: Verifier) -> None:
    table = Table("t1", "", (Column(0, None, ("17", "4", "12", "9")),))
    types = {"name": "t1", "columns": [{"index": 0, "type": "Number"}], "term": "schema:Thing"}
    score = verifier.score({"schema": "aegir.composition/1", "tables": [types]}, [table])
    assert score.ok
    assert set(score.components) == {"R_B", "R_C", "R_E"}
    assert "topics.none" in {one.code for one in score.diagnostics}
    weights = {name: weight for name, weight in verifier.profile.weights if name != "R_D"}
    mean = sum(weights[name] * score.components[name] for name in weights) / sum(weights.values())
    assert pytest.approx(mean, abs=1e-8) == score.R


def test_swapped_columns_lower_r(verifier: Verifier, sample: Any) -> None:
    columns = sample.good.tables[0].columns
    swapped = (ColumnType(0, columns[1].type), ColumnType(1, columns[0].type), *columns[2:])
    one, other = (verifier.score(c, [sample.orders]) for c in (sample.good, sample.table(columns=swapped)))
    assert other.R < one.R - 0.1


def test_the_original_does_not_see_what_the_gates_see(sample: Any) -> None:
    original = Verifier("aegir-0.3")
    columns = sample.good.tables[0].columns
    wrong = sample.table(columns=tuple(ColumnType(i, "Bookk") for i in range(len(columns))))
    score = original.score(wrong, [sample.orders])
    assert set(score.components) == {"R_B", "R_C", "R_D"}
    assert score.ok and score.R == original.score(sample.good, [sample.orders]).R > 0
    for entry in (sample.axiom("no.such", A="x"), sample.axiom("some.any", A=":PlacedOrder", p="")):
        refused = original.score(sample.plus(entry), [sample.orders])
        assert sample.closed(refused) == ["original"] and refused.R == 0
    assert sample.closed(original.score(replace(sample.good, axioms=()), [sample.orders])) == ["original"]


# --- profiles, identity ---------------------------------------------------------------------------


def test_profiles_are_checked() -> None:
    for wrong in ((("R_X", 1.0),), (("R_B", 0.0),), (("R_B", 1.0), ("R_B", 1.0)), ()):
        with pytest.raises(InputError, match="expected"):
            Profile("mine", wrong)
    with pytest.raises(InputError, match="found 'mood'"):
        Profile("mine", (("R_B", 1.0),), ("parse", "mood"))
    with pytest.raises(InputError, match=r"annotation, composition, aegir-0\.3"):
        Verifier("anotation")
    with pytest.raises(VocabularyError):
        Verifier(vocabulary="no-such")
    with pytest.raises(VocabularyError):
        Verifier(ontology="no-such")


def test_a_profile_can_lose_gates_and_components(sample: Any) -> None:
    bad = sample.table(columns=sample.good.tables[0].columns[:3])
    blind = Verifier(PROFILES["annotation"].without("coverage", "R_D"))
    score = blind.score(bad, [sample.orders])
    assert score.R > 0 and "coverage" not in [gate.name for gate in score.gates]
    assert set(score.components) == {"R_B", "R_C", "R_E"}
    assert PROFILES["annotation"].only("R_C").weights == (("R_C", 0.05),)


def test_identity_tells_verifiers_apart(verifier: Verifier) -> None:
    assert Verifier().identity == verifier.identity
    changed = [
        Verifier("composition"),
        Verifier(vocabulary="sotab82"),
        Verifier(ontology="dbpedia"),
        Verifier(relations=load_vocabulary("sotab82")),
        Verifier(PROFILES["annotation"].without("stubs")),
    ]
    assert len({verifier.identity, *(one.identity for one in changed)}) == 6


def test_a_verifier_travels_and_scores_the_same(verifier: Verifier, sample: Any) -> None:
    other = pickle.loads(pickle.dumps(verifier))
    assert other.identity == verifier.identity
    items = (sample.good, [sample.orders])
    assert other.score(*items).record() == verifier.score(*items).record()


def test_a_batch_gives_the_same_scores_in_order_on_several_processes(verifier: Verifier, sample: Any) -> None:
    items: list[tuple[Any, ...]] = [
        (sample.good, [sample.orders]),
        ("{", [sample.orders]),
        (sample.table(subject=1), [sample.orders], ["orders of customers"]),
    ]
    here = [score.record() for score in verifier.score_batch(items)]
    there = [score.record() for score in verifier.score_batch(items, processes=2)]
    assert here == there == [verifier.score(*item).record() for item in items]
    with pytest.raises(InputError, match="one process or more"):
        verifier.score_batch(items, processes=0)


# --- feedback and metric --------------------------------------------------------------------------


def test_feedback_begins_with_what_refuses(verifier: Verifier, sample: Any) -> None:
    bad = replace(sample.table(columns=sample.good.tables[0].columns[:3]), ontology="cco")
    text = verifier.feedback(verifier.score(bad, [sample.orders]))
    head, first, *rest = text.splitlines()
    assert head.startswith("R = 0.000. Refused by 2 of 10 gates: vocabulary, coverage")
    assert "[vocabulary.other_ontology]" in first and "[coverage.missing_column]" in rest[0]
    good = verifier.feedback(verifier.score(sample.good, [sample.orders]))
    assert re.match(r"R = 0\.[78]\d\d\. All 10 gates passed", good)


def test_the_metric_is_a_float_with_feedback(verifier: Verifier, sample: Any, tmp_path: Path) -> None:
    example = SimpleNamespace(tables=[sample.orders])
    judged = verifier.metric(example, {"composition": sample.good})
    score = verifier.score(sample.good, [sample.orders])
    assert judged == score.R == judged.score == judged["score"]
    assert judged.feedback == judged["feedback"] == verifier.feedback(score)
    assert judged.objective_scores == {"R": score.R, "gates": 1.0, "shaped": score.shaped, **score.components}
    assert sum([judged, judged]) == 2 * score.R
    assert isinstance(judged, float) and type(judged.score) is float
    again = pickle.loads(pickle.dumps(judged))
    assert (again, again.fields()) == (judged, judged.fields())
    path = tmp_path / "orders.csv"
    rows = zip(*(column.values for column in sample.orders.columns), strict=True)
    header = ",".join(column.name for column in sample.orders.columns)
    path.write_text("\n".join([header, *map(",".join, rows)]), "utf-8")
    read = verifier.metric(SimpleNamespace(tables=str(path)), SimpleNamespace(composition=sample.good))
    assert read == judged


def test_the_metric_says_what_is_missing(verifier: Verifier, sample: Any) -> None:
    with pytest.raises(InputError, match="prediction with a composition"):
        verifier.metric(SimpleNamespace(tables=[sample.orders]), SimpleNamespace())
    with pytest.raises(InputError, match="example with tables"):
        verifier.metric(SimpleNamespace(), SimpleNamespace(composition=sample.good))
    with pytest.raises(InputError, match="paths of tables"):
        verifier.metric(SimpleNamespace(tables=[1]), SimpleNamespace(composition=sample.good))


def test_gepa_and_evaluate_take_the_judgement(verifier: Verifier, sample: Any) -> None:
    dspy = pytest.importorskip("dspy")
    judged = verifier.metric(SimpleNamespace(tables=[sample.orders]), {"composition": sample.good})
    prediction = dspy.Prediction(**judged.fields())
    assert float(prediction) == judged and prediction.objective_scores == judged.objective_scores
    # What GEPA 0.1 does with what a metric returns.
    assert hasattr(judged, "feedback") and judged["feedback"] is not None and hasattr(judged, "score")
    program = type(
        "P", (dspy.Module,), {"forward": lambda self, tables: dspy.Prediction(composition=sample.good)}
    )()
    example = dspy.Example(tables=[sample.orders]).with_inputs("tables")
    result = dspy.Evaluate(devset=[example] * 2, metric=verifier.metric, num_threads=1)(program)
    assert result.score == pytest.approx(100 * judged, abs=0.01)
    assert isinstance(result.results[0][2], Judgement)


# --- shaped ---------------------------------------------------------------------------------------


def test_the_shaped_score_orders_what_r_does_not(verifier: Verifier, sample: Any) -> None:
    text = dump_composition(sample.good)
    ladder = [
        "no JSON at all",
        text[: len(text) // 2],
        '{"tables": [], "axioms": []}',
        replace(sample.good, tables=(), axioms=(sample.axiom("no.such"),)),
        sample.plus(sample.axiom("no.such")),
        sample.plus(sample.good.axioms[0]),
        sample.good,
    ]
    values = [verifier.score(one, [sample.orders]).shaped for one in ladder]
    assert values == sorted(values) and len(set(values)) == len(values)


def test_no_refused_composition_is_shaped_above_one_that_passes() -> None:
    nine = [0] * 9
    best = shaped(None, [*nine, 1], dict.fromkeys(COMPONENTS, 1.0))
    assert shaped_unread(1.0, 1) < shaped(None, [9] * 10, {}) < best < 0.5 == shaped(0.0, nine, {})
    assert shaped(None, [*nine, 2], {}) < shaped(None, [*nine, 1], {})
    assert shaped(None, [1, *nine], {}) < shaped(None, [*nine, 1], {})
    assert shaped(1.0, nine, {}) == 1


def test_variety() -> None:
    a, b, c = frozenset("ab"), frozenset("cd"), frozenset("bc")
    assert variety([a, a, a]) == 0 == variety([a]) == variety([])
    assert variety([a, b]) == 1
    assert variety([a, c]) == pytest.approx(2 / 3)
