from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from aegir_dspy.rwkv import RWKV7, Geometry, build_model, zero_tensors
from aegir_dspy.rwkv.checkpoint import Weights

TINY = Geometry(2, 64, 64, 256, 128, 16, 16, 16, 32)


@pytest.fixture(scope="module")
def engine(import_benchmark: Callable[[str], Any]) -> Any:
    return import_benchmark("engine")


@pytest.fixture
def bench(engine: Any) -> Any:
    harness = importlib.import_module("_harness")
    options = argparse.Namespace(quick=True, seed=0, device="cpu", threads=1, llama=None)
    return harness.Bench("engine", options)


def ceilings(products: float, bandwidth: float) -> Any:
    return importlib.import_module("_ceilings").Ceilings(
        dict.fromkeys(("fp32", "bf16", "int8"), products), {"sum": bandwidth}
    )


@pytest.mark.parametrize("geometry", [TINY, Geometry(3, 96, 32, 300, 384, 32, 24, 8, 40)])
def test_weights_read_are_the_matrices_of_a_model(engine: Any, geometry: Geometry) -> None:
    count = importlib.import_module("_ceilings").weights_read
    found = {n: t for n, t in RWKV7(geometry).state_dict().items() if t.dim() == 2 and not n.endswith("r_k")}
    assert count(geometry) == sum(t.numel() for n, t in found.items() if n != "emb.weight")
    assert count(geometry, head=False) == count(geometry) - found["head.weight"].numel()


def test_the_ceiling_is_the_lower_limit(engine: Any) -> None:
    weights = importlib.import_module("_ceilings").weights_read(TINY)
    state = zero_tensors(TINY, 1)
    floats = state.shift.numel() + state.kv.numel()
    slow_memory, slow_products = ceilings(1e18, 1e9), ceilings(1e9, 1e18)
    assert slow_memory.decode(TINY, "fp32", 1) == pytest.approx(1e9 / (4 * weights + 8 * floats))
    assert slow_memory.decode(TINY, "int8", 8) == pytest.approx(8e9 / (weights + 64 * floats))
    work = 2 * weights + 8 * state.kv.numel()
    assert slow_products.decode(TINY, "bf16", 32) == pytest.approx(1e9 / work)
    head = TINY.vocab * TINY.width
    assert slow_products.prefill(TINY, "bf16", 512) == pytest.approx(1e9 / (work - 2 * head))


def test_ratios_are_of_a_turn_and_of_the_better_package(engine: Any, bench: Any) -> None:
    found = {"package fp32": [1.0, 1.0, 9.0], "package bf16": [2.0, 4.0, 6.0], "fp32": [9.0, 8.0, 7.0],
             "bf16": [20.0, 24.0, 90.0]}  # fmt: skip
    run, limit = engine.Run(bench), [1.0]
    best = engine.report(run, found, {"fp32": lambda: 16.0, "bf16": lambda: limit[0]}, model="m", work="w")
    assert (best["arm"], best["tokens_per_second"], best["times_package"]) == ("bf16", 24.0, 10.0)
    run.expect("share", best, 0.6)
    limit[0] = 48.0  # a better ceiling was found later
    run.settle()
    rows = {row["arm"]: row for row in bench.rows}
    assert (rows["fp32"]["times_package"], rows["fp32"]["share"]) == (2.0, 0.5)
    assert (rows["bf16"]["ceiling"], rows["bf16"]["share"]) == (48.0, 0.5)
    assert "share" not in rows["package fp32"]
    assert bench.checks == [{"name": "share", "value": 0.5, "goal": ">= 0.6", "ok": False}]


def test_the_best_look_at_the_machine_counts(
    engine: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, seen = importlib.import_module("_ceilings"), [1.0]
    monkeypatch.setattr(module, "_product", lambda dtype, shape, device, seconds: seen[0])
    monkeypatch.setattr(module, "_read", lambda size, device, seconds: {"sum": 2 * seen[0]})
    monkeypatch.setattr(module, "_logits", lambda seconds: seen[0])
    run = engine.Run(bench)
    for seen[0] in (1.0, 5.0, 3.0):
        run.look()
    assert set(run.ceilings.products.values()) == {5.0}
    assert run.ceilings.readers == {"sum": 10.0, "our products, B=1": 5.0}
    assert run.ceilings.bandwidth == 10.0


def test_the_first_token_is_not_decoding(engine: Any) -> None:
    streams = SimpleNamespace(states=[None] * 3, generate=lambda tokens: 5.0 + tokens)
    starts: list[float] = []
    assert engine.decode(streams, 9, starts) == pytest.approx(3.0)
    assert starts == [6.0]


def test_no_stream_ends_early(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.checkpoint(TINY, 0) as path:
        (found,) = engine.loaded(path, ("fp32",), "cpu").values()
        streams = engine.Streams(found, 3)
        assert streams.generate(20) > 0
        short = SimpleNamespace(tokens=(1,))
        monkeypatch.setattr(found, "generate", lambda *args, **kwargs: [short] * 3)
        with pytest.raises(RuntimeError, match="ended early"):
            streams.generate(2)


def test_package_and_engine_in_one_run(engine: Any, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rwkv")
    monkeypatch.setattr(engine, "SIZES", {"tiny": TINY})
    monkeypatch.setattr(engine, "BATCHES", (1, 2, 3))
    with engine.checkpoint(TINY, 0) as path:
        run = engine.Run(bench)
        run.ceilings = ceilings(1e9, 1e9)
        engine.beside_package(run, "tiny", path)
        run.settle()
    arms = {(row["work"], row["batch"], row["arm"]) for row in bench.rows if row["model"] == "tiny"}
    assert {("prefill 512", 1, "bf16"), ("decode", 1, "package fp32"), ("decode", 2, "bf16")} <= arms
    assert all(row["tokens_per_second"] > 0 for row in bench.rows if row["model"] == "tiny")
    assert [check["name"] for check in bench.checks] == [
        "tiny: prefill 512, × the package",
        "tiny: decode B=1, × the package",
        "tiny: decode B=1, share of the ceiling",
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_cuda(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    harness = importlib.import_module("_harness")
    code = harness.main("engine", engine.measure, engine.arguments, ["--device", "cuda"])
    assert code == 2
    assert capsys.readouterr().err == (
        "engine: expected a CUDA device for --device cuda; found none: use --device cpu\n"
    )


@torch.no_grad()
def test_llama_gets_the_same_model(engine: Any, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    llama_cpp = pytest.importorskip("llama_cpp")
    llama, weights = (
        importlib.import_module("_llama"),
        importlib.import_module("parity").random_weights(TINY, 0),
    )
    llama.write_gguf(tmp_path / "tiny.gguf", weights, TINY, "bf16")
    theirs = llama_cpp.Llama(str(tmp_path / "tiny.gguf"), n_ctx=256, logits_all=True, verbose=False)
    tokens = [5, 7, 200, 31, 99, 6]
    theirs.eval(tokens)
    ours = build_model(Weights(weights, {}, {}, TINY, ""))
    expected = ours.logits(ours(torch.tensor([tokens]))[0])[0]
    found = torch.from_numpy(theirs.scores[: len(tokens)])
    torch.testing.assert_close(found, expected, rtol=0, atol=0.04 * float(expected.abs().max()))
