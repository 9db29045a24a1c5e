"""States as values, and the pool they live in while they are worked on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aegir_dspy.errors import StateError
from aegir_dspy.rwkv import Engine, Geometry, Identity, State, StatePool

SMALL = Geometry(2, 8, 4, 256, 16, 4, 4, 4, 4, ngram_buckets=7, ngram_width=3)


@pytest.mark.parametrize("name", ["tiny", "ngram"])
def test_saved_state_is_the_state(checkpoint, tmp_path, name):
    engine = Engine.load(checkpoint(name))
    [state] = engine.read(["some column\x1d"])
    state.save(tmp_path / "a.state")
    loaded = State.load(tmp_path / "a.state")
    assert loaded.digest == state.digest and loaded.identity == engine.identity and loaded.tokens == 12
    assert engine.generate([""], states=[loaded])[0].tokens == engine.generate([""], states=[state])[0].tokens


def test_digest_sees_contents_identity_and_count(engine, checkpoint):
    one, two, again = engine.read(["a", "b", "a"])
    other = Engine.load(checkpoint("tiny", 1)).read(["a"])[0]
    moved = State(one.tensors, Identity("0" * 64, "bytes", one.identity.geometry), one.tokens)
    counted = State(one.tensors, one.identity, 2)
    assert len({s.digest for s in (one, two, other, moved, counted)}) == 5
    assert again.digest == engine.read(["a", "b", "a"])[2].digest


@pytest.mark.parametrize("field", ["checkpoint", "tokenizer", "geometry", "layout"])
def test_identity_says_what_differs(field):
    values = {"checkpoint": "a" * 64, "tokenizer": "bytes", "geometry": SMALL, "layout": "HKV"}
    changed = {
        "checkpoint": "b" * 64,
        "tokenizer": "world",
        "geometry": Geometry.small(2, 64),
        "layout": "HVK",
    }
    mine, theirs = Identity(**values), Identity(**{**values, field: changed[field]})
    mine.require(Identity(**values))
    with pytest.raises(StateError, match=f"expected a state with {field} .*found.*align") as caught:
        mine.require(theirs)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(engine, tmp_path, checkpoint):
    path = tmp_path / "wrong.state"
    for content in (b"", b"no state", checkpoint("tiny").read_bytes()[:500]):
        path.write_bytes(content)
        with pytest.raises(StateError, match="expected a state written by"):
            State.load(path)
    [state] = engine.read(["a"])
    turned = state.tensors._replace(kv=state.tensors.kv[:1])
    State(turned, state.identity, 1).save(path)
    with pytest.raises(StateError, match="expected state tensors"):
        State.load(path)


class PoolMachine(RuleBasedStateMachine):
    """Every holder finds what it wrote, whatever the others do."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.held, self.mark = StatePool(SMALL, 6), {}, 0

    @rule(count=st.integers(0, 7))
    def take(self, count):
        if not self.pool.can_take(count):
            with pytest.raises(StateError, match="free slots"):
                self.pool.take(count)
            return
        slots = self.pool.take(count)
        assert len(set(slots)) == count and not set(slots) & set(self.held)
        for slot in slots:
            found = self.pool.read([slot])
            assert not any(t.any() for t in found)  # whatever the last holder left is gone
            self.mark += 1
            self.pool.write([slot], type(found)(*(torch.full_like(t, self.mark) for t in found)))
            self.held[slot] = self.mark

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        slots = data.draw(st.lists(st.sampled_from(sorted(self.held)), unique=True, min_size=1))
        self.pool.release(slots)
        for slot in slots:
            del self.held[slot]
        with pytest.raises(StateError, match="slots in use"):
            self.pool.release(slots[:1])

    @precondition(lambda self: len(self.held) > 1)
    @rule(data=st.data())
    def move(self, data):
        source, target = data.draw(st.permutations(sorted(self.held)))[:2]
        self.pool.move([source], [target])
        self.held[target] = self.held[source]

    @precondition(lambda self: self.pool.slots < 12)
    @rule(more=st.integers(0, 3))
    def grow(self, more):
        self.pool.grow(self.pool.slots + more)

    @invariant()
    def everything_is_where_it_was_put(self):
        assert self.pool.free == self.pool.slots - len(self.held)
        for slot, mark in self.held.items():
            assert all((t == mark).all() for t in self.pool.read([slot]))
            assert all((t == mark).all() for t in self.pool.first(slot + 1).select([slot]))


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def test_slots_that_do_not_exist_or_repeat_are_refused():
    pool = StatePool(SMALL, 3)
    pool.take(2)
    for wrong in ([2], [0, 0], [9], [-1]):
        with pytest.raises(StateError, match="slots in use"):
            pool.release(wrong)
    assert pool.free == 1
