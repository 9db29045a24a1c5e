"""RWKV-7 on a GPU: kernels by Triton's interpreter and compiler, which need none; all of it on one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from aegir_dspy.rwkv import RWKV7, Engine, GenerationConfig, StatePool, StateTensors, decoding, zero_tensors
from aegir_dspy.rwkv.checkpoint import Weights, build_model
from aegir_dspy.rwkv.cuda import graphs, layers, learning
from aegir_dspy.rwkv.recurrence import _wkv_chunks, wkv_prefill, wkv_transition

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TOLERANCE = {torch.float32: 2e-6, torch.float16: 4e-3, torch.bfloat16: 4e-2}
INTERPRETED = ["layers_are_torchs", "ragged_is_apart", "recurrence_is_torchs"]


def parts(batch: int, length: int, heads: int, size: int, device: str = "cpu") -> list[Tensor]:
    """r, log_w, k, v, a, b and a state as a model would make them."""
    generator = torch.Generator().manual_seed(0)
    r, w, k, v, a, rate = (torch.randn(batch, length, heads, size, generator=generator) for _ in range(6))
    erase = torch.nn.functional.normalize(a, dim=-1)
    state = torch.randn(batch, heads, size, size, generator=generator)
    found = [r, -0.606531 * torch.sigmoid(w), k, v, -erase, erase * torch.sigmoid(rate), state]
    return [x.to(device) for x in found]


def near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    found, expected = found.detach().float().cpu(), expected.detach().float().cpu()
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def drawn(model: RWKV7, batch: int) -> StateTensors:
    """A state in which nothing is zero and nothing symmetric."""
    generator = torch.Generator().manual_seed(1)
    zero = zero_tensors(model.geometry, batch)
    shift, kv = (torch.randn(x.shape, generator=generator) for x in zero[:2])
    return StateTensors(shift, kv, zero.tail)


def copied(state: StateTensors) -> StateTensors:
    return StateTensors(*(x.clone() for x in state))


def read(
    model: RWKV7, tokens: Tensor, state: StateTensors, lengths: list[int]
) -> tuple[Tensor, list[Tensor]]:
    """By the kernels, `state` in place: (M, D), and the transitions."""
    maps: list[Tensor] = []
    real = torch.arange(tokens.shape[1]) < torch.tensor(lengths).unsqueeze(1)
    offsets = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])
    return layers.read_layers(model, model._embed(tokens, state.tail, real), offsets, state, maps), maps


# What follows, up to the tests, runs in a process in which Triton interprets its kernels on the processor.


@torch.no_grad()
def layers_are_torchs() -> None:
    from conftest import NGRAM, random_weights

    weights = Weights(random_weights(NGRAM), {}, {}, NGRAM, "")
    for dtype, tolerance in TOLERANCE.items():
        model, lengths = build_model(weights, dtype=dtype), [2, 0, 4, 1]
        tokens, state, expected_maps = torch.arange(16).view(4, 4) * 7, drawn(model, 4), []
        expected, after = model(tokens, state, torch.tensor(lengths), expected_maps)
        found_state = copied(state)
        found, maps = read(model, tokens, found_state, lengths)
        near(found, torch.cat([row[:n] for row, n in zip(expected, lengths, strict=True)]), tolerance)
        for one, other in zip(
            [found_state.shift, found_state.kv, *maps], [*after[:2], *expected_maps], strict=True
        ):
            near(one, other, tolerance)
        x = model._embed(tokens[:, :1], after.tail).squeeze(1)
        stepped = layers.read_layers(model, x, None, found_state)
        near(stepped, model.step(tokens[:, 0], after), 2 * tolerance)
        near(found_state.kv, after.kv, 2 * tolerance)
        near(found_state.shift, after.shift, 2 * tolerance)


@torch.no_grad()
def ragged_is_apart() -> None:
    from conftest import NGRAM, random_weights

    model = build_model(Weights(random_weights(NGRAM), {}, {}, NGRAM, ""))
    tokens, together = torch.arange(9).view(3, 3) * 11, drawn(model, 3)
    start = copied(together)
    rows, _ = read(model, tokens, together, [3, 1, 2])
    for stream, (first, length) in enumerate([(0, 3), (3, 1), (4, 2)]):
        alone = start.select([stream])
        found, _ = read(model, tokens[stream : stream + 1, :length], alone, [length])
        near(found, rows[first : first + length], 1e-6)
        near(alone.kv[:, 0], together.kv[:, stream], 1e-6)
        near(alone.shift[:, :, 0], together.shift[:, :, stream], 1e-6)


@torch.no_grad()
def recurrence_is_torchs() -> None:
    for size in (16, 64):
        arguments = parts(2, 5, 2, size)
        before = arguments[-1].clone()
        found, expected = layers.walk(arguments[:6], arguments[-1]), _wkv_chunks(*arguments)
        assert torch.equal(arguments[-1], before)
        for one, other in zip(found, expected, strict=True):
            near(one, other, 1e-5)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("check", INTERPRETED)
def test_interpreted(check: str) -> None:
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    command = f"import torch, test_cuda; torch.set_num_threads(1); test_cuda.{check}()"
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", command], env=environment, check=True, timeout=300)


HALF, FULL, INDEX = "*fp16", "*fp32", "*i64"
COMPILED: dict[str, tuple[list[str], dict[str, Any]]] = {
    "shift_mix": ([FULL, HALF, *[FULL] * 9, HALF, FULL, FULL, INDEX, INDEX, "i32", "i32"],
                  {"BLOCK": 1024, "OUTPUTS": 6, "ADD": True, "ONE": False}),
    "time_mix_step": ([*[HALF] * 8, *[FULL] * 9, HALF, "i32"], {"N": 64, "BLEND": True}),
    "prepare": ([*[HALF] * 7, *[FULL] * 6, "i32", "i32"], {"N": 64, "BLEND": True}),
    "walk": ([*[FULL] * 8, INDEX, "i32"], {"N": 64, "COLUMNS": 16, "ADD": True}),
    "finish": ([*[FULL] * 4, HALF, *[FULL] * 3, HALF, "i32"], {"N": 64}),
    "square_relu": ([HALF, "i32"], {"BLOCK": 1024}),
}  # fmt: skip


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiles_for_a_gpu_that_is_not_here(name: str) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from aegir_dspy.rwkv.cuda import kernels

    kernel, (types, constants) = getattr(kernels, name), COMPILED[name]
    free = [argument for argument in kernel.arg_names if argument not in constants]
    signature = dict(zip(free, types, strict=True)) | dict.fromkeys(constants, "constexpr")
    places = {(kernel.arg_names.index(one),): value for one, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]


def replayed(model: RWKV7, state: StateTensors) -> graphs.Recorded:
    """What stands in for a recording: the step itself, on the same tensors every time."""
    tokens = torch.zeros(state.batch, dtype=torch.int64)
    hidden = torch.zeros(state.batch, model.geometry.width)
    return graphs.Recorded(tokens, hidden, lambda: hidden.copy_(model.step(tokens, state)))


@torch.no_grad()
def test_steps_from_graphs_are_steps(make_model: Callable[..., RWKV7]) -> None:
    model = make_model("ngram")
    recorded: list[int] = []

    def record(model: RWKV7, state: StateTensors) -> graphs.Recorded:
        recorded.append(state.batch)
        return replayed(model, state)

    steps, pool = graphs.GraphedSteps(model, record), StatePool(model.geometry, 7)
    pool.write(pool.take(5), drawn(model, 5))
    expected = pool.read([0, 1, 2, 3, 4])
    for turn, count in enumerate([5, 3, 3, 1, 5]):
        if count < expected.batch:
            pool.release(list(range(count, expected.batch)))
            expected = expected.select(list(range(count)))
        if count > expected.batch:
            pool.grow(20)  # the tensors move
            expected = pool.read([*range(expected.batch), *pool.take(count - expected.batch)])
            assert not expected.kv[:, 1:].any()
        tokens = torch.arange(count) + 10 * turn
        near(steps.step(tokens, pool), model.step(tokens, expected), 1e-6)
        found = pool.read(list(range(count)))
        near(found.kv, expected.kv, 1e-6)
        near(found.shift, expected.shift, 1e-6)
        assert torch.equal(found.tail, expected.tail)
    assert recorded == [7, 4, 1, 8]


def test_generation_by_graphs_is_generation(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.load(checkpoint("ngram"))
    prompts = [f"prompt {i}" * (i + 1) for i in range(13)]
    configs = [GenerationConfig(max_tokens=4 + 3 * i, temperature=i % 2) for i in range(13)]
    expected = engine.generate(prompts, config=configs)
    monkeypatch.setattr(decoding, "stepper", lambda model: graphs.GraphedSteps(model, replayed).step)
    found = engine.generate(prompts, config=configs)
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    for one, other in zip(found, expected, strict=True):
        near(one.state.tensors.kv, other.state.tensors.kv, 1e-5)


@torch.no_grad()
def test_other_weights_are_recorded_again(make_model: Callable[..., RWKV7]) -> None:
    model, other = make_model("tiny"), make_model("tiny", seed=1)
    steps, pool = graphs.GraphedSteps(model, replayed), StatePool(model.geometry, 1)
    tokens = torch.tensor([5])
    steps.step(tokens, pool)
    first = steps._graphs[1]
    model.load_state_dict(other.state_dict(), assign=True)
    steps.step(tokens, pool)
    assert steps._graphs[1] is not first


def test_a_processor_has_no_graphs(make_model: Callable[..., RWKV7]) -> None:
    model = make_model("tiny")
    pool = StatePool(model.geometry, 4)
    pool.take(4)
    with torch.no_grad():
        hidden = graphs.stepper(model)(torch.tensor([1, 2]), pool)
        expected = model.step(torch.tensor([1, 2]), zero_tensors(model.geometry, 2))
    assert torch.equal(hidden, expected)


class OnDevice(TorchFunctionMode):
    """Raises when something comes from the processor, or goes there, which a graph cannot record."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.tensor, torch.as_tensor, Tensor.new_tensor, Tensor.item), f"found {func}"
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        assert all(x.device.type == "meta" for x in tensors), f"found {func} of {tensors}"
        return result


@pytest.mark.parametrize("name", ["tiny", "ngram"])
@torch.no_grad()
def test_a_step_takes_nothing_from_the_processor(
    name: str, make_model: Callable[..., RWKV7], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(name).to("meta")
    monkeypatch.setattr(model, "_compute_dtype", lambda: torch.float32)  # this device has no autocast
    state, tokens = zero_tensors(model.geometry, 3, "meta"), torch.zeros(3, dtype=torch.int64, device="meta")
    with OnDevice():
        hidden = model.step(tokens, state)
        for wrong in (lambda: hidden + torch.ones(()), lambda: tokens.new_tensor((1, 2))):
            with pytest.raises(AssertionError, match="found"):
                wrong()
    assert hidden.shape == (3, model.geometry.width)


def test_nothing_is_imported_that_is_not_needed() -> None:
    command = (
        "import sys, aegir_dspy.rwkv\n"
        "assert not {'triton', 'fla', 'aegir_dspy.rwkv.cuda.kernels'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", command], check=True)


@pytest.mark.parametrize("value", ["torch", "0"])
def test_torch_alone_when_it_is_wanted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "find_spec", lambda name: object())
    layers.has_triton.cache_clear()
    assert layers.has_triton()
    layers.has_triton.cache_clear()
    monkeypatch.setenv("AEGIR_KERNELS", value)
    assert not layers.has_triton()
    layers.has_triton.cache_clear()


def test_what_flash_linear_attention_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the recurrence it documents in its place: state (K, V), the logarithm of the decay, no scale."""

    def chunks(*, q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, gk: Tensor, scale: float,
               initial_state: Tensor, output_final_state: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
        assert {x.dtype for x in (q, k, v, a, b)} == {torch.bfloat16}
        assert output_final_state
        state, outputs = initial_state, []
        q, k, v, a, b = (x.float() for x in (q, k, v, a, b))
        for t in range(q.shape[1]):
            read = torch.einsum("bhkv,bhk->bhv", state, a[:, t])
            state = state * gk[:, t].exp().unsqueeze(-1) + torch.einsum("bhk,bhv->bhkv", b[:, t], read)
            state = state + torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
            outputs.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t] * scale))
        return torch.stack(outputs, 1).bfloat16(), state

    monkeypatch.setattr(learning, "_chunks", lambda: chunks)
    found, expected = parts(2, 20, 2, 16), parts(2, 20, 2, 16)
    for x in (*found, *expected):
        x.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = learning.learn(*found)
    other, other_state = _wkv_chunks(*expected)
    assert y.dtype == torch.float32
    near(y, other, 4e-2)
    near(state, other_state, 4e-2)
    (y.square().sum() + state.square().sum()).backward()
    (other.square().sum() + other_state.square().sum()).backward()
    for one, two in zip(found, expected, strict=True):
        assert one.grad is not None
        near(one.grad, two.grad, 8e-2)


# On a GPU.


@needs_cuda
@pytest.mark.parametrize("dtype", TOLERANCE)
@torch.no_grad()
def test_cuda_layers_are_the_processors(
    dtype: torch.dtype, make_weights: Callable[..., Any], geometries: dict[str, Any]
) -> None:
    geometry = geometries["L2-D128-N64-V300"]
    weights = Weights(make_weights(geometry), {}, {}, geometry, "")
    here, there = build_model(weights), build_model(weights, device="cuda", dtype=dtype)
    lengths, tokens, state = torch.tensor([40, 0, 7, 1]), torch.arange(160).view(4, 40), drawn(here, 4)
    hidden, after = here(tokens, state, lengths)
    moved = StateTensors(*(x.cuda() for x in state))
    found, found_after = there(tokens.cuda(), moved, lengths.cuda())
    real = torch.arange(40) < lengths.unsqueeze(1)
    near(found.cpu()[real], hidden[real], 10 * TOLERANCE[dtype])
    near(found_after.kv, after.kv, 10 * TOLERANCE[dtype])
    near(there.step(tokens[:, 0].cuda(), found_after), here.step(tokens[:, 0], after), 10 * TOLERANCE[dtype])
    near(found_after.kv, after.kv, 10 * TOLERANCE[dtype])


@needs_cuda
@torch.no_grad()
def test_cuda_recurrence_is_the_processors() -> None:
    there = parts(3, 50, 2, 64, "cuda")
    expected = _wkv_chunks(*parts(3, 50, 2, 64))
    for one, other in zip(wkv_prefill(*there), expected, strict=True):
        near(one, other, 1e-4)
    near(
        wkv_transition(*(there[i] for i in (1, 4, 5))),
        wkv_transition(*(parts(3, 50, 2, 64)[i] for i in (1, 4, 5))),
        1e-4,
    )


@needs_cuda
def test_cuda_generates_what_a_processor_does(checkpoint: Callable[..., Path]) -> None:
    path = checkpoint("L4-D256-N64")
    here, there = Engine.load(path), Engine.load(path, device="cuda")
    prompts = [f"prompt {i}" * (i + 1) for i in range(13)]
    configs = [GenerationConfig(max_tokens=4 + 3 * i) for i in range(13)]  # streams leave one by one
    expected = here.generate(prompts, config=configs)
    for _ in range(2):  # the second time from graphs that are there
        found = there.generate(prompts, config=configs)
        assert [one.tokens for one in found] == [one.tokens for one in expected]
        for one, other in zip(found, expected, strict=True):
            near(one.state.tensors.kv, other.state.tensors.kv, 1e-3)


@needs_cuda
def test_cuda_graphs_are_kept_between_requests(checkpoint: Callable[..., Path]) -> None:
    engine = Engine.load(checkpoint("L4-D256-N64"), device="cuda")
    engine.generate(["one"])
    kept = engine.scheduler._kept
    engine.generate(["two"])
    assert kept is not None
    assert engine.scheduler._kept is kept
