from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import aegir_dspy
from aegir_dspy.annotator.bundle import Bundle, load_bundle
from aegir_dspy.errors import StateError
from aegir_dspy.latent import FrozenSpecialist
from aegir_dspy.latent.lens import Lens, LensCache, lens_key, projection_hash, registry_hash
from aegir_dspy.rwkv.state import State

TEXTS = [[b"price\x1f\x1d", b"What one pays.\x1d"], [b"day\x1f\x1d"], [b""]]
VECTORS = torch.arange(6.0).view(3, 2)


@pytest.fixture(scope="module")
def specialist(bundle: Bundle) -> FrozenSpecialist:
    return FrozenSpecialist(bundle.model, bundle.identity)


@pytest.fixture
def lens(specialist: FrozenSpecialist) -> Lens:
    return Lens.read(specialist, TEXTS, VECTORS, "p")


def test_the_same_texts_give_the_same_lens(specialist: FrozenSpecialist, lens: Lens) -> None:
    again = Lens.read(specialist, TEXTS, VECTORS, "p")
    assert (again.key, again.digest) == (lens.key, lens.digest)
    assert lens.state.tokens == sum(len(text) for label in TEXTS for text in label)


@pytest.mark.parametrize(
    "texts", [TEXTS[:2], TEXTS[::-1], [[b"price\x1f\x1dWhat one pays.\x1d"], *TEXTS[1:]], [[], *TEXTS]]
)
def test_other_texts_have_another_registry(texts: list[list[bytes]]) -> None:
    assert registry_hash(texts) != registry_hash(TEXTS)


def test_every_part_is_in_the_key(lens: Lens) -> None:
    key = lens_key(lens.registry, lens.state.identity.checkpoint, "p")
    assert key == lens.key
    assert key not in {lens_key("r", "c", "p"), lens_key(lens.registry, "c", "p"), lens_key("r", "c", "q")}
    assert key != lens_key(lens.registry, lens.state.identity.checkpoint, "q")


def test_a_projection_is_known_by_its_numbers() -> None:
    one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert projection_hash(one) != projection_hash(two)
    two.load_state_dict(one.state_dict())
    assert projection_hash(one) == projection_hash(two)


def test_its_state_fuses_like_an_agents(specialist: FrozenSpecialist, lens: Lens) -> None:
    read = specialist.read([b"1.20\x1e3\x1d"]).states
    own = State(read, specialist.identity, 7)
    fused = aegir_dspy.fuse([own, lens.state])
    assert fused.identity == specialist.identity
    assert fused.digest == aegir_dspy.fuse([lens.state, own]).digest
    assert not torch.equal(fused.tensors.kv, read.kv)


def test_kept_and_found_again(specialist: FrozenSpecialist, lens: Lens, tmp_path: Path) -> None:
    lens.save(tmp_path / "l.safetensors")
    found = Lens.load(tmp_path / "l.safetensors", specialist.identity, lens.key)
    assert found.digest == lens.digest
    assert torch.equal(found.vectors, VECTORS)
    assert [p.name for p in tmp_path.iterdir()] == ["l.safetensors"]


def test_another_models_lens_is_refused(make_bundle, lens: Lens, tmp_path: Path) -> None:
    lens.save(tmp_path / "l.safetensors")
    other = load_bundle(make_bundle(tmp_path / "other.safetensors", seed=1)).identity
    with pytest.raises(StateError, match="checkpoint"):
        Lens.load(tmp_path / "l.safetensors", other)


def test_another_registrys_lens_is_refused(specialist: FrozenSpecialist, lens: Lens, tmp_path: Path) -> None:
    lens.save(tmp_path / "l.safetensors")
    with pytest.raises(StateError, match="read the vocabulary again"):
        Lens.load(tmp_path / "l.safetensors", specialist.identity, "0" * 64)


@pytest.mark.parametrize("name", ["vectors", "kv", "shift"])
def test_changed_contents_are_refused(
    specialist: FrozenSpecialist, lens: Lens, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "l.safetensors"
    lens.save(path)
    with safe_open(str(path), framework="pt") as file:
        meta, tensors = file.metadata(), {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
    tensors[name] = tensors[name] + 1e-3
    save_file(tensors, path, meta)
    with pytest.raises(StateError, match="delete the file"):
        Lens.load(path, specialist.identity, lens.key)


@pytest.mark.parametrize("content", [b"", b"no lens", b"\x00" * 100])
def test_what_is_no_lens_is_refused(specialist: FrozenSpecialist, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "l.safetensors"
    path.write_bytes(content)
    with pytest.raises(StateError, match="expected a lens written"):
        Lens.load(path, specialist.identity)


def test_the_cache_reads_once_and_heals(specialist: FrozenSpecialist, tmp_path: Path) -> None:
    cache, calls = LensCache(tmp_path / "lenses"), []

    def vectors() -> torch.Tensor:
        calls.append(1)
        return VECTORS

    first = cache.get(specialist, TEXTS, vectors, "p")
    assert cache.get(specialist, TEXTS, vectors, "p").digest == first.digest
    assert len(calls) == 1
    (file,) = cache.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.warns(UserWarning, match="lens"):
        assert cache.get(specialist, TEXTS, vectors, "p").digest == first.digest
    assert cache.get(specialist, TEXTS, vectors, "p").digest == first.digest
    assert len(calls) == 2


def test_texts_and_vectors_belong_together(specialist: FrozenSpecialist) -> None:
    with pytest.raises(StateError, match="a vector for each of 3 labels"):
        Lens.read(specialist, TEXTS, VECTORS[:2], "p")
    with pytest.raises(StateError, match="0 texts"):
        Lens.read(specialist, [[b""]], VECTORS[:1], "p")
