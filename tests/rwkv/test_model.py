"""The network against itself: step and prefill, batches, padding, borders of chunks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.rwkv import StateTensors, zero_tensors
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.recurrence import wkv_prefill, wkv_step

pytestmark = pytest.mark.filterwarnings("error")


def by_steps(model: RWKV7, tokens: Tensor, state: StateTensors | None = None) -> tuple[Tensor, StateTensors]:
    start = state or zero_tensors(model.geometry, tokens.shape[0])
    copy = StateTensors(*(t.clone() for t in start))
    with torch.no_grad():
        hidden = [model.step(column, copy) for column in tokens.unbind(1)]
    return torch.stack(hidden, 1), copy


def random_tokens(batch: int, length: int, seed: int = 0) -> Tensor:
    """Bytes, with the boundary bytes of the n-gram memory among them."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 256, (batch, length), generator=generator)
    boundary = torch.rand(batch, length, generator=generator) < 0.15
    return torch.where(boundary, torch.randint(0x1C, 0x1E, (batch, length), generator=generator), tokens)


@pytest.mark.parametrize("name", ["tiny", "ngram", "L2-D128-N64-V300"])
def test_step_is_prefill(make_model, close, name):
    model = make_model(name)
    tokens = random_tokens(3, 37)
    with torch.no_grad():
        hidden, state = model(tokens)
    stepped, stepped_state = by_steps(model, tokens)
    torch.testing.assert_close(hidden, stepped, rtol=1e-4, atol=1e-5)
    close(state, stepped_state, 2e-5)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6), seed=st.integers(0, 9))
@pytest.mark.parametrize("name", ["tiny", "ngram"])
def test_ragged_batch_is_each_alone(make_model, close, name, lengths, seed):
    model = make_model(name)
    tokens = random_tokens(len(lengths), max(lengths) or 1, seed)
    with torch.no_grad():
        _, start = model(random_tokens(len(lengths), 5, seed + 100))
        hidden, together = model(tokens, start, torch.tensor(lengths))
        for row, length in enumerate(lengths):
            alone = start.select([row])
            if length:
                single, alone = model(tokens[row : row + 1, :length], alone)
                torch.testing.assert_close(hidden[row : row + 1, :length], single, rtol=1e-4, atol=1e-5)
            close(together.select([row]), alone, 2e-5)


def test_what_pads_does_not_matter(make_model):
    model = make_model("ngram")
    tokens, lengths = random_tokens(2, 20), torch.tensor([20, 7])
    other = tokens.clone()
    other[1, 7:] = 99
    with torch.no_grad():
        one, two = model(tokens, None, lengths)[1], model(other, None, lengths)[1]
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("name", ["tiny", "ngram"])
def test_one_reading_is_many_pieces(make_model, close, name):
    model = make_model(name)
    tokens = random_tokens(2, 70)
    with torch.no_grad():
        whole, state = model(tokens)
        parts, between = [], None
        for piece in tokens.split([1, 15, 16, 17, 2, 19], 1):
            hidden, between = model(piece, between)
            parts.append(hidden)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)
    close(between, state, 2e-5)


def test_ngram_window_stops_at_boundaries(make_model):
    memory = make_model("ngram").ngram
    tail = torch.tensor([[65, 66, 67]])
    after = torch.tensor([[ord("x"), ord("y")]])
    with torch.no_grad():
        open_window = memory(after, tail)
        closed = memory(after, torch.tensor([[65, 66, 0x1D]]))
        also_closed = memory(after, torch.tensor([[90, 91, 0x1D]]))
    assert not torch.allclose(open_window, closed)
    assert torch.equal(closed, also_closed)  # what lies before the boundary is out of sight
    assert torch.count_nonzero(closed[0, 0]) == 0


def test_state_layout_matters(make_model):
    model = make_model()
    with torch.no_grad():
        state = model(random_tokens(1, 30))[1]
        turned = state._replace(kv=state.kv.transpose(-1, -2).contiguous())
        straight, other = (by_steps(model, torch.tensor([[7]]), s)[0] for s in (state, turned))
    assert (straight - other).abs().max() > 1e-2


def test_bfloat16_matrices_stay_near_float32(make_weights, geometries):
    from aegir_dspy.rwkv.checkpoint import Weights, build_model

    for name in ("tiny", "ngram"):
        weights = Weights(make_weights(geometries[name]), {}, {}, geometries[name], "")
        exact, rounded = build_model(weights), build_model(weights, dtype=torch.bfloat16)
        tokens = random_tokens(2, 20)
        full, (half, state) = exact(tokens)[0], rounded(tokens)
        assert rounded.head.weight.dtype == torch.bfloat16
        assert rounded.blocks[0].att.w0.dtype == state.kv.dtype == half.dtype == torch.float32
        error = (full - half).norm() / full.norm()
        assert 1e-5 < error < 0.05  # rounded indeed, and not by much
        torch.testing.assert_close(by_steps(rounded, tokens)[0], half, rtol=0.1, atol=0.1)


def loop(r, log_w, k, v, a, b, state):
    """The recurrence as the paper writes it, one token at a time, out of place."""
    outputs = []
    for t in range(r.shape[1]):
        read = torch.einsum("bhk,bhkv->bhv", a[:, t], state)
        state = state * log_w[:, t].exp().unsqueeze(-1)
        state = state + torch.einsum("bhk,bhv->bhkv", b[:, t], read)
        state = state + torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
        outputs.append(torch.einsum("bhk,bhkv->bhv", r[:, t], state))
    return torch.stack(outputs, 1), state


def recurrence_inputs(length: int, size: int = 4, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randn(2, length, 3, size, generator=generator, dtype=torch.float64) for _ in range(6)]
    draw[1] = -0.6065 * torch.sigmoid(draw[1])
    erase = torch.nn.functional.normalize(draw[4], dim=-1)
    draw[4], draw[5] = -erase, erase * torch.sigmoid(draw[5])
    start = torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)
    return [x.requires_grad_() for x in (*draw, start)]


@pytest.mark.parametrize("length", [1, 15, 16, 17, 40])
def test_gradients_match_autograd_through_the_loop(length):
    inputs = recurrence_inputs(length)
    weights = torch.randn(2, length, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = []
    for form in (loop, wkv_prefill):
        y, state = form(*inputs)
        loss = (y * weights).sum() + state.square().sum()
        gradients.append(torch.autograd.grad(loss, inputs))
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_gradcheck_of_the_recurrence():
    inputs = [x.detach()[:1, :, :1].requires_grad_() for x in recurrence_inputs(18, 2)[:6]]
    start = recurrence_inputs(18, 2)[6].detach()[:1, :1].requires_grad_()
    assert torch.autograd.gradcheck(wkv_prefill, (*inputs, start), atol=1e-7)


def test_gradient_of_the_initial_state_through_the_model(make_model):
    model = make_model("tiny", dtype=torch.float64)
    start = zero_tensors(model.geometry, 1, dtype=torch.float64)
    noise = torch.randn(start.kv.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    tokens = torch.tensor([[5, 80, 200]])
    assert torch.autograd.gradcheck(
        lambda kv, shift: model(tokens, start._replace(kv=kv, shift=shift))[0].sum((0, 1))[:3],
        ((0.3 * noise).requires_grad_(), (start.shift + 0.1).requires_grad_()),
        fast_mode=True,
    )


def test_step_of_the_recurrence_is_the_loop():
    *inputs, state = (x.detach() for x in recurrence_inputs(6))
    expected, final = loop(*inputs, state)
    running = state.clone()
    outputs = [wkv_step(*(x[:, t] for x in inputs), running) for t in range(6)]
    torch.testing.assert_close(torch.stack(outputs, 1), expected)
    torch.testing.assert_close(running, final)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_cpu(make_model):
    model = make_model("ngram")
    tokens, lengths = random_tokens(3, 40), torch.tensor([40, 1, 22])
    with torch.no_grad():
        here, state = model(tokens, None, lengths)
        model.cuda()
        there, state_there = model(tokens.cuda(), None, lengths.cuda())
    torch.testing.assert_close(there.cpu()[0], here[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(state_there.kv.cpu(), state.kv, rtol=1e-3, atol=1e-4)
    model.cpu()
