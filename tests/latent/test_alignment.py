"""`AlignmentProjection`: identity, sizes, the fit, and whose states it takes and makes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from aegir_dspy.errors import InputError, StateError
from aegir_dspy.latent import AlignmentProjection, read_pieces
from aegir_dspy.latent.ridge import reduced_rank, ridge
from aegir_dspy.rwkv import RWKV7, Geometry
from aegir_dspy.rwkv.state import Identity, State, StateTensors

SMALL = Geometry(2, 8, 4, 256, 16, 4, 4, 4, 4)
LARGE = Geometry(3, 18, 6, 256, 36, 4, 4, 4, 4, ngram_buckets=7, ngram_width=2)
FORMS = ["low_rank", "bilinear"]


def states_of(g: Geometry, batch: int, seed: int = 0) -> StateTensors:
    generator = torch.Generator().manual_seed(seed)
    return StateTensors(
        torch.randn(g.layers, 2, batch, g.width, generator=generator),
        torch.randn(g.layers, batch, g.heads, g.head_size, g.head_size, generator=generator),
        torch.randint(0, 256, (batch, 3 if g.ngram_buckets else 0), generator=generator),
    )


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("geometry", [SMALL, LARGE])
def test_between_equal_geometries_it_starts_as_the_identity(form: str, geometry: Geometry) -> None:
    states = states_of(geometry, 5)
    aligned = AlignmentProjection(geometry, geometry, form=form)(states)  # type: ignore[arg-type]
    for a, b in zip(aligned, states, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("source", "target"), [(SMALL, LARGE), (LARGE, SMALL)])
def test_other_sizes_start_as_nothing_and_can_learn(form: str, source: Geometry, target: Geometry) -> None:
    projection = AlignmentProjection(source, target, rank=3, form=form)  # type: ignore[arg-type]
    states, wanted = states_of(source, 4), states_of(target, 4, 1)
    aligned = projection(states)
    assert [t.shape for t in aligned] == [t.shape for t in wanted]
    assert not aligned.kv.any()
    assert not aligned.shift.any()
    states.kv.requires_grad_()
    optimizer = torch.optim.Adam(projection.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        aligned = projection(states)
        loss = (aligned.kv - wanted.kv).square().mean() + (aligned.shift - wanted.shift).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    assert states.kv.grad is not None
    assert states.kv.grad.any()


@pytest.mark.parametrize("form", FORMS)
def test_aligning_and_adding_commute(form: str) -> None:
    projection = AlignmentProjection(SMALL, LARGE, form=form)  # type: ignore[arg-type]
    projection.fit(states_of(SMALL, 20), states_of(LARGE, 20, 1))
    states = states_of(SMALL, 3)
    with torch.no_grad():
        total = projection(states._replace(kv=states.kv.sum(1, keepdim=True).expand_as(states.kv))).kv[:, :1]
        torch.testing.assert_close(projection(states).kv.sum(1, keepdim=True), total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pairs", [60, 600])  # fewer and more than a target layer's floats
def test_the_fit_recovers_a_linear_map_of_low_rank(pairs: int) -> None:
    generator = torch.Generator().manual_seed(3)
    layers = (1, 0, 1)
    down, up = torch.randn(3, 32, 5, generator=generator), torch.randn(3, 5, 108, generator=generator)
    turn = torch.randn(6, 8, 18, generator=generator)
    source, new = states_of(SMALL, pairs), states_of(SMALL, 10, 9)

    def truth(states: StateTensors) -> StateTensors:
        kv = torch.bmm(torch.bmm(states.kv[list(layers)].flatten(2), down), up).view(3, -1, 3, 6, 6)
        shift = torch.bmm(states.shift[list(layers)].flatten(0, 1), turn).view(3, 2, -1, 18)
        return StateTensors(shift, kv, torch.zeros(states.batch, 3, dtype=torch.int64))

    projection = AlignmentProjection(SMALL, LARGE, rank=8, layers=layers)
    with torch.no_grad():
        aligned = projection.fit(source, truth(source), 1e-6)(new)
        assert error(aligned.kv, truth(new).kv) < 1e-3
        assert error(aligned.shift, truth(new).shift) < 1e-3
        tight = AlignmentProjection(SMALL, LARGE, rank=2, layers=layers).fit(source, truth(source), 1e-6)(new)
        assert 0.1 < error(tight.kv, truth(new).kv) < 1  # a rank too low keeps a part


def test_the_bilinear_fit_recovers_a_bilinear_map() -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = torch.randn(2, 2, 4, 4, generator=generator), torch.randn(2, 2, 4, 4, generator=generator)
    mix = torch.randn(2, 2, 2, generator=generator)
    source, new = states_of(SMALL, 100), states_of(SMALL, 10, 9)

    def truth(states: StateTensors) -> StateTensors:
        mixed = torch.einsum("lgh,lbhkv->lbgkv", mix, states.kv)
        return states._replace(kv=left.unsqueeze(1) @ mixed @ right.unsqueeze(1))

    projection = AlignmentProjection(SMALL, SMALL, form="bilinear")
    with torch.no_grad():
        aligned = projection.fit(source, truth(source), 1e-6)(new)
    assert error(aligned.kv, truth(new).kv) < 0.02
    assert error(aligned.shift, truth(new).shift) < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_other_weights_of_the_same_size_are_fitted_from_the_identity(tiny_model: RWKV7, form: str) -> None:
    """Pairs read by two models predict new pairs better than taking the states as they are, or nothing."""
    other = RWKV7(tiny_model.geometry)
    generator = torch.Generator().manual_seed(5)
    weights = {
        name: w + 0.1 * w.abs().mean() * torch.randn(w.shape, generator=generator)
        for name, w in tiny_model.state_dict().items()
    }
    other.load_state_dict(weights)
    pieces = [bytes(65 + (7 * i + 3 * j * j) % 50 for j in range(5 + i % 9)) + b"\x1d" for i in range(80)]
    with torch.no_grad():
        theirs, ours = (read_pieces(m, pieces, None, 512).states for m in (other, tiny_model))
        projection = AlignmentProjection(other.geometry, tiny_model.geometry, form=form)  # type: ignore[arg-type]
        train, test = list(range(60)), list(range(60, 80))
        before = error(projection(theirs.select(test)).kv, ours.select(test).kv)
        projection.fit(theirs.select(train), ours.select(train), 1e-2)
        after = error(projection(theirs.select(test)).kv, ours.select(test).kv)
    assert after < before
    assert after < 1


def test_a_fit_of_equal_states_stays_the_identity() -> None:
    states, new = states_of(SMALL, 30), states_of(SMALL, 4, 1)
    with torch.no_grad():
        aligned = AlignmentProjection(SMALL, SMALL).fit(states, states, 1e-6)(new)
    torch.testing.assert_close(aligned.kv, new.kv, rtol=1e-3, atol=1e-4)


def test_states_change_their_identity() -> None:
    source, target = Identity("a" * 64, "bytes", SMALL), Identity("b" * 64, "bytes", LARGE)
    projection = AlignmentProjection(source, target)
    aligned = projection.align(State(states_of(SMALL, 1), source, 7, torch.zeros(8)))
    assert (aligned.identity, aligned.tokens, aligned.hidden) == (target, 7, None)
    assert aligned.tensors.tail.tolist() == [[0, 0, 0]]
    with pytest.raises(StateError, match="expected a state with geometry L2·D8·N4, found L3·D18·N6"):
        projection.align(State(states_of(LARGE, 1), target))
    stranger = replace(source, checkpoint="c" * 64)
    with pytest.raises(StateError, match="checkpoint aaaaaaaaaaaa, found cccccccccccc"):
        projection.align(State(states_of(SMALL, 1), stranger))
    with pytest.raises(StateError, match="between two identities, found geometries"):
        AlignmentProjection(SMALL, LARGE).align(State(states_of(SMALL, 1), source))


def test_the_last_tokens_go_along_only_between_equal_tokenizers() -> None:
    ours = Identity("a", "bytes", LARGE)
    state = State(states_of(LARGE, 1), ours, 7)
    same = AlignmentProjection(ours, replace(ours, checkpoint="b")).align(state)
    assert torch.equal(same.tensors.tail, state.tensors.tail)
    other = AlignmentProjection(ours, replace(ours, checkpoint="b", tokenizer="world")).align(state)
    assert other.tensors.tail.tolist() == [[0, 0, 0]]


def test_the_layers_are_spread_or_given() -> None:
    deep = replace(SMALL, layers=7)
    assert AlignmentProjection(SMALL, deep).layers == (0, 0, 0, 0, 1, 1, 1)
    assert AlignmentProjection(deep, SMALL).layers == (0, 6)
    assert AlignmentProjection(deep, replace(SMALL, layers=1)).layers == (0,)
    states = states_of(deep, 2)
    picked = AlignmentProjection(deep, SMALL, layers=[3, 5])(states)
    torch.testing.assert_close(picked.kv, states.kv[[3, 5]])
    torch.testing.assert_close(picked.shift, states.shift[[3, 5]])
    with pytest.raises(InputError, match="each of 2 target layers one of the source's 7"):
        AlignmentProjection(deep, SMALL, layers=[0, 7])
    with pytest.raises(InputError, match="each of 2 target layers"):
        AlignmentProjection(deep, SMALL, layers=[0])


def test_what_does_not_fit_is_refused() -> None:
    projection = AlignmentProjection(SMALL, LARGE)
    with pytest.raises(StateError, match="expected states of L2·D8·N4, found matrices"):
        projection(states_of(LARGE, 2))
    with pytest.raises(StateError, match="expected pairs of states, found 3 of the source and 2"):
        projection.fit(states_of(SMALL, 3), states_of(LARGE, 2))
    with pytest.raises(StateError, match="found 0 of the source"):
        projection.fit(states_of(SMALL, 0), states_of(LARGE, 0))
    with pytest.raises(StateError, match="expected states of L3·D18·N6"):
        projection.fit(states_of(SMALL, 3), states_of(SMALL, 3))
    with pytest.raises(InputError, match="expected form low_rank or bilinear"):
        AlignmentProjection(SMALL, LARGE, form="flat")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rank of at least 1"):
        AlignmentProjection(SMALL, LARGE, rank=0)


def test_saved_and_loaded() -> None:
    pairs = states_of(SMALL, 20), states_of(LARGE, 20, 1)
    fitted = AlignmentProjection(SMALL, LARGE).fit(*pairs)
    loaded = AlignmentProjection(SMALL, LARGE, seed=5)
    loaded.load_state_dict(fitted.state_dict())
    assert torch.equal(fitted(pairs[0]).kv, loaded(pairs[0]).kv)


@pytest.mark.parametrize(("examples", "size"), [(30, 8), (8, 30)])
def test_ridge_in_both_forms_is_the_minimum(examples: int, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(examples, size, generator=generator), torch.randn(examples, 3, generator=generator)
    weights = ridge(x, y, 0.1)
    lam = 0.1 * x.double().square().sum() / min(examples, size)
    gradient = x.T.double() @ (x.double() @ weights - y.double()) + lam * weights
    assert gradient.abs().max() < 1e-9
    down, up = reduced_rank(x, y, 3, 0.1)
    torch.testing.assert_close(x.double() @ down @ up, x.double() @ weights)
    assert reduced_rank(x, torch.zeros_like(y), 3, 0.1)[0].isfinite().all()
