from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.task import Task, TaskBudget, TaskGraph, critical_path


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Tasks that need earlier ones, in any order."""
    size = draw(st.integers(1, 30))
    needs = [draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set() for i in range(size)]
    tasks = [Task(f"t{i}", "do", needs=tuple(f"t{j}" for j in sorted(n))) for i, n in enumerate(needs)]
    return list(draw(st.permutations(tasks)))


@given(graphs())
def test_every_task_comes_after_what_it_needs(tasks: list[Task]) -> None:
    order = list(TaskGraph(tasks))
    assert sorted(order) == sorted(task.id for task in tasks)
    place = {name: i for i, name in enumerate(order)}
    assert all(place[need] < place[task.id] for task in tasks for need in task.needs)


@given(graphs())
def test_json_and_back(tasks: list[Task]) -> None:
    graph = TaskGraph(tasks)
    again = TaskGraph.from_json(json.loads(json.dumps(graph.to_json())))
    assert list(again.values()) == list(graph.values())


@given(graphs(), st.data())
def test_the_critical_path_is_the_longest_chain(tasks: list[Task], data: st.DataObject) -> None:
    graph = TaskGraph(tasks)
    cost = {name: float(data.draw(st.integers(0, 9))) for name in graph}
    chain, total = critical_path(graph, cost.__getitem__)
    assert all(a in graph[b].needs for a, b in pairwise(chain))
    assert total == sum(cost[name] for name in chain)
    longest: dict[str, float] = {}
    for name, task in graph.items():
        longest[name] = cost[name] + max((longest[need] for need in task.needs), default=0.0)
    assert total == max(longest.values())


def test_what_cannot_be_ordered_is_refused() -> None:
    circle = [Task("a", "do", needs=("b",)), Task("b", "do", needs=("c",)), Task("c", "do", needs=("a",))]
    for tasks, words in (
        (circle, "need each other: a, b, c"),
        ([Task("a", "do"), Task("a", "do")], "several of a"),
        ([Task("a", "do", needs=("b",))], "found no b"),
        ([Task("a", "do", needs=("a",))], "need each other: a"),
    ):
        with pytest.raises(InputError, match=words):
            TaskGraph(tasks)


def test_the_next_attempt_is_a_task_of_the_same_id() -> None:
    task = Task("a", "do", {"rows": 8, "path": "x"}, budget=TaskBudget(attempts=2))
    again = task.again(rows=4)
    assert (again.id, again.attempt, again.inputs) == ("a", 2, {"rows": 4, "path": "x"})
    assert (task.attempt, task.inputs["rows"]) == (1, 8)


@pytest.mark.parametrize(
    "said", [{}, {"id": "a"}, {"id": "a", "kind": "b", "more": 1}, {"id": 1, "needs": 3}]
)
def test_what_is_no_task_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected a task"):
        Task.from_json(said)
