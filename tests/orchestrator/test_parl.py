from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.agent import Job, TaskError, Work
from aegir_dspy.orchestrator.parl import (
    annealed,
    critical_steps,
    degenerate_penalty,
    parl_reward,
    r_balance,
    r_coverage,
    r_finish,
    r_parallel,
    r_perf,
    run_reward,
)
from aegir_dspy.orchestrator.task import Task

counts = st.integers(0, 10_000)
bits = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 1), min_size=width, max_size=width), max_size=12)
)


@given(counts, counts)
def test_parallel_is_a_share_and_grows_with_what_is_saved(used: int, serial: int) -> None:
    found = r_parallel(used, serial)
    assert 0 <= found <= 1
    assert r_parallel(used + 1, serial) <= found <= r_parallel(used, serial + 1)
    assert r_parallel(serial, serial) == 0 == r_parallel(used, 0)


def test_parallel_by_hand() -> None:
    assert r_parallel(3, 12) == 0.75
    assert r_parallel(20, 12) == 0.0


@given(counts, counts)
def test_finish_is_a_share(accepted: int, more: int) -> None:
    assert 0 <= r_finish(accepted, accepted + more) <= 1
    assert r_finish(accepted, accepted) == 1
    with pytest.raises(InputError):
        r_finish(accepted + more + 1, accepted + more)


@given(st.floats(0, 5), st.integers(1, 1000), st.data())
def test_annealing_ends_at_60_percent(start: float, updates: int, data: st.DataObject) -> None:
    update = data.draw(st.integers(0, updates))
    found = annealed(start, update, updates)
    assert 0 <= found <= start
    assert annealed(start, 0, updates) == start
    if update >= 0.6 * updates:
        assert found == pytest.approx(0, abs=1e-9)
    if update > 0:
        assert found <= annealed(start, update - 1, updates)


def test_annealing_is_linear() -> None:
    assert [round(annealed(1.0, t, 10), 3) for t in range(8)] == [1, 0.833, 0.667, 0.5, 0.333, 0.167, 0, 0]
    with pytest.raises(InputError):
        annealed(1.0, 0, 0)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 100))
def test_the_reward_is_the_sum_and_in_the_end_performance(
    perf: float, parallel: float, finish: float, update: int
) -> None:
    reward = parl_reward(perf, parallel, finish, update, 100, (0.2, 0.4))
    assert reward.total == pytest.approx(
        perf + annealed(0.2, update, 100) * parallel + annealed(0.4, update, 100) * finish
    )
    assert parl_reward(perf, parallel, finish, 60, 100).total == pytest.approx(perf)


@given(st.lists(st.floats(-2, 2), max_size=5))
def test_performance_is_a_mean_of_shares(scores: list[float]) -> None:
    assert 0 <= r_perf(scores) <= 1
    assert r_perf([0.5, 0.7]) == pytest.approx(0.6)


@given(bits)
def test_penalty_is_a_share_and_full_for_routers_that_decide_nothing(rows: list[list[int]]) -> None:
    assert 0 <= degenerate_penalty(rows) <= 1
    if len(rows) > 1:
        width = len(rows[0])
        assert degenerate_penalty([[1] * width] * len(rows)) == 1
        assert degenerate_penalty([[0] * width] * len(rows)) == 1
        assert degenerate_penalty([rows[0]] * len(rows)) == 1


def test_penalty_by_hand() -> None:
    assert degenerate_penalty([[1, 0], [0, 1]]) == 0
    assert degenerate_penalty([[1, 0, 0, 0], [1, 1, 0, 1], [1, 0, 1, 0]]) == 0.25  # one of four always asked
    assert degenerate_penalty([[1, 0]]) == 0  # one decision shows nothing


@given(bits, st.randoms(use_true_random=False))
def test_balance_does_not_depend_on_order_and_is_best_when_even(rows: list[list[int]], random: Any) -> None:
    assume(rows and sum(map(sum, rows)))
    found = r_balance(rows)
    shuffled = random.sample(rows, len(rows))
    assert r_balance(shuffled) == pytest.approx(found)
    assert r_balance([row[::-1] for row in rows]) == pytest.approx(found)
    assert found <= 1 == r_balance([[1] * len(rows[0])])


def test_balance_by_hand() -> None:
    assert r_balance([[1, 0], [1, 0]]) == pytest.approx(-1.0 + 0.5)  # CV of (2, 0) is 1
    assert r_balance([[1, 0], [1, 0]], alpha=0.5, beta=2.0) == pytest.approx(0.5)
    assert r_balance([[0, 0]]) == 0
    assert r_coverage(3, 4, [[1, 1], [1, 1]]) == pytest.approx(0.75 - 1)
    with pytest.raises(InputError):
        r_balance([[1, 0], [1]])


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=5)), max_size=6))
def test_critical_steps_are_between_the_longest_and_all(stages: list[tuple[int, list[int]]]) -> None:
    found = critical_steps(stages)
    serial = sum(main + sum(subs) for main, subs in stages)
    assert max((main + max(subs, default=0) for main, subs in stages), default=0) <= found <= serial
    assert critical_steps([(2, [3, 1]), (1, [])]) == 6


def test_the_reward_of_a_run_counts_only_what_was_accepted(agent_of: Any, run: Any) -> None:
    def do(job: Job) -> Work:
        if job.task.id == "t3":
            raise TaskError("missing_dependency", "expected a file, found none")
        return Work(job.task.id, steps=2)

    ran = run([Task(f"t{i}", "do") for i in range(4)], [agent_of("x", do)]).run
    all_ = run_reward(ran, {"t0", "t1", "t2", "t3"}, [0.8], 0, 10)
    assert (all_.perf, all_.parallel, all_.finish) == (0.8, pytest.approx(1 - 2 / 6), 0.75)
    one = run_reward(ran, {"t0"}, [0.8], 0, 10)  # two more were for nothing
    assert (one.parallel, one.finish) == (0.0, 0.25)
    assert run_reward(ran, {"t0"}, [0.8], 6, 10).total == pytest.approx(0.8)
