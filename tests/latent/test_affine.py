"""Reading as an affine map: what a specialist exports, and composing it."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.errors import StateError
from aegir_dspy.latent import AffineMaps, FrozenSpecialist, compose, read_pieces
from aegir_dspy.rwkv import RWKV7
from aegir_dspy.rwkv.recurrence import chunk_maps, wkv_prefill, wkv_transition
from aegir_dspy.rwkv.state import Identity, StateTensors, zero_tensors

PIECES = [b"Ulm, Bonn\x1d", b"3\x1d", b"1999-01-02 2003-04-05 2011-10-30\x1d", b"ann@example.org\x1d"]


def inputs(length: int, seed: int = 0) -> list[Tensor]:
    """r, log_w, k, v, a, b of two streams, and a state that is not symmetric."""
    generator = torch.Generator().manual_seed(seed)
    r, w, k, v, e, i = (torch.randn(2, length, 3, 8, generator=generator) for _ in range(6))
    erase = torch.nn.functional.normalize(e, dim=-1)
    start = torch.randn(2, 3, 8, 8, generator=generator)
    return [r, -0.6 * torch.sigmoid(w), k, v, -erase, erase * torch.sigmoid(i), start]


def drawn(agents: int, diag: bool = False, seed: int = 0) -> tuple[StateTensors, AffineMaps]:
    generator = torch.Generator().manual_seed(seed)
    kv = torch.randn(2, agents, 3, 4, 4, generator=generator)
    m = torch.eye(4) * 0.5 + 0.2 * torch.randn(2, agents, 3, 4, 4, generator=generator)
    shift = torch.randn(2, 2, agents, 12, generator=generator)
    maps = AffineMaps(m)
    tail = torch.arange(3 * agents).view(agents, 3)
    return StateTensors(shift, kv, tail), maps.diagonal() if diag else maps


def by_hand(states: StateTensors, maps: AffineMaps, order: list[int]) -> Tensor:
    total = torch.zeros_like(states.kv[:, 0])
    for n in order:
        m = maps.matrix[:, n] if maps.full else torch.diag_embed(maps.matrix[:, n])
        total = m @ total + states.kv[:, n]
    return total


@settings(max_examples=20)
@given(length=st.sampled_from([1, 5, 16, 33, 80, 300]), seed=st.integers(0, 3))
def test_a_map_and_the_state_from_zero_are_continuing_the_recurrence(length: int, seed: int) -> None:
    r, log_w, k, v, a, b, start = inputs(length, seed)
    _, continued = wkv_prefill(r, log_w, k, v, a, b, start)
    _, update = wkv_prefill(r, log_w, k, v, a, b, torch.zeros_like(start))
    matrix = wkv_transition(log_w, a, b)
    torch.testing.assert_close(matrix @ start + update, continued, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(matrix, chunk_maps(log_w, k, v, a, b)[0], rtol=1e-4, atol=1e-5)


def test_the_transition_is_differentiable_and_short_and_long_ways_agree() -> None:
    _, log_w, _, _, a, b, _ = inputs(20)
    log_w.requires_grad_()
    with_gradients = wkv_transition(log_w, a, b)  # in chunks
    torch.testing.assert_close(with_gradients.detach(), wkv_transition(log_w.detach(), a, b))  # by steps
    with_gradients.sum().backward()
    assert log_w.grad is not None
    assert log_w.grad.abs().min() > 0


def test_the_first_layer_of_a_model_continues_exactly(tiny_model: RWKV7) -> None:
    """Its inputs do not depend on the matrix states before it."""
    reading = read_pieces(tiny_model, PIECES, None, 100, maps="full")
    assert reading.maps is not None
    zero = zero_tensors(tiny_model.geometry, len(PIECES))
    kv = torch.randn(zero.kv.shape, generator=torch.Generator().manual_seed(0))
    after = read_pieces(tiny_model, PIECES, zero._replace(kv=kv), 100)
    expected = reading.maps.apply(kv) + reading.states.kv
    torch.testing.assert_close(after.states.kv[0], expected[0], rtol=1e-5, atol=1e-5)
    turned = torch.einsum("lbhkv,lbhku->lbhuv", kv, reading.maps.matrix) + reading.states.kv
    assert not torch.allclose(after.states.kv[0], turned[0], atol=1e-2)  # the layout is told apart


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_maps_come_in_the_order_of_the_pieces_and_change_no_bit(tiny_model: RWKV7, kind: str) -> None:
    plain = read_pieces(tiny_model, PIECES, None, 1)
    reading = read_pieces(tiny_model, PIECES, None, 1, maps=kind)  # type: ignore[arg-type]
    assert plain.maps is None
    assert reading.maps is not None
    assert torch.equal(plain.features, reading.features)
    assert all(torch.equal(a, b) for a, b in zip(plain.states, reading.states, strict=True))
    size = (16,) if kind == "diag" else (16, 16)
    assert reading.maps.matrix.shape == (2, 4, 2, *size)
    for i, piece in enumerate(PIECES):
        alone = read_pieces(tiny_model, [piece], None, 1, maps="full").maps
        assert alone is not None
        alone = alone if kind == "full" else alone.diagonal()
        torch.testing.assert_close(alone.matrix, reading.maps.select([i]).matrix)
    empty = read_pieces(tiny_model, [], None, 1, maps=kind).maps  # type: ignore[arg-type]
    assert empty is not None
    assert empty.matrix.shape == (2, 0, 2, *size)


def test_a_frozen_specialist_exports_maps_on_any_number_of_threads(tiny_model: RWKV7) -> None:
    specialist = FrozenSpecialist(tiny_model, Identity("c", "bytes", tiny_model.geometry), 40)
    alone = specialist.read(PIECES, maps="diag").maps
    torch.set_num_threads(2)
    together = specialist.read(PIECES, maps="diag").maps
    assert alone is not None
    assert together is not None
    torch.testing.assert_close(alone.matrix, together.matrix)
    assert specialist.read(PIECES).maps is None


@pytest.mark.parametrize("diag", [False, True])
@given(members=st.lists(st.booleans(), min_size=5, max_size=5), seed=st.integers(0, 3))
def test_compose_is_one_after_the_other(diag: bool, members: list[bool], seed: int) -> None:
    states, maps = drawn(5, diag, seed)
    chosen = [n for n in range(5) if members[n]]
    mask = torch.tensor([members, [True] * 5, [False] * 5])
    given_order = compose(states, maps, "given", mask)
    cyclic = compose(states, maps, "cyclic", mask)
    torch.testing.assert_close(given_order.kv[:, 0], by_hand(states, maps, chosen))
    torch.testing.assert_close(given_order.kv[:, 1], by_hand(states, maps, list(range(5))))
    for m, agents in enumerate((chosen, list(range(5)))):
        rotations = [by_hand(states, maps, agents[i:] + agents[:i]) for i in range(len(agents))]
        if rotations:
            torch.testing.assert_close(cyclic.kv[:, m], torch.stack(rotations).mean(0))
            torch.testing.assert_close(cyclic.shift[:, :, m], states.shift[:, :, agents].mean(2))
    assert not given_order.kv[:, 2].any()
    assert not cyclic.kv[:, 2].any()


def test_cyclic_does_not_see_rotations_and_for_two_no_order() -> None:
    states, maps = drawn(4)
    whole = compose(states, maps, "cyclic").kv
    for i in range(4):
        turned = [(i + j) % 4 for j in range(4)]
        torch.testing.assert_close(compose(states.select(turned), maps.select(turned)).kv, whole)
    orders = [compose(states.select(list(o)), maps.select(list(o)), "given").kv for o in permutations((0, 2))]
    assert not torch.allclose(orders[0], orders[1])
    pairs = [compose(states.select(list(o)), maps.select(list(o))).kv for o in permutations((0, 2))]
    torch.testing.assert_close(*pairs)


@pytest.mark.parametrize("order", ["given", "cyclic"])
def test_one_member_is_itself(order: str) -> None:
    states, maps = drawn(3)
    fused = compose(states, maps, order, torch.tensor([[False, True, False]]))  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(fused, states.select([1]), strict=True))


def test_composing_comes_nearer_to_reading_in_a_row_than_adding(tiny_model: RWKV7) -> None:
    reading = read_pieces(tiny_model, PIECES, None, 100, maps="full")
    assert reading.maps is not None
    in_a_row = read_pieces(tiny_model, [b"".join(PIECES)], None, 100).states.kv
    composed = compose(reading.states, reading.maps, "given").kv
    added = reading.states.kv.sum(1, keepdim=True)
    assert (composed - in_a_row).norm() < 0.5 * (added - in_a_row).norm()


def test_gradients_reach_states_and_maps() -> None:
    states, maps = drawn(3)
    states.kv.requires_grad_()
    maps.matrix.requires_grad_()
    compose(states, maps).kv.square().sum().backward()
    assert states.kv.grad is not None
    assert states.kv.grad.abs().sum(dim=(0, 2, 3, 4)).min() > 0
    assert maps.matrix.grad is not None
    assert maps.matrix.grad.abs().sum(dim=(0, 2, 3, 4)).min() > 0


@pytest.mark.parametrize("diag", [False, True])
def test_maps_of_other_states_are_refused(diag: bool) -> None:
    states, maps = drawn(3, diag)
    with pytest.raises(StateError, match=r"for 3 states, found .* the same reading"):
        compose(states, maps.select([0, 1]))
