from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest

import aegir_dspy
from aegir_dspy import Swarm, SwarmConfig, Table, TableSet, Vocabulary
from aegir_dspy.annotator.bundle import Bundle, MemberConfig
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.errors import CheckpointError, FailureRecord, InputError
from aegir_dspy.ontology import Label, load_vocabulary
from aegir_dspy.result import result_document
from aegir_dspy.swarm import annotator_roles

MINE = Vocabulary(
    "mine", (Label("Person/name", "https://example.org/name", "who", ("Ann",), ("n",)), Label("b"))
)


@pytest.fixture(scope="module")
def swarm(bundle_path: Path) -> Swarm:
    return Swarm(checkpoint=str(bundle_path), abstain_below=0.2)


def document(prediction: Any) -> dict[str, Any]:
    """All that decides about a prediction: its document without the wall time."""
    found = json.loads(json.dumps(result_document(prediction)))
    del found["usage"]["seconds"]
    return found


def test_the_fields_of_a_prediction(swarm: Swarm, tables: list[Table], bundle_path: Path) -> None:
    out = swarm(tables=tables)
    assert isinstance(out, dspy.Prediction)
    assert [t.name for t in out.annotations] == [t.name for t in tables]
    assert out.relations == [r for t in out.annotations for r in t.relations]
    assert [t.name for t in out.composition.tables] == [t.name for t in tables]
    assert out.score.ok and 0 < out.score.R <= 1
    assert out.score == swarm.verifier.score(out.composition, tables)
    abstained = [f"annotate:{t.name}[{c.index}]" for t in out.annotations for c in t.columns if c.abstained]
    assert abstained
    assert [f.task for f in out.failures] == abstained
    assert {f.failure_class for f in out.failures} == {"low_confidence"}
    assert (out.usage.agents, out.usage.critical_steps) == (107, 2)
    assert out.usage.serial_steps == 107 + 106
    assert out.usage.tokens_read > 0
    assert out.identity["checkpoints"] == {"columns": swarm.dump_state()["settings"]["checkpoint_sha256"]}
    assert out.identity["vocabulary"].startswith("schema@")
    assert out.identity["verifier"] == out.score.verifier == swarm.verifier.identity


def test_the_document_is_the_contract(swarm: Swarm, tables: list[Table]) -> None:
    found = document(swarm(tables=tables[:2]))
    assert found["schema"] == "aegir.result/1"
    assert set(found) == {"schema", "tables", "elements", "score", "failures", "usage", "identity"}
    assert set(found["tables"][0]) == {"name", "source", "columns", "relations"}
    assert set(found["tables"][0]["columns"][0]) == {
        *("index", "name", "type", "iri", "confidence", "abstained", "candidates", "evidence")
    }
    assert set(found["score"]) == {"R", "gates", "components", "diagnostics"}
    assert set(found["usage"]) == {"agents", "critical_steps", "serial_steps", "tokens_read"}
    assert set(found["identity"]) == {"version", "checkpoints", "vocabulary", "verifier", "run"}
    assert set(found["failures"][0]) == {"task", "agent", "class", "message", "evidence", "attempt"}


def test_every_way_of_asking_gives_the_same(swarm: Swarm, tables: list[Table]) -> None:
    few = tables[:2]
    whole = document(swarm(tables=few))
    assert document(swarm(tables=TableSet(tuple(few)))) == whole
    assert document(swarm.forward(tables=tuple(few))) == whole
    assert document(asyncio.run(swarm.acall(tables=few))) == whole
    assert document(swarm.batch([dspy.Example(tables=few).with_inputs("tables")], num_threads=1)[0]) == whole
    one = document(swarm(tables=few[0]))
    assert one["tables"] == whole["tables"][:1]


def test_batches_of_any_size_give_the_same(bundle_path: Path, swarm: Swarm, tables: list[Table]) -> None:
    small = Swarm(checkpoint=str(bundle_path), abstain_below=0.2, max_agents=3)
    assert document(small(tables=tables)) == document(swarm(tables=tables))


def test_parallel_is_serial(swarm: Swarm, tables: list[Table]) -> None:
    serial = [document(swarm(tables=[t])) for t in tables]
    pairs = [(swarm, dspy.Example(tables=[t]).with_inputs("tables")) for t in tables]
    together = dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)
    assert [document(out) for out in together] == serial


def test_evaluate_takes_a_swarm(swarm: Swarm, tables: list[Table]) -> None:
    examples = [dspy.Example(tables=[t], gold=len(t.columns)).with_inputs("tables") for t in tables[:2]]

    def metric(example: Any, prediction: Any, trace: Any = None) -> float:
        return float(len(prediction.annotations[0].columns) == example.gold)

    evaluate = dspy.Evaluate(devset=examples, metric=metric, num_threads=1, display_progress=False)
    assert evaluate(swarm).score == 100.0


def test_the_program_as_dspy_sees_it(swarm: Swarm) -> None:
    assert isinstance(swarm, dspy.Module)
    assert isinstance(swarm.named_predictors(), list)

    class Program(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.swarm, self.ask = swarm, dspy.Predict("question -> answer")

    assert [name for name, _ in swarm.named_predictors()] == ["primary"]
    assert [name for name, _ in Program().named_predictors()] == ["swarm.primary", "ask"]


def test_a_nested_swarm_keeps_its_settings(
    bundle_path: Path, make_bundle: Callable[..., Path], tables: list[Table], tmp_path: Path
) -> None:
    class Outer(dspy.Module):
        def __init__(self, checkpoint: Path, **fields: Any) -> None:
            super().__init__()
            self.parts = {"swarm": Swarm(checkpoint=str(checkpoint), **fields)}

    outer = Outer(bundle_path, vocabulary=MINE, context=3, abstain_below=0.1)
    outer.save(tmp_path / "outer.json")
    for weights in (bundle_path, make_bundle(tmp_path / "other.safetensors", seed=1)):
        loaded = Outer(weights)
        loaded.load(tmp_path / "outer.json")
        swarm = loaded.parts["swarm"]
        assert (swarm.config.context, swarm.config.abstain_below, swarm.vocabulary) == (3, 0.1, MINE)
        assert document(swarm(tables=tables[:1])) == document(outer.parts["swarm"](tables=tables[:1]))


def test_every_column_is_in_the_trace_of_the_primary(swarm: Swarm, tables: list[Table]) -> None:
    with dspy.context(trace=[]):
        out = swarm(tables=tables[:2])
        trace = list(dspy.settings.trace)
    assert {id(entry[0]) for entry in trace} == {id(swarm.primary)}
    assert [entry[2].type for entry in trace] == [c.type for t in out.annotations for c in t.columns]
    assert trace[0][1] == {"column": "name: Ann: Bob: Cem", "context": "price, mail, day"}
    assert set(trace[0][1]) == set(swarm.primary.signature.input_fields)


def test_states_of_swarms_with_other_specialists_are_refused(swarm: Swarm) -> None:
    state = swarm.dump_state()
    state["settings"]["specialists"] = ["ngrams"]
    with pytest.raises(
        InputError, match=r"with the specialists \[\], found one with \['ngrams'\]: make Swarm"
    ):
        swarm.deepcopy().load_state(state)


def test_roles_are_those_of_the_members(bundle: Bundle) -> None:
    members = (MemberConfig("a", "backward", "a.safetensors", ""), MemberConfig("b", "places", "b", ""))
    config = replace(bundle.config, members=members)
    annotator = ColumnTypeAnnotator(replace(bundle, config=config), load_vocabulary("schema"))
    roles = annotator_roles(annotator)
    assert [name for name, _ in roles] == ["a", "b", "primary"]
    assert len({text for _, text in roles}) == 3
    assert "backward" in roles[0][1]


def test_copies_share_the_weights_and_answer_alike(swarm: Swarm, tables: list[Table]) -> None:
    for copy in (swarm.deepcopy(), swarm.reset_copy()):
        assert copy._annotator.bundle.model is swarm._annotator.bundle.model
        assert document(copy(tables=tables[:1])) == document(swarm(tables=tables[:1]))


def test_tables_are_reported_as_they_are_done(swarm: Swarm, tables: list[Table]) -> None:
    seen: list[str] = []
    swarm(tables=tables, on_table=lambda table: seen.append(table.name))
    assert seen == [t.name for t in tables]


def test_a_path_is_read_and_its_failures_are_kept(swarm: Swarm, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,price\nAnn,1\nBob,2\n")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    for given in (str(tmp_path), tmp_path):
        out = swarm(tables=given)
        assert [[c.name for c in t.columns] for t in out.annotations] == [["name", "price"]]
        assert [f.task for f in out.failures if f.task.startswith("read:")] == [f"read:{tmp_path}/b.parquet"]
    given = aegir_dspy.read_tables(tmp_path / "a.csv")
    failed = TableSet(given.tables, (FailureRecord("read:x", "tables.csv", "parse", "no"),))
    assert swarm(tables=failed).failures[0].task == "read:x"


@pytest.mark.parametrize("wrong", [None, 3, b"ab", ["a.csv"], {"a": 1}, [None]], ids=repr)
def test_anything_but_tables_is_refused(swarm: Swarm, wrong: object) -> None:
    with pytest.raises(InputError, match="expected tables, found"):
        swarm(tables=wrong)


def test_no_tables_is_an_empty_result(swarm: Swarm) -> None:
    out = swarm(tables=[])
    assert (out.annotations, out.failures, out.usage.agents) == ([], [], 0)


def test_the_run_names_what_decided(bundle_path: Path, swarm: Swarm, tables: list[Table]) -> None:
    def run(tables: list[Table], **fields: Any) -> str:
        return str(Swarm(config=swarm.config, **fields).identity(tables)["run"])

    same = {run(tables), run(tables, max_agents=7), run(list(tables))}
    other = {
        run(tables[:1]),
        run(tables[::-1]),
        run(tables, context=2),
        run(tables, abstain_below=0.9),
        run(tables, vocabulary="dbpedia"),
        run(tables, vocabulary=MINE),
    }
    assert len(same) == 1
    assert len(other - same) == 6


@pytest.mark.parametrize("fields", [{"context": -1}, {"max_agents": 0}])
def test_impossible_settings_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(InputError, match="context >= 0 and max_agents >= 1"):
        SwarmConfig(**fields)


def test_a_swarm_is_saved_as_json_and_found_again(
    bundle_path: Path, tables: list[Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = tmp_path / "mine.json"
    vocabulary.write_text(json.dumps([{"label": "b", "examples": ["x"]}, "Person/name"]))
    monkeypatch.chdir(bundle_path.parent)
    saved = Swarm(checkpoint=bundle_path.name, vocabulary=str(vocabulary), context=3, abstain_below=0.1)
    saved.save(str(tmp_path / "swarm.json"))
    vocabulary.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    loaded = Swarm(checkpoint=str(bundle_path))
    loaded.load(str(tmp_path / "swarm.json"))
    assert (loaded.config.context, loaded.config.abstain_below) == (3, 0.1)
    assert loaded.vocabulary.names == ("b", "Person/name")
    assert document(loaded(tables=tables)) == document(saved(tables=tables))


def test_a_vocabulary_survives_saving(bundle_path: Path, tmp_path: Path) -> None:
    for given in ("dbpedia", MINE):
        Swarm(checkpoint=str(bundle_path), vocabulary=given).save(str(tmp_path / "swarm.json"))
        loaded = Swarm(checkpoint=str(bundle_path))
        loaded.load(str(tmp_path / "swarm.json"))
        assert loaded.config.vocabulary == given


def test_the_checkpoint_saved_with_is_found_whatever_the_new_one(
    bundle_path: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(bundle_path.read_bytes())
    state = Swarm(checkpoint=str(bundle_path)).dump_state()
    other = Swarm(checkpoint=str(make_bundle(tmp_path / "other.safetensors", seed=1)))
    other.load_state(state)
    assert other.config.checkpoint == str(bundle_path)
    state["settings"]["config"]["checkpoint"] = "/gone.safetensors"
    same = Swarm(checkpoint=str(moved))
    same.load_state(state)
    assert same.config.checkpoint == str(moved)


def test_other_weights_than_those_saved_with_are_refused(
    swarm: Swarm, bundle_path: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    state = swarm.dump_state()
    path = make_bundle(tmp_path / "other.safetensors", seed=1)
    state["settings"]["config"]["checkpoint"] = str(path)
    other = Swarm(checkpoint=str(path), context=1)
    with pytest.raises(CheckpointError, match="this swarm was saved with"):
        other.load_state(state)
    assert other.config.context == 1


@pytest.mark.parametrize(
    "own", [None, {}, {"config": {}}, {"config": {"vocabulary": "schema", "new": 1}, "checkpoint_sha256": ""}]
)
def test_other_states_are_refused(bundle_path: Path, swarm: Swarm, own: object) -> None:
    state = {**swarm.dump_state(), "settings": own}
    if own is None:
        del state["settings"]
    with pytest.raises(InputError, match=r"expected a state that Swarm\.save"):
        Swarm(checkpoint=str(bundle_path)).load_state(state)


def test_wrong_weights_and_vocabularies_say_so(tmp_path: Path, bundle_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found no file at"):
        Swarm(checkpoint=str(tmp_path / "none.safetensors"))
    with pytest.raises(InputError, match="built-in vocabulary"):
        Swarm(checkpoint=str(bundle_path), vocabulary="nothing")


def test_the_default_weights_annotate(make_table: Callable[..., Table]) -> None:
    mail = ["ann@example.org", "bob@mail.de", "cem@post.com", "d.e@f.net"]
    day = ["2021-01-02", "2021-02-03", "2022-03-04", "2020-12-31"]
    out = Swarm()(tables=make_table("people", mail=mail, day=day))
    kinds = [column.type for column in out.annotations[0].columns]
    assert kinds[0] == "email"
    assert kinds[1] in {"Date", "DateTime"}


@pytest.mark.parametrize("vocabulary", ["schema", "own"])
def test_a_second_annotation_reads_nothing_and_answers_alike(
    bundle_path: Path, tables: list[Table], tmp_path: Path, vocabulary: str
) -> None:
    types = Vocabulary("own", (Label("a person"), Label("a price"))) if vocabulary == "own" else vocabulary
    plain = Swarm(checkpoint=str(bundle_path), vocabulary=types)
    runs = [document(plain(tables=tables))]
    for _ in range(2):  # two swarms, as two processes would make them
        runs.append(document(Swarm(config=plain.config, store=tmp_path / "states")(tables=tables)))
    read = [run["usage"].pop("tokens_read") for run in runs]
    assert read[0] == read[1] > read[2] == 0
    assert runs[0] == runs[1] == runs[2]
    saved = json.dumps(Swarm(config=plain.config, store=tmp_path / "states").dump_state())
    assert str(tmp_path / "states") not in saved
