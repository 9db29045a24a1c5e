"""Reading, generating and scoring: the same whatever else is in the batch."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from aegir_dspy.errors import ConstraintError, InputError, StateError
from aegir_dspy.rwkv import Engine, GenerationConfig
from aegir_dspy.rwkv import engine as engine_module

TEXTS = ["", "a", "first\x1esecond\x1d", "é€" * 9, "x" * 41, "2021-03-04\x1d", "zz", "column " * 12]
SAMPLED = GenerationConfig(max_tokens=14, temperature=1.3, top_p=0.9, seed=5)


@pytest.mark.parametrize("name", ["tiny", "ngram"])
def test_batch_of_32_reads_as_one(checkpoint, close, name):
    engine = Engine.load(checkpoint(name))
    texts = [text + str(i) for i, text in enumerate(TEXTS * 4)]
    for text, state in zip(texts, engine.read(texts), strict=True):
        [alone] = engine.read([text])
        close(state.tensors, alone.tensors, 2e-5)
        torch.testing.assert_close(state.hidden, alone.hidden, rtol=1e-4, atol=1e-4)
        assert state.tokens == alone.tokens == len(text.encode())


@pytest.mark.parametrize("name", ["tiny", "ngram"])
def test_long_reading_in_pieces(checkpoint, close, name, monkeypatch):
    engine = Engine.load(checkpoint(name))
    texts = [bytes(range(1, 200)), b"short", b"", b"\x1d\x1c" * 40]
    whole = engine.read(texts)
    monkeypatch.setattr(engine_module, "_CHUNK_TOKENS", 7)
    monkeypatch.setattr(engine_module, "_BATCH_TOKENS", 14)
    for one, two in zip(whole, engine.read(texts), strict=True):
        close(one.tensors, two.tensors, 2e-5)
    for one, two in zip(
        whole, engine.read(["", *texts[1:]], engine.read([texts[0], "", "", ""])), strict=True
    ):
        close(one.tensors, two.tensors, 2e-5)
        assert one.tokens == two.tokens


def test_states_given_out_never_change(engine):
    [start] = engine.read(["start"])
    before = start.digest
    engine.read(["more"], [start])
    engine.generate(["", "on"], states=[start, start])
    engine.score(start, ["a", "b"])
    assert start.digest == before


def test_greedy_is_the_plain_loop(engine):
    tokens, picked = list(b"hello"), []
    for _ in range(10):
        with torch.no_grad():
            token = int(engine.model.logits(engine.model(torch.tensor([tokens]))[0])[0, -1].argmax())
        if token in engine.tokenizer.ends:
            break
        tokens.append(token)
        picked.append(token)
    [found] = engine.generate(["hello"], config=GenerationConfig(max_tokens=10))
    assert list(found.tokens[: len(picked)]) == picked
    assert found.text == engine.tokenizer.decode(picked)


@pytest.mark.parametrize("config", [GenerationConfig(max_tokens=14), SAMPLED])
def test_generation_does_not_depend_on_the_batch(engine, config):
    prompts = [text + str(i) for i, text in enumerate(TEXTS * 4)]
    together = engine.generate(prompts, config=config)
    backwards = engine.generate(prompts[::-1], config=config)[::-1]
    small = Engine(engine.model, engine.tokenizer, engine.identity, max_batch=3)
    continuous = small.generate(prompts, config=config)
    alone = [engine.generate([prompt], config=config)[0] for prompt in prompts]
    for results in (backwards, continuous, alone):
        assert [g.tokens for g in results] == [g.tokens for g in together]
        assert [g.text for g in results] == [g.text for g in together]
        for one, two in zip(results, together, strict=True):
            assert one.logprobs == pytest.approx(two.logprobs, abs=1e-3)
            torch.testing.assert_close(one.state.tensors.kv, two.state.tensors.kv, rtol=1e-3, atol=1e-4)


def test_seeds_reproduce_and_differ(engine):
    def run(seed: int) -> tuple[int, ...]:
        return engine.generate(["prompt"], config=replace(SAMPLED, seed=seed))[0].tokens

    assert run(1) == run(1)
    assert len({run(seed) for seed in range(5)}) > 1


def test_state_after_generation_has_read_every_token(engine, close):
    for config in (SAMPLED, GenerationConfig(choices=("ab", "b"))):
        [found] = engine.generate(["prompt"], config=config)
        [read] = engine.read([[*b"prompt", *found.tokens]])
        close(found.state.tensors, read.tensors, 1e-4)
        assert found.state.tokens == read.tokens


def test_generation_goes_on_from_its_state(engine):
    config = GenerationConfig(max_tokens=6)
    [first] = engine.generate(["prompt"], config=config)
    [second] = engine.generate([""], states=[first.state], config=config)
    [both] = engine.generate(["prompt"], config=GenerationConfig(max_tokens=12))
    assert first.finish_reason == "stop" or first.tokens + second.tokens == both.tokens


def test_streams_stop_at_different_times(engine):
    configs = [replace(SAMPLED, max_tokens=n) for n in (1, 9, 3, 9, 2, 5)]
    small = Engine(engine.model, engine.tokenizer, engine.identity, max_batch=2)
    found = small.generate(TEXTS[1:7], config=configs)
    for text, config, generation in zip(TEXTS[1:7], configs, found, strict=True):
        assert generation.tokens == engine.generate([text], config=config)[0].tokens


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_choices_are_respected_also_when_one_begins_another(engine, temperature):
    choices = ("mail", "mail address", "ma", "url", "", "é")
    found = set()
    for seed in range(40):
        config = GenerationConfig(max_tokens=1, temperature=temperature, seed=seed, choices=choices)
        [generation] = engine.generate([f"column {seed}\x1d"], config=config)
        assert generation.finish_reason == "stop"
        assert bytes(generation.tokens) == generation.text.encode() + b"\x1c"
        found.add(generation.text)
    assert found <= set(choices) and len(found) > 1


def test_sampled_choices_follow_their_probabilities(engine):
    """Temperature 1 draws each choice as often as the walk down the trie says."""
    choices = ("a", "ab", "b")
    node = {c: engine.score("p", [c], b"\x1c")[0] for c in choices}
    first = {c: engine.score("p", [c])[0] for c in "ab"}
    inside = {c: engine.score("pa", [c])[0] for c in ("b", "\x1c")}
    starts_a = torch.tensor([first["a"], first["b"]]).softmax(0)[0].item()
    ends = torch.tensor([inside["\x1c"], inside["b"]]).softmax(0)[0].item()
    assert node["a"] == pytest.approx(first["a"] + inside["\x1c"], abs=1e-4)
    configs = [GenerationConfig(temperature=1.0, seed=s, choices=choices) for s in range(600)]
    texts = [g.text for g in engine.generate(["p"] * 600, config=configs)]
    expected = {"a": starts_a * ends, "ab": starts_a * (1 - ends), "b": 1 - starts_a}
    for choice, probability in expected.items():
        assert texts.count(choice) / 600 == pytest.approx(probability, abs=0.07)


def test_bad_constraints_and_configs(engine):
    with pytest.raises(ConstraintError, match="at least one choice"):
        engine.generate(["p"], config=GenerationConfig(choices=()))
    with pytest.raises(ConstraintError, match="expected choices without the end b';', found 'a;b'"):
        engine.generate(["p"], config=GenerationConfig(choices=("a;b",), stop=(";",)))
    for wrong in ({"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"stop": ("",)}, {"stop": "abc"}):
        with pytest.raises(InputError, match="expected"):
            GenerationConfig(**wrong)
    with pytest.raises(InputError, match="0…255"):
        engine.read([[1, 256]])


def test_stop_strings_cut_the_text(engine):
    """Wherever a stop falls in what would be written, the text ends right before its first occurrence."""
    config = replace(SAMPLED, max_tokens=40, temperature=2.0, top_p=1.0)
    free = next(g for p in TEXTS[1:] for g in engine.generate([p], config=config) if len(g.tokens) == 40)
    prompt = next(p for p in TEXTS[1:] if engine.generate([p], config=config)[0].tokens == free.tokens)
    raw = bytes(free.tokens)
    stops = {raw[at : at + 2] for at in range(0, 38)} | {raw[at : at + 1] for at in range(0, 40, 3)}
    texts = [s.decode() for s in sorted(stops) if s.decode("utf-8", "ignore").encode() == s]
    assert texts
    for stop in texts:
        limited = replace(config, stop=("never there", stop))
        [cut] = engine.generate([prompt], config=limited)
        kept = raw[: raw.index(stop.encode())]
        assert cut.text == kept.decode("utf-8", "replace") and cut.finish_reason == "stop"
        pieces = [item for item in engine.stream(prompt, config=limited) if isinstance(item, str)]
        assert "".join(pieces) == cut.text


def brute_force(engine: Engine, context: str, candidate: str, end: bytes) -> float:
    tokens = [*context.encode(), *candidate.encode(), *end]
    with torch.no_grad():
        logits = engine.model.logits(engine.model(torch.tensor([tokens]))[0])[0]
    log_probs = torch.log_softmax(logits.double(), -1)
    return sum(float(log_probs[at - 1, tokens[at]]) for at in range(len(context.encode()), len(tokens)))


@pytest.mark.parametrize("end", [None, b"\x1c"])
@pytest.mark.parametrize("max_batch", [128, 2])
def test_scores_are_brute_force(engine, end, max_batch):
    small = Engine(engine.model, engine.tokenizer, engine.identity, max_batch=max_batch)
    candidates = ["email", "email address", "url", "e", "", "url", "é", "telephone", "emil"]
    contexts = ["one\x1d", "another, longer\x1d", "3"]
    scores = small.score_all([*contexts[:2], *engine.read(contexts[2:])], candidates, end)
    for context, row in zip(contexts, scores, strict=True):
        alone = [small.score(context, [candidate], end)[0] for candidate in candidates]
        assert row == pytest.approx(alone, abs=1e-5)
        expected = [brute_force(engine, context, candidate, end or b"") for candidate in candidates]
        assert row == pytest.approx(expected, abs=1e-4)


def test_scores_of_everything_sum_to_one(engine):
    """All strings of one byte, and each longer one by its beginning: the trie is a distribution."""
    pairs = [bytes([a, b]) for a, b in itertools.product(range(97, 100), range(128))]
    scores = engine.score("p", [p.decode() for p in pairs])
    for first in range(97, 100):
        inside = torch.tensor([s for p, s in zip(pairs, scores, strict=True) if p[0] == first]).logsumexp(0)
        assert float(inside) <= engine.score("p", [chr(first)])[0] + 1e-5


def test_foreign_states_are_refused(engine, checkpoint):
    other = Engine.load(checkpoint("tiny", 1))
    [foreign] = other.read(["x"])
    for use in (
        lambda: engine.read(["y"], [foreign]),
        lambda: engine.generate(["y"], states=[foreign]),
        lambda: engine.score(foreign, ["a"]),
    ):
        with pytest.raises(StateError, match="expected a state with checkpoint"):
            use()
    with pytest.raises(StateError, match="expected 2 states"):
        engine.read(["a", "b"], [engine.zero_state()])
    with pytest.raises(StateError, match="read something first"):
        engine.generate([""])
    with pytest.raises(StateError, match="read something first"):
        engine.score(engine.zero_state(), ["a"])


def test_states_of_a_reading_can_be_trained_on(engine):
    """They are ordinary tensors: autograd can save them."""
    [state] = engine.read(["x"])
    gain = torch.ones((), requires_grad=True)
    (state.tensors.kv * gain).sum().backward()
    assert float(gain.grad) == pytest.approx(float(state.tensors.kv.sum()), rel=1e-4)


def test_no_prompts(engine):
    assert engine.read([]) == [] and engine.generate([]) == [] and engine.score("p", []) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_engine_is_cpu_engine(checkpoint, engine):
    there = Engine.load(checkpoint("tiny"), device="cuda")
    config = GenerationConfig(max_tokens=10)
    assert [g.tokens for g in there.generate(TEXTS[1:], config=config)] == [
        g.tokens for g in engine.generate(TEXTS[1:], config=config)
    ]
    assert there.score("p", ["email", "url"]) == pytest.approx(engine.score("p", ["email", "url"]), abs=1e-3)
