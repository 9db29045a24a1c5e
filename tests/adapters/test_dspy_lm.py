"""DSPy programs on the local engine, with random weights: what holds must hold without training."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from pathlib import Path
from typing import Literal

import dspy
import pytest
import torch

from aegir_dspy.adapters.dspy_lm import AegirEngine, CompactAdapter, CompactParseError, fields, lm
from aegir_dspy.errors import CheckpointError
from aegir_dspy.rwkv import RWKV7, GenerationConfig, Geometry, save_weights
from aegir_dspy.tables import serialize

torch.set_num_threads(1)
CHOICES = ("email", "url", "emailaddress")
SIGNATURE = "values: list[str] -> type: Literal['email','url','emailaddress']"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("lm")

    def write(seed: int = 0) -> Path:
        path = folder / f"random{seed}.safetensors"
        if not path.exists():
            generator = torch.Generator().manual_seed(seed)
            model = RWKV7(Geometry(2, 32, 8, 256, 64, 8, 8, 8, 8))
            tensors = {
                n: torch.randn(t.shape, generator=generator) * 0.4 for n, t in model.state_dict().items()
            }
            save_weights(path, tensors, {}, torch.float32)
        return path

    return write


@pytest.fixture
def local(checkpoint):
    return lm(checkpoint(), cache=False)


def ask(model: dspy.LM, signature: str = SIGNATURE, *, instructions: str | None = None, **inputs):
    with dspy.context(lm=model, adapter=CompactAdapter()):
        return dspy.Predict(dspy.Signature(signature, instructions))(**inputs)


def test_output_is_always_a_choice(local):
    columns = [[f"value {i}", "b" * i] for i in range(20)]
    found = [ask(local, values=values, config={"temperature": 1.5}).type for values in columns]
    assert set(found) <= set(CHOICES) and len(set(found)) > 1


def test_constraint_reaches_generation(local, monkeypatch):
    seen: list[GenerationConfig] = []
    engine = local.engine.engine
    original = engine.generate

    def spy(prompts, *, states, config):
        seen.append(config)
        return original(prompts, states=states, config=config)

    monkeypatch.setattr(engine, "generate", spy)
    ask(local, values=["a"])
    assert [config.choices for config in seen] == [CHOICES]

    def without(prompts, *, states, config):  # what random weights say when nothing constrains them
        return original(prompts, states=states, config=GenerationConfig(max_tokens=8, stop=config.stop))

    monkeypatch.setattr(engine, "generate", without)
    with pytest.raises(CompactParseError, match="expected type as one of") as caught:
        ask(local, values=["a"])
    assert "\n" not in str(caught.value)


def test_prompt_is_compact_and_follows_the_serialization():
    adapter, signature = CompactAdapter(), dspy.Signature("values: list[str], name -> type: str")
    [message] = adapter.format(signature, [], {"values": ["a\x1e", "b"], "name": "n"})
    assert message == {"role": "user", "content": "values\x1fa \x1eb\x1dname\x1fn\x1d"}
    demo = {"values": ["x"], "name": "m", "type": "t"}
    messages = adapter.format(signature.with_instructions("Say."), [demo], {"values": [], "name": "n"})
    assert [m["content"] for m in messages] == [
        "Say.\x1d", "values\x1fx\x1dname\x1fm\x1d", "t\x1c", "values\x1f\x1dname\x1fn\x1d",
    ]  # fmt: skip


def test_separators_are_those_of_tables():
    ours = [fields.ANSWER, fields.COLUMN, fields.VALUE, fields.HEADER]
    theirs = [serialize.ANSWER_END, serialize.COLUMN_END, serialize.VALUE_END, serialize.HEADER_END]
    assert ours == [mark.decode() for mark in theirs]


def test_several_fields_of_all_kinds(local):
    signature = "text -> kind: Literal['a','b'], sure: bool, why: str, parts: list[str]"
    out = ask(local, signature, text="hello", config={"max_tokens": 5})
    assert out.kind in "ab" and isinstance(out.sure, bool)
    assert isinstance(out.why, str) and isinstance(out.parts, list)


def test_parse_numbers_and_refuse_in_one_line():
    adapter, signature = CompactAdapter(), dspy.Signature("x -> n: int, f: float")
    assert adapter.parse(signature, "n\x1f12\x1cf\x1f0.5\x1c") == {"n": 12, "f": 0.5}
    for answer, expected in (("n\x1fxii\x1cf\x1f1\x1c", "n as int"), ("n\x1f1\x1c", "the field f")):
        with pytest.raises(CompactParseError, match=expected) as caught:
            adapter.parse(signature, answer)
        assert "\n" not in str(caught.value)


def test_literals_that_are_no_strings(local):
    field = dspy.Signature({"x": (str, dspy.InputField()), "n": (Literal[1, 22, "a"], dspy.OutputField())})
    with dspy.context(lm=local, adapter=CompactAdapter()):
        assert dspy.Predict(field)(x="q").n in (1, 22, "a")


def test_json_adapter_is_constrained_too(local):
    with dspy.context(lm=local, adapter=dspy.JSONAdapter()):
        out = dspy.Predict("values: list[str] -> why: str, type: Literal['email','url'], ok: bool")(
            values=["a"], config={"max_tokens": 6}
        )
    assert out.type in ("email", "url") and isinstance(out.ok, bool)


def test_acall_and_parallel_agree_with_call(local):
    expected = [ask(local, values=[str(i)]).type for i in range(6)]
    with dspy.context(lm=local, adapter=CompactAdapter()):
        predict = dspy.Predict(SIGNATURE)

        async def together():
            return await asyncio.gather(*(predict.acall(values=[str(i)]) for i in range(6)))

        assert [p.type for p in asyncio.run(together())] == expected
        pairs = [(predict, dspy.Example(values=[str(i)]).with_inputs("values")) for i in range(6)]
        found = dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)
    assert [p.type for p in found] == expected


def test_several_answers_differ_and_repeat(checkpoint):
    def answers() -> list[str]:
        out = ask(
            lm(checkpoint(), cache=False),
            "x -> y",
            x="1",
            config={"n": 4, "temperature": 1.0, "max_tokens": 8},
        )
        return [c["y"] for c in out.completions]

    assert len(set(answers())) > 1 and answers() == answers()
    plain = lm(checkpoint(), cache=False, temperature=1.0, max_tokens=8)
    assert plain("hello") != plain("hello")  # a repeated request is another sample


def test_engines_do_not_share_cache_entries(checkpoint, tmp_path):
    prior = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    try:
        one, two = lm(checkpoint(0), max_tokens=8), lm(checkpoint(1), max_tokens=8)
        assert one.model != two.model and one.model.startswith("aegir/random0@")
        first, second = one("same prompt"), two("same prompt")
        assert first != second
        one.engine.complete = None  # a hit needs no engine
        assert one("same prompt") == first
    finally:
        dspy.cache = prior


def test_copies_share_weights_and_pickles_hold_none(local):
    program = dspy.Predict(SIGNATURE)
    program.lm = local
    assert copy.deepcopy(program).lm.engine is local.engine
    data = pickle.dumps(local.engine)
    assert len(data) < 2000
    assert pickle.loads(data).engine is local.engine.engine


def test_saved_program_comes_back_and_a_changed_file_is_refused(checkpoint, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(checkpoint(0).read_bytes())
    program = dspy.Predict(SIGNATURE)
    program.lm = lm(path, cache=False)
    program.save(tmp_path / "program.json")
    again = dspy.Predict(SIGNATURE)
    again.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    with dspy.context(adapter=CompactAdapter()):
        assert again(values=["q"]).type == program(values=["q"]).type
    state = json.loads(json.dumps(program.lm.engine.dump_state()))
    path.unlink()  # a file written over in place would change the weights that are mapped from it
    path.write_bytes(checkpoint(1).read_bytes())
    with pytest.raises(CheckpointError, match="restore the file"):
        AegirEngine.load_state(state)


def test_stream_gives_the_answer_in_pieces(local):
    from dspy.lm15 import Config, Message, Request

    config = Config(max_tokens=20, extensions={"aegir": {"digest": True}})
    request = Request(model=local.model, messages=(Message.user("hello"),), config=config)
    events = list(local.engine.stream(request))
    pieces = [e.delta.text for e in events if e.type == "delta"]
    response = local.engine.complete(request)
    assert [events[0].type, events[-1].type] == ["start", "end"] and len(pieces) > 3
    assert "".join(pieces) == response.message.text
    assert response.provider_data["aegir"]["state"] == events[-1].provider_data["aegir"]["state"]
    assert response.usage.output_tokens == 20 and response.finish_reason == "length"


def test_unknown_name_lists_what_there_is():
    with pytest.raises(CheckpointError, match="found 'nothing'"):
        lm("nothing")
