from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.errors import StateError
from aegir_dspy.latent import FusionMode, fuse, fuse_tensors, fusion_weights
from aegir_dspy.latent.fusion import side_by_side
from aegir_dspy.rwkv import RWKV7, Identity, State, StateTensors
from aegir_dspy.rwkv.recurrence import chunk_maps, wkv_prefill

MODES: tuple[FusionMode, ...] = ("sum", "sqrt", "mean")


def states_of(count: int, seed: int = 0, layers: int = 2, heads: int = 2, size: int = 4) -> StateTensors:
    generator = torch.Generator().manual_seed(seed)
    width = heads * size
    return StateTensors(
        torch.randn(layers, 2, count, width, generator=generator),
        torch.randn(layers, count, heads, size, size, generator=generator),
        torch.randint(1, 256, (count, 3), generator=generator),
    )


def masks(agents: int, receivers: int = 4) -> st.SearchStrategy[Tensor]:
    row = st.lists(st.booleans(), min_size=agents, max_size=agents)
    return st.lists(row, min_size=1, max_size=receivers).map(torch.tensor)


@pytest.mark.parametrize("mode", MODES)
@given(members=masks(6), seed=st.integers(0, 5))
def test_fusion_is_the_weighted_sum_of_its_members(mode: FusionMode, members: Tensor, seed: int) -> None:
    states = states_of(6, seed)
    fused = fuse_tensors(states, members, mode)
    for m, row in enumerate(members):
        chosen = states.select(row.nonzero().flatten())
        count = max(1, chosen.batch)
        scale = {"sum": 1.0, "sqrt": count**-0.5, "mean": 1 / count}[mode]
        torch.testing.assert_close(fused.kv[:, m], chosen.kv.sum(1) * scale)
        torch.testing.assert_close(fused.shift[:, :, m], chosen.shift.sum(2) / count)


@pytest.mark.parametrize("mode", MODES)
@given(members=masks(6), order=st.permutations(range(6)))
def test_the_order_of_agents_does_not_matter(mode: FusionMode, members: Tensor, order: list[int]) -> None:
    states = states_of(6)
    one, two = (
        fuse_tensors(states, members, mode),
        fuse_tensors(states.select(order), members[:, order], mode),
    )
    torch.testing.assert_close(one.kv, two.kv)
    torch.testing.assert_close(one.shift, two.shift)


@given(members=masks(5), seed=st.integers(0, 3))
def test_who_else_is_in_the_batch_changes_no_bit(members: Tensor, seed: int) -> None:
    states, others = states_of(5, seed), states_of(40, seed + 10)
    crowd = side_by_side([others, states, others])
    padded = torch.nn.functional.pad(members, (40, 40))
    crowded = torch.cat([torch.ones(3, 85, dtype=torch.bool), padded])
    alone, among = fuse_tensors(states, members), fuse_tensors(crowd, crowded)
    assert torch.equal(alone.kv, among.kv[:, 3:])
    assert torch.equal(alone.shift, among.shift[:, :, 3:])
    assert torch.equal(alone.tail, among.tail[3:])


@pytest.mark.parametrize("mode", MODES)
def test_one_member_is_itself_and_none_is_zero(mode: FusionMode) -> None:
    states = states_of(3)
    fused = fuse_tensors(states, torch.tensor([[False, True, False], [False] * 3]), mode)
    second = states.select([1])
    assert all(
        torch.equal(a, b) for a, b in zip(fused._replace(tail=fused.tail).select([0]), second, strict=True)
    )
    assert all(not tensor.any() for tensor in fused.select([1]))


def test_weights() -> None:
    members = torch.tensor([[True, True, True, True], [True, False, False, False], [False] * 4])
    for mode, each in (("sum", 1.0), ("sqrt", 0.5), ("mean", 0.25)):
        weights = fusion_weights(members, mode)
        assert weights.tolist() == [[each] * 4, [1.0, 0, 0, 0], [0.0] * 4]


def test_fusion_is_differentiable_in_the_states() -> None:
    states = states_of(3)
    states.kv.requires_grad_()
    fuse_tensors(states, torch.tensor([[True, True, False]])).kv.sum().backward()
    assert states.kv.grad is not None
    torch.testing.assert_close(states.kv.grad[:, :2], torch.full_like(states.kv[:, :2], 2**-0.5))
    assert not states.kv.grad[:, 2].any()


def immutable(count: int, model: RWKV7, checkpoint: str = "c") -> list[State]:
    with torch.no_grad():
        _, states = model(torch.arange(97, 97 + 5 * count).view(count, 5))
    identity = Identity(checkpoint, "bytes", model.geometry)
    return [State(states.select([i]), identity, 5 + i) for i in range(count)]


def test_states_fuse_in_any_order_to_the_same_digest(tiny_model: RWKV7) -> None:
    states = immutable(4, tiny_model)
    fused = fuse(states)
    assert fused.digest == fuse(states[::-1]).digest == fuse([states[i] for i in (2, 0, 3, 1)]).digest
    assert fused.tokens == 5 + 6 + 7 + 8
    assert fused.digest != fuse(states[:3]).digest
    torch.testing.assert_close(fused.tensors.kv, sum(s.tensors.kv for s in states) / 2)


def test_fusing_strangers_is_refused(tiny_model: RWKV7) -> None:
    ours, theirs = immutable(1, tiny_model), immutable(1, tiny_model, "another")
    with pytest.raises(StateError, match="expected a state with checkpoint c, found another"):
        fuse([*ours, *theirs])
    other = replace(theirs[0], identity=replace(ours[0].identity, tokenizer="world"))
    with pytest.raises(StateError, match="tokenizer bytes, found world"):
        fuse([*ours, other])
    with pytest.raises(StateError, match="at least one state"):
        fuse([])


@settings(max_examples=25)
@given(first=st.integers(1, 40), second=st.integers(1, 40), seed=st.integers(0, 5))
def test_reading_two_chunks_is_composing_their_affine_maps(first: int, second: int, seed: int) -> None:
    """S_AB = M_B (M_A S + U_A) + U_B: why states of separately read columns add up at all."""
    generator = torch.Generator().manual_seed(seed)
    length = first + second

    def draw() -> Tensor:
        return torch.randn(2, length, 2, 8, generator=generator)

    r, k, v = draw(), draw(), draw()
    log_w = -0.6 * torch.sigmoid(draw())
    erase = torch.nn.functional.normalize(draw(), dim=-1)
    a, b = -erase, erase * torch.sigmoid(draw())
    start = torch.randn(2, 2, 8, 8, generator=generator)
    _, whole = wkv_prefill(r, log_w, k, v, a, b, start)
    state = start
    for part in (slice(0, first), slice(first, length)):
        m, u = chunk_maps(*(x[:, part] for x in (log_w, k, v, a, b)))
        state = m @ state + u
    torch.testing.assert_close(state, whole, rtol=1e-3, atol=1e-4)
    m_a, u_a = chunk_maps(*(x[:, :first] for x in (log_w, k, v, a, b)))
    m_b, u_b = chunk_maps(*(x[:, first:] for x in (log_w, k, v, a, b)))
    m_ab, u_ab = chunk_maps(log_w, k, v, a, b)
    torch.testing.assert_close(m_b @ m_a, m_ab, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(m_b @ u_a + u_b, u_ab, rtol=1e-3, atol=1e-4)
