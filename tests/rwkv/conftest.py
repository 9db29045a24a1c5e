from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aegir_dspy.rwkv import RWKV7, Engine, Geometry, StateTensors

torch.set_num_threads(1)  # threads that wait for each other cost more than these models do

TINY = Geometry(3, 32, 8, 256, 64, 8, 6, 5, 7)
NGRAM = Geometry(2, 32, 16, 256, 48, 8, 8, 8, 8, ngram_buckets=997, ngram_width=12)
PUBLISHED = {
    "L2-D128-N64-V300": Geometry(2, 128, 64, 300, 512, 32, 16, 24, 40),
    "L4-D256-N64": Geometry(4, 256, 64, 256, 1024, 64, 48, 32, 96),
}


def random_weights(geometry: Geometry, seed: int = 0) -> dict[str, Tensor]:
    """Every parameter random, none at a value that hides a mistake (0, 1, or all the same)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, shape: torch.Size) -> Tensor:
        noise = torch.randn(shape, generator=generator)
        last = name.rsplit(".", 1)[-1]
        if last.startswith("x_"):
            return torch.rand(shape, generator=generator)
        if last == "w0":
            return noise - 2
        if "ln" in name:
            return 1 + 0.3 * noise if last == "weight" else 0.2 * noise
        if len(shape) == 2 and last != "r_k":
            fan_in = shape[0] if last[-1] in "12" else shape[1]
            return noise / fan_in**0.5
        return 0.5 * noise

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in RWKV7(geometry).state_dict().items()}
    return {name: draw(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def geometries() -> dict[str, Geometry]:
    return {"tiny": TINY, "ngram": NGRAM, **PUBLISHED}


@pytest.fixture(scope="session")
def make_weights() -> Callable[..., dict[str, Tensor]]:
    return random_weights


@pytest.fixture(scope="session")
def make_model(geometries: dict[str, Geometry]) -> Callable[..., RWKV7]:
    def make(name: str = "tiny", seed: int = 0, dtype: torch.dtype = torch.float32) -> RWKV7:
        model = RWKV7(geometries[name])
        model.load_state_dict(random_weights(geometries[name], seed))
        return model.to(dtype).eval()

    return make


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, geometries: dict[str, Geometry]
) -> Callable[..., Path]:
    """Path of a random checkpoint as published: .pth, official names and shapes."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def write(name: str = "tiny", seed: int = 0) -> Path:
        path = folder / f"{name}-{seed}.pth"
        if not path.exists():
            torch.save(random_weights(geometries[name], seed), path)
        return path

    return write


@pytest.fixture(scope="session")
def engine(checkpoint: Callable[..., Path]) -> Engine:
    return Engine.load(checkpoint("tiny"))


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """Assert that two sets of state tensors agree."""

    def check(one: StateTensors, two: StateTensors, tolerance: float = 1e-5) -> None:
        torch.testing.assert_close(one.shift, two.shift, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(one.kv, two.kv, rtol=tolerance, atol=tolerance)
        assert torch.equal(one.tail, two.tail)

    return check
