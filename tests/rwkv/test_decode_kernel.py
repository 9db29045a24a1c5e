"""All layers in one compiled call: the numbers of torch, the same bits in any batch, and what guards them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.errors import InputError
from aegir_dspy.rwkv import RWKV7, Engine, GenerationConfig, Geometry, Identity, StateTensors, zero_tensors
from aegir_dspy.rwkv import engine as engines
from aegir_dspy.rwkv.checkpoint import Weights, build_model
from aegir_dspy.rwkv.decoding import Batch, Stream
from aegir_dspy.rwkv.kernels import inference, library
from aegir_dspy.rwkv.kernels import network as networks
from aegir_dspy.rwkv.kernels.network import Network
from aegir_dspy.rwkv.kernels.packing import pack
from aegir_dspy.rwkv.scores import scores_of
from aegir_dspy.rwkv.tokenizer import tokenizer_named

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.skipif(library() is None, reason="no C compiler, and none was there at the build"),
]
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
NAMES = ["ngram", "L2-D128-N64-V300", "L4-D256-N64"]
ERROR = {"bf16": 0.03, "int8": 0.06}  # of logits, root of the mean square, relative to theirs
LEVELS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def model_of(make_weights, geometries) -> Callable[[str, str], RWKV7]:
    def make(name: str, kind: str) -> RWKV7:
        geometry: Geometry = geometries[name]
        plain = torch.float32 if kind == "fp32" else torch.bfloat16
        model = build_model(Weights(make_weights(geometry), {}, {}, geometry, ""), dtype=plain)
        model.packing = torch.int8 if kind == "int8" else None
        return model

    return make


@pytest.fixture
def level() -> Iterator[Callable[[int], int]]:
    """Sets which instructions may be used at most; back to all of them at the end."""
    kernels = library()
    assert kernels is not None
    yield kernels.aegir_level
    kernels.aegir_level(LEVELS[-1])


def tokens_of(batch: int, length: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (batch, length), generator=torch.Generator().manual_seed(seed))


def by_torch(model: RWKV7, tokens: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, StateTensors]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "library", lambda: None)
        hidden, state = model(tokens, None, lengths)
        return model.logits(hidden), state


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def same(one: StateTensors, two: StateTensors) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def copied(state: StateTensors) -> StateTensors:
    return StateTensors(*(tensor.clone() for tensor in state))


@torch.no_grad()
@pytest.mark.parametrize("most", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_float32_is_torchs_with_any_instructions(model_of, level, name, most):
    if level(most) < most:
        pytest.skip("this processor has no such instructions")
    model, tokens, lengths = model_of(name, "fp32"), tokens_of(3, 40, 1), torch.tensor([40, 0, 23])
    hidden, state = model(tokens, None, lengths)
    expected, state2 = by_torch(model, tokens, lengths)
    real = torch.arange(40) < lengths.unsqueeze(1)
    for found, wanted in (
        (model.logits(hidden)[real], expected[real]),
        *zip(state[:2], state2[:2], strict=True),
    ):
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max().clamp(min=1)


@torch.no_grad()
@pytest.mark.parametrize("most", LEVELS)
@pytest.mark.parametrize("kind", ERROR)
def test_small_types_are_as_near_as_stated_with_any_instructions(model_of, level, kind, most):
    if level(most) < most:
        pytest.skip("this processor has no such instructions")
    tokens = tokens_of(3, 30, 2)
    for name in NAMES[1:]:
        exact, _ = by_torch(model_of(name, "fp32"), tokens)
        model = model_of(name, kind)
        error = apart(model.logits(model(tokens)[0]), exact)
        assert 1e-4 < error < ERROR[kind]  # rounded indeed, and not by much
        level(LEVELS[-1])
        assert apart(model.logits(model(tokens)[0]), exact) == pytest.approx(error, rel=0.02)
        level(most)


@torch.no_grad()
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_has_the_same_bits_in_any_batch(model_of, name, kind):
    model, tokens = model_of(name, kind), tokens_of(33, 9, 3)
    start = model(tokens_of(33, 5, 4))[1]
    alone = []
    for row in range(33):
        state = start.select([row])
        hidden = torch.stack([model.step(token, state) for token in tokens[row : row + 1].unbind(1)], 1)
        alone.append((hidden, model.logits(hidden), state))
    for count in (1, 2, 3, 8, 33):
        state = copied(start.select(list(range(count))))
        stepped = torch.stack([model.step(column, state) for column in tokens[:count].unbind(1)], 1)
        read, after = model(tokens[:count], start.select(list(range(count))))
        assert torch.equal(stepped, read) and same(state, after)
        logits = model.logits(read)
        for row in range(count):
            hidden, expected, end = alone[row]
            assert torch.equal(read[row : row + 1], hidden) and same(after.select([row]), end)
            assert torch.equal(logits[row : row + 1], expected)


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=7),
    rows=st.integers(1, 60),
    threads=st.integers(1, 4),
    seed=st.integers(0, 99),
    kind=st.sampled_from(list(TYPES)),
)
def test_neither_pieces_nor_threads_nor_raggedness_change_a_bit(model_of, lengths, rows, threads, seed, kind):
    model = model_of("ngram" if seed % 2 else "L2-D128-N64-V300", kind)
    tokens = tokens_of(len(lengths), 40, seed)
    before = torch.get_num_threads()
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        start = model(tokens_of(len(lengths), 3, seed + 1))[1]
        maps: list[Tensor] = []
        hidden, together = model(tokens, start, torch.tensor(lengths), maps)
        patch.setattr(networks, "_ROWS", rows)
        patch.setattr(networks, "_WORTH", 0)
        torch.set_num_threads(threads)
        try:
            other_maps: list[Tensor] = []
            hidden2, together2 = model(tokens, start, torch.tensor(lengths), other_maps)
        finally:
            torch.set_num_threads(before)
        assert torch.equal(hidden, hidden2) and same(together, together2)
        assert all(torch.equal(a, b) for a, b in zip(maps, other_maps, strict=True))
        for row, length in enumerate(lengths):
            one, after = model(tokens[row : row + 1, :length], start.select([row]))
            assert torch.equal(one[0], hidden[row, :length]) and same(after, together.select([row]))


def test_callers_in_many_threads_do_not_disturb_each_other(model_of, monkeypatch):
    """Each has scratch of its own, and helpers that come late or not at all change nothing."""
    monkeypatch.setattr(networks, "_WORTH", 0)
    model, lengths = model_of("L2-D128-N64-V300", "bf16"), [1, 40, 3, 17, 30, 2]

    @torch.no_grad()
    def read(which: int) -> list[Tensor]:
        torch.set_num_threads(2)
        length = lengths[which % len(lengths)]
        hidden, state = model(tokens_of(1 + which % 4, length, which))
        return [hidden, state.kv, model.scores(hidden[:, -1], 256).logits]

    alone = [read(which) for which in range(24)]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(read, range(24)), alone, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("dtype", TYPES.values())
@pytest.mark.parametrize("sides", [(16, 64), (300, 128), (65, 192), (128, 64)])
def test_packing_moves_every_weight_to_its_place(dtype, sides):
    weight = torch.randint(-127, 128, sides, generator=torch.Generator().manual_seed(0)).float()
    weight[:, 0] = 127  # so that int8 has scale 1
    packed, together = pack(weight, dtype), 4 // dtype.itemsize
    zero = 128 if dtype == torch.int8 else 0
    assert (packed.width, packed.depth) == (sides[0] + -sides[0] % 16, sides[1])
    at = 0
    whole = packed.width // 64 * 64
    starts = [(start, 64) for start in range(0, whole, 64)]
    for start, wide in starts + [(start, 16) for start in range(whole, packed.width, 16)]:
        panel = packed.weights[at : at + wide * packed.depth].view(-1, wide, together)
        found = panel.transpose(0, 1).reshape(wide, packed.depth).float() - zero
        real = max(0, min(wide, sides[0] - start))
        assert torch.equal(found[:real], weight[start : start + real]) and not found[real:].any()
        at += wide * packed.depth
    assert at == packed.weights.numel()


@torch.no_grad()
@pytest.mark.parametrize("kind", TYPES)
def test_scores_are_torchs(model_of, kind):
    model, hidden = model_of("L2-D128-N64-V300", kind), torch.randn(21, 128)
    logits = model.logits(hidden)
    for choices in (1, 15, 16, 256, 299, 300):
        found, expected = model.scores(hidden, choices), scores_of(logits, choices)
        assert torch.equal(found.logits, logits) and torch.equal(found.best, expected.best)
        torch.testing.assert_close(found.total, expected.total, rtol=1e-6, atol=2e-6)
    tied = torch.zeros(2, 128)
    assert model.scores(tied, 300).best.tolist() == [0, 0]
    assert model.scores(hidden[:0], 300).best.tolist() == []
    room = found.logits
    again = model.scores(hidden[:7], 300, room)
    assert again.logits.data_ptr() == room.data_ptr() and torch.equal(again.logits, logits[:7])
    assert model.scores(torch.randn(50, 128), 300, room).logits.data_ptr() != room.data_ptr()


@torch.no_grad()
def test_tokens_beyond_the_vocabulary_are_refused(model_of):
    model = model_of("L2-D128-N64-V300", "fp32")
    for token in (300, -1, 1 << 40):
        with pytest.raises(IndexError, match=r"expected tokens in 0…299"):
            model(torch.tensor([[5, token]]))


@torch.no_grad()
def test_changed_weights_are_seen(make_model, make_weights, geometries):
    tokens, found = tokens_of(1, 6, 0), []
    model = make_model("L2-D128-N64-V300")
    found.append(model(tokens)[0])
    packed = model.packed()
    assert model.packed() is packed
    model.blocks[1].ffn.key.weight.mul_(1.5)
    found.append(model(tokens)[0])
    model.load_state_dict(make_weights(geometries["L2-D128-N64-V300"], 1), assign=True)
    found.append(model(tokens)[0])
    other = copy.deepcopy(model)
    assert torch.equal(other(tokens)[0], found[-1]) and other.packed() is not model.packed()
    other.ln_out.weight.add_(1)
    assert not torch.equal(other(tokens)[0], found[-1]) and torch.equal(model(tokens)[0], found[-1])
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[1], found[2])
    assert apart(model.to(torch.float64)(tokens)[0], found[-1].double()) < 1e-5


def engine_of(model: RWKV7, **options: int) -> Engine:
    identity = Identity("random", "bytes", model.geometry)
    return Engine(model, tokenizer_named("bytes"), identity, **options)


@pytest.mark.parametrize("kind", TYPES)
def test_streams_that_join_and_leave_are_each_alone(model_of, kind):
    """Through the real door, bit by bit: tokens, their probabilities and the states they leave."""
    model = model_of("L4-D256-N64", kind)
    prompts = [f"column {i} " * (1 + i % 4) for i in range(11)]
    configs = [
        GenerationConfig(max_tokens=1 + 7 * i % 23, temperature=float(i % 3 == 0), seed=i)
        for i in range(len(prompts))
    ]
    together = engine_of(model, max_batch=4).generate(prompts, config=configs)
    for prompt, config, found in zip(prompts, configs, together, strict=True):
        [alone] = engine_of(model).generate([prompt], config=config)
        assert (alone.tokens, alone.logprobs, alone.text) == (found.tokens, found.logprobs, found.text)
        assert same(alone.state.tensors, found.state.tensors)


def test_generating_is_done_by_the_kernels_without_new_rooms(model_of, monkeypatch):
    """Greedy steps: one call a step, the states and the logits where they were before."""
    model, calls = model_of("L2-D128-N64-V300", "bf16"), []
    read = Network.read

    def counted(self: Network, tokens: Tensor, *others: object) -> Tensor:
        calls.append(len(tokens))
        return read(self, tokens, *others)

    monkeypatch.setattr(Network, "read", counted)
    engine = engine_of(model)
    assert len(engine.generate(["a", "b"], config=GenerationConfig(max_tokens=9))) == 2
    assert len(calls) >= 2 and set(calls[1:]) <= {1, 2}
    batch, config = Batch(engine), GenerationConfig(max_tokens=40)
    batch.admit([
        Stream([], state, config, engine.tokenizer, None, lambda _: None, live=False)
        for state in engine.read(["x", "yz", "uvw"])
    ])  # fmt: skip
    places = set()
    with torch.no_grad():
        for _ in range(12):
            batch.step()
            rooms = (batch.pool.tensors.kv, batch.pool.tensors.shift, batch._room, *model.packed()._free)
            places.add(tuple(room.data_ptr() for room in rooms))
    assert len(batch.streams) == 3 and len(places) == 1


def test_idle_streams_cost_their_states(geometries):
    """300 slots: the floats of 300 states and, for a model with n-grams, their last tokens; nothing more."""
    for name, geometry in geometries.items():
        pool = zero_tensors(geometry, 300)
        held = sum(tensor.untyped_storage().nbytes() for tensor in pool)
        assert held <= 1.1 * 300 * 4 * geometry.state_floats, name


def test_types_of_weights_when_loading(checkpoint, monkeypatch):
    path = checkpoint("L4-D256-N64")
    small = Engine.load(path)
    assert small.model.emb.weight.dtype == torch.float32
    monkeypatch.setattr(engines, "_LARGE", 1)
    for pays, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(engines, "multiplies_bfloat16", lambda pays=pays: pays)
        assert Engine.load(path).model.emb.weight.dtype == dtype
    exact, rounded = Engine.load(path, dtype=torch.float32), Engine.load(path, dtype=torch.int8)
    [one], [two] = exact.read(["some text"]), rounded.read(["some text"])
    assert 1e-4 < apart(rounded.model.logits(two.hidden), exact.model.logits(one.hidden)) < ERROR["int8"]
    monkeypatch.setattr(engines, "library", lambda: None)
    with pytest.raises(InputError, match="expected the compiled kernels of a processor for int8"):
        Engine.load(path, dtype=torch.int8)


@torch.no_grad()
def test_not_a_number_is_not_hidden_in_int8(model_of):
    model = model_of("L2-D128-N64-V300", "int8")
    model.emb.weight[7] = torch.nan
    hidden, state = model(torch.tensor([[5, 7, 9], [5, 6, 9]]))
    assert hidden[0, 1:].isnan().all() and state.kv[0, 0].isnan().any()
    assert model.logits(hidden[0, 1:]).isnan().all()
    assert not hidden[1].isnan().any()
