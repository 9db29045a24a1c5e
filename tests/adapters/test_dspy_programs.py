"""Whole DSPy programs on the local engine with random weights: what DSPy promises holds here too."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from pathlib import Path
from typing import Literal

import dspy
import pytest
import torch
from dspy.propose import GroundedProposer
from dspy.utils import DummyLM
from dspy.utils.exceptions import AdapterParseError
from pydantic import BaseModel

from aegir_dspy.adapters.dspy_lm import CompactAdapter, lm
from aegir_dspy.rwkv import RWKV7, Geometry, save_weights

torch.set_num_threads(1)


class Place(BaseModel):
    city: str
    floor: int | None
    tags: list[Literal["old", "new"]]


class Typed(dspy.Signature):
    """Say everything at once."""

    text: str = dspy.InputField()
    count: int = dspy.OutputField()
    share: float = dspy.OutputField()
    sure: bool = dspy.OutputField()
    kind: Literal["a", "bb"] = dspy.OutputField()
    words: list[str] = dspy.OutputField()
    place: Place = dspy.OutputField()
    numbers: list[int] = dspy.OutputField()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("programs")

    def write(seed: int = 0) -> Path:
        path = folder / f"random{seed}.safetensors"
        if not path.exists():
            generator = torch.Generator().manual_seed(seed)
            shapes = RWKV7(Geometry(2, 32, 8, 256, 64, 8, 8, 8, 8)).state_dict()
            noise = {n: torch.randn(t.shape, generator=generator) * 0.4 for n, t in shapes.items()}
            save_weights(path, noise, {}, torch.float32)
        return path

    return write


@pytest.fixture
def local(weights) -> dspy.LM:
    return lm(weights(), cache=False, max_tokens=24)


@pytest.fixture
def steps(local, monkeypatch) -> list[int]:
    """How many streams shared each step."""
    taken: list[int] = []
    model = local.engine.engine.model
    original = model.step

    def step(tokens, state):
        taken.append(len(tokens))
        return original(tokens, state)

    monkeypatch.setattr(model, "step", step)
    return taken


def check_types(out: dspy.Prediction) -> None:
    assert type(out.count) is int and type(out.share) is float and type(out.sure) is bool
    assert out.kind in ("a", "bb") and isinstance(out.place, Place)
    assert all(isinstance(word, str) for word in out.words)
    assert all(type(number) is int for number in out.numbers)


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter(), dspy.ChatAdapter(), CompactAdapter()])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_typed_outputs(local, adapter, asynchronous):
    with dspy.context(lm=local, adapter=adapter):
        predict, options = dspy.Predict(Typed), {"temperature": 1.2, "max_tokens": 80}
        for seed in range(3):
            asked = {"text": "x", "config": {**options, "seed": seed}}
            check_types(asyncio.run(predict.acall(**asked)) if asynchronous else predict(**asked))


def test_without_the_constraint_types_fail(local, monkeypatch):
    monkeypatch.setattr("aegir_dspy.rwkv.engine.constraint_of", lambda config, tokenizer: None)
    for adapter in (dspy.JSONAdapter(), CompactAdapter()):
        with dspy.context(lm=local, adapter=adapter), pytest.raises(AdapterParseError):
            dspy.Predict(Typed)(text="x")


def test_grammars_that_nothing_satisfies_are_an_error(local):
    for schema, told in ({"enum": []}, "Unsatisfiable"), ({"type": "strin"}, "Invalid type"):
        format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        with pytest.raises(Exception, match=told):
            local("hello", response_format=format_)
    with pytest.raises(Exception, match="unclosed"):
        local("hello", metadata={"aegir": {"regex": "[a-"}})


def test_any_json_object_regex_and_choices(local):
    [text] = local("hello", response_format={"type": "json_object"}, temperature=1.0, seed=1)
    assert isinstance(json.loads(text), dict)
    [text] = local("hello", metadata={"aegir": {"regex": "[A-Z]{3}-[0-9]{2}"}})
    assert re.fullmatch("[A-Z]{3}-[0-9]{2}", text)
    [text] = local("hello", metadata={"aegir": {"choices": ["red", "green"]}})
    assert text in ("red", "green")


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter(), CompactAdapter()])
def test_streamify_gets_several_deltas(local, adapter):
    async def chunks() -> list:
        with dspy.context(lm=local, adapter=adapter):
            program = dspy.streamify(dspy.Predict("question -> answer"))
            return [chunk async for chunk in program(question="why")]

    *deltas, last = asyncio.run(chunks())
    assert isinstance(last, dspy.Prediction)
    pieces = [d.choices[0]["delta"]["content"] or "" for d in deltas]
    assert sum(bool(piece) for piece in pieces) > 3
    with dspy.context(lm=local, adapter=adapter):
        assert dspy.Predict("question -> answer")(question="why").answer == last.answer
    text = "".join(pieces)
    assert (json.loads(text)["answer"] if "{" in text[:1] else text) == last.answer


def test_stream_listeners_hear_a_field(local):
    async def heard() -> list[str]:
        with dspy.context(lm=local, adapter=dspy.JSONAdapter()):
            listener = dspy.streaming.StreamListener(signature_field_name="answer")
            program = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
            found = [chunk async for chunk in program(question="why")]
        return [chunk.chunk for chunk in found if isinstance(chunk, dspy.streaming.StreamResponse)]

    assert len(asyncio.run(heard())) > 1


def test_stop_ends_the_answer(local):
    for seed in range(20):
        [free] = local("hello", temperature=1.5, seed=seed)
        if pair := re.search("[ -~]{2}", free[4:]):
            break
    [cut] = local("hello", temperature=1.5, seed=seed, stop=[pair.group()])
    assert cut == free[: free.index(pair.group())]


def test_n_seeds_and_rollouts(weights, local):
    [four] = [local("hello", n=4, temperature=1.0, seed=7)]
    assert len(set(four)) == 4
    fresh = lm(weights(), cache=False, max_tokens=24)
    assert fresh("hello", temperature=1.0, seed=8) == four[1:2]  # whatever was asked before
    one, two = (fresh("hello", temperature=1.0, rollout_id=i) for i in (1, 2))
    assert one != two and local("hello", temperature=1.0, rollout_id=1) == one
    copied = local.copy(rollout_id=2, temperature=1.0)
    assert copied("hello") == two
    asked = asyncio.run(local.acall("hello", temperature=1.0, rollout_id=2))
    assert asked == two
    for adapter in (dspy.JSONAdapter(), CompactAdapter()):
        with dspy.context(lm=local, adapter=adapter):
            options = {"temperature": 1.0, "n": 3, "seed": 3, "max_tokens": 12}
            answers = [c.y for c in dspy.Predict("x -> y", **options)(x="1").completions]
            again = [c.y for c in asyncio.run(dspy.Predict("x -> y", **options).acall(x="1")).completions]
        assert len(set(answers)) == 3 and again == answers


def test_usage_and_history(local):
    with dspy.context(lm=local, adapter=CompactAdapter(), track_usage=True):
        out = dspy.Predict("x -> y")(x="abc")
    [usage] = out.get_lm_usage().values()
    assert usage["prompt_tokens"] == len("x\x1fabc\x1d") and usage["completion_tokens"] == 24
    entry = local.history[-1]
    assert entry["model"] == local.model and entry["usage"]["completion_tokens"] == 24
    with dspy.context(lm=local, adapter=dspy.JSONAdapter()):
        dspy.Predict("x -> y")(x="abc")
    assert local.history[-1]["outputs"][0].startswith('{"y": "')


def test_logprobs(local):
    [out] = local("hello", logprobs=True, top_logprobs=2, temperature=0.0)
    told = out["logprobs"]["content"]
    assert bytes(b for token in told for b in token["bytes"]).decode("utf-8", "replace") == out["text"]
    assert all(token["logprob"] == pytest.approx(token["top_logprobs"][0]["logprob"]) for token in told)
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for token in told)
    [out] = local("hello", logprobs=True, metadata={"aegir": {"choices": ["red", "green"]}})
    assert "".join(token["token"] for token in out["logprobs"]["content"]) == out["text"]
    with dspy.context(lm=local, adapter=dspy.ChatAdapter()):
        found = dspy.Predict("x -> y")(x="1", config={"logprobs": True})
    assert found.logprobs["content"]


def test_streams_report_logprobs_too(local):
    from dspy._vendor.lm15.result import StreamAccumulator
    from dspy.lm15 import Config, Message, Request

    request = Request(local.model, (Message.user("hi"),), config=Config(max_tokens=9, logprobs=1))
    gathered = StreamAccumulator(request)
    for event in local.engine.stream(request):
        gathered.push(event)
    whole = local.engine.complete(request)
    assert gathered.response().logprobs == whole.logprobs and len(whole.logprobs) == 9
    assert gathered.response().message == whole.message


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter(), CompactAdapter()])
def test_300_awaited_calls_share_steps(local, steps, adapter):
    questions = [f"question {i}" for i in range(300)]
    with dspy.context(lm=local, adapter=adapter):
        predict = dspy.Predict("question -> answer, kind: Literal['a','b']", max_tokens=8)
        alone = {i: predict(question=questions[i]) for i in (0, 17, 299)}
        steps.clear()

        async def together():
            return await asyncio.gather(*(predict.acall(question=q) for q in questions))

        found = asyncio.run(together())
    assert len(found) == 300 and sum(steps) / len(steps) > 8
    for i, out in alone.items():
        assert dict(found[i]) == dict(out)


def test_parallel_and_copies(local):
    with dspy.context(lm=local, adapter=CompactAdapter()):
        predict = dspy.Predict(Typed, max_tokens=10)
        examples = [dspy.Example(text=f"t{i}").with_inputs("text") for i in range(8)]
        expected = [dict(predict(**e.inputs())) for e in examples]
        copied = copy.deepcopy(predict)
        found = dspy.Parallel(num_threads=4, disable_progress_bar=True)([(copied, e) for e in examples])
    assert [dict(out) for out in found] == expected
    assert copy.deepcopy(local).engine is local.engine


def test_cache_tells_checkpoints_and_states_apart(weights, tmp_path):
    """Two checkpoints under one name; a state in the call; grammars."""
    prior = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    try:
        models = []
        for seed in (0, 1):
            path = tmp_path / str(seed) / "same.safetensors"
            path.parent.mkdir()
            path.write_bytes(weights(seed).read_bytes())
            models.append(lm(path, max_tokens=8))
        assert models[0].model != models[1].model
        letters = {"metadata": {"aegir": {"regex": "[a-z]{8}"}}}
        assert models[0]("hello", **letters) != models[1]("hello", **letters)
        states = models[0].engine.engine.read(["one thing", "quite another"])
        answers = []
        for state in (None, *states):
            with dspy.context(lm=models[0], adapter=CompactAdapter(latent=state)):
                answers.append(dspy.Predict("x -> y: int", temperature=1.0, seed=1)(x="1").y)
        assert len(set(answers)) == 3
        told = [models[0]("hello", metadata={"aegir": {"regex": r}})[0] for r in ("a{3}", "b{3}")]
        assert told == ["aaa", "bbb"]
    finally:
        dspy.cache = prior


def test_state_of_an_lm_comes_back(local):
    state = json.loads(json.dumps(local.dump_state()))
    again = dspy.BaseLM.load_state(state, allow_custom_lm_class=True)
    assert type(again) is type(local) and again("hello") == local("hello")
    assert asyncio.run(again.acall("hello")) == local("hello")


def length_metric(example, prediction, trace=None) -> float:
    return float(prediction.kind == example.kind)


@pytest.fixture
def examples() -> list[dspy.Example]:
    return [dspy.Example(text=f"text {i}", kind="ab"[i % 2]).with_inputs("text") for i in range(6)]


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter(), CompactAdapter()])
def test_chain_of_thought_evaluate_and_refine(local, adapter, examples):
    with dspy.context(lm=local, adapter=adapter):
        program = dspy.ChainOfThought("text -> kind: Literal['a','b']")
        out = program(text="x")
        assert isinstance(out.reasoning, str) and out.kind in ("a", "b")
        score = dspy.Evaluate(devset=examples, metric=length_metric, num_threads=2)(program).score
        assert 0 <= score <= 100
        rewards: list[float] = []

        def reward(args, prediction) -> float:
            rewards.append(-float(abs(prediction.number)))
            return rewards[-1]

        refine = dspy.Refine(dspy.Predict("text -> number: int"), N=4, reward_fn=reward, threshold=1.0)
        best = refine(text="x").number
        assert len(set(rewards)) > 1 and -float(abs(best)) == max(rewards)


def test_bootstrapped_and_loaded_programs(local, examples, tmp_path):
    """BootstrapFewShot compiles; what it, or MIPROv2, saves (instructions and demos) loads and runs alike."""
    with dspy.context(lm=local, adapter=CompactAdapter()):
        program = dspy.Predict("text -> kind: Literal['a','b']")
        teacher = dspy.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=2, max_labeled_demos=2)
        compiled = teacher.compile(program, trainset=examples)
        assert len(compiled.demos) >= 2
        compiled.signature = compiled.signature.with_instructions("Say which kind it is.")
        compiled.save(tmp_path / "program.json")
        loaded = dspy.Predict("text -> kind: Literal['a','b']")
        loaded.load(tmp_path / "program.json")
        assert loaded.signature.instructions == "Say which kind it is."
        assert [loaded(**e.inputs()).kind for e in examples] == [
            compiled(**e.inputs()).kind for e in examples
        ]


def test_random_search_finds_demos_and_loads(local, examples, tmp_path):
    """BootstrapFewShotWithRandomSearch: several candidates, scored; the best one comes back from its file."""
    search = dspy.BootstrapFewShotWithRandomSearch(
        length_metric, max_bootstrapped_demos=1, max_labeled_demos=2, num_candidate_programs=2, num_threads=1
    )
    with dspy.context(lm=local, adapter=CompactAdapter()):
        student = dspy.Predict("text -> kind: Literal['a','b']")
        best = search.compile(student, trainset=examples)
        scores = [candidate["score"] for candidate in best.candidate_programs]
        assert len(scores) == 5 and scores[0] == max(scores)
        best.save(tmp_path / "best.json")
        loaded = dspy.Predict("text -> kind: Literal['a','b']")
        loaded.load(tmp_path / "best.json")
        assert loaded.demos == best.demos
        asked = [example.inputs() for example in examples]
        assert [loaded(**one).kind for one in asked] == [best(**one).kind for one in asked]


@pytest.mark.slow
@pytest.mark.parametrize("by_rule", [False, True])
def test_mipro_proposes_and_searches_offline(local, examples, tmp_path, monkeypatch, by_rule):
    """MIPROv2 with instructions written by the local engine itself, and by a rule."""
    pytest.importorskip("optuna", reason="MIPROv2 needs optuna, which is not installed")
    proposed: list[dict[int, list[str]]] = []
    propose = GroundedProposer.propose_instructions_for_program

    def noted(*given, **named):
        proposed.append(propose(*given, **named))
        return proposed[-1]

    monkeypatch.setattr(GroundedProposer, "propose_instructions_for_program", noted)
    rule = DummyLM([{"proposed_instruction": f"Say the kind, way {i}."} for i in range(20)])
    writer = rule if by_rule else local.copy(max_tokens=16)
    mipro = dspy.MIPROv2(
        length_metric, prompt_model=writer, task_model=local, auto=None, num_candidates=3, num_threads=1,
        max_bootstrapped_demos=1, max_labeled_demos=1,
    )  # fmt: skip
    proposing = {"program_aware_proposer": False, "data_aware_proposer": False, "tip_aware_proposer": False}
    adapter = dspy.ChatAdapter() if by_rule else dspy.JSONAdapter()
    with dspy.context(lm=local, adapter=adapter):
        student = dspy.Predict(dspy.Signature("text -> kind: Literal['a','b']", "Name the kind."))
        sets = {"trainset": examples[:3], "valset": examples[3:]}
        best = mipro.compile(
            student, **sets, num_trials=3, minibatch_size=2, minibatch_full_eval_steps=2, **proposing
        )
        best.save(tmp_path / "best.json")
        loaded = dspy.Predict("text -> kind: Literal['a','b']")
        loaded.load(tmp_path / "best.json")
        assert loaded.signature.instructions == best.signature.instructions
        assert [loaded(**e.inputs()).kind for e in examples] == [best(**e.inputs()).kind for e in examples]
    [instructions] = proposed[0].values()
    assert len(instructions) == 3 and best.signature.instructions in instructions
    assert any("Say the kind, way" in one for one in instructions) is by_rule


def test_gepa_with_a_proposer_of_rules(local, examples):
    """No second LM: the proposer rewrites instructions by rule from the metric's feedback."""
    proposed: list[str] = []

    def propose(candidate, reflective_dataset, components_to_update):
        new = {}
        for name in components_to_update:
            wrong = sum("expected" in record["Feedback"] for record in reflective_dataset[name])
            new[name] = f"{candidate[name]} Mind the {wrong} mistakes."
            proposed.append(new[name])
        return new

    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        right = pred.kind == gold.kind
        feedback = "right" if right else f"expected {gold.kind}, found {pred.kind}"
        return dspy.Prediction(score=float(right), feedback=feedback)

    gepa = dspy.GEPA(metric=metric, max_metric_calls=40, instruction_proposer=propose, num_threads=1, seed=0)
    with dspy.context(lm=local, adapter=CompactAdapter()):
        student = dspy.Predict(dspy.Signature("text -> kind: Literal['a','b']", "Name the kind."))
        best = gepa.compile(student, trainset=examples, valset=examples)
        assert proposed and best(text="x").kind in ("a", "b")
    assert best.signature.instructions in ["Name the kind.", *proposed]
