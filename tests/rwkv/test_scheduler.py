"""Continuous batching: who shares a step with whom never changes what anybody gets."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
import time
import weakref
from dataclasses import replace

import pytest
import torch

from aegir_dspy.errors import ConstraintError, StateError
from aegir_dspy.rwkv import Engine, Generation, GenerationConfig, Grammar
from aegir_dspy.rwkv import scheduler as scheduler_module
from aegir_dspy.rwkv.decoding import Stream

SAMPLED = GenerationConfig(max_tokens=24, temperature=1.3, seed=5)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    return Engine(engine.model, engine.tokenizer, engine.identity, max_batch=64)


class Steps(list[int]):
    """How many streams shared each step. The next one waits until `awaited` streams are here."""

    awaited = 0


@pytest.fixture
def steps(engine, monkeypatch) -> Steps:
    taken = Steps()
    original = engine.model.step

    def step(tokens, state):
        until(lambda: engine.scheduler.busy + engine.scheduler.waiting >= taken.awaited)
        taken.awaited = 0
        taken.append(len(tokens))
        return original(tokens, state)

    monkeypatch.setattr(engine.model, "step", step)
    return taken


def until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_awaited_requests_share_steps(engine, steps):
    prompts = [f"prompt {i}" for i in range(64)]
    expected = [g.tokens for g in engine.generate(prompts, config=SAMPLED)]
    alone = sum(map(len, expected))
    steps.clear()
    steps.awaited = 64

    async def all_of_them():
        return await asyncio.gather(*(engine.agenerate(p, config=SAMPLED) for p in prompts))

    assert [g.tokens for g in asyncio.run(all_of_them())] == expected
    assert sum(steps) == alone and len(steps) <= 3 * 24 and max(steps) > 32


def test_threads_share_steps(engine, steps):
    config = replace(SAMPLED, max_tokens=60)
    expected = {i: engine.generate([f"prompt {i}"], config=config)[0].tokens for i in range(6)}
    steps.clear()
    steps.awaited, found = 6, {}

    def ask(i: int) -> None:
        found[i] = engine.generate([f"prompt {i}"], config=config)[0].tokens

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected and max(steps) > 1


def test_a_stream_joins_while_another_decodes(engine, steps):
    long = engine.stream("first", config=replace(SAMPLED, max_tokens=400))
    pieces = [next(long)]
    steps.awaited = 2
    [short] = engine.generate(["second"], config=SAMPLED)
    assert 2 in steps and short.text == engine.generate(["second"], config=SAMPLED)[0].text
    *rest, done = long
    assert "".join([*pieces, *rest]) == done.text


def test_requests_are_taken_in_their_order(engine):
    small = Engine(engine.model, engine.tokenizer, engine.identity, max_batch=2)
    order: list[int] = []
    config = GenerationConfig(max_tokens=6, grammar=Grammar.regex("[0-9]{5}"))
    streams = small._streams(["p"] * 9, None, config, lambda i, item: order.append(i), live=False)
    small.scheduler.submit(small, streams)
    until(lambda: len(order) == 9)
    assert order == sorted(order)


def test_long_prompts_are_read_in_pieces_between_the_steps_of_others(engine, steps, monkeypatch):
    monkeypatch.setattr(scheduler_module, "PIECE_TOKENS", 16)
    monkeypatch.setattr(scheduler_module, "_MOST", {"cpu": 16})
    monkeypatch.setattr(scheduler_module, "_LEAST", {"cpu": 15})
    expected = [g.tokens for g in engine.generate(["x" * 500, "y" * 300], config=SAMPLED)]
    running = engine.stream("first", config=GenerationConfig(max_tokens=300, grammar=Grammar.regex("a{300}")))
    next(running)
    steps.awaited = 3
    steps.clear()
    found = engine.generate(["x" * 500, "y" * 300], config=SAMPLED)
    assert [g.tokens for g in found] == expected
    assert steps[:20] == [1] * 20  # the first one went on meanwhile


def test_short_prompts_pass_long_ones_which_get_there_all_the_same(engine, monkeypatch):
    monkeypatch.setattr(scheduler_module, "_MOST", {"cpu": 32})
    monkeypatch.setattr(scheduler_module, "_LEAST", {"cpu": 16})
    config = GenerationConfig(max_tokens=3, grammar=Grammar.regex("a{2}"))
    prompts = ["long " * 100, "medium " * 20, *(f"{i}" for i in range(9))]
    order: list[int] = []

    def note(i: int, item: object) -> None:
        if isinstance(item, Generation):
            order.append(i)

    engine.scheduler.submit(engine, engine._streams(prompts, None, config, note, live=False))
    until(lambda: len(order) == len(prompts))
    assert sorted(order) == list(range(len(prompts))) and order[-2:] in ([1, 0], [0, 1])


def test_how_much_is_read_before_a_step(engine):
    def ask(*lengths: int) -> list[Stream]:
        return engine._streams(["x" * n for n in lengths], None, SAMPLED, lambda *_: None, live=False)

    room, parts = scheduler_module._room, scheduler_module._parts
    assert room(ask(5000), 0, "cpu") == 512 and room(ask(5000), 64, "cpu") == 312
    assert room(ask(100), 64, "cpu") == 96 and room(ask(9000), 1, "cpu") == 512
    assert room(ask(5000), 64, "cuda") == 2112
    found = parts(ask(300, 50, 10, 200), 96)
    assert [(len(stream.unread), size) for stream, size in found] == [(300, 48), (10, 10), (50, 38)]
    assert [size for _, size in parts(ask(300, 10), 400)] == [300, 10]
    assert [size for _, size in parts(ask(900), 1000)] == [512]


def test_pieces_say_which_tokens_they_complete(engine):
    config = GenerationConfig(max_tokens=200, temperature=1.4, seed=3, top_logprobs=2)
    for stop in ((), ("a",), ("aab", "x")):
        *pieces, done = engine.stream("p", config=replace(config, stop=stop))
        said = [token for piece in pieces for token in piece.tokens]
        assert tuple(said) == done.tokens[: len(said)]
        for piece in pieces:
            assert len(piece.tokens) == len(piece.logprobs) == len(piece.top)
        assert engine.tokenizer.decode(said) == done.text
        assert [p for piece in pieces for p in piece.logprobs] == list(done.logprobs[: len(said)])


def test_a_reader_that_leaves_frees_its_slot(engine, steps):
    config = GenerationConfig(max_tokens=100_000, grammar=Grammar.regex("a{50000}"))
    stream = engine.stream("prompt", config=config)
    next(stream)
    stream.close()
    until(lambda: engine.scheduler.busy == 0 and engine.scheduler.waiting == 0)
    assert len(steps) < 50_000

    async def leave() -> None:
        task = asyncio.create_task(engine.agenerate("prompt", config=config))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    until(lambda: engine.scheduler.busy == 0)


def test_the_thread_ends_with_the_work_and_the_engine_with_its_last_user(engine):
    engine.generate(["a", "b"], config=SAMPLED)
    until(lambda: not [t for t in threading.enumerate() if t.name == "aegir-decode"])
    held = weakref.ref(Engine(engine.model, engine.tokenizer, engine.identity))
    gc.disable()
    try:
        other = held()
        assert other is None or other.generate(["a"])  # nothing of it is left in a cycle
        del other
        until(lambda: held() is None)
    finally:
        gc.enable()


def test_a_model_that_fails_fails_its_streams_and_nothing_else(engine, monkeypatch):
    expected = engine.generate(["p"], config=SAMPLED)[0].tokens
    with monkeypatch.context() as patch:
        patch.setattr(engine.model, "step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.generate(["p", "q"], config=SAMPLED)
    assert engine.generate(["p"], config=SAMPLED)[0].tokens == expected


def test_what_is_wrong_with_a_request_is_said_before_it_waits(engine):
    with pytest.raises(StateError, match="read something first"):
        engine.stream("", config=SAMPLED)
    with pytest.raises(ConstraintError):
        engine.stream("p", config=replace(SAMPLED, grammar=Grammar.regex("[")))
    assert engine.scheduler.waiting == engine.scheduler.busy == 0


def test_slots_are_made_for_those_who_need_them(engine):
    from aegir_dspy.rwkv.decoding import Batch

    batch = Batch(engine)
    assert batch.pool.slots == 0
    [state] = engine.read(["x"])
    for count in (1, 8, 30):
        batch.admit([_stream(engine, state) for _ in range(count)])
    assert len(batch.streams) == 39 and batch.pool.slots == 39
    for part in zip(batch.pool.read([0]), batch.pool.read([38]), state.tensors, strict=True):
        assert torch.equal(part[0], part[2]) and torch.equal(part[1], part[2])


def test_a_copied_engine_has_a_queue_of_its_own(engine):
    copied = copy.deepcopy(engine)
    assert copied.scheduler is not engine.scheduler
    assert (
        copied.generate(["p"], config=SAMPLED)[0].tokens == engine.generate(["p"], config=SAMPLED)[0].tokens
    )


def _stream(engine, state):
    [stream] = engine._streams([""], [state], SAMPLED, lambda *_: None, live=False)
    return stream
