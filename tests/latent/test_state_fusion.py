"""`RWKVStateFusion`: every mode as it starts, as it is after training, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.errors import InputError, StateError
from aegir_dspy.latent import (
    AffineMaps,
    FrozenSpecialist,
    FusionConfig,
    RWKVStateFusion,
    compose,
    fuse,
    fuse_bmm,
    fuse_tensors,
)
from aegir_dspy.latent.fusion import fusion_weights, side_by_side, stacked
from aegir_dspy.rwkv import RWKV7, Geometry
from aegir_dspy.rwkv.state import Identity, State, StateTensors

GEOMETRY = Geometry(2, 12, 4, 256, 24, 4, 4, 4, 4)
SLOTS = 6
INVARIANT = [FusionConfig("weighted_sum"), FusionConfig("gated"), FusionConfig("concat_project")]
SLOTTED = [FusionConfig("gated", agents=SLOTS), FusionConfig("concat_project", agents=SLOTS, rank=3)]
LEARNED = [*INVARIANT, *SLOTTED]
FREE = [FusionConfig("sum"), FusionConfig("sqrt"), FusionConfig("mean"), FusionConfig("compose")]


def label(config: FusionConfig) -> str:
    return f"{config.mode}-{config.agents}"


def states_of(agents: int, seed: int = 0) -> StateTensors:
    generator = torch.Generator().manual_seed(seed)
    return StateTensors(
        torch.randn(2, 2, agents, 12, generator=generator),
        torch.randn(2, agents, 3, 4, 4, generator=generator),
        torch.randint(0, 256, (agents, 3), generator=generator),
    )


def maps_of(agents: int, seed: int = 0) -> AffineMaps:
    generator = torch.Generator().manual_seed(seed + 1000)
    return AffineMaps(torch.rand(2, agents, 3, 4, generator=generator))


def fusion(config: FusionConfig, trained: bool = False) -> RWKVStateFusion:
    """At its start, or with parameters as training might leave them."""
    module = RWKVStateFusion(config, GEOMETRY).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            if trained:
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module.requires_grad_(False)


def masks(agents: int) -> st.SearchStrategy[Tensor]:
    row = st.lists(st.booleans(), min_size=agents, max_size=agents)
    return st.lists(row, min_size=1, max_size=4).map(torch.tensor)


def whole(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.bool)


@pytest.mark.parametrize("config", LEARNED, ids=label)
@settings(max_examples=20)
@given(members=masks(SLOTS), seed=st.integers(0, 3))
def test_learned_modes_start_as_sum_over_root_n(config: FusionConfig, members: Tensor, seed: int) -> None:
    states = states_of(SLOTS, seed)
    expected = fuse_tensors(states, members, "sqrt")
    for found in (fusion(config)(states, members), fusion(config).train()(states, members)):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("agents", [1, 2, 3, 17, 40])
def test_the_start_is_sum_over_root_n_at_any_number(agents: int) -> None:
    states = states_of(agents)
    for config in INVARIANT:
        found = fusion(config)(states, whole(1, agents)).kv
        torch.testing.assert_close(found, states.kv.sum(1, keepdim=True) / agents**0.5)


@pytest.mark.parametrize("config", [*FREE, *LEARNED], ids=label)
def test_one_agent_is_itself_and_none_is_zero(config: FusionConfig) -> None:
    states, maps = states_of(3), maps_of(3)
    members = torch.tensor([[False, True, False], [False] * 3])
    fused = fusion(config)(states, members, maps)
    for a, b in zip(fused.select([0]), states.select([1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    after_training = fusion(config, trained=True)(states, members, maps)
    assert all(not tensor.any() for tensor in after_training.select([1]))
    nobody = fusion(config)(states, members[1:], maps)
    assert all(not tensor.any() for tensor in nobody)


def test_trained_softmax_modes_keep_a_single_agent_but_for_the_projection() -> None:
    states = states_of(1)
    gated = fusion(FusionConfig("gated", agents=2), trained=True)
    torch.testing.assert_close(gated(states, whole(1, 1)).kv, states.kv)
    weighted = fusion(FusionConfig("weighted_sum"), trained=True)
    assert not torch.allclose(weighted(states, whole(1, 1)).kv, states.kv)
    weighted.learned.project.zero_()  # type: ignore[union-attr, operator]
    torch.testing.assert_close(weighted(states, whole(1, 1)).kv, states.kv)


@pytest.mark.parametrize("config", [*FREE[:3], *INVARIANT], ids=label)
@settings(max_examples=20)
@given(members=masks(8), order=st.permutations(range(8)))
def test_the_order_of_agents_does_not_matter(config: FusionConfig, members: Tensor, order: list[int]) -> None:
    states, module = states_of(8), fusion(config, trained=True)
    one, two = module(states, members), module(states.select(order), members[:, order])
    torch.testing.assert_close(one.kv, two.kv)
    torch.testing.assert_close(one.shift, two.shift)


@pytest.mark.parametrize("config", SLOTTED, ids=label)
def test_slots_see_the_order(config: FusionConfig) -> None:
    states, module = states_of(4), fusion(config, trained=True)
    one, two = module(states, whole(1, 4)), module(states.select([1, 0, 2, 3]), whole(1, 4))
    assert not torch.allclose(one.kv, two.kv, atol=1e-3)


@pytest.mark.parametrize("config", [*FREE, *LEARNED], ids=label)
@given(members=masks(5), seed=st.integers(0, 3))
@settings(max_examples=20)
def test_who_else_is_there_does_not_matter(config: FusionConfig, members: Tensor, seed: int) -> None:
    """Agents outside the mask, and other receivers; to the last bit where that is promised."""
    states, others = states_of(5, seed), states_of(30, seed + 10)
    maps, crowd_maps = maps_of(5), AffineMaps(torch.cat([maps_of(30).matrix, maps_of(5).matrix], 1))
    crowd = side_by_side([others, states])
    rows = torch.nn.functional.pad(members, (30, 0))
    others_too = torch.zeros(2, 35, dtype=torch.bool)
    others_too[:, : (SLOTS if config.agents else 30)] = True
    module = fusion(config, trained=True)
    alone = module(states, members, maps)
    among = module(crowd, torch.cat([others_too, rows]), crowd_maps)
    exact = config not in (SLOTTED[1], FREE[3])
    for a, b in zip(alone, among.select(list(range(2, 2 + len(members)))), strict=True):
        torch.testing.assert_close(a, b, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5)


@pytest.mark.parametrize("config", [*FREE[:3], *LEARNED], ids=label)
@settings(max_examples=20)
@given(members=masks(SLOTS))
def test_one_product_is_member_by_member(config: FusionConfig, members: Tensor) -> None:
    states, module = states_of(SLOTS), fusion(config, trained=True)
    by_member, by_product = module(states, members), module.train()(states, members)
    for a, b in zip(by_member, by_product, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("receivers", [1, 3])
def test_fuse_bmm_in_either_layout(receivers: int) -> None:
    kv, weights = states_of(9).kv, torch.randn(2, 3, receivers, 9, generator=torch.Generator().manual_seed(1))
    expected = torch.einsum("lhmn,lnhkv->lmhkv", weights, kv)
    together = stacked(kv)
    assert torch.equal(together, kv)
    assert together.transpose(1, 2).is_contiguous()
    for layout in (kv, together, kv.transpose(-1, -2).contiguous().transpose(-1, -2)):
        found = fuse_bmm(layout, weights)
        torch.testing.assert_close(found, expected)
        place = found.data_ptr()
        again = fuse_bmm(layout, 2 * weights, found)
        assert again.data_ptr() == place
        torch.testing.assert_close(again, 2 * expected)
    members = whole(receivers, 9)
    shared = fuse_bmm(kv, fusion_weights(members, "mean"))
    torch.testing.assert_close(shared, kv.mean(1, keepdim=True).expand_as(shared))


@pytest.mark.parametrize("config", INVARIANT, ids=label)
def test_trained_modes_work_at_other_numbers(config: FusionConfig) -> None:
    """Sixteen copies of an agent weigh as a known multiple of one, whatever was trained."""
    module = fusion(config, trained=True)
    one = states_of(1)
    single = module(one, whole(1, 1)).kv
    many = module(one.select([0] * 16), whole(1, 16)).kv
    gain = 16 ** (1 - module.learned.power)  # type: ignore[union-attr]
    torch.testing.assert_close(many, single * gain.view(2, 1, 3, 1, 1), rtol=1e-4, atol=1e-5)


def test_weighted_sum_can_prefer_what_a_state_holds() -> None:
    """A query along one agent's key picks that agent out, and the weights still add up to N^(1 - power)."""
    states, module = states_of(4), fusion(FusionConfig("weighted_sum", temperature=0.01))
    learned = module.learned
    assert learned is not None
    keys = (learned.key.unsqueeze(1) * states.kv).sum(-1)  # type: ignore[operator]
    learned.query.copy_(keys[:, 2])  # type: ignore[operator]
    fused = module(states, whole(1, 4)).kv
    torch.testing.assert_close(fused, states.kv[:, 2:3] * 2, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mode", ["full", "diag"])
@pytest.mark.parametrize("order", ["given", "cyclic"])
def test_compose_is_compose(mode: str, order: str) -> None:
    states, maps = states_of(4), maps_of(4)
    if mode == "full":
        maps = AffineMaps(torch.diag_embed(maps.matrix))
    members = torch.tensor([[True, False, True, True]])
    module = RWKVStateFusion(FusionConfig("compose", order=order))  # type: ignore[arg-type]
    found = module(states, members, maps)
    chosen = [0, 2, 3]
    expected = compose(states.select(chosen), maps.select(chosen), order)  # type: ignore[arg-type]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("config", LEARNED, ids=label)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_states_and_every_parameter(config: FusionConfig, training: bool) -> None:
    module = fusion(config, trained=True).requires_grad_(True).train(training)
    states = states_of(SLOTS)
    states.kv.requires_grad_()
    states.shift.requires_grad_()
    fused = module(states, torch.tensor([[True] * SLOTS, [True] * 5 + [False]]))
    (fused.kv.square().sum() + fused.shift.square().sum()).backward()
    assert states.kv.grad is not None
    assert states.kv.grad.abs().sum((0, 2, 3, 4)).min() > 0
    assert states.shift.grad is not None
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("config", LEARNED, ids=label)
def test_a_few_steps_from_the_start_learn_something(config: FusionConfig) -> None:
    """No mode is stuck where it starts."""
    module = RWKVStateFusion(config, GEOMETRY)
    states, members = states_of(4), whole(1, 4)
    target = states.kv[:, 1:2]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        loss = (module(states, members).kv - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_what_a_frozen_specialist_read_can_be_trained_on(tiny_model: RWKV7) -> None:
    specialist = FrozenSpecialist(tiny_model, Identity("c", "bytes", tiny_model.geometry))
    states = specialist.read([b"a\x1d", b"bc\x1d"]).states
    module = RWKVStateFusion("weighted_sum", tiny_model.geometry)
    module(states, whole(1, 2)).kv.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("config", LEARNED, ids=label)
def test_the_state_dict_is_all_there_is(config: FusionConfig) -> None:
    states, members = states_of(SLOTS), whole(2, SLOTS)
    trained, fresh = fusion(config, trained=True), fusion(config)
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(trained(states, members).kv, fresh(states, members).kv)


def test_parameters_are_few() -> None:
    geometry = Geometry.small(6, 256, head_size=32)
    for config in INVARIANT:
        count = sum(p.numel() for p in RWKVStateFusion(config, geometry).parameters())
        assert count <= 2.1 * geometry.state_floats
    assert sum(p.numel() for p in RWKVStateFusion("compose", geometry).parameters()) == 0


def test_immutable_states_fuse_by_a_module(tiny_model: RWKV7) -> None:
    with torch.no_grad():
        _, read = tiny_model(torch.arange(97, 112).view(3, 5))
    identity = Identity("c", "bytes", tiny_model.geometry)
    states = [State(read.select([i]), identity, 5) for i in range(3)]
    module = RWKVStateFusion("weighted_sum", tiny_model.geometry).eval()
    fused = fuse(states, module)
    assert fused.digest == fuse(states[::-1], module).digest
    torch.testing.assert_close(fused.tensors.kv, fuse(states).tensors.kv)


def test_more_agents_than_slots_are_refused() -> None:
    states = states_of(8)
    for config in SLOTTED:
        module = fusion(config)
        module(states, torch.eye(8, dtype=torch.bool))  # eight agents, one for each receiver
        with pytest.raises(StateError, match=r"at most 6 agents a receiver, found 7: .*agents=0"):
            module(states, torch.tensor([[True] * 7 + [False]]))


def test_wrong_states_masks_and_configurations_are_refused() -> None:
    states, module = states_of(3), fusion(FusionConfig("weighted_sum"))
    with pytest.raises(StateError, match=r"expected a bool mask of members \(M, 3\), found .*\(1, 2\)"):
        module(states, whole(1, 2))
    with pytest.raises(StateError, match=r"found torch.float32 \(1, 3\)"):
        module(states, torch.ones(1, 3))
    other = states._replace(kv=torch.zeros(2, 3, 3, 8, 8))
    with pytest.raises(StateError, match=r"expected matrix states .*4, 4\), found .*8, 8\): align"):
        module(other, whole(1, 3))
    with pytest.raises(StateError, match="expected maps to compose, found none"):
        RWKVStateFusion("compose")(states, whole(1, 3))
    with pytest.raises(StateError, match="for 3 states, found"):
        RWKVStateFusion("compose")(states, whole(1, 3), maps_of(2))
    with pytest.raises(InputError, match="expected a geometry for the learned mode gated"):
        RWKVStateFusion("gated")
    with pytest.raises(InputError, match=r"found 'average': choose one of sum, sqrt"):
        FusionConfig("average")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="only gated and concat_project have slots"):
        FusionConfig("weighted_sum", agents=4)
    with pytest.raises(InputError, match="expected an order, found 'random'"):
        FusionConfig("compose", order="random")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="positive temperature"):
        FusionConfig("weighted_sum", temperature=0.0)
