"""What several rooms' tests share: a tiny annotator with random weights, and a few tables."""

from __future__ import annotations

import functools
import gc
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import settings

from aegir_dspy.annotator.bundle import Bundle, BundleConfig, load_bundle, save_bundle
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.rwkv import RWKV7, Geometry, save_weights
from aegir_dspy.rwkv.initialize import initialize
from aegir_dspy.tables import Table
from aegir_dspy.tables.table import Column

# The same examples every time, and no deadline: machines that run tests are busy.
settings.register_profile("aegir", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("aegir")

T = TypeVar("T")
GEOMETRY = Geometry(2, 32, 16, 256, 64, 8, 8, 8, 8, ngram_buckets=997, ngram_width=12)


def random_model(seed: int = 0) -> RWKV7:
    """A model in which everything matters: the training's start leaves every layer's output at zero."""
    model = initialize(RWKV7(GEOMETRY), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    return model.eval()


def write_bundle(path: Path, seed: int = 0, **config: object) -> Path:
    """A random annotator of the labels of three built-in vocabularies."""
    names = (n for v in ("schema", "sotab32", "dbpedia") for n in load_vocabulary(v).names)
    labels = tuple(dict.fromkeys(names))
    head = ColumnHead(GEOMETRY.width, len(labels))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.classify.weight.normal_(0, 0.5, generator=generator)
        head.classify.bias.normal_(0, 0.5, generator=generator)
    save_bundle(path, random_model(seed), head, BundleConfig(labels, **config))  # type: ignore[arg-type]
    return path


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


def thread_seconds(call: Callable[[], object]) -> float:
    """Processor time of this thread in a call, while nobody collects the garbage of other tests."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.thread_time()
        call()
        return time.thread_time() - start
    finally:
        if collecting:
            gc.enable()


def within(limit: float, call: Callable[[], T]) -> T:
    """What a call returns that takes at most `limit` seconds of its thread, in the best of three tries.

    A further try finds neither garbage nor what the last one has left in caches.
    """
    found: list[T] = []
    taken = [thread_seconds(lambda: found.append(call()))]
    while taken[-1] > limit and len(taken) < 3:
        gc.collect()
        for one in [o for o in gc.get_objects() if type(o) is functools._lru_cache_wrapper]:
            if one.__module__.startswith("aegir_dspy") and one.cache_parameters()["maxsize"]:
                one.cache_clear()
        taken.append(thread_seconds(lambda: found.append(call())))
    assert min(taken) <= limit, f"expected {limit} s at most, took {taken}"
    return found[-1]


@pytest.fixture(scope="session", name="thread_seconds")
def _thread_seconds() -> Callable[[Callable[[], object]], float]:
    return thread_seconds


@pytest.fixture(scope="session", name="within")
def _within() -> Callable[[float, Callable[[], T]], T]:
    return within


@pytest.fixture(scope="module")
def import_benchmark() -> Iterator[Callable[[str], Any]]:
    """Imports a module of the benchmarks by its name."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


@pytest.fixture(scope="session")
def tiny_model() -> RWKV7:
    return random_model().requires_grad_(False)


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny random annotator."""
    return write_bundle(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


def write_weights(path: Path, seed: int = 0, width: int = 32) -> Path:
    """A random language model that passes on what it has read, as the training's start does not."""
    model = initialize(RWKV7(Geometry.small(2, width, head_size=16)), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    save_weights(path, model.state_dict(), {}, torch.float32)
    return path


@pytest.fixture(scope="session")
def make_weights() -> Callable[..., Path]:
    return write_weights


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Path]:
    return write_bundle


def table_of(name: str, /, **columns: list[str]) -> Table:
    found = (Column(i, header, tuple(values)) for i, (header, values) in enumerate(columns.items()))
    return Table(name, f"{name}.csv", tuple(found))


@pytest.fixture(scope="session")
def make_table() -> Callable[..., Table]:
    return table_of


@pytest.fixture(scope="session")
def tables() -> list[Table]:
    """Tables of 1, 4, 12 and 90 columns: alone, all others as context, chosen, chosen among candidates."""
    shop = table_of(
        "shop",
        name=["Ann", "Bob", "Cem"],
        price=["1.20", "3", "17.5"],
        mail=["a@b.de", "c@d.org", ""],
        day=["2021-01-02", "2021-02-03", "2022-03-04"],
    )
    wide = table_of("wide", **{f"c{i}": [f"{i * j} {chr(97 + i % 26)}" for j in range(4)] for i in range(90)})
    half = table_of("half", **{f"h{i}": [str(i**j) for j in range(1, 6)] for i in range(12)})
    return [shop, table_of("one", city=["Ulm", "Bonn"]), wide, half]
