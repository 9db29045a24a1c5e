from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from aegir_dspy.annotator.bundle import Bundle, BundleConfig, MemberConfig, load_bundle, save_bundle
from aegir_dspy.annotator.decision import DecisionConfig, Decisions
from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.rwkv import Engine
from aegir_dspy.tables.serialize import SerializeConfig


def rewritten(source: Path, target: Path, change: Callable[[dict, dict], None]) -> Path:
    """A copy of a weights file with its tensors and metadata changed."""
    with safe_open(str(source), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, target, metadata)
    return target


HALF = DecisionConfig({"primary": 0.5, "ngrams": 2.0}, {"primary": 1.0}, 0.1, 0.2, 0.3, 1.5)


def test_what_is_saved_is_loaded(bundle: Bundle, tmp_path: Path) -> None:
    config = BundleConfig(
        bundle.config.labels,
        SerializeConfig(value_bytes=9),
        {"schema": Decisions(HALF, HALF), "": Decisions()},
        0.7,
        0.4,
        context=3,
        members=(MemberConfig("places", "what it is for", "places.safetensors", "0" * 64),),
    )
    sha256 = save_bundle(tmp_path / "w.safetensors", bundle.model, bundle.head, config)
    loaded = load_bundle(tmp_path / "w.safetensors")
    assert loaded.config == config
    assert loaded.sha256 == sha256
    assert (config.decision("schema").first, config.decision("mine")) == (HALF, Decisions())
    assert BundleConfig(("a",)).decision("mine") == Decisions()
    for name, tensor in loaded.model.state_dict().items():
        before = bundle.model.state_dict()[name]
        if name == "ngram.weight":  # kept in int8, at most half a step of 1/64 of the row's largest off
            assert bool(((tensor - before).abs() <= before.abs().amax(1, keepdim=True) / 120).all())
        else:
            assert torch.equal(tensor, before), name
    assert save_bundle(tmp_path / "w.safetensors", loaded.model, loaded.head, config) == sha256
    assert torch.equal(loaded.head.classify.weight, bundle.head.classify.weight)


def test_matrices_are_bf16_and_the_rest_is_not(bundle: Bundle) -> None:
    kinds = {name: p.dtype for name, p in bundle.model.named_parameters()}
    assert kinds["blocks.0.att.receptance.weight"] == torch.bfloat16
    assert kinds["blocks.0.att.w0"] == kinds["ln_out.weight"] == torch.float32
    assert not any(p.requires_grad for p in bundle.model.parameters())


def test_the_same_file_is_a_language_model(bundle_path: Path) -> None:
    engine = Engine.load(bundle_path)
    assert engine.tokenizer.name == "bytes"
    assert len(engine.generate(["a"])[0].tokens) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: m.pop("aegir"), "found a plain RWKV-7 checkpoint"),
        (lambda t, m: t.pop("head.classify.weight"), "found a plain RWKV-7 checkpoint"),
        (lambda t, m: t.pop("head.classify.bias"), "head.classify.bias"),
        (lambda t, m: m.update(aegir="{"), "expected an annotator written by aegir train"),
        (lambda t, m: m.update(aegir='{"labels": ["a"]}'), "serialize"),
        (
            lambda t, m: m.update(aegir=json.dumps(json.loads(m["aegir"]) | {"labels": ["a"]})),
            "size mismatch",
        ),
        (
            lambda t, m: m.update(aegir=json.dumps(json.loads(m["aegir"]) | {"more": 1})),
            "unexpected keyword argument",
        ),
        (lambda t, m: t.pop("ln_out.bias"), "with ln_out.bias"),
    ],
)
def test_other_files_are_refused(
    bundle_path: Path, tmp_path: Path, change: Callable[[dict, dict], None], message: str
) -> None:
    path = rewritten(bundle_path, tmp_path / "other.safetensors", change)
    with pytest.raises(CheckpointError, match=message):
        load_bundle(path)


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:1", "meta", ""])
def test_devices_that_are_not_there_are_refused(bundle_path: Path, device: str) -> None:
    with pytest.raises(InputError, match="device"):
        load_bundle(bundle_path, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_needs_cuda(bundle_path: Path) -> None:
    with pytest.raises(InputError, match=r"this machine \(cpu\), found 'cuda'"):
        load_bundle(bundle_path, "cuda")
