"""`Specialist` and `Primary`: states travel through DSPy, with all that DSPy does to programs."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
import torch

import aegir_dspy as aegir
from aegir_dspy import Engine, Primary, Specialist, State, fuse
from aegir_dspy.adapters.dspy_lm import Checkpoint
from aegir_dspy.errors import CheckpointError, InputError, StateError
from aegir_dspy.specialist import LatentPrediction

PARTS = ["Oslo is a city.", "x", "A much longer text about the river Elbe and Dresden. " * 3, ""]
KIND = Literal["city", "email", "date"]


class Ask(dspy.Signature):
    value: str = dspy.InputField()
    kind: KIND = dspy.OutputField()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def weights(folder: Path, make_weights: Callable[..., Path]) -> Path:
    return make_weights(folder / "one.safetensors")


@pytest.fixture(scope="module")
def others(folder: Path, make_weights: Callable[..., Path]) -> Path:
    return make_weights(folder / "two.safetensors", 1)


@pytest.fixture
def reader(weights: Path) -> Specialist:
    return Specialist("document -> notes", checkpoint=weights, name="places", max_tokens=6)


@pytest.fixture
def primary(weights: Path) -> Primary:
    return Primary("question -> answer", checkpoint=weights, max_tokens=8)


@pytest.fixture
def cached() -> Iterator[None]:
    prior = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    yield
    dspy.cache = prior


@pytest.fixture
def no_cache() -> Iterator[None]:
    prior = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    yield
    dspy.cache = prior


class Count:
    """Calls of a method, which still does what it did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self.calls: list[Any] = []
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(args[0])
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


def same(one: State, other: State) -> bool:
    return one.identity == other.identity and all(
        torch.allclose(a, b, atol=1e-5) for a, b in zip(one.tensors, other.tensors, strict=True)
    )


def with_text(module: Any, text: str) -> Any:
    changed = module.deepcopy()
    changed.signature = changed.signature.with_instructions(text)
    return changed


# reading


def test_it_reads_its_inputs_and_nothing_else(reader: Specialist) -> None:
    out = reader(document="Oslo")
    assert isinstance(out, dspy.Prediction)
    assert (out.keys(), out.latent.tokens) == ([], len("document\x1fOslo\x1d"))
    assert same(out.latent, reader.checkpoint.engine.read(["document\x1fOslo\x1d"])[0])
    assert out.latent.digest == reader(document="Oslo").latent.digest != reader(document="Rome").latent.digest


def test_instructions_and_demos_are_read_where_somebody_set_them(reader: Specialist, weights: Path) -> None:
    assert "places" in reader.signature.instructions
    assert reader.prompt({"document": "d"}) == "document\x1fd\x1d"
    assert with_text(reader, "Look for towns.").prompt({"document": "d"}) == (
        "Look for towns.\x1ddocument\x1fd\x1d"
    )
    told = Specialist(Ask, checkpoint=weights, instructions="Sort.")
    assert told.prompt({"value": "v"}) == "Sort.\x1dvalue\x1fv\x1d"
    written = Specialist(dspy.Signature("value -> kind", "Of what kind?"), checkpoint=weights)
    assert written.prompt({"value": "v"}) == "Of what kind?\x1dvalue\x1fv\x1d"
    reader.demos = [{"document": "e", "notes": "n"}, {"document": "only read"}]
    assert reader.prompt({"document": "d"}) == "document\x1fe\x1dn\x1cdocument\x1fd\x1d"
    digests = {m(value="v").latent.digest for m in (told, written, with_text(told, "Other."))}
    assert len(digests) == 3


def test_many_are_read_at_once_and_as_if_alone(reader: Specialist, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [reader(document=part).latent for part in PARTS]
    count = Count(monkeypatch, reader.checkpoint.engine, "read")
    together = reader.read_many(PARTS)
    assert [len(texts) for texts in count.calls] == [len(PARTS)]
    backward = reader.read_many([{"document": part} for part in PARTS[::-1]])[::-1]
    for one, other, third in zip(alone, together, backward, strict=True):
        assert same(one, other.latent) and same(one, third.latent)
    assert reader.read_many([]) == []


def test_reading_after_a_state_continues_it(reader: Specialist) -> None:
    first = reader(document="one")
    second = reader(document="two", latent=first)
    whole = reader.checkpoint.engine.read(["document\x1fone\x1ddocument\x1ftwo\x1d"])[0]
    assert same(second.latent, whole)
    assert second.latent.tokens == whole.tokens


@pytest.mark.usefixtures("no_cache")
def test_an_answer_follows_the_reading(reader: Specialist, monkeypatch: pytest.MonkeyPatch) -> None:
    with dspy.context(lm=reader.checkpoint.lm, adapter=aegir.CompactAdapter()):
        expected = dspy.Predict("document -> notes", max_tokens=6)(document="Oslo").notes
    silent = reader(document="Oslo")
    count = Count(monkeypatch, reader.checkpoint.engine, "read")
    out = reader(document="Oslo", answer=True)
    assert (out.notes, out.latent.digest) == (expected, silent.latent.digest)
    # once before, and no more than the empty rest when the answer is decoded
    assert [text for texts in count.calls for text in texts if len(text)] == ["document\x1fOslo\x1d"]
    assert len(reader(document="Oslo", answer=True, config={"max_tokens": 1}).notes) <= 1
    assert reader.read_many(["Oslo", "Rome"], answer=True)[0].notes == expected


def test_other_inputs_than_the_signatures_are_refused(reader: Specialist, weights: Path) -> None:
    for wrong in ({}, {"text": "x"}, {"document": "x", "more": "y"}):
        with pytest.raises(InputError, match=r"expected the inputs \['document'\] of places"):
            reader(**wrong)
    with pytest.raises(InputError, match="rename the field"):
        Specialist("latent -> notes", checkpoint=weights)
    with pytest.raises(CheckpointError, match="expected a weights file"):
        Specialist(checkpoint=weights.with_name("none.pth"))
    with pytest.raises(InputError, match="as checkpoint, found 3"):
        Specialist(checkpoint=3)  # type: ignore[arg-type]


def test_weights_are_loaded_when_they_are_used_and_once(weights: Path, monkeypatch: Any) -> None:
    loads = Count(monkeypatch, Engine, "load")
    made = [Specialist(checkpoint=weights, name=str(i)) for i in range(3)]
    assert loads.calls == []
    pairs = [(one, {"document": "x"}) for one in made * 4]
    states = [out.latent for out in dspy.Parallel(num_threads=4, disable_progress_bar=True)(pairs)]
    assert len(loads.calls) <= 1  # none where another test still holds them
    assert len({state.digest for state in states}) == 1
    assert len({id(one.checkpoint.engine) for one in made}) == 1


# answering from states


def test_the_answer_depends_on_the_state(reader: Specialist, primary: Primary) -> None:
    read = reader.read_many(["abc" * 9, "xyz" * 9, "123" * 9, "-+*" * 9])
    answers = [primary(question="?", latent=one) for one in read]
    assert len({out.answer for out in answers}) > 1
    assert [out.latent for out in answers] == [one.latent for one in read]
    assert primary(question="?", latent=read[0].latent).answer == answers[0].answer
    alone = primary(question="?")
    assert alone.latent is None and isinstance(alone.answer, str)


def test_answers_stay_in_the_choices(reader: Specialist, weights: Path) -> None:
    primary = Primary(Ask, checkpoint=weights)
    found = {
        primary(value=part, latent=out).kind for part, out in zip(PARTS, reader.read_many(PARTS), strict=True)
    }
    assert found <= {"city", "email", "date"}


def test_fusion_takes_states_and_predictions_in_any_order(reader: Specialist) -> None:
    read = reader.read_many(PARTS)
    whole = fuse(read)
    assert whole.digest == fuse([read[2].latent, read[0], read[3], read[1]]).digest
    assert whole.tokens == sum(one.latent.tokens for one in read)
    assert fuse(read, "mean").digest != whole.digest
    for wrong in ("text", dspy.Prediction(answer="a"), None):
        with pytest.raises(InputError, match="call a Specialist"):
            fuse([read[0], wrong])  # type: ignore[list-item]
    with pytest.raises(StateError, match="read something first"):
        fuse([])


def test_states_of_other_models_are_refused_with_the_remedy(
    reader: Specialist, others: Path, folder: Path, make_weights: Callable[..., Path]
) -> None:
    wide = make_weights(folder / "wide.safetensors", 2, width=64)
    for path, what in ((others, "checkpoint"), (wide, "geometry")):
        primary = Primary("question -> answer", checkpoint=path)
        with pytest.raises(StateError, match=f"expected a state with {what} .*: read again .* or align"):
            primary(question="?", latent=reader(document="x"))
        with pytest.raises(StateError, match="or align"):
            fuse([reader(document="x"), Specialist(checkpoint=path)(document="x")])


def test_a_state_and_a_remote_model_do_not_go_together(reader: Specialist, primary: Primary) -> None:
    primary.lm = dspy.LM("openai/none", api_key="none")
    with pytest.raises(InputError, match="expected a local engine to take a state"):
        primary(question="?", latent=reader(document="x"))


# DSPy's cache, threads, awaited calls


@pytest.mark.usefixtures("cached")
def test_the_cache_tells_states_and_checkpoints_apart(
    weights: Path, others: Path, reader: Specialist, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary = Primary("question -> answer", checkpoint=weights, max_tokens=8)
    second = Primary("question -> answer", checkpoint=others, max_tokens=8)
    counts = [Count(monkeypatch, p.checkpoint.lm.engine, "answer") for p in (primary, second)]
    one, other = reader(document="abc" * 9), reader(document="xyz" * 9)
    first = [primary(question="?", latent=state).answer for state in (one, other, None)]
    assert [len(count.calls) for count in counts] == [3, 0]
    again = [primary(question="?", latent=state).answer for state in (one, other, None)]
    copied = State(*(getattr(one.latent, name) for name in ("tensors", "identity", "tokens")))
    assert primary.deepcopy()(question="?", latent=copied).answer == first[0]
    assert (again, [len(count.calls) for count in counts]) == (first, [3, 0])
    for _ in range(2):  # DSPy keeps awaited calls apart from others
        assert asyncio.run(primary.acall(question="?", latent=one)).answer == first[0]
    second(question="?")
    assert [len(count.calls) for count in counts] == [4, 1]
    told = [dict(request.config.extensions["aegir"]) for count in counts for request in count.calls]
    assert [t.get("latent") for t in told] == [
        *(one.latent.digest, other.latent.digest, None, one.latent.digest, None)
    ]
    assert [t["checkpoint"] for t in told] == [primary.checkpoint.sha256] * 4 + [second.checkpoint.sha256]


@pytest.mark.usefixtures("no_cache")
def test_threads_and_awaited_calls_answer_like_calls(reader: Specialist, primary: Primary) -> None:
    read = reader.read_many([str(i) * 20 for i in range(6)])
    serial = [primary(question="?", latent=one).answer for one in read]
    pairs = [(primary, {"question": "?", "latent": one}) for one in read]
    parallel = dspy.Parallel(num_threads=3, disable_progress_bar=True)(pairs)

    async def together() -> list[Any]:
        return await asyncio.gather(*(primary.acall(question="?", latent=one) for one in read))

    assert [out.answer for out in parallel] == serial
    awaited = asyncio.run(together())
    assert [out.answer for out in awaited] == serial
    assert [out.latent for out in awaited] == [one.latent for one in read]
    assert same(asyncio.run(reader.acall(document="Oslo")).latent, reader(document="Oslo").latent)
    assert primary.checkpoint.lm.engine._held == {}  # nothing is kept when no request needs it


def test_a_state_is_held_as_long_as_somebody_needs_it(reader: Specialist) -> None:
    engine, state = reader.checkpoint.lm.engine, reader(document="x").latent
    with engine.holding(state) as digest:
        with engine.holding(state) as again:
            assert digest == again == state.digest
        assert engine._held[digest][0] is state
    assert engine._held == {}


# what DSPy's optimizers do


class Program(dspy.Module):
    def __init__(self, checkpoint: Path | Engine, **config: Any) -> None:
        super().__init__()
        self.readers = [Specialist(checkpoint=checkpoint, name=name) for name in ("places", "people")]
        self.primary = Primary("question -> answer", checkpoint=checkpoint, **config)

    def forward(self, document: str, question: str) -> dspy.Prediction:
        return self.primary(question=question, latent=fuse([r(document=document) for r in self.readers]))


def test_predictors_are_visible_unlike_and_traced(weights: Path) -> None:
    program = Program(weights)
    assert [n for n, _ in program.named_predictors()] == ["readers[0]", "readers[1]", "primary"]
    signatures = [p.signature for p in program.predictors()]
    assert not any(a.equals(b) for i, a in enumerate(signatures) for b in signatures[:i])
    with dspy.context(trace=[]):
        out = program(document="d", question="q")
        trace = list(dspy.settings.trace)
    assert [entry[0] for entry in trace] == program.predictors()
    assert [entry[1] for entry in trace] == [{"document": "d"}, {"document": "d"}, {"question": "q"}]
    assert [entry[2].keys() for entry in trace] == [[], [], ["answer"]]  # text, never tensors
    assert "latent" not in out.toDict() and "tensor" not in repr(out)
    with dspy.context(trace=[], max_trace_size=2):
        program(document="d", question="q")
        assert [entry[0] for entry in dspy.settings.trace] == program.predictors()[1:]


@pytest.mark.usefixtures("no_cache")
def test_gepa_reflects_on_every_predictor_and_its_texts_are_read(weights: Path) -> None:
    asked: dict[str, list[Any]] = {}

    def propose(candidate: Any, reflective_dataset: Any, components_to_update: Any) -> dict[str, str]:
        asked.update({name: reflective_dataset[name] for name in components_to_update})
        return {name: candidate[name] + " Try this." for name in components_to_update}

    seen: list[str] = []

    def metric(gold: Any, pred: Any, trace: Any = None, name: Any = None, call: Any = None) -> Any:
        seen.append(pred.latent.digest)
        return dspy.Prediction(score=0.0, feedback=f"no: {name}")

    examples = [dspy.Example(document=d, question="q").with_inputs("document", "question") for d in "ab"]
    gepa = dspy.GEPA(
        metric=metric,
        max_metric_calls=24,
        instruction_proposer=propose,
        reflection_lm=dspy.LM("openai/none", api_key="none"),
        reflection_minibatch_size=2,
        num_threads=1,
    )
    program = Program(weights, max_tokens=4)
    gepa.compile(program, trainset=examples, valset=examples)
    assert set(asked) == {"readers[0]", "readers[1]", "primary"}
    assert {tuple(item["Inputs"]) for item in asked["readers[0]"]} == {("document",)}
    assert {tuple(item["Inputs"]) for item in asked["primary"]} == {("question",)}
    assert len(set(seen)) >= 6  # two documents by the program as it was, and with either reader's new text


def test_copies_share_weights_and_nothing_else(weights: Path, others: Path) -> None:
    program = Program(weights)
    changed = program.deepcopy()
    engines = {id(p.checkpoint.engine) for p in (*program.predictors(), *changed.predictors())}
    assert len(engines) == 1
    changed.readers[0].signature = changed.readers[0].signature.with_instructions("Other.")
    changed.load_state(Program(others).dump_state())
    assert {p.checkpoint.path for p in program.predictors()} == {weights}
    assert "places" in program.readers[0].signature.instructions
    assert (
        copy.deepcopy(program)(document="d", question="q").answer
        == program(document="d", question="q").answer
    )
    assert program.reset_copy().readers[0].checkpoint is program.readers[0].checkpoint


# saved and loaded


class Outer(dspy.Module):
    def __init__(self, checkpoint: Path | Engine) -> None:
        super().__init__()
        self.inner, self.plain = Program(checkpoint), dspy.Predict("x -> y")


def test_a_program_is_saved_without_weights_and_found_again(
    weights: Path, others: Path, tmp_path: Path
) -> None:
    outer = Outer(weights)
    outer.inner.readers[0] = with_text(outer.inner.readers[0], "Look for towns.")
    outer.save(tmp_path / "outer.json")
    assert (tmp_path / "outer.json").stat().st_size < 10_000 < weights.stat().st_size
    saved = json.loads((tmp_path / "outer.json").read_text())["inner.primary"]["aegir"]["checkpoint"]
    assert (saved["path"], saved["sha256"]) == (str(weights), outer.inner.primary.checkpoint.sha256)
    loaded = Outer(others)
    loaded.load(tmp_path / "outer.json")
    ask = {"document": "d", "question": "q"}
    assert loaded.inner(**ask).latent.digest == outer.inner(**ask).latent.digest
    assert loaded.inner(**ask).answer == outer.inner(**ask).answer
    assert loaded.inner.readers[0].prompt({"document": "d"}).startswith("Look for towns.")
    assert loaded.inner.readers[1].prompt({"document": "d"}) == "document\x1fd\x1d"


def test_a_role_stays_unread_in_a_specialist_of_another_name(weights: Path) -> None:
    one, other = (Specialist(checkpoint=weights, name=name) for name in "ab")
    other.load_state(one.dump_state())
    assert other.signature.instructions == one.signature.instructions
    assert other.prompt({"document": "d"}) == "document\x1fd\x1d"


def test_moved_weights_are_found_and_changed_ones_refused(
    weights: Path, others: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(weights.read_bytes())
    state = Specialist(checkpoint=weights).dump_state()
    state["aegir"]["checkpoint"]["path"] = str(tmp_path / "gone.safetensors")
    same_file = Specialist(checkpoint=moved)
    same_file.load_state(state)
    assert same_file.checkpoint.path == moved
    with pytest.raises(CheckpointError, match=r"and nothing at .*gone\.safetensors: make the module"):
        Specialist(checkpoint=others).load_state(state)
    with pytest.raises(InputError, match="expected a state that a Primary saved"):
        Primary("document -> notes", checkpoint=moved).load_state(
            dspy.Predict("document -> notes").dump_state()
        )
    late = Specialist(checkpoint=moved)
    assert late.checkpoint.sha256 == same_file.checkpoint.sha256
    moved.write_bytes(others.read_bytes())
    with pytest.raises(CheckpointError, match="restore the file"):
        late(document="x")


def test_options_that_decide_are_saved_and_the_device_is_not(weights: Path, others: Path) -> None:
    half = Specialist(checkpoint=Checkpoint(weights, dtype="bfloat16", device="cpu"))
    state = json.loads(json.dumps(half.dump_state()))
    assert state["aegir"]["checkpoint"]["options"] == {"dtype": "bfloat16"}
    for path in (weights, others):
        loaded = Specialist(checkpoint=path, device="cpu")
        loaded.load_state(state)
        assert loaded(document="x").latent.digest == half(document="x").latent.digest
    assert half(document="x").latent.digest != Specialist(checkpoint=weights)(document="x").latent.digest


@pytest.mark.filterwarnings("ignore")
def test_a_pickled_program_holds_no_weights(weights: Path, tmp_path: Path) -> None:
    program = Program(weights)
    expected = program(document="d", question="q").latent.digest
    program.save(tmp_path / "whole", save_program=True)
    assert (tmp_path / "whole" / "program.pkl").stat().st_size < weights.stat().st_size / 2
    again = dspy.load(tmp_path / "whole", allow_pickle=True)
    assert again(document="d", question="q").latent.digest == expected


def test_an_engine_or_an_lm_serves_as_checkpoint(weights: Path, tmp_path: Path) -> None:
    engine, lm = Engine.load(weights), aegir.lm(weights, max_tokens=5)
    program, through = Program(engine), Program(lm)
    expected = Program(weights)(document="d", question="q").latent.digest
    assert {p(document="d", question="q").latent.digest for p in (program, through)} == {expected}
    assert through.primary.checkpoint.options["max_tokens"] == 5
    program.save(tmp_path / "program.json")
    Program(weights).load(tmp_path / "program.json")
    with pytest.raises(RuntimeError, match="programs are saved without weights"):
        program.save(tmp_path / "whole", save_program=True)


def test_copies_of_a_prediction_keep_its_state(reader: Specialist) -> None:
    out = reader(document="x", answer=True)
    for again in (out.copy(), LatentPrediction(out), copy.deepcopy(out)):
        assert (again.notes, again.latent.digest) == (out.notes, out.latent.digest)
    assert LatentPrediction(out, latent=None, notes="n").notes == "n"
