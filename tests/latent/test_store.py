from __future__ import annotations

import multiprocessing
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.errors import InputError, StateError
from aegir_dspy.latent import FrozenSpecialist
from aegir_dspy.latent.recall import Recall
from aegir_dspy.latent.store import StateStore, StoreConfig, content_key
from aegir_dspy.rwkv import Geometry, Identity, StateTensors

GEOMETRY = Geometry.small(2, 32, head_size=16)
OURS = Identity("a" * 64, "bytes", GEOMETRY)
THEIRS = replace(OURS, checkpoint="b" * 64)


def keys_of(count: int, first: int = 0, identity: Identity = OURS) -> list[str]:
    return [content_key(b"piece %d" % (first + i), identity) for i in range(count)]


def features_of(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 64, generator=torch.Generator().manual_seed(seed))


def states_of(count: int, seed: int = 0) -> StateTensors:
    generator = torch.Generator().manual_seed(seed)
    return StateTensors(
        torch.randn(2, 2, count, 32, generator=generator),
        torch.randn(2, count, 2, 16, 16, generator=generator),
        torch.zeros(count, 0, dtype=torch.int64),
    )


def shards(folder: Path, kind: str = "") -> list[Path]:
    return sorted(folder.glob(f"{kind}*.safetensors"))


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "states")


def test_what_is_kept_comes_back_bit_by_bit(store: StateStore) -> None:
    keys, features, states = keys_of(7), features_of(7), states_of(7)
    assert store.get_many(keys, OURS) == [None] * 7
    store.put_many(keys, OURS, features, states)
    for found in (store, StateStore(store.folder)):  # this object and another one
        kept = found.get_many(keys[::-1], OURS, states=True)
        for i, one in enumerate(reversed(kept)):
            assert one is not None
            assert one.state is not None
            assert torch.equal(one.features, features[i])
            assert all(torch.equal(a, b) for a, b in zip(one.state, states.select([i]), strict=True))
    alone = store.get(keys[0], OURS)
    assert alone is not None
    assert alone.state is None
    assert store.entries == 14


def test_a_thousand_columns_are_a_few_files(store: StateStore) -> None:
    store.put_many(keys_of(1000), OURS, features_of(1000))
    assert len(shards(store.folder)) == 1
    store.put_many(keys_of(1000), OURS, features_of(1000))  # nothing new
    assert len(shards(store.folder)) == 1
    assert all(store.get_many(keys_of(1000), OURS))


def test_features_without_a_state_are_no_answer_when_the_state_is_asked_for(store: StateStore) -> None:
    store.put_many(keys_of(2), OURS, features_of(2))
    assert store.get_many(keys_of(2), OURS, states=True) == [None, None]
    store.put_many(keys_of(1), OURS, features_of(1), states_of(1))
    assert [one is None for one in store.get_many(keys_of(2), OURS, states=True)] == [False, True]


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 2**-8), ("int8", 1 / 127)])
def test_rough_states_are_near_and_smaller(tmp_path: Path, dtype: str, bound: float) -> None:
    exact, rough = (
        StateStore(tmp_path / name, StoreConfig(dtype=name))  # type: ignore[arg-type]
        for name in ("float32", dtype)
    )
    states = states_of(64)
    for one in (exact, rough):
        one.put_many(keys_of(64), OURS, features_of(64), states)
    size = {one: shards(one.folder, "state")[0].stat().st_size for one in (exact, rough)}
    assert size[rough] < size[exact] * (0.65 if dtype == "bfloat16" else 0.45)
    kept = rough.get(keys_of(64)[5], OURS, states=True)
    assert kept is not None
    assert kept.state is not None
    scale = states.kv[:, 5:6].abs().amax((3, 4), keepdim=True)
    assert 0 < ((kept.state.kv - states.kv[:, 5:6]).abs() / scale).max() <= bound
    assert torch.equal(kept.state.shift, states.shift[:, :, 5:6])
    # a store that promises the same bits does not take rough states for its own
    promised = StateStore(rough.folder, StoreConfig())
    assert promised.get(keys_of(1)[0], OURS, states=True) is None
    assert promised.get(keys_of(1)[0], OURS) is not None


def poison_content(path: Path) -> None:
    tensors = load_file(path)
    tensors["features"][3, 7] += 1e-6
    save_file(tensors, path)


def poison_key(path: Path) -> None:
    """Two columns change places, each with its own digest: the digest knows its key."""
    tensors = load_file(path)
    for name in ("features", "digests"):
        tensors[name][[2, 3]] = tensors[name][[3, 2]]
    save_file(tensors, path)


def poison_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data), 50):
        data[at] ^= 1
    path.write_bytes(data)


def poison_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    torch.save({"features": torch.zeros(4, 64)}, path)


def fewer_rows(path: Path) -> None:
    save_file({name: tensor[:2].clone() for name, tensor in load_file(path).items()}, path)


@pytest.mark.parametrize(
    "poison", [poison_content, poison_key, poison_bit, poison_header, cut, empty, pickled, fewer_rows]
)
def test_a_poisoned_entry_is_refused_dropped_and_read_anew(
    store: StateStore, poison: Callable[[Path], None]
) -> None:
    keys, features = keys_of(4), features_of(4)
    store.put_many(keys, OURS, features)
    (path,) = shards(store.folder)
    poison(path)
    with (
        pytest.warns(UserWarning, match="it was deleted, its columns are read anew"),
        pytest.raises(StateError, match="found one that fails its check"),
    ):
        store.get(keys[3], OURS, strict=True)
    assert store.refused == 1
    assert shards(store.folder) == []
    assert store.get_many(keys, OURS) == [None] * 4
    store.put_many(keys, OURS, features)
    kept = store.get(keys[3], OURS, strict=True)
    assert kept is not None
    assert torch.equal(kept.features, features[3])


def test_a_state_whose_bits_were_changed_is_refused(store: StateStore) -> None:
    store.put_many(keys_of(3), OURS, features_of(3), states_of(3))
    (path,) = shards(store.folder, "state")
    tensors = load_file(path)
    tensors["kv"][0].mul_(-1)
    save_file(tensors, path)
    assert store.get(keys_of(3)[0], OURS) is not None  # the features are another shard
    with pytest.warns(UserWarning, match="another content than its digest says"):
        assert store.get(keys_of(3)[0], OURS, states=True) is None


def test_another_readers_entry_is_refused(store: StateStore) -> None:
    keys = keys_of(2)
    store.put_many(keys, THEIRS, features_of(2))
    with (
        pytest.warns(UserWarning, match="expected readings by aaaaaaaaaaaa"),
        pytest.raises(StateError, match="fails its check"),
    ):
        store.get(keys[0], OURS, strict=True)
    assert keys_of(1) != keys_of(1, identity=THEIRS)  # which is why nobody asks for it by accident


def test_another_geometry_is_refused_even_with_a_right_digest(store: StateStore) -> None:
    wide = replace(OURS, geometry=Geometry.small(2, 64, head_size=16))
    store.put_many(keys_of(1), wide, features_of(1))  # 64 features, where 128 would be its own
    with pytest.warns(UserWarning, match="found tensors of another model"):
        assert store.get(keys_of(1)[0], wide) is None


def test_what_was_signed_with_another_secret_is_refused(tmp_path: Path) -> None:
    ours = StateStore(tmp_path, StoreConfig(key=b"secret"))
    ours.put_many(keys_of(1), OURS, features_of(1))
    assert StateStore(tmp_path, StoreConfig(key=b"secret")).get(keys_of(1)[0], OURS) is not None
    for forger in (None, b"guess"):
        other = tmp_path / str(forger)
        StateStore(other, StoreConfig(key=forger)).put_many(keys_of(1), OURS, features_of(1, seed=9))
        victim = StateStore(other, StoreConfig(key=b"secret"))
        with pytest.warns(UserWarning, match="digest"):
            assert victim.get(keys_of(1)[0], OURS) is None
        assert victim.refused == 1
    assert "secret" not in repr(StoreConfig(key=b"secret"))


def test_the_key_tells_apart_all_that_decides_a_reading() -> None:
    keys = {
        content_key(b"a", OURS),
        content_key(b"b", OURS),
        content_key(b"a", THEIRS),
        content_key(b"a", replace(OURS, tokenizer="world")),
        content_key(b"a", OURS, how="cpu bfloat16"),
        content_key(b"a", OURS, start="cpu bfloat16"),
        content_key(b"", OURS, start="a"),
    }
    assert len(keys) == 7
    assert content_key(b"a", OURS) == content_key(b"a", replace(OURS))


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    one = StateStore(tmp_path / "one")
    one.put_many(keys_of(10), OURS, features_of(10))
    store = StateStore(tmp_path / "many", StoreConfig(max_bytes=8 * one.size + 100))
    for i in range(8):
        store.put_many(keys_of(10, first=10 * i), OURS, features_of(10, seed=i))
    assert store.entries == 80
    store.get_many(keys_of(10), OURS)  # the oldest is used again
    store.put_many(keys_of(20, first=80), OURS, features_of(20, seed=8))
    assert store.size <= store.config.max_bytes
    assert store.size == sum(path.stat().st_size for path in shards(store.folder))
    assert all(store.get_many(keys_of(10), OURS))
    assert not any(store.get_many(keys_of(10, first=10), OURS))
    assert all(store.get_many(keys_of(20, first=80), OURS))


def test_a_batch_larger_than_the_limit_leaves_what_fits(tmp_path: Path) -> None:
    store = StateStore(tmp_path, StoreConfig(max_bytes=100_000))
    store.put_many(keys_of(1000), OURS, features_of(1000))
    assert 50_000 < store.size <= 100_000
    assert 100 < sum(one is not None for one in store.get_many(keys_of(1000), OURS)) < 1000
    tiny = StateStore(tmp_path / "tiny", StoreConfig(max_bytes=1))
    tiny.put_many(keys_of(3), OURS, features_of(3))
    assert (tiny.size, tiny.entries, shards(tiny.folder)) == (0, 0, [])


def test_a_smaller_limit_holds_from_the_start(store: StateStore) -> None:
    for i in range(4):
        store.put_many(keys_of(10, first=10 * i), OURS, features_of(10, seed=i))
    again = StateStore(store.folder, StoreConfig(max_bytes=store.size // 2))
    assert 0 < again.size <= again.config.max_bytes


@pytest.mark.parametrize("damage", ["missing", "garbage", "truncated", "emptied"])
def test_a_lost_index_is_made_again_from_the_shards(store: StateStore, damage: str) -> None:
    keys, features = keys_of(5), features_of(5)
    store.put_many(keys, OURS, features, states_of(5))
    (index,) = store.folder.glob("*.sqlite")
    if damage == "missing":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"no database " * 1000)
    elif damage == "truncated":
        index.write_bytes(index.read_bytes()[:5000])
    else:
        index.write_bytes(b"")
    kept = store.get_many(keys, OURS, states=True)  # the object that was there all the time
    assert all(
        one is not None and torch.equal(one.features, f) for one, f in zip(kept, features, strict=True)
    )
    assert StateStore(store.folder).entries == 10


def test_an_index_that_names_other_files_touches_none(store: StateStore, tmp_path: Path) -> None:
    (tmp_path / "precious.safetensors").write_bytes(b"mine")
    (store.folder / "weights.safetensors").write_bytes(b"mine too")
    store.put_many(keys_of(1), OURS, features_of(1))
    (index,) = store.folder.glob("*.sqlite")
    with sqlite3.connect(index) as db:
        db.execute("UPDATE entries SET shard = '../precious.safetensors'")
        db.execute("INSERT INTO shards VALUES ('../precious.safetensors', 9000000000, 0)")
    assert store.get_many(keys_of(1), OURS) == [None]
    store.put_many(keys_of(2), OURS, features_of(2))
    StateStore(store.folder, StoreConfig(max_bytes=1))
    assert (tmp_path / "precious.safetensors").read_bytes() == b"mine"
    assert (store.folder / "weights.safetensors").read_bytes() == b"mine too"


def test_a_shard_that_another_process_evicted_is_no_answer(store: StateStore) -> None:
    store.put_many(keys_of(2), OURS, features_of(2))
    shards(store.folder)[0].unlink()
    assert store.get_many(keys_of(2), OURS) == [None, None]
    assert (store.refused, store.entries) == (0, 0)


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a folder to keep states in"):
        StateStore(tmp_path / "file")
    with pytest.raises(InputError, match="expected dtype float32"):
        StoreConfig(dtype="float16")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_bytes >= 1"):
        StoreConfig(max_bytes=0)


def test_a_disk_that_fails_is_a_warning_not_an_end(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aegir_dspy.latent.store.save_file", full)
    with pytest.warns(UserWarning, match="could not be kept"):
        store.put_many(keys_of(1), OURS, features_of(1))
    assert store.failed == 1
    assert list(store.folder.glob("*.tmp")) == []


def _work(folder: str, seed: int, limit: int, out: multiprocessing.Queue[tuple[int, int, int]]) -> None:
    """Read and write the same columns as the others, in another order."""
    torch.set_num_threads(1)
    store = StateStore(folder, StoreConfig(max_bytes=limit))
    rng, wrong, hits = random.Random(seed), 0, 0
    for _ in range(12):
        first = 10 * rng.randrange(6)
        keys, features, states = keys_of(10, first), features_of(10, first), states_of(10, first)
        kept = store.get_many(keys, OURS, states=True)
        for i, one in enumerate(kept):
            if one is not None and one.state is not None:
                hits += 1
                wrong += not torch.equal(one.features, features[i])
                wrong += not torch.equal(one.state.kv, states.kv[:, i : i + 1])
        store.put_many(keys, OURS, features, states)
    out.put((hits, wrong, store.refused + store.failed))


def test_several_processes_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # whence a new process imports this module
    limit = 200_000  # less than there is to keep
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[tuple[int, int, int]] = context.Queue()  # type: ignore[assignment]
    workers = [context.Process(target=_work, args=(str(tmp_path), seed, limit, out)) for seed in range(2)]
    for worker in workers:
        worker.start()
    done = [out.get(timeout=240) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(hits for hits, _, _ in done) > 0
    assert [(wrong, trouble) for _, wrong, trouble in done] == [(0, 0)] * 2
    store = StateStore(tmp_path, StoreConfig(max_bytes=limit))
    assert store.size == sum(path.stat().st_size for path in shards(tmp_path)) <= limit
    assert list(tmp_path.glob("*.tmp")) == []


# --- reading through the store ----------------------------------------------------------------------


PIECES = [b"price\x1f1.20\x1e3\x1d", b"mail\x1fa@b.de\x1d", b"Ann\x1eBob\x1d", b"2021-01-02\x1d"]
EVERY = torch.arange(len(PIECES))
OTHERS = ~torch.eye(len(PIECES), dtype=torch.bool)


def read_all(specialist: FrozenSpecialist) -> tuple[Recall, torch.Tensor, torch.Tensor]:
    recall = Recall(specialist, PIECES)
    alone = recall.alone(EVERY).features
    return recall, alone, recall.again(EVERY, recall.fused(OTHERS)).features


def test_a_second_reading_reads_nothing_and_gives_the_same_bits(bundle: Bundle, store: StateStore) -> None:
    plain, *expected = read_all(FrozenSpecialist(bundle.model, bundle.identity))
    lengths = torch.tensor([len(piece) for piece in PIECES])
    for tokens in (2 * lengths, 0 * lengths):
        recall, *found = read_all(FrozenSpecialist(bundle.model, bundle.identity, store=store))
        assert torch.equal(recall.tokens, tokens)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(plain.tokens, 2 * lengths)


def test_only_what_changed_is_read_again(bundle: Bundle, store: StateStore) -> None:
    specialist = FrozenSpecialist(bundle.model, bundle.identity, store=store)
    read_all(specialist)
    changed = [*PIECES[:3], b"2022-03-04\x1d"]
    recall = Recall(specialist, changed)
    recall.alone(EVERY)
    assert recall.tokens.tolist() == [0, 0, 0, len(changed[3])]
    found = recall.again(EVERY, recall.fused(OTHERS)).features  # the other states come from the store
    assert recall.tokens.tolist() == [len(p) * n for p, n in zip(changed, (1, 1, 1, 2), strict=True)]
    fresh = Recall(FrozenSpecialist(bundle.model, bundle.identity), changed)
    torch.testing.assert_close(found, fresh.again(EVERY, fresh.fused(OTHERS)).features)


def test_states_come_back_where_they_are_asked_for(bundle: Bundle, store: StateStore) -> None:
    readings = []
    for tokens in (sum(map(len, PIECES)) * 2, 0):
        recall = Recall(FrozenSpecialist(bundle.model, bundle.identity, store=store), PIECES)
        alone = recall.alone(EVERY, states=True)
        again = recall.again(EVERY, recall.fused(OTHERS), states=True)
        assert int(recall.tokens.sum()) == tokens
        readings.append((*alone.states, alone.features, *again.states, again.features))
    assert all(torch.equal(a, b) for a, b in zip(*readings, strict=True))


def test_context_mode_and_order_are_part_of_what_was_read(bundle: Bundle, store: StateStore) -> None:
    recall = Recall(FrozenSpecialist(bundle.model, bundle.identity, store=store), PIECES)
    ahead = Recall(recall.specialist, [PIECES[i] for i in (1, 0, 2, 3)])
    first = torch.tensor([[False, True, True, True]])
    names = {
        recall.fused(OTHERS).keys[0],
        recall.fused(first, "mean").keys[0],
        recall.fused(first & torch.tensor([True, True, True, False])).keys[0],
        ahead.fused(torch.tensor([[True, True, True, False]])).keys[0],
        ahead.fused(torch.tensor([[False, True, True, True]])).keys[0],
    }
    assert len(names) == 5
    assert recall.fused(first).keys == [recall.fused(OTHERS).keys[0]]


def test_other_weights_find_nothing(
    bundle: Bundle, make_bundle: Callable[..., Path], store: StateStore, tmp_path: Path
) -> None:
    read_all(FrozenSpecialist(bundle.model, bundle.identity, store=store))
    other = FrozenSpecialist.load(make_bundle(tmp_path / "other.safetensors", seed=1), store=store)
    recall, *_ = read_all(other)
    assert int(recall.tokens.sum()) == 2 * sum(map(len, PIECES))
    exact = FrozenSpecialist.load(
        make_bundle(tmp_path / "o.safetensors", seed=1), dtype=torch.float32, store=store
    )
    recall, *_ = read_all(exact)  # the same file in other arithmetic
    assert int(recall.tokens.sum()) == 2 * sum(map(len, PIECES))


def test_a_poisoned_store_changes_no_answer(bundle: Bundle, store: StateStore) -> None:
    specialist = FrozenSpecialist(bundle.model, bundle.identity, store=store)
    _, *expected = read_all(specialist)
    for path in shards(store.folder):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x40
        path.write_bytes(data)
    with pytest.warns(UserWarning, match="read anew"):
        recall, *found = read_all(specialist)
    assert store.refused > 0
    assert int(recall.tokens.sum()) > 0
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
