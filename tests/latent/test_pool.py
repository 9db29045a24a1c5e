from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch

from aegir_dspy.annotator.bundle import load_bundle
from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.latent.pool import PoolCounters, SpecialistPool
from aegir_dspy.latent.specialist import FrozenSpecialist
from aegir_dspy.rwkv.checkpoint import file_sha256

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def files(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pool")
    return {name: make_bundle(folder / f"{name}.safetensors", seed=i) for i, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def size(files: dict[str, Path]) -> int:
    return FrozenSpecialist.load(files["a"]).weight_bytes


def pool_of(files: dict[str, Path], max_bytes: int, pinned: str = "") -> SpecialistPool:
    pool = SpecialistPool(max_bytes)
    for name, path in files.items():
        pool.register(name, path, sha256=file_sha256(path), pinned=name in pinned)
    return pool


def test_specialists_are_loaded_when_asked_for_and_the_oldest_go(files: dict[str, Path], size: int) -> None:
    pool = pool_of(files, 2 * size)
    assert (pool.names, pool.warm, pool.bytes) == (NAMES, (), 0)
    first = pool.get("a")
    assert pool.get("a") is first
    pool.get("b")
    assert (pool.warm, pool.bytes) == (("a", "b"), 2 * size)
    pool.get("a")
    pool.get("c")  # b was used longest ago
    assert pool.warm == ("a", "c")
    assert pool.counters == PoolCounters(loads=3, hits=2, evictions=1)
    pool.get("b")
    assert pool.counters.loads == 4


def test_pinned_ones_stay_and_one_too_large_still_serves(files: dict[str, Path], size: int) -> None:
    pool = pool_of(files, size, pinned="a")
    for name in (*NAMES, "b"):
        assert pool.get(name).read([b"1.20\x1d"]).features.shape == (1, 64)
    assert pool.warm == ("a", "b")
    small = pool_of(files, 1)
    assert small.get("a") is small.get("a")
    small.get("b")
    assert small.warm == ("b",)


def test_a_file_that_was_exchanged_is_refused(files: dict[str, Path], size: int) -> None:
    pool = SpecialistPool(size)
    pool.register("places", files["a"], sha256=file_sha256(files["b"]))
    with pytest.raises(CheckpointError, match=r"expected the checkpoint .* as places, found .* in .*a.saf"):
        pool.get("places")
    assert pool.warm == ()
    pool.register("missing", files["a"].with_name("none.safetensors"))
    with pytest.raises(CheckpointError, match="no file"):
        pool.get("missing")


def test_names_are_given_once_and_known(files: dict[str, Path]) -> None:
    pool = pool_of(files, 1)
    with pytest.raises(InputError, match="'a' registered"):
        pool.register("a", files["b"])
    with pytest.raises(InputError, match=r"expected one of \['a', 'b', 'c'\], found 'd'"):
        pool.get("d")
    with pytest.raises(InputError, match="max_bytes >= 1"):
        SpecialistPool(0)


def test_threads_that_ask_for_one_specialist_load_it_once(files: dict[str, Path], size: int) -> None:
    pool, gate = pool_of(files, 3 * size), Barrier(6)

    def ask(i: int) -> FrozenSpecialist:
        gate.wait()
        return pool.get(NAMES[i % 2])

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(ask, range(6)))
    assert len({id(one) for one in found}) == 2
    assert pool.counters == PoolCounters(loads=2, hits=4)


def test_a_loader_of_ones_own_brings_a_head(files: dict[str, Path], size: int) -> None:
    def load(path: Path) -> FrozenSpecialist:
        bundle = load_bundle(path)
        return FrozenSpecialist(bundle.model, bundle.identity, head=bundle.head)

    pool = SpecialistPool(size, load)
    pool.register("with head", files["a"])
    pool.register("without", files["a"], loader=FrozenSpecialist.load)
    specialist = pool.get("with head")
    reading = specialist.read([b"1.20\x1d", b"a@b.de\x1d"])
    answer = specialist.answer(reading)
    assert answer is not None
    assert torch.equal(answer, load_bundle(files["a"]).head(reading.features))
    assert (specialist.identity.checkpoint, len(answer)) == (file_sha256(files["a"]), 2)
    assert pool.get("without").answer(reading) is None


def test_any_checkpoint_reads_as_text_in_its_own_tokens(tmp_path: Path) -> None:
    from aegir_dspy.rwkv import RWKV7, Engine, Geometry
    from aegir_dspy.rwkv.initialize import initialize

    geometry = Geometry.small(1, 32, head_size=16, vocab=65536)
    torch.save(initialize(RWKV7(geometry), 0).state_dict(), tmp_path / "world.pth")
    specialist = FrozenSpecialist.load(tmp_path / "world.pth", dtype=torch.float32)
    engine = Engine.load(tmp_path / "world.pth")
    texts = ["price: 1.20", "Köln", "a longer text, about nothing in particular"]
    read = specialist.read([text.encode() for text in texts]).states
    for i, state in enumerate(engine.read(texts)):
        torch.testing.assert_close(read.select([i]).kv, state.tensors.kv)
    assert specialist.identity == engine.identity
