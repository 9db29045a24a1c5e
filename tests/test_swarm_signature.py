"""`Swarm` with a signature of one's own: one input is read by specialists, the primary answers."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Literal

import dspy
import pytest
import torch

import aegir_dspy as aegir
from aegir_dspy import Primary, Specialist, State, fuse
from aegir_dspy.errors import InputError, StateError
from aegir_dspy.latent import AlignmentProjection, FusionConfig, RWKVStateFusion
from aegir_dspy.latent.fusion import side_by_side
from aegir_dspy.rwkv.checkpoint import file_sha256
from aegir_dspy.rwkv.state import zero_tensors


class Sort(dspy.Signature):
    examples: list[str] = dspy.InputField()
    value: str = dspy.InputField()
    kind: Literal["city", "email", "date"] = dspy.OutputField()


@pytest.fixture(scope="module")
def weights(tmp_path_factory, make_weights):
    return make_weights(tmp_path_factory.mktemp("weights") / "a.safetensors")


@pytest.fixture(scope="module")
def others(tmp_path_factory, make_weights):
    return make_weights(tmp_path_factory.mktemp("weights") / "b.safetensors", 1)


@pytest.fixture(autouse=True)
def _no_cache():
    """Answers are computed, not found in what an earlier run left on this machine."""
    prior = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    yield
    dspy.cache = prior


def test_literal_answers_stay_in_the_choices(weights):
    swarm = aegir.Swarm(Sort, primary=weights, shard="examples")
    out = swarm(examples=["Oslo", "Rome"], value="Paris")
    assert out.kind in ("city", "email", "date")
    assert (out.usage.agents, out.usage.critical_steps, out.usage.serial_steps) == (2, 2, 3)


def test_the_answer_depends_on_what_the_specialists_read(weights):
    swarm = aegir.Swarm("notes: list[str], question -> answer", primary=weights, shard="notes")
    answers = {swarm(notes=[text * 5], question="?").answer for text in ("abc", "xyz", "123", "-+*")}
    assert len(answers) > 1


def test_the_order_of_the_parts_does_not_matter(weights):
    swarm = aegir.Swarm("notes: list[str], question -> answer", primary=weights, shard="notes")
    parts = ["one", "another", "a third"]
    assert swarm(notes=parts, question="q").answer == swarm(notes=parts[::-1], question="q").answer


def test_awaited_calls_and_the_predictors_are_visible(weights):
    swarm = aegir.Swarm(Sort, primary=weights, shard="examples")
    assert [name for name, _ in swarm.named_predictors()] == ["specialists['reader']", "primary"]
    called = swarm(examples=["a"], value="b").kind
    assert asyncio.run(swarm.acall(examples=["a"], value="b")).kind == called


def test_the_shard_must_be_an_input(weights):
    with pytest.raises(InputError, match=r"expected shard to be one of \['examples', 'value'\]"):
        aegir.Swarm(Sort, primary=weights, shard="kind")


def test_states_of_another_model_are_refused_with_the_remedy(weights, others):
    swarm = aegir.Swarm(Sort, primary=weights, specialists=[others], shard="examples")
    sha256 = swarm.specialists["b"].checkpoint.sha256
    with pytest.raises(
        StateError, match=rf"a state with checkpoint .* specialist b .*alignments={{'{sha256}'"
    ):
        swarm(examples=["a"], value="b")


def test_states_of_other_models_are_aligned_on_the_way(weights, others, make_weights, tmp_path):
    wide = make_weights(tmp_path / "wide.safetensors", 2, width=64)
    target = Primary("q -> a", checkpoint=weights).identity
    seen = []

    def align(state):
        seen.append(state.identity)
        zero = zero_tensors(target.geometry, 1)
        kv = zero.kv + state.tensors.kv[:, :, :2]
        return State(zero._replace(kv=kv), target, state.tokens)

    hashes = [file_sha256(path) for path in (others, wide)]
    swarm = aegir.Swarm(
        "notes: list[str], question -> answer",
        primary=weights,
        specialists=[weights, others, wide],
        shard="notes",
        alignments=dict.fromkeys(hashes, align),
    )
    out = swarm(notes=["one", "two", "three", "four"], question="?")
    assert sorted(identity.checkpoint for identity in seen) == sorted(hashes)
    assert (out.latent.identity, out.usage.agents) == (target, 4)
    swarm.settings.alignments = dict.fromkeys(hashes, lambda state: state)
    with pytest.raises(StateError, match="expected a state with"):
        swarm(notes=["one", "two", "three"], question="?")


def test_a_fitted_projection_aligns(weights, make_weights, tmp_path):
    wide = make_weights(tmp_path / "wide.safetensors", 2, width=64)
    reader, primary = Specialist(checkpoint=wide), Primary("question -> answer", checkpoint=weights)
    texts = [f"document\x1f{i * 7919 % 1000}\x1d" for i in range(20)]
    pairs = [one.checkpoint.engine.read(texts) for one in (reader, primary)]
    projection = AlignmentProjection(reader.identity, primary.identity, rank=8).fit(
        *(side_by_side([state.tensors for state in states]) for states in pairs)
    )
    swarm = aegir.Swarm(
        "documents: list[str], question -> answer",
        primary=primary,
        specialists=[reader],
        shard="documents",
        alignments={reader.checkpoint.sha256: projection},
    )
    out = swarm(documents=["one", "two"], question="?")
    assert out.latent.identity == primary.identity
    expected = fuse([projection.align(read.latent) for read in reader.read_many(["one", "two"])])
    assert torch.allclose(out.latent.tensors.kv, expected.tensors.kv, atol=1e-5)
    assert swarm.deepcopy().settings.alignments[reader.checkpoint.sha256] is projection


def test_the_example_runs(weights, tmp_path, monkeypatch, capsys):
    files = [tmp_path / f"{i}.txt" for i in range(3)]
    for file in files:
        file.write_text(f"This is {file.name}.")
    monkeypatch.setattr("sys.argv", ["documents_question.py", str(weights), "Which?", *map(str, files)])
    runpy.run_path(str(Path(__file__).parents[1] / "examples" / "documents_question.py"), run_name="__main__")
    assert capsys.readouterr().err.splitlines()[-1].startswith("3 documents, ")


def test_every_part_is_read_once_in_one_batch_a_specialist(weights, monkeypatch):
    readers = [Specialist("note -> found", checkpoint=weights, name=n, instructions=n) for n in "ab"]
    swarm = aegir.Swarm(
        "notes: list[str], question -> answer", primary=weights, specialists=readers, shard="notes"
    )
    parts = [f"note {i}" for i in range(5)]
    expected = fuse([readers[i % 2](note=part) for i, part in enumerate(parts)])
    engine, batches = readers[0].checkpoint.engine, []
    original = engine.read

    def read(texts, states=None):
        batches.append([t for t in texts if isinstance(t, str)])
        return original(texts, states)

    monkeypatch.setattr(engine, "read", read)
    out = swarm(notes=parts, question="?")
    assert [len(batch) for batch in batches[:2]] == [3, 2]
    read_parts = [text for batch in batches[:2] for text in batch]
    assert sorted(read_parts) == sorted(
        [*(f"a\x1dnote\x1fnote {i}\x1d" for i in (0, 2, 4)), *(f"b\x1dnote\x1fnote {i}\x1d" for i in (1, 3))]
    )
    assert torch.allclose(out.latent.tensors.kv, expected.tensors.kv, atol=1e-5)
    assert (out.usage.agents, out.usage.critical_steps, out.usage.serial_steps) == (5, 2, 6)
    assert out.usage.tokens_read == sum(map(len, read_parts)) == out.latent.tokens


def test_the_order_of_the_parts_does_not_matter_to_different_specialists_either(weights):
    swarm = aegir.Swarm(
        "notes: list[str], question -> answer",
        primary=weights,
        specialists=[Specialist("note -> x", checkpoint=weights, name=n, instructions=n) for n in "abc"],
        shard="notes",
    )
    parts = ["one", "another", "a third", "one", "fifth"]
    ways = [parts, parts[::-1], sorted(parts)]
    outs = [swarm(notes=way, question="q") for way in ways]
    assert len({out.answer for out in outs}) == len({out.latent.digest for out in outs}) == 1


def test_specialists_may_read_the_other_inputs_with_their_part(weights):
    reader = Specialist("question, note -> found", checkpoint=weights, name="asked")
    swarm = aegir.Swarm(
        "notes: list[str], question -> answer", primary=weights, specialists=[reader], shard="notes"
    )
    out = swarm(notes=["n"], question="q")
    assert torch.allclose(out.latent.tensors.kv, fuse([reader(question="q", note="n")]).tensors.kv)


def test_predictors_are_named_and_unlike(weights, others):
    swarm = aegir.Swarm(Sort, primary=weights, specialists=[weights, others, weights], shard="examples")
    assert [name for name, _ in swarm.named_predictors()] == [
        *(f"specialists['{name}']" for name in ("a", "b", "a-2")),
        "primary",
    ]
    assert len({p.signature.instructions for p in swarm.predictors()}) == 4
    plain = aegir.Swarm("notes: list[str], question -> answer", primary=weights, shard="notes")
    assert "notes" not in plain.primary.signature.instructions  # what nobody wrote is not read


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"primary": "other -> kind"}, "expected a primary from"),
        ({"primary": "value -> other"}, "expected a primary from"),
        ({"specialists": ["x, y -> z"]}, r"one input for a part beside \['value'\], found \['x', 'y'\]"),
        ({"specialists": ["value -> z"]}, r"one input for a part .* found \[\]"),
        ({"specialists": ["x -> z", "x -> y"]}, "names and instructions of their own"),
    ],
    ids=str,
)
def test_predictors_that_do_not_fit_are_refused(weights, wrong, message):
    kinds = {"primary": Primary, "specialists": Specialist}
    given = {
        name: [kinds[name](one, checkpoint=weights) for one in what]
        if isinstance(what, list)
        else kinds[name](what, checkpoint=weights)
        for name, what in wrong.items()
    }
    with pytest.raises(InputError, match=message):
        aegir.Swarm(Sort, **{"primary": weights, "shard": "examples", **given})


class Outer(dspy.Module):
    def __init__(self, checkpoint, **options):
        super().__init__()
        self.swarm = aegir.Swarm(Sort, primary=checkpoint, shard="examples", **options)
        self.ask = dspy.Predict("x -> y")


def test_a_nested_swarm_is_saved_with_its_checkpoints(weights, others, tmp_path):
    outer = Outer(weights, specialists=[weights], fusion="mean")
    reader = outer.swarm.specialists["a"]
    reader.signature = reader.signature.with_instructions("Look at the end.")
    outer.save(tmp_path / "outer.json")
    assert (tmp_path / "outer.json").stat().st_size < 10_000
    loaded = Outer(others, specialists=[Specialist("examples -> notes", checkpoint=others, name="a")])
    loaded.load(tmp_path / "outer.json")
    ask = {"examples": ["Oslo", "Rome"], "value": "Paris"}
    assert loaded.swarm(**ask).latent.digest == outer.swarm(**ask).latent.digest
    assert loaded.swarm(**ask).kind == outer.swarm(**ask).kind
    assert loaded.swarm.settings.fusion == "mean"
    alone = aegir.Swarm(Sort, primary=weights, shard="examples", specialists=[weights])
    alone.load_state(outer.swarm.dump_state())
    assert alone(**ask).latent.digest == outer.swarm(**ask).latent.digest


def test_a_trained_fusion_is_used_and_told_apart(weights):
    geometry = Primary("q -> a", checkpoint=weights).identity.geometry
    fusions = [RWKVStateFusion(FusionConfig("weighted_sum", seed=seed), geometry) for seed in (0, 0, 1)]
    with torch.no_grad():
        for fusion in fusions[1:]:
            for parameter in fusion.parameters():
                parameter.add_(0.5)
    swarms = [aegir.Swarm(Sort, primary=weights, shard="examples", fusion=f) for f in ("sqrt", *fusions)]
    ask = {"examples": ["Oslo", "Rome", "Bonn"], "value": "v"}
    digests = [swarm(**ask).latent.digest for swarm in swarms]
    assert len({digests[0], digests[2], digests[3]}) == 3
    read = swarms[2].specialists["reader"].read_many(["Bonn", "Oslo", "Rome"])
    assert fuse(read, fusions[1]).digest == digests[2] == fuse(read[::-1], fusions[1]).digest
    states = [swarm.dump_state() for swarm in swarms]
    assert len({state["settings"]["fusion"] for state in states}) == 4
    for swarm, state in zip(swarms, states, strict=True):
        swarm.load_state(state)
    with pytest.raises(InputError, match=r"expected the fusion weighted_sum@.*pass Swarm\(fusion=\.\.\.\)"):
        swarms[1].load_state(states[2])


def test_the_state_of_another_swarm_is_refused(weights, others):
    state = aegir.Swarm(Sort, primary=weights, shard="examples").dump_state()
    with pytest.raises(InputError, match=r"it has no specialists\['b'\]"):
        aegir.Swarm(Sort, primary=weights, shard="examples", specialists=[others]).load_state(state)
    with pytest.raises(InputError, match=r"expected the state of a swarm with {'shard': 'value'"):
        aegir.Swarm("examples, value: list[str] -> kind", primary=weights, shard="value").load_state(state)
    needs = aegir.Swarm(Sort, primary=weights, shard="examples", alignments={"a" * 64: lambda s: s})
    with pytest.raises(InputError, match=r"expected alignments of the checkpoints \['aaaaaaaaaaaa'\]"):
        aegir.Swarm(Sort, primary=weights, shard="examples").load_state(needs.dump_state())


def test_copies_and_threads_answer_like_the_swarm(weights):
    swarm = aegir.Swarm(Sort, primary=weights, shard="examples")
    asks = [{"examples": [f"{i}", "x" * i], "value": "v"} for i in range(1, 6)]
    serial = [swarm(**ask) for ask in asks]
    together = dspy.Parallel(num_threads=3, disable_progress_bar=True)([(swarm, ask) for ask in asks])
    copied = [swarm.deepcopy()(**ask) for ask in asks]
    for outs in (together, copied):
        assert [o.kind for o in outs] == [o.kind for o in serial]
        assert [o.latent.digest for o in outs] == [o.latent.digest for o in serial]
    assert swarm.deepcopy().primary.checkpoint is swarm.primary.checkpoint


def test_a_swarm_for_tables_says_so(weights):
    with pytest.raises(InputError, match="expected a swarm for tables"):
        _ = aegir.Swarm(Sort, primary=weights, shard="examples").vocabulary


def test_nothing_to_read_is_an_error(weights):
    swarm = aegir.Swarm(Sort, primary=weights, shard="examples")
    with pytest.raises(InputError, match="at least one element in examples"):
        swarm(examples=[], value="b")
