"""The compiled kernels against torch: the same numbers, whatever the batch, and a clean way without them."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.rwkv import RWKV7, StateTensors
from aegir_dspy.rwkv.checkpoint import Weights, build_model
from aegir_dspy.rwkv.kernels import gradients as gradienting
from aegir_dspy.rwkv.kernels import inference, library
from aegir_dspy.rwkv.kernels.library import SOURCE
from aegir_dspy.rwkv.recurrence import wkv_prefill, wkv_transition

pytestmark = pytest.mark.filterwarnings("error")
needs_kernels = pytest.mark.skipif(library() is None, reason="no C compiler, and none was there at the build")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A patch under which torch does all; undone at the end of the block that needs it."""
    with monkeypatch.context() as patch:
        yield patch


def in_torch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inference, "library", lambda: None)
    patch.setattr(gradienting, "library", lambda: None)


def parts(batch: int, length: int, heads: int, size: int, seed: int) -> list[Tensor]:
    """r, log_w, k, v, a, b and a state as a model would make them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    rows = (batch, length, heads, size)
    erase = torch.nn.functional.normalize(draw(*rows), dim=-1)
    slow = -0.606531 * torch.sigmoid(draw(*rows))
    state = draw(batch, heads, size, size)
    return [draw(*rows), slow, draw(*rows), draw(*rows), -erase, erase * torch.sigmoid(draw(*rows)), state]


def tokens_of(lengths: list[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (len(lengths), max([*lengths, 1])), generator=generator)


def near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    scale = float(expected.abs().max()) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * max(scale, 1.0))


def loaded(make_weights, geometry, dtype: torch.dtype) -> RWKV7:
    return build_model(Weights(make_weights(geometry), {}, {}, geometry, ""), dtype=dtype)


@needs_kernels
@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(0, 4),
    length=st.integers(1, 50),
    heads=st.integers(1, 3),
    size=st.sampled_from([16, 32, 48, 64, 128]),
    seed=st.integers(0, 99),
)
def test_recurrence_is_torchs(batch: int, length: int, heads: int, size: int, seed: int) -> None:
    arguments = parts(batch, length, heads, size, seed)
    before = arguments[-1].clone()
    assert inference.can_walk(*arguments)
    y, state = wkv_prefill(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        in_torch(patch)
        y2, state2 = wkv_prefill(*arguments)
    near(y, y2, 1e-5)
    near(state, state2, 1e-5)
    assert torch.equal(arguments[-1], before)


@needs_kernels
@pytest.mark.parametrize("name", ["ngram", "L2-D128-N64-V300", "L4-D256-N64"])
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(0, 45), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_model_is_torchs(make_weights, geometries, name: str, lengths: list[int], seed: int) -> None:
    model = loaded(make_weights, geometries[name], torch.float32)
    tokens, real = tokens_of(lengths, seed), torch.tensor(lengths)
    with torch.no_grad():
        start = model(tokens_of([5] * len(lengths), seed + 1))[1]
        assert inference.can_read(model, start)
        maps: list[Tensor] = []
        hidden, state = model(tokens, start, real, maps)
        with pytest.MonkeyPatch.context() as patch:
            in_torch(patch)
            assert not inference.can_read(model, start)
            maps2: list[Tensor] = []
            hidden2, state2 = model(tokens, start, real, maps2)
    mask = torch.arange(tokens.shape[1]) < real.unsqueeze(1)
    near(hidden[mask], hidden2[mask], 1e-5)
    for found, expected in zip((*state[:2], *maps), (*state2[:2], *maps2), strict=True):
        near(found, expected, 1e-5)
    assert torch.equal(state.tail, state2.tail)


@needs_kernels
def test_bfloat16_is_no_further_from_float32_than_torchs(make_weights, geometries, without) -> None:
    fine, coarse = (
        loaded(make_weights, geometries["L4-D256-N64"], dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    tokens = tokens_of([40] * 4, 0)
    with torch.no_grad():
        exact, ours = fine(tokens)[0], coarse(tokens)[0]
        in_torch(without)
        theirs = coarse(tokens)[0]
    assert (ours - exact).square().mean() < 1.1 * (theirs - exact).square().mean()


@needs_kernels
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    seed=st.integers(0, 99),
    order=st.randoms(use_true_random=False),
)
def test_recurrence_does_not_depend_on_the_batch(lengths: list[int], seed: int, order) -> None:
    *rows, state = parts(len(lengths), max(lengths), 2, 32, seed)
    turned = list(range(len(lengths)))
    order.shuffle(turned)
    together = wkv_prefill(*(x[turned] for x in rows), state[turned])
    for place, row in enumerate(turned):
        one, length = slice(row, row + 1), lengths[row]
        y, _ = wkv_prefill(*(x[one, :length] for x in rows), state[one])
        assert torch.equal(y[0], together[0][place, :length])
        whole = wkv_prefill(*(x[one] for x in rows), state[one])
        assert torch.equal(whole[1][0], together[1][place])


def gradients(rows: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
    leaves = [x.detach().clone().requires_grad_() for x in rows]
    results = wkv_prefill(*leaves)
    torch.autograd.backward(results, weights)
    found = tuple(x.grad for x in leaves)
    assert all(x is not None for x in found)
    return found  # type: ignore[return-value]


@needs_kernels
@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 40),
    heads=st.integers(1, 2),
    size=st.sampled_from([16, 32, 48, 64]),
    seed=st.integers(0, 99),
)
def test_gradients_are_torchs(batch: int, length: int, heads: int, size: int, seed: int) -> None:
    rows = parts(batch, length, heads, size, seed)
    weights = [rows[3] + 1, rows[6] - 1]
    assert gradienting.can_learn(*rows)
    ours = gradients(rows, weights)
    with pytest.MonkeyPatch.context() as patch:
        in_torch(patch)
        theirs = gradients(rows, weights)
    for found, expected in zip(ours, theirs, strict=True):
        near(found, expected, 1e-5)


@needs_kernels
def test_gradients_do_not_depend_on_the_batch_nor_on_threads() -> None:
    rows = parts(5, 37, 2, 64, 8)
    weights = [rows[3], rows[6]]
    whole = gradients(rows, weights)
    for row in range(5):
        one = gradients([x[row : row + 1] for x in rows], [x[row : row + 1] for x in weights])
        assert all(torch.equal(a[0], b[row]) for a, b in zip(one, whole, strict=True))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert all(torch.equal(a, b) for a, b in zip(gradients(rows, weights), whole, strict=True))
    finally:
        torch.set_num_threads(threads)


@needs_kernels
def test_a_training_step_is_torchs(make_weights, geometries) -> None:
    model = loaded(make_weights, geometries["ngram"], torch.float32).requires_grad_()
    tokens, lengths = tokens_of([30, 11, 0, 23], 6), torch.tensor([30, 11, 0, 23])
    found = []
    for torch_only in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if torch_only:
                in_torch(patch)
            model.zero_grad()
            hidden, state = model(tokens, None, lengths)
            (hidden[0].square().sum() + state.kv.square().sum()).backward()
            found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for ours, theirs in zip(*found, strict=True):
        near(ours, theirs, 2e-5)


@needs_kernels
def test_threads_change_nothing(make_weights, geometries) -> None:
    model = loaded(make_weights, geometries["L4-D256-N64"], torch.float32)
    arguments, tokens = parts(5, 60, 4, 64, 1), tokens_of([60] * 9, 2)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            with torch.no_grad():
                results.append((*wkv_prefill(*arguments), model(tokens)[1].kv))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(results[0][:2], results[1][:2], strict=True))
    near(results[0][2], results[1][2], 1e-5)


@needs_kernels
def test_steps_are_the_prefill_in_place(make_weights, geometries) -> None:
    model = loaded(make_weights, geometries["ngram"], torch.float32)
    tokens = tokens_of([21] * 3, 5)
    with torch.no_grad():
        hidden, after = model(tokens)
        state = model(tokens[:, :0])[1]
        place = state.kv.data_ptr()
        steps = torch.stack([model.step(column, state) for column in tokens.unbind(1)], 1)
    near(steps, hidden, 1e-5)
    near(state.kv, after.kv, 1e-5)
    near(state.shift, after.shift, 1e-5)
    assert torch.equal(state.tail, after.tail)
    assert state.kv.data_ptr() == place


@needs_kernels
def test_not_a_number_is_not_hidden(make_weights, geometries) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        model = loaded(make_weights, geometries["ngram"], dtype)
        model.emb.weight[7] = torch.nan
        tokens = torch.tensor([[5, 7, 9], [5, 6, 9]])
        with torch.no_grad():
            hidden, state = model(tokens)
        assert hidden[0, 1:].isnan().all()
        assert state.kv[0, 0].isnan().any()
        assert not hidden[1].isnan().any()


def test_odd_heads_and_doubles_are_left_to_torch(make_model) -> None:
    arguments = parts(1, 3, 1, 32, 0)
    arguments[2].requires_grad_()
    assert not inference.can_walk(*arguments)
    assert not gradienting.can_learn(*(x.double() for x in arguments))
    assert not gradienting.can_learn(*parts(1, 3, 1, 8, 0))
    assert not gradienting.can_learn(*parts(1, 3, 1, 128, 0))
    assert not inference.can_walk(*(x.double().detach() for x in arguments))
    assert not inference.can_walk(*parts(1, 3, 1, 8, 0))
    model = make_model("ngram")
    with torch.no_grad():
        state = model(tokens_of([2], 0))[1]
        assert inference.can_read(model, state) is (library() is not None)
        with torch.autocast("cpu", torch.bfloat16):
            assert not inference.can_read(model, state)
        assert not inference.can_read(model, StateTensors(*(t.double() for t in state)))
    assert not inference.can_read(model, state), "its parameters want gradients"


def test_transition_of_a_prefill_is_its_effect_on_a_state() -> None:
    r, log_w, k, v, a, b, state = parts(2, 19, 2, 32, 4)
    moved = wkv_prefill(r, log_w, k, v, a, b, state)[1]
    added = wkv_prefill(r, log_w, k, v, a, b, torch.zeros_like(state))[1]
    near(wkv_transition(log_w, a, b) @ state + added, moved, 1e-5)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ctypes.CDLL | None]]:
    """Looks for a library as a new process with an empty cache would."""
    monkeypatch.setenv("AEGIR_HOME", str(tmp_path))
    monkeypatch.delenv("AEGIR_KERNELS", raising=False)
    if any(SOURCE.parent.glob("_rwkv7*")):
        pytest.skip("the installed package has a compiled library")

    def look() -> ctypes.CDLL | None:
        library.cache_clear()
        return library()

    yield look
    library.cache_clear()


@pytest.mark.parametrize("why", ["told so", "no compiler", "broken compiler", "no place to write"])
def test_without_a_library_torch_does_it(fresh, tmp_path, monkeypatch, make_model, why) -> None:
    if why == "told so":
        monkeypatch.setenv("AEGIR_KERNELS", "torch")
    if why == "no compiler":
        monkeypatch.setattr(shutil, "which", lambda _: None)
    if why == "broken compiler":
        monkeypatch.setattr(shutil, "which", lambda _: shutil.os.path.realpath("/bin/false"))
    if why == "no place to write":
        (tmp_path / "kernels").write_text("a file where the folder should be")
    assert fresh() is None
    arguments = parts(2, 5, 1, 32, 0)
    assert not inference.can_walk(*arguments)
    assert wkv_prefill(*arguments)[0].isfinite().all()
    with torch.no_grad():
        assert make_model("ngram")(tokens_of([4, 2], 0))[0].isfinite().all()


@needs_kernels
def test_compiled_once_and_found_again(fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    assert fresh() is not None
    (made,) = (tmp_path / "kernels").iterdir()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert fresh() is not None
    other = tmp_path / "other" / "kernels" / made.name
    other.parent.mkdir(parents=True)
    other.write_bytes(b"garbage")
    monkeypatch.setenv("AEGIR_HOME", str(other.parents[1]))
    assert fresh() is None
