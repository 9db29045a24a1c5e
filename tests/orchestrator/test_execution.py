"""Runs of tasks: order, slots, decomposition, budgets, stalls; and that every task ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.agent import Job, TaskError, Work
from aegir_dspy.orchestrator.artifacts import MemoryArtifacts
from aegir_dspy.orchestrator.decision import Decision, Decompose, GiveUp, Retry
from aegir_dspy.orchestrator.execution import Execution, Limits
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.roster import Roster
from aegir_dspy.orchestrator.strategies import Rules, halves
from aegir_dspy.orchestrator.task import Task, TaskBudget, TaskGraph


def chain(*names: str) -> list[Task]:
    return [Task(n, "do", needs=names[i - 1 : i]) for i, n in enumerate(names)]


def test_values_go_to_the_tasks_that_need_them(agent_of: Any, run: Any) -> None:
    tasks = [Task("a", "do"), Task("b", "do"), Task("c", "do", needs=("b", "a"))]
    ran = run(tasks, [agent_of("x", lambda job: {"id": job.task.id, "from": list(job.inputs)})])
    assert ran.values["c"] == {"id": "c", "from": ["b", "a"]}
    assert ran.run.failures == () and all(one.ok for one in ran.run.outcomes.values())


def test_a_task_starts_as_soon_as_what_it_needs_is_there(agent_of: Any, run: Any) -> None:
    """No barrier: the end of a short chain does not wait for a long task beside it."""
    released = asyncio.Event()

    async def do(job: Job) -> str:
        if job.task.id == "long":
            await released.wait()  # only the last of the short chain sets it
        if job.task.id == "c":
            released.set()
        return job.task.id

    ran = run([Task("long", "do"), *chain("a", "b", "c")], [agent_of("x", do)], seconds=10)
    assert sorted(ran.values) == ["a", "b", "c", "long"]


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), slots=st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_a_thousand_tasks(agent_of: Any, run: Any, seed: int, slots: list[int]) -> None:
    """Order is respected, slots are not exceeded, nothing waits for ever, and a third of first tries fail."""
    draw = random.Random(seed)
    kinds = [f"k{i}" for i in range(len(slots))]
    tasks = []
    for i in range(1000):
        needs = {f"t{draw.randrange(i)}" for _ in range(draw.randrange(4))} if i else set()
        tasks.append(Task(f"t{i}", draw.choice(kinds), needs=tuple(sorted(needs)), budget=TaskBudget(9)))
    failing = {task.id for task in tasks if draw.random() < 0.33}
    done: list[str] = []

    async def do(job: Job) -> str:
        assert list(job.inputs) == list(job.task.needs)
        await asyncio.sleep(0)
        if job.task.id in failing and job.task.attempt == 1:
            raise TaskError("parse", "expected sense, found none")
        done.append(job.task.id)
        return job.task.id

    # Every agent has a skill of its own and the next one's.
    agents = [
        agent_of(f"a{i}", do, {kinds[i], kinds[(i + 1) % len(kinds)]}, size) for i, size in enumerate(slots)
    ]
    ran = run(tasks, agents, most=11)
    assert all(one.ok for one in ran.run.outcomes.values())
    assert sorted(done) == sorted(task.id for task in tasks)
    place = {name: i for i, name in enumerate(done)}
    assert all(place[need] < place[task.id] for task in tasks for need in task.needs)
    assert all(agent.most <= agent.slots for agent in agents)
    assert len(ran.run.recovered) == len(failing)


def test_what_failed_takes_along_only_what_needs_it(agent_of: Any, run: Any) -> None:
    def do(job: Job) -> str:
        if job.task.id == "b":
            raise TaskError("missing_dependency", "expected a file, found none")
        return job.task.id

    ran = run([*chain("a", "b", "c", "d"), Task("e", "do", needs=("a",))], [agent_of("x", do)])
    assert sorted(ran.values) == ["a", "e"]
    found = {one.task: one.failure_class for one in ran.run.failures}
    assert found == dict.fromkeys("bcd", "missing_dependency")


def test_a_partial_task_is_done_with_what_there_is(agent_of: Any, run: Any) -> None:
    def do(job: Job) -> list[str]:
        if job.task.id == "a":
            raise TaskError("missing_dependency", "expected a file, found none")
        return list(job.inputs)

    tasks = [Task("a", "do"), Task("b", "do"), Task("c", "do", needs=("a", "b"), partial=True)]
    assert run(tasks, [agent_of("x", do)]).values == {"b": [], "c": ["b"]}


def test_a_finished_task_is_never_done_again(agent_of: Any, run: Any) -> None:
    agent = agent_of("x", lambda job: 1 / (job.task.attempt - 1) if job.task.id == "b" else 1)
    run(chain("a", "b", "c"), [agent])
    assert [task.id for task in agent.asked] == ["a", "b", "b", "c"]


def test_an_agent_without_a_heartbeat_loses_its_task(agent_of: Any, run: Any) -> None:
    async def silent(job: Job) -> str:
        await asyncio.sleep(30)
        return "late"

    async def lively(job: Job) -> str:
        for _ in range(30):
            await asyncio.sleep(0.01)
            job.beat()
        return "done"

    agents = [agent_of("silent", silent), agent_of("lively", lively)]
    ran = run([Task("a", "do", budget=TaskBudget(stall=0.2))], agents, seconds=20)
    assert ran.values == {"a": "done"}
    assert [(one.agent, one.failure_class) for one in ran.run.recovered] == [("silent", "timeout")]
    assert "heartbeat" in ran.run.recovered[0].message


def test_an_attempt_ends_with_its_time(agent_of: Any, run: Any) -> None:
    async def slow(job: Job) -> str:
        while True:  # its heart beats for ever
            job.beat()
            await asyncio.sleep(0.01)

    ran = run([Task("a", "do", budget=TaskBudget(2, seconds=0.05))], [agent_of("slow", slow)], seconds=20)
    assert [one.failure_class for one in ran.run.failures] == ["timeout", "timeout"]
    assert "0.1 s" in ran.run.failures[1].message  # twice the time


def test_an_agent_that_ignores_cancellation_keeps_its_slot_until_it_ends(agent_of: Any, run: Any) -> None:
    async def stubborn(job: Job) -> str:
        if job.task.attempt == 1:
            until = asyncio.get_running_loop().time() + 0.3
            while (left := until - asyncio.get_running_loop().time()) > 0:
                try:
                    await asyncio.sleep(left)
                except asyncio.CancelledError:
                    continue
            raise ValueError("nobody hears this")
        return "done"

    agent = agent_of("stubborn", stubborn, slots=1)
    ran = run([Task("a", "do", budget=TaskBudget(seconds=0.05))], [agent], seconds=20)
    assert ran.values == {"a": "done"} and agent.most == 1


def test_slots_that_never_come_back_end_what_waits_for_them(agent_of: Any, run: Any) -> None:
    """All of an agent's slots hang: the tasks that wait for it fail instead of waiting for ever."""
    ending: list[bool] = []

    async def hung(job: Job) -> str:
        while not ending:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return "late"

    budget = TaskBudget(2, seconds=0.05)
    tasks = [Task(f"t{i}", "do", budget=budget) for i in range(4)]
    tasks.append(Task("last", "other", needs=tuple(t.id for t in tasks), partial=True))
    other = agent_of("other", lambda job: ending.append(True), {"other"})
    ran = run(tasks, [agent_of("hung", hung, slots=2), other], grace=0.1, seconds=20)
    assert "last" in ran.values
    assert {one.task for one in ran.run.failures} == {"t0", "t1", "t2", "t3"}
    assert any("all busy with work given up" in one.message for one in ran.run.failures)


def test_an_agent_that_cancels_itself_does_not_stop_the_run(agent_of: Any, run: Any) -> None:
    async def quits(job: Job) -> str:
        raise asyncio.CancelledError

    ran = run(chain("a", "b"), [agent_of("quits", quits), agent_of("works")])
    assert sorted(ran.values) == ["a", "b"]
    assert {one.failure_class for one in ran.run.recovered} == {"provider_down"}


def test_a_run_that_is_cancelled_leaves_no_agent_working(agent_of: Any, run: Any) -> None:
    async def waits(job: Job) -> None:
        await asyncio.sleep(30)

    agent = agent_of("waits", waits, slots=2)
    with pytest.raises(TimeoutError):
        run([Task(f"t{i}", "do") for i in range(5)], [agent], seconds=0.1)
    assert agent.now == 0


def test_no_agent_has_the_skill(agent_of: Any, run: Any) -> None:
    (failure,) = run([Task("a", "fly")], [agent_of("x")]).run.failures[-1:]
    assert "skill fly" in failure.message and "there are do" in failure.message
    assert failure.message.count("given up") == 1


def test_an_agent_is_created_where_none_could_do_it(agent_of: Any, run: Any) -> None:
    made: list[str] = []

    def create(task: Task) -> Any:
        made.append(task.id)
        return agent_of(f"new{len(made)}", skills={task.wanted})

    ran = run([Task("a", "fly"), Task("b", "do")], [agent_of("x")], create=create)
    assert sorted(ran.values) == ["a", "b"] and made == ["a"]
    assert ran.run.outcomes["a"].agent == "new1"


def test_no_more_agents_are_created_than_may_work(agent_of: Any, run: Any) -> None:
    ran = run([Task("a", "fly")], [agent_of("x")], most=1, create=lambda task: agent_of("y", skills={"fly"}))
    assert ran.values == {}


def too_long(job: Job) -> Any:
    """Joins parts; adds up to two numbers, more are too long."""
    if "parts" in job.task.inputs:
        return sum(job.inputs.get(part, 0) for part in job.task.inputs["parts"])
    if len(job.task.inputs["numbers"]) > 2:
        raise TaskError("context_overflow", "expected two numbers, found more")
    if 13 in job.task.inputs["numbers"]:
        raise TaskError("missing_dependency", "expected luck, found none")
    return Work(sum(job.task.inputs["numbers"]), steps=2, tokens=5)


RULES = RuleReplanner(Rules({"do": halves("numbers")}, first_wait=0.01))


def test_a_task_that_is_too_large_is_done_in_parts(agent_of: Any, run: Any) -> None:
    agent = agent_of("x", too_long)
    ran = run([Task("a", "do", {"numbers": list(range(9))})], [agent], RULES)
    assert ran.values == {"a": 36}
    outcome = ran.run.outcomes["a"]
    assert outcome.tokens == 25  # five leaves
    assert outcome.steps == 2 + 4 - 1  # a leaf, then the joins of all levels one after the other
    assert outcome.serial_steps == 5 * 2 + 4
    assert [t.id for t in agent.asked].count("a/1") == 2


def test_a_part_that_fails_is_recorded(agent_of: Any, run: Any) -> None:
    ran = run([Task("a", "do", {"numbers": [1, 2, 13, 4]})], [agent_of("x", too_long)], RULES)
    assert ran.values == {"a": 3}
    failures = ran.run.recovered
    assert [(f.task, f.failure_class) for f in failures] == [
        ("a/2", "missing_dependency"),
        ("a", "context_overflow"),
    ]


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(critical_steps=4), 4),
        (Limits(tokens=39), 4),
        (Limits(cost=0.35), 4),
        (Limits(seconds=0.0), 0),
        (Limits(), 10),
    ],
)
def test_what_is_spent_starts_nothing_more(agent_of: Any, run: Any, limits: Limits, most: int) -> None:
    agent = agent_of("x", lambda job: Work(1, steps=1, tokens=10, cost=0.1))
    ran = run(chain(*"abcdefghij"), [agent], limits=limits)
    assert len(ran.values) == most and len(agent.asked) == most
    assert len(ran.run.outcomes) == 10
    if most < 10:
        first = ran.run.failures[0]
        assert (first.failure_class, first.agent) == ("resource", "orchestrator")
        assert "budget" in first.message


def test_steps_of_the_replanner_are_critical(agent_of: Any, run: Any) -> None:
    class Thoughtful:
        steps = 3

        async def decide(self, task: Task, failures: Any, agents: Any) -> Decision:
            return Retry(task.again())

    ran = run([Task("a", "do")], [agent_of("x", lambda job: 1 / (job.task.attempt - 1))], Thoughtful())
    assert ran.run.usage.critical_steps == 3 + 1


def test_the_reason_of_giving_up_is_told(agent_of: Any, run: Any) -> None:
    class Hopeless:
        steps = 0

        async def decide(self, task: Task, failures: Any, agents: Any) -> Decision:
            return GiveUp("no hope")

    (failure,) = run([Task("a", "do")], [agent_of("x", lambda job: 1 / 0)], Hopeless()).run.failures
    assert failure.message.endswith("given up: no hope")


def test_parts_and_their_join_avoid_nobody(agent_of: Any, run: Any) -> None:
    class Once:
        steps = 0

        async def decide(self, task: Task, failures: Any, agents: Any) -> Decision:
            return Decompose((Task(f"{task.id}/1", "do"),), task.again(parts=[f"{task.id}/1"]))

    def do(job: Job) -> Any:
        return job.inputs.get("a/1") or ("part" if job.task.id == "a/1" else 1 / 0)

    assert run([Task("a", "do")], [agent_of("x", do)], Once()).values == {"a": "part"}


def test_an_artifact_that_is_damaged_fails_what_needs_it(agent_of: Any) -> None:
    class Damaged(MemoryArtifacts):
        def get(self, kind: str, key: str) -> Any:
            raise InputError("expected the content ab12, found another: it is damaged")

    execution = Execution(TaskGraph(chain("a", "b")), Roster([agent_of("x")]), Damaged(), RULES)
    ran = asyncio.run(execution.run())
    assert [(one.task, one.failure_class) for one in ran.failures] == [("b", "missing_dependency")]
    assert "damaged" in ran.failures[0].message
