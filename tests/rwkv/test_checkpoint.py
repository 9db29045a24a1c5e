"""Files that are read, and files that are refused: each in one line saying what was expected and found."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.rwkv import Engine, build_model, read_weights, save_weights
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.model import RWKV7


def refusal(path: Path, *parts: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("expected ") and "found" in message, message
    for part in (*parts, path.name):
        assert part in message, message
    return message


@pytest.mark.parametrize("name", ["tiny", "ngram", "L2-D128-N64-V300"])
def test_geometry_and_weights_survive(name, checkpoint, geometries, make_weights, tmp_path):
    read = read_weights(checkpoint(name))
    assert read.geometry == geometries[name]
    copy = tmp_path / "copy.safetensors"
    sha = save_weights(copy, {**read.model, "task.head": torch.ones(2)}, {"labels": "a\nb"}, torch.float32)
    again = read_weights(copy)
    assert again.geometry == geometries[name] and again.sha256 == sha != read.sha256
    assert again.metadata == {"labels": "a\nb"} and list(again.extra) == ["task.head"]
    expected = make_weights(geometries[name])
    assert all(torch.equal(again.model[n], expected[n]) for n in expected)
    assert sorted(n.name for n in tmp_path.iterdir()) == ["copy.safetensors"]


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    metadata = {name: f'{{"said": "größe {name}\\n"}}' for name in "abcdefgh"}
    tensors = {"x": torch.ones(3), "y": torch.zeros(2, 2)}
    for number in range(8):  # the library's own order differs from save to save
        given = dict(sorted(metadata.items(), reverse=bool(number % 2)))
        save_weights(tmp_path / f"{number}.safetensors", tensors, given, torch.bfloat16)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    with safe_open(str(tmp_path / "0.safetensors"), framework="pt") as file:
        assert file.metadata() == metadata
        assert torch.equal(file.get_tensor("x"), torch.ones(3).bfloat16())


def test_published_leftovers_are_accepted(make_weights, geometries, tmp_path):
    weights = make_weights(geometries["tiny"])
    for suffix, shape in (("0", (1, 1, 32)), ("1", (32, 5)), ("2", (5, 32))):
        weights[f"blocks.0.att.v{suffix}"] = torch.zeros(shape)
    torch.save(weights, tmp_path / "published.pth")
    read = read_weights(tmp_path / "published.pth")
    assert read.geometry == geometries["tiny"] and not read.extra
    assert not any(p.is_meta for p in build_model(read).parameters())


def test_missing(tmp_path):
    refusal(tmp_path / "nowhere.pth", "no file")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_not_a_checkpoint(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_text("this is no checkpoint\n" * 10)
    refusal(path)
    path.write_bytes(b"")
    refusal(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_truncated(tmp_path, make_weights, geometries, suffix, kept):
    path = tmp_path / f"cut{suffix}"
    weights = make_weights(geometries["tiny"])
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        save_weights(path, weights, {}, torch.float32)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refusal(path)


class Payload:
    def __init__(self, action: Callable[..., object], *arguments: object) -> None:
        self.action, self.arguments = action, arguments

    def __reduce__(self):
        return self.action, self.arguments


@pytest.mark.parametrize("writer", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_pickle_with_code_does_not_run(tmp_path, writer):
    path, mark = tmp_path / "evil.pth", tmp_path / "code-ran"
    writer({"emb.weight": Payload(Path.touch, mark)}, path)
    pickled = pickle.loads(pickle.dumps(Payload(Path.touch, tmp_path / "control")))  # it would run
    assert pickled is None and (tmp_path / "control").exists()
    refusal(path)
    assert not mark.exists()


def test_foreign_contents(tmp_path):
    path = tmp_path / "other.pth"
    for content, found in (
        ([1, 2], "list"),
        ({"a": 1}, "dict"),
        ({"x": torch.ones(1)}, "1 tensors such as x"),
    ):
        torch.save(content, path)
        refusal(path, found)


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("RWKV-4", ["att.time_decay", "att.time_first", "att.time_mix_k"]),
        ("RWKV-5", ["att.time_decay", "att.time_faaaa", "att.ln_x.weight", "att.gate.weight"]),
        ("RWKV-6", ["att.time_decay", "att.time_maa_x", "att.time_maa_w1", "att.ln_x.weight"]),
    ],
)
def test_other_versions_are_named(tmp_path, version, names):
    tensors = {f"blocks.0.{name}": torch.zeros(4) for name in names}
    torch.save({"emb.weight": torch.zeros(256, 4), **tensors}, tmp_path / "old.pth")
    refusal(tmp_path / "old.pth", f"an {version} checkpoint", "RWKV-7")


def test_wrong_shape_and_missing_parameter(tmp_path, make_weights, geometries):
    weights = make_weights(geometries["tiny"])
    path = tmp_path / "odd.pth"
    torch.save({**weights, "blocks.1.att.key.weight": torch.zeros(32, 31)}, path)
    refusal(path, "blocks.1.att.key.weight", "(32, 32)", "(32, 31)")
    torch.save({**weights, "emb.weight": torch.zeros(7)}, path)
    refusal(path, "emb.weight", "(7,)")
    del weights["blocks.2.ffn.x_k"]
    torch.save(weights, path)
    refusal(path, "blocks.2.ffn.x_k")
    torch.save({**weights, "blocks.x.odd": torch.zeros(1)}, path)
    refusal(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_is_written_over_does_not_change_a_model(tmp_path, make_weights, geometries, suffix):
    paths = [tmp_path / f"{seed}{suffix}" for seed in (1, 2)]
    for seed, path in enumerate(paths):
        weights = {**make_weights(geometries["tiny"], seed), "head": torch.full((300,), 1.0 + seed)}
        if suffix == ".pth":
            torch.save(weights, path)
        else:
            save_weights(path, weights, {}, torch.float32)
    read, other = map(read_weights, paths)
    engine = Engine.load(paths[0])
    before = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    with paths[0].open("r+b") as file:  # in place, as a copy over it does
        file.write(paths[1].read_bytes())
    assert read_weights(paths[0]).sha256 == other.sha256
    for name, tensor in engine.model.state_dict().items():
        assert torch.equal(tensor, before[name]) and torch.equal(read.model[name], before[name]), name
        assert not torch.equal(tensor, other.model[name])
    assert read.extra["head"].tolist() == [1.0] * 300


def test_a_file_that_changes_while_it_is_read_is_refused(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / checkpoint("tiny").name
    path.write_bytes(checkpoint("tiny").read_bytes())

    def changed(where: Path) -> str:
        with where.open("ab") as file:
            file.write(b"x")
        return ""

    with monkeypatch.context() as patch:
        patch.setattr("aegir_dspy.rwkv.checkpoint.file_sha256", changed)
        with pytest.raises(CheckpointError, match=f"{path.name} changed while it was read"):
            read_weights(path)


def test_tokenizer_is_guessed_or_asked_for(checkpoint):
    assert Engine.load(checkpoint("tiny")).tokenizer.name == "bytes"
    with pytest.raises(InputError, match="found 300"):
        Engine.load(checkpoint("L2-D128-N64-V300"))
    with pytest.raises(InputError, match="backend"):
        Engine.load(checkpoint("tiny"), backend="onnx")


def test_packed_rows_come_back_within_their_scale(tmp_path):
    torch.manual_seed(0)
    model = RWKV7(Geometry.small(1, 64))
    grown = torch.logspace(-6, 3, model.emb.weight.shape[0]).unsqueeze(1)
    matrix = torch.randn_like(model.emb.weight) * grown
    tensors = {**model.state_dict(), "emb.weight": matrix}
    plain, packed = tmp_path / "plain.safetensors", tmp_path / "packed.safetensors"
    save_weights(plain, tensors, {}, torch.bfloat16)
    save_weights(packed, tensors, {}, torch.bfloat16, ["emb.weight"])
    assert packed.stat().st_size < plain.stat().st_size
    back = read_weights(packed).model["emb.weight"].float()
    assert bool(((back - matrix).abs() <= matrix.abs().amax(1, keepdim=True) / 120).all())
    again = tmp_path / "again.safetensors"
    save_weights(again, read_weights(packed).model, {}, torch.bfloat16, ["emb.weight"])
    assert torch.equal(read_weights(again).model["emb.weight"], read_weights(packed).model["emb.weight"])
    assert torch.equal(read_weights(packed).model["head.weight"], read_weights(plain).model["head.weight"])
