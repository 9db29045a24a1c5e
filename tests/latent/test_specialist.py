from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.annotator.bundle import Bundle, load_bundle
from aegir_dspy.latent import FrozenSpecialist, Reading, read_pieces, span_features


def some_pieces(count: int, seed: int = 0) -> list[bytes]:
    rng = random.Random(seed)
    texts = (bytes(rng.randrange(32, 127) for _ in range(rng.randrange(0, 120))) for _ in range(count))
    return [text + b"\x1d" for text in texts]


def assert_same(one: Reading, two: Reading, tolerance: float = 0.0) -> None:
    torch.testing.assert_close(one.features, two.features, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(one.states.kv, two.states.kv, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(one.states.shift, two.states.shift, rtol=tolerance, atol=tolerance)
    assert torch.equal(one.states.tail, two.states.tail)


@pytest.fixture(scope="module")
def specialist(bundle: Bundle) -> FrozenSpecialist:
    return FrozenSpecialist(bundle.model, bundle.identity)


@settings(max_examples=10)
@given(order=st.permutations(range(12)), batch_tokens=st.integers(1, 600))
def test_neither_order_nor_batch_changes_a_reading(
    specialist: FrozenSpecialist, order: list[int], batch_tokens: int
) -> None:
    pieces = some_pieces(12)
    whole = specialist.read(pieces)
    other = FrozenSpecialist(specialist.model, specialist.identity, batch_tokens)
    shuffled = other.read([pieces[i] for i in order])
    assert_same(Reading(whole.features[order], whole.states.select(order)), shuffled, 1e-5)


def test_float32_weights_read_alike(bundle_path, bundle: Bundle) -> None:
    model = load_bundle(bundle_path, dtype=torch.float32).model
    pieces = some_pieces(20)
    whole = FrozenSpecialist(model, bundle.identity).read(pieces)
    alone = FrozenSpecialist(model, bundle.identity, batch_tokens=1).read(pieces)
    assert_same(whole, alone, 1e-5)
    # bf16 matrices read the same columns a little differently, not another thing
    rough = FrozenSpecialist(bundle.model, bundle.identity).read(pieces)
    assert 0 < (rough.features - whole.features).norm() / whole.features.norm() < 0.1


def test_a_start_is_each_pieces_own(specialist: FrozenSpecialist) -> None:
    first, second = some_pieces(6), some_pieces(6, seed=1)
    after = specialist.read(second, specialist.read(first).states)
    for i in range(6):
        alone = specialist.read([second[i]], specialist.read([first[i]]).states)
        assert_same(Reading(after.features[[i]], after.states.select([i])), alone, 1e-5)
    assert not torch.allclose(after.features, specialist.read(second).features, atol=1e-2)


def test_threads_change_nothing_and_are_given_back(specialist: FrozenSpecialist) -> None:
    pieces = some_pieces(40)
    alone = specialist.read(pieces)
    torch.set_num_threads(2)
    together = FrozenSpecialist(specialist.model, specialist.identity, 300).read(pieces)
    assert torch.get_num_threads() == 2
    assert_same(alone, together, 1e-5)
    with pytest.raises(IndexError):  # a state for another number of streams
        specialist.read(pieces, specialist.read(pieces[:1]).states)
    assert torch.get_num_threads() == 2


def test_callers_in_several_threads_neither_disturb_each_other_nor_the_setting(
    specialist: FrozenSpecialist,
) -> None:
    pieces = some_pieces(30)
    alone = specialist.read(pieces)
    torch.set_num_threads(2)
    with ThreadPoolExecutor(4) as pool:
        readings = list(pool.map(lambda _: specialist.read(pieces), range(8)))
    assert torch.get_num_threads() == 2
    for reading in readings:
        assert_same(alone, reading, 1e-5)


def test_nothing_to_read(specialist: FrozenSpecialist) -> None:
    reading = specialist.read([])
    assert reading.features.shape == (0, 64)
    assert reading.states.batch == 0


def test_reading_for_training_has_gradients(tiny_model) -> None:
    model = tiny_model
    model.requires_grad_(True)
    try:
        reading = read_pieces(model, some_pieces(3), None, 100)
        reading.features.sum().backward()
        assert model.emb.weight.grad is not None
    finally:
        model.zero_grad(set_to_none=True)
        model.requires_grad_(False)


def test_span_features_are_mean_and_last() -> None:
    hidden = torch.arange(24.0).view(2, 4, 3)
    features = span_features(hidden, torch.tensor([1, 0]), torch.tensor([1, 0]), torch.tensor([3, 1]))
    assert features.tolist() == [
        [*hidden[1, 1:3].mean(0).tolist(), *hidden[1, 2].tolist()],
        [*hidden[0, 0].tolist(), *hidden[0, 0].tolist()],
    ]
