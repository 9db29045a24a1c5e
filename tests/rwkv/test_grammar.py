"""Constrained generation with random weights: what comes out conforms, or the request is refused."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import weakref
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import torch
from pydantic import BaseModel

from aegir_dspy.errors import ConstraintError, InputError
from aegir_dspy.rwkv import Engine, GenerationConfig, Geometry, Grammar, save_weights
from aegir_dspy.rwkv import constraint as constraint_module
from aegir_dspy.rwkv import grammar as grammar_module
from aegir_dspy.rwkv.ahead import MasksAhead
from aegir_dspy.rwkv.constraint import ChoiceConstraint, choice_trie, mask_words, withhold
from aegir_dspy.rwkv.grammar import GrammarConstraint
from aegir_dspy.rwkv.tokenizer import tokenizer_named

WORLD = Geometry(1, 32, 16, 65536, 32, 8, 8, 8, 8)


class Address(BaseModel):
    street: str
    number: int | None


SCHEMAS = {
    "flat": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer"},
            "share": {"type": "number"},
            "ok": {"type": "boolean"},
            "kind": {"enum": ["a", "bb", 3, None]},
        },
        "required": ["name", "count", "share", "ok", "kind"],
        "additionalProperties": False,
    },
    "list": {"type": "array", "items": {"type": "string", "minLength": 2}, "minItems": 2},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"},
    "anything": {"type": "object"},
    "tree": {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["label", "children"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
}


@pytest.fixture(scope="module", params=["bytes", "world"])
def engine(request, tmp_path_factory, make_weights, geometries) -> Engine:
    geometry = geometries["ngram"] if request.param == "bytes" else WORLD
    path = tmp_path_factory.mktemp("grammar") / f"{request.param}.safetensors"
    save_weights(path, make_weights(geometry, 3), {}, torch.float32)
    return Engine.load(path)


def configs(grammar: Grammar, **options) -> list[GenerationConfig]:
    sampled = [
        GenerationConfig(temperature=1.5, seed=seed, grammar=grammar, max_tokens=40, **options)
        for seed in range(3)
    ]
    return [*sampled, replace(sampled[0], temperature=0.0), replace(sampled[1], max_tokens=1, top_p=0.8)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_json_conforms_to_its_schema_whatever_the_weights_say(engine, name):
    every = configs(Grammar.json_schema(SCHEMAS[name]))
    found = engine.generate([f"prompt {i}" for i in range(len(every))], config=every)
    for generation in found:
        jsonschema.validate(json.loads(generation.text), SCHEMAS[name])
        assert generation.tokens[-1] == engine.tokenizer.ends[0]
        assert engine.tokenizer.decode(generation.tokens[:-1]) == generation.text
    assert len({generation.text for generation in found}) > 1


def test_without_the_constraint_nothing_conforms(engine, monkeypatch):
    """What the test above would see if a door forgot the constraint."""
    monkeypatch.setattr("aegir_dspy.rwkv.engine.constraint_of", lambda config, tokenizer: None)
    [found] = engine.generate(["prompt"], config=configs(Grammar.json_schema(SCHEMAS["flat"]))[0])
    with pytest.raises(ValueError):
        json.loads(found.text)


@pytest.mark.parametrize(
    "pattern", ["[a-f]{3,8}(-[0-9]+){2}", "-?(0|[1-9][0-9]{0,5})", "(yes|no|ma?ybe)", "é[äöü]*", ""]
)
def test_text_matches_its_pattern(engine, pattern):
    for generation in engine.generate(["p"] * 5, config=configs(Grammar.regex(pattern))):
        assert re.fullmatch(pattern, generation.text)


def test_pydantic_models_are_schemas(engine):
    grammar = Grammar.json_schema(Address)
    for generation in engine.generate(["p"] * 5, config=configs(grammar)):
        Address.model_validate_json(generation.text)
    assert list(json.loads(generation.text)) == ["street", "number"]


def test_closing_is_the_nearest_way_and_says_so(engine):
    """At max_tokens an open text is closed, and the finish says that it was cut."""
    config = GenerationConfig(
        max_tokens=12, grammar=Grammar.json_schema(SCHEMAS["anything"]), temperature=1.0
    )
    found = engine.generate(["p"] * 8, config=[replace(config, seed=seed) for seed in range(8)])
    for generation in found:
        json.loads(generation.text)
        assert len(generation.tokens) < 12 + 60
        assert generation.finish_reason == ("length" if len(generation.tokens) > 12 else "stop")
    assert {"length"} <= {generation.finish_reason for generation in found}
    endless = GenerationConfig(max_tokens=3, grammar=Grammar.regex("a{9000}"))
    [cut] = engine.generate(["p"], config=endless)
    assert cut.finish_reason == "length" and set(cut.text) == {"a"}


@pytest.mark.parametrize(
    ("grammar", "told"),
    [
        (Grammar.json_schema({"type": "string", "minLength": 5, "maxLength": 2}), "minLength"),
        (Grammar.json_schema({"type": "strin"}), "Invalid type"),
        (Grammar.json_schema({"enum": []}), "Unsatisfiable"),
        (Grammar.json_schema(False), "found false"),
        (Grammar.json_schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (Grammar("json", "{not json"), "found {not json"),
        (Grammar.regex("[a-z"), "unclosed character class"),
        (Grammar.regex("(?=a)b"), "look-around"),
        (Grammar.regex(r"[^\x00-\U0010FFFF]"), "that some text satisfies"),
    ],
)
def test_broken_and_unsatisfiable_grammars_are_refused_in_one_line(engine, grammar, told):
    with pytest.raises(ConstraintError, match=re.escape(told)) as caught:
        engine.generate(["p"], config=GenerationConfig(grammar=grammar))
    assert "\n" not in str(caught.value)


def test_a_grammar_that_gets_stuck_fails_alone(engine, monkeypatch):
    """One stream's matcher gives up between two steps; the others of the batch go on."""
    original = grammar_module.GrammarConstraint.accept

    def stuck(self, token):
        piece = original(self, token)
        if self._json is None:
            self.matcher.consume_token(self.tokenizer.encode("z")[0])
        return piece

    monkeypatch.setattr(grammar_module.GrammarConstraint, "accept", stuck)
    bad, good = GenerationConfig(grammar=Grammar.regex("aaa")), configs(Grammar.json_schema(Address))[0]
    [expected] = engine.generate(["p"], config=good)
    received: dict[int, object] = {}
    streams = engine._streams(["p", "p"], None, [bad, good], received.__setitem__, live=False)
    engine.scheduler.submit(engine, streams)
    while len(received) < 2:
        pass
    assert isinstance(received[0], ConstraintError) and received[1].text == expected.text
    with pytest.raises(ConstraintError, match="can go on with"):
        engine.generate(["p"], config=bad)


@pytest.mark.parametrize("name", ["bytes", "world"])
def test_masks_made_ahead_are_those_made_at_once(name):
    """Whoever came, went or changed places meanwhile."""
    tokenizer = tokenizer_named(name)
    end, chance = tokenizer.ends[0], random.Random(0)
    rules = [Grammar.regex("([A-Z][a-z]{2,5} ){3}"), Grammar.json_schema(SCHEMAS["flat"])]
    choice = ChoiceConstraint(choice_trie(tokenizer, ["a"], [end]), ["a"])
    ahead, streams = MasksAhead(tokenizer.vocab), [choice, None]
    for _ in range(40):
        streams = [one for one in streams if one is None or (not one.finished and chance.random() < 0.9)]
        streams += [chance.choice(rules).constraint(tokenizer, end)]
        chance.shuffle(streams)
        masks, missing = ahead.take(streams)
        for row, one in enumerate(streams):
            expected = np.full(mask_words(tokenizer.vocab), 0xFFFFFFFF, np.uint32)
            if one is not None:
                one.allow(expected)
            assert np.array_equal(masks[row], expected) != (row in missing), row
            if isinstance(one, GrammarConstraint):
                fits = np.flatnonzero(np.unpackbits(expected.view(np.uint8), bitorder="little"))
                one.accept(int(chance.choice(fits)))
        ahead.begin(streams)


def test_masks_outlive_whoever_asked_for_them():
    """A batch that is dropped meanwhile, because its model failed, leaves nothing that is written to."""
    tokenizer = tokenizer_named("world")
    rule = Grammar.regex("([A-Z][a-z]{2,12} ){3,9}[0-9]{4}")
    streams = [rule.constraint(tokenizer, tokenizer.ends[0]) for _ in range(64)]
    for _ in range(5):
        ahead = MasksAhead(tokenizer.vocab)
        ahead.begin(streams)
        masks, waiting = weakref.ref(ahead._masks), ahead._waiting
        del ahead
        assert masks() is not None or waiting.done()
        waiting.result()


@pytest.mark.slow
def test_masks_are_made_after_the_main_thread_has_ended():
    code = """
import threading
from aegir_dspy.rwkv.ahead import MasksAhead
from aegir_dspy.rwkv.grammar import Grammar
from aegir_dspy.rwkv.tokenizer import tokenizer_named

tokenizer = tokenizer_named("world")
streams = [Grammar.regex("[ab]+").constraint(tokenizer, tokenizer.ends[0])]
ahead = MasksAhead(tokenizer.vocab)
ahead.begin(streams)
expected = ahead.take(streams)[0].sum()

def last():
    threading.main_thread().join()
    ahead.begin(streams)
    print(expected == ahead.take(streams)[0].sum())

threading.Thread(target=last).start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    ("vocab", "columns"), [(256, 256), (70, 70), (70, 64), (20000, 19900), (65530, 65536)]
)
def test_withheld_are_the_tokens_a_mask_lacks(vocab, columns):
    generator = torch.Generator().manual_seed(0)
    allowed = torch.rand(5, 32 * mask_words(vocab), generator=generator) < 0.4
    masks = np.packbits(allowed.numpy(), axis=1, bitorder="little").view(np.uint32)
    before = torch.randn(5, columns, generator=generator)
    for way in (withhold, lambda scores, masks: constraint_module._withhold(scores, masks.view(np.uint8))):
        scores = before.clone()
        way(scores, masks)
        known = allowed[:, :columns]
        width = known.shape[1]
        assert torch.equal(scores[:, :width][known], before[:, :width][known])
        assert (scores[:, :width][~known] == -1e30).all()
        assert torch.equal(scores[:, width:], before[:, width:])


def test_constrained_streams_do_not_depend_on_their_batch(engine):
    every = [c for name in SCHEMAS for c in configs(Grammar.json_schema(SCHEMAS[name]))[:3]]
    every += [GenerationConfig(max_tokens=9), GenerationConfig(choices=("a", "ab"), temperature=1.0)]
    prompts = [f"prompt {i % 4}" for i in range(len(every))]
    together = engine.generate(prompts, config=every)
    small = Engine(engine.model, engine.tokenizer, engine.identity, max_batch=3)
    assert [g.tokens for g in small.generate(prompts, config=every)] == [g.tokens for g in together]
    for prompt, config, generation in list(zip(prompts, every, together, strict=True))[::4]:
        assert engine.generate([prompt], config=config)[0].tokens == generation.tokens


def test_logprobs_are_the_models_own(engine):
    """The constraint decides what is taken, not how probable the model says it is."""
    config = replace(configs(Grammar.regex("[0-9]{6}"))[0], top_logprobs=3)
    [found] = engine.generate(["p"], config=config)
    with torch.no_grad():
        ids = torch.tensor([[*engine.encode("p"), *found.tokens]])
        logits = engine.model.logits(engine.model(ids)[0])[0, :, : engine.tokenizer.vocab]
    expected = torch.log_softmax(logits, -1)[
        range(len(engine.encode("p")) - 1, ids.shape[1] - 1), found.tokens
    ]
    assert found.logprobs == pytest.approx(expected.tolist(), abs=1e-3)
    assert len(found.top) == len(found.tokens) and all(len(top) == 3 for top in found.top)
    assert all(top[0][1] >= top[1][1] >= top[2][1] for top in found.top)


def test_the_end_is_the_first_stop_where_that_is_one_token(engine):
    for stop, end in (((";",), engine.encode(";")[0]), (("\n\t\n;;",), engine.tokenizer.ends[0])):
        [found] = engine.generate(
            ["p"], config=GenerationConfig(grammar=Grammar.regex("[a-c;]{2}"), stop=stop)
        )
        assert found.tokens[-1] == end
        assert re.fullmatch("[a-c]{2}" if end == engine.encode(";")[0] else "[a-c;]{2}", found.text)


def test_pieces_are_the_text(engine):
    config = configs(Grammar.json_schema(SCHEMAS["flat"]))[0]
    *pieces, done = engine.stream("p", config=config)
    assert len(pieces) > 5 and "".join(pieces) == done.text


def test_choices_and_grammar_exclude_each_other():
    with pytest.raises(InputError, match="found both"):
        GenerationConfig(choices=("a",), grammar=Grammar.regex("a"))
    with pytest.raises(InputError, match="top_logprobs"):
        GenerationConfig(top_logprobs=-1)


@pytest.mark.parametrize("name", ["bytes", "world"])
def test_mask_of_choices_is_their_next_tokens(name):
    tokenizer = tokenizer_named(name)
    trie = choice_trie(tokenizer, ["a", "ab", "zebra", "é", ""], tokenizer.ends[:1])
    constraint = ChoiceConstraint(trie, ())
    mask = np.full(mask_words(tokenizer.vocab), 0xFFFFFFFF, np.uint32)
    constraint.allow(mask)
    found = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
    assert found.tolist() == sorted(trie.children)
