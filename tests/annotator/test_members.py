"""Members of the swarm: files beside the primary's, asked about what stays open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from aegir_dspy.annotator.bundle import (
    Bundle,
    MemberConfig,
    default_bundle,
    load_bundle,
    load_member,
    save_bundle,
)
from aegir_dspy.annotator.decision import DecisionConfig, Decisions
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import CheckpointError
from aegir_dspy.latent import FrozenSpecialist
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.rwkv import RWKV7, Engine
from aegir_dspy.rwkv.checkpoint import SHARED
from aegir_dspy.tables import Table

VOCABULARY = load_vocabulary("sotab32")
NAMES = ("backward", "places")


@pytest.fixture(scope="module")
def swarm(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A primary and two members, the second without the n-gram memory it shares."""
    folder = tmp_path_factory.mktemp("swarm")
    primary, members = load_bundle(make_bundle(folder / "first.safetensors"), dtype=torch.float32), []
    for seed, (name, without) in enumerate(zip(NAMES, ((), ("ngram.",)), strict=True), start=1):
        own = load_bundle(make_bundle(folder / "own.safetensors", seed=seed), dtype=torch.float32)
        file = f"{name}.safetensors"
        sha256 = save_bundle(folder / file, own.model, own.head, own.config, without=without)
        members.append(MemberConfig(name, "for a test", file, sha256))
    first, full = DecisionConfig(), DecisionConfig(dict.fromkeys(("primary", *NAMES), 0.7))
    config = replace(primary.config, members=tuple(members), decisions={"": Decisions(first, full)})
    save_bundle(folder / "swarm.safetensors", primary.model, primary.head, config)
    return load_bundle(folder / "swarm.safetensors")


def annotator(bundle: Bundle, **config: float) -> ColumnTypeAnnotator:
    return ColumnTypeAnnotator(bundle, VOCABULARY, AnnotatorConfig(**config))  # type: ignore[arg-type]


def test_a_member_shares_the_n_gram_memory_of_the_primary(swarm: Bundle) -> None:
    own, sharing = (load_member(swarm, m).model.state_dict() for m in swarm.config.members)
    primary = swarm.model.state_dict()
    shared = [name for name in primary if name.startswith("ngram.")]
    assert shared
    assert all(torch.equal(sharing[name], primary[name]) for name in shared)
    assert not all(torch.equal(own[name], primary[name]) for name in shared)
    assert not torch.equal(sharing["emb.weight"], primary["emb.weight"])


def test_a_member_alone_is_refused(swarm: Bundle, tmp_path: Path) -> None:
    """Without what it shares it would be another model, and nobody would notice."""
    assert swarm.path is not None
    sharing = swarm.path.with_name("places.safetensors")
    said = r"places.safetensors without ngram\.\*, which it shares .*load the primary's file"
    for load in (load_bundle, Engine.load, FrozenSpecialist.load):
        with pytest.raises(CheckpointError, match=said):
            load(sharing)
    assert load_bundle(swarm.path.with_name("backward.safetensors")).model.geometry.ngram_buckets
    with safe_open(str(sharing), framework="pt") as file:  # as files were written before they said so
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = {name: text for name, text in file.metadata().items() if name != SHARED}
    save_file(tensors, tmp_path / "places.safetensors", metadata)
    with pytest.raises(CheckpointError, match=said):
        load_bundle(tmp_path / "places.safetensors")


def test_an_annotator_without_an_n_gram_memory_is_whole(bundle: Bundle, tmp_path: Path) -> None:
    model = RWKV7(replace(bundle.model.geometry, ngram_buckets=0, ngram_width=0))
    save_bundle(tmp_path / "w.safetensors", model, bundle.head, bundle.config)
    assert not load_bundle(tmp_path / "w.safetensors").model.geometry.ngram_buckets


def test_the_members_that_ship_are_refused_alone() -> None:
    shipped = default_bundle()
    assert shipped.path is not None
    for member in shipped.config.members:
        if member.themes:
            with pytest.raises(CheckpointError, match="load the primary's file"):
                load_bundle(shipped.path.with_name(member.file))


def test_another_file_than_the_one_named_is_refused(swarm: Bundle) -> None:
    wrong = replace(swarm.config.members[0], sha256="0" * 64)
    with pytest.raises(CheckpointError, match=r"sha256 000000000000 .*copy all files of one training run"):
        load_member(swarm, wrong)
    with pytest.raises(CheckpointError, match="gone"):
        load_member(swarm, replace(wrong, file="gone.safetensors"))
    with pytest.raises(CheckpointError, match="beside the primary's file"):
        load_member(replace(swarm, path=None), wrong)


def test_members_are_asked_only_about_columns_that_stay_open(swarm: Bundle, tables: list[Table]) -> None:
    decided = annotator(swarm, sure=2.0, ask_below=2.0).scores(tables[:3])
    assert decided.asked.tolist() == decided.readable.tolist()
    first = replace(swarm, config=replace(swarm.config, decisions={"": Decisions()}))
    alone = annotator(first, sure=2.0, ask_below=2.0).scores(tables[:3])
    confidence = alone.logits.exp().amax(1)
    middle = float(confidence.median())
    found = annotator(swarm, sure=2.0, ask_below=middle).consult(annotator(swarm).sheet(tables[:3]))
    assert 0 < found.asked.sum() < len(found.asked)
    for name in NAMES:
        assert not found.labels[name][~found.asked].any()
        assert found.labels[name][found.asked].any(1).all()
    nobody = annotator(swarm, sure=2.0, ask_below=0.0).scores(tables[:3])
    assert not nobody.asked.any()


def test_the_members_opinion_counts(swarm: Bundle, tables: list[Table]) -> None:
    first = replace(swarm, config=replace(swarm.config, decisions={"": Decisions()}))
    together, alone = (annotator(b, sure=2.0, ask_below=2.0).scores(tables[:2]) for b in (swarm, first))
    assert not torch.allclose(together.logits, alone.logits)
    assert (together.tokens > alone.tokens).all()


def test_a_swarm_decides_the_same_in_any_batch(swarm: Bundle, tables: list[Table]) -> None:
    whole = annotator(swarm, sure=2.0, ask_below=0.5).scores(tables[:3])
    parts = [annotator(swarm, sure=2.0, ask_below=0.5, columns_at_once=3).scores([t]) for t in tables[:3]]
    assert torch.equal(torch.cat([p.asked for p in parts]), whole.asked)
    torch.testing.assert_close(torch.cat([p.logits for p in parts]), whole.logits, atol=1e-6, rtol=1e-6)
