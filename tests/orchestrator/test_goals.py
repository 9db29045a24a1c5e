"""Plans of goals in words and the check of them; agents on DSPy; the example that documents a repository."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
from dspy.utils.dummies import DummyLM
from pydantic import Field, TypeAdapter

import aegir_dspy
from aegir_dspy.errors import AegirError, InputError, PrerequisiteError
from aegir_dspy.orchestrator.dspy_agent import DSPyAgent
from aegir_dspy.orchestrator.goals import Goal, GoalPlanner, plan_signature
from aegir_dspy.orchestrator.paths import NamedPaths
from aegir_dspy.orchestrator.planned import Inputs, Kind, PlanLimits, PlannedTask, check_plan, plan_type
from aegir_dspy.orchestrator.task import Task, TaskBudget, TaskGraph

EXAMPLE = Path(__file__).parents[2] / "examples" / "repository_docs.py"


class FileInputs(Inputs):
    path: str
    sentences: int = Field(2, ge=1, le=9)


KINDS = (
    Kind("summarise", "sums up a file", FileInputs, path="path"),
    Kind("join", "makes one text of several", partial=True),
)
SKILLS = frozenset({"summarise", "join"})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name, text in {
        "README.md": "# Shop\n\nSells things.\n\nMore.",
        "shop/__init__.py": '"""A shop."""\n',
        "shop/cart.py": '"""What is bought."""\n\ndef add(item): ...\nclass Cart: ...\ndef _hidden(): ...\n',
        "shop/broken.py": "def (:",
        ".git/config": "secret",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "outside.py").write_text("secret")
    return root


def checked(root: Path, *plan: dict[str, Any], limits: PlanLimits | None = None) -> TaskGraph:
    return check_plan(plan, KINDS, SKILLS, NamedPaths([root]), limits)


EACH = {"id": "files", "kind": "summarise", "each": "**/*.py", "inputs": {"sentences": 3}}
PAGE = {"id": "page", "kind": "join", "needs": ["files"]}


def test_a_plan_becomes_tasks(repository: Path) -> None:
    graph = checked(repository, PAGE, EACH)
    assert [task.kind for task in graph.values()] == ["summarise"] * 3 + ["join"]
    page = graph["page"]
    assert page.needs == tuple(name for name in graph if name != "page") and page.partial
    first = graph[page.needs[0]]
    assert first.inputs == {"path": str(repository / "shop/__init__.py"), "sentences": 3}
    assert first.id == "files/repository/shop/__init__.py"
    assert first.budget == TaskBudget(attempts=4, seconds=600.0)
    assert list(TaskGraph.from_json(json.loads(json.dumps(graph.to_json())))) == list(graph)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ([], "without tasks"),
        ([{"id": "a", "kind": "delete"}], "no agent does delete; there are summarise, join"),
        ([PAGE], "needs files, which is not in the plan"),
        ([{"id": "a", "kind": "join"}] * 2, "two tasks of this id"),
        ([{"id": "a", "kind": "join", "needs": ["b"]}, {"id": "b", "kind": "join", "needs": ["a"]}], "a, b"),
        ([{"id": "../a", "kind": "join"}], "id: String should match"),
        ([{"id": "a", "kind": "join", "shell": "rm"}], "shell: Extra inputs"),
        ([{"id": "a", "kind": "join", "inputs": {"x": 1}}], "a: x: Extra inputs"),
        ([{"id": "a", "kind": "join", "each": "*"}], "join takes no file"),
        ([{"id": "a", "kind": "summarise"}], "a: path: Field required"),
        ([{"id": "a", "kind": "summarise", "inputs": {"path": ""}}], "summarise takes a file"),
        ([{"id": "a", "kind": "summarise", "inputs": {"path": "README.md", "sentences": 99}}], "sentences"),
        (
            [{"id": "a", "kind": "summarise", "inputs": {"path": "../outside.py"}}],
            "under what the user named",
        ),
        ([{"id": "a", "kind": "summarise", "inputs": {"path": "/etc/passwd"}}], "under what the user named"),
        ([{"id": "a", "kind": "summarise", "inputs": {"path": ".git/config"}}], "under what the user named"),
        ([{"id": "a", "kind": "summarise", "each": "../*"}], "below the named folders"),
        ([{"id": "a", "kind": "summarise", "each": "/etc/*"}], "below the named folders"),
        ([{"id": "a", "kind": "summarise", "each": "*.rs"}], "no file matches"),
        ([{"id": "a", "kind": "join", "attempts": 99}], "1 to 4 of at most"),
        ([{"id": "a", "kind": "join", "seconds": float("inf")}], "inf s"),
        ([{"id": f"t{i}", "kind": "join"} for i in range(1200)], "at most 1000 tasks in a plan, found 1001"),
        (["do it"], "a task"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(repository: Path, plan: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        checked(repository, *plan)


def test_a_glob_is_counted_file_by_file(repository: Path) -> None:
    with pytest.raises(InputError, match="at most 3 tasks in a plan, found 4 up to page"):
        checked(repository, EACH, PAGE, limits=PlanLimits(tasks=3))


def test_links_do_not_lead_out(repository: Path) -> None:
    (repository / "link.py").symlink_to(repository.parent / "outside.py")
    (repository / "all").symlink_to(repository.parent)
    paths = NamedPaths([repository])
    for name in ("link.py", "all/outside.py", "all/repository/.git/config", "\0", "shop/../../outside.py"):
        with pytest.raises(InputError):
            paths.read_text(name)
    assert {Path(name).name for name in paths.files()} == {"README.md", "__init__.py", "cart.py", "broken.py"}
    assert paths.read_text("shop/__init__.py", 5) == '"""A '
    assert paths.suffixes() == {".md": 1, ".py": 3}
    with pytest.raises(InputError, match="nothing at"):
        NamedPaths([repository / "missing"])


def test_globs(repository: Path) -> None:
    paths = NamedPaths([repository, repository / "shop/cart.py"])

    def found(pattern: str) -> list[str]:
        return [str(Path(one).relative_to(repository)) for one in paths.files(pattern)]

    assert found("*.md") == ["README.md"]
    assert found("shop/c?rt.py") == found("cart.py") == ["shop/cart.py"]
    assert len(found("**/*.py")) == 3 and len(found("**")) == 4
    assert found("*") == ["README.md", "shop/cart.py"]


def planner(lm: Any = None, **known: Any) -> GoalPlanner:
    agent = DSPyAgent("writer", SKILLS, "path -> summary", lm=DummyLM([]))
    return GoalPlanner(KINDS, [agent], lm=lm, **known)


def planned(*plan: dict[str, Any]) -> dict[str, Any]:
    return {"plan": json.dumps(list(plan))}


GOOD = planned(
    {"id": "files", "kind": "summarise", "each": "**/*.py", "inputs": {"sentences": 3}, "needs": []},
    {"id": "page", "kind": "join", "inputs": {}, "needs": ["files"]},
)


def test_a_model_plans(repository: Path) -> None:
    lm = DummyLM([GOOD])
    plan = asyncio.run(planner(lm).plan(Goal("Document this repository", [repository])))
    assert (len(plan.graph), plan.steps) == (4, 1)
    assert plan.graph == checked(repository, EACH, PAGE)
    told = str(lm.history[0]["messages"])
    assert "Document this repository" in told and "1 .md, 3 .py" in told and "sums up a file" in told
    assert "writer: join, summarise, 8 at once" in told
    assert "cart" not in told  # names of files are data


def test_a_plan_that_cannot_be_carried_out_is_asked_for_again(repository: Path) -> None:
    bad = planned({"id": "page", "kind": "join", "inputs": {}, "needs": ["files"]})
    lm = DummyLM([bad, {"plan": "no idea"}, {"plan": "no idea"}, GOOD])
    plan = asyncio.run(planner(lm, tries=3).plan(Goal("Document this repository", [repository])))
    assert plan.steps == 3 and len(plan.graph) == 4
    assert "needs files, which is not in the plan" in str(lm.history[1]["messages"])
    assert "no idea" in str(lm.history[-1]["messages"])


def test_no_plan_in_all_tries(repository: Path) -> None:
    bad = planned({"id": "page", "kind": "join", "inputs": {}, "needs": ["files"]})
    lm = DummyLM([bad] * 9)
    with pytest.raises(AegirError, match=r"in 2 tries, found.*files, which is not in the plan"):
        asyncio.run(planner(lm, tries=2).plan(Goal("Document this", [repository])))
    assert len(lm.history) == 2


def test_without_a_model(repository: Path) -> None:
    goal = Goal("Document this", [repository])
    with pytest.raises(PrerequisiteError, match=r"dspy\.configure"):
        asyncio.run(planner().plan(goal))
    plan = asyncio.run(planner(fallback=lambda goal: [EACH, PAGE]).plan(goal))
    assert (len(plan.graph), plan.steps) == (4, 0)
    with pytest.raises(InputError):
        asyncio.run(planner(fallback=lambda goal: [PAGE]).plan(goal))


class Rule(dspy.Module):  # type: ignore[misc]
    """A planner that is no language model."""

    async def acall(self, **told: Any) -> dspy.Prediction:
        return dspy.Prediction(plan=[PlannedTask(**EACH), PlannedTask(**PAGE)])


def test_any_module_may_plan(repository: Path) -> None:
    plan = asyncio.run(planner(predictor=Rule()).plan(Goal("x", [repository])))
    assert plan.graph == checked(repository, EACH, PAGE)


def test_the_type_of_a_plan_admits_nothing_else() -> None:
    plan = TypeAdapter(plan_type(KINDS))
    plan.validate_json(GOOD["plan"])
    for said in (
        [{"id": "a", "kind": "delete", "inputs": {}, "needs": []}],
        [{"id": "a", "kind": "join", "inputs": {"path": "x"}, "needs": []}],
        [{"id": "a", "kind": "join", "inputs": {}, "needs": [], "each": "*"}],
        [{"id": "a b", "kind": "join", "inputs": {}, "needs": []}],
    ):
        with pytest.raises(ValueError, match="validation error"):
            plan.validate_python(said)


def test_the_local_engine_plans_within_the_schema(make_weights: Callable[..., Path], tmp_path: Path) -> None:
    """A model of random weights knows nothing, and still names only kinds and inputs there are."""
    lm = aegir_dspy.lm(make_weights(tmp_path / "weights.safetensors"), max_tokens=150, cache=False)
    predict = dspy.Predict(plan_signature(KINDS))
    told = {"goal": "document", "kinds": ["join"], "agents": ["x"], "files": "none", "feedback": ""}
    sizes = []
    for seed in range(6):
        with dspy.context(lm=lm, adapter=aegir_dspy.CompactAdapter()):
            plan = predict(**told, config={"temperature": 1.5, "seed": seed}).plan
        TypeAdapter(plan_type(KINDS)).validate_python([task.model_dump() for task in plan])
        sizes.append(len(plan))
    assert any(sizes)


def test_a_plan_of_the_local_engine_is_checked_too(
    make_weights: Callable[..., Path], tmp_path: Path, repository: Path
) -> None:
    lm = aegir_dspy.lm(make_weights(tmp_path / "weights.safetensors"), max_tokens=60, cache=False)
    with dspy.context(adapter=aegir_dspy.CompactAdapter()), pytest.raises(AegirError, match="in 2 tries"):
        asyncio.run(planner(lm, tries=2).plan(Goal("Document this", [repository])))


class Kept(dspy.Signature):  # type: ignore[misc]
    """Say how a text sounds."""

    texts: list[str] = dspy.InputField()
    tone: Literal["glad", "sad"] = dspy.OutputField()


def ask(agent: DSPyAgent, run: Any, tasks: Sequence[Task]) -> Any:
    return run(tasks, [agent])


def test_an_agent_on_dspy(agent_of: Any, run: Any) -> None:
    lm = DummyLM([{"tone": "glad"}, {"tone": "glad"}])
    agent = DSPyAgent("tone", ["hear"], Kept, lm=lm)
    tasks = [Task("a", "do"), Task("b", "do"), Task("c", "hear", needs=("a", "b"))]
    ran = run(tasks, [agent, agent_of("x", lambda job: f"text {job.task.id}")])
    assert ran.values["c"] == "glad"
    assert "text a" in str(lm.history[0]["messages"])


def test_an_agent_on_the_local_engine(make_weights: Callable[..., Path], tmp_path: Path, run: Any) -> None:
    lm = aegir_dspy.lm(make_weights(tmp_path / "weights.safetensors"), cache=False)
    agent = DSPyAgent("local", ["hear"], Kept, lm=lm, adapter=aegir_dspy.CompactAdapter())
    ran = run([Task(f"t{i}", "hear", {"texts": [f"text {i}"]}) for i in range(5)], [agent])
    assert len(ran.values) == 5 and set(ran.values.values()) <= {"glad", "sad"}
    assert ran.run.usage.tokens_read > 0


def test_an_answer_of_another_type_is_asked_for_again(run: Any) -> None:
    lm = DummyLM([{"tone": "green"}, {"tone": "green"}, {"tone": "sad"}])
    ran = run([Task("a", "hear", {"texts": ["x"]})], [DSPyAgent("tone", ["hear"], Kept, lm=lm)])
    assert ran.values == {"a": "sad"}
    assert [one.failure_class for one in ran.run.recovered] == ["parse"]
    assert "green" not in str(ran.run.recovered)
    assert lm.history[-1]["kwargs"]["temperature"] == 0.0


@pytest.mark.parametrize("said", [{"count": "3"}, {"count": None}])
def test_what_an_adapter_lets_through_is_checked_again(said: dict[str, Any], run: Any) -> None:
    class Careless(dspy.Adapter):  # type: ignore[misc]
        async def acall(self, *args: Any, **known: Any) -> list[dict[str, Any]]:
            return [said]

    agent = DSPyAgent("x", ["do"], "text -> count: int", lm=DummyLM([]), adapter=Careless())
    (failure,) = run([Task("t", "do", {"text": "x"}, budget=TaskBudget(1))], [agent]).run.failures
    assert failure.failure_class == "parse" and "count" in failure.message


def test_an_agent_without_async_calls(run: Any) -> None:
    lm = DummyLM([{"tone": "sad"}])
    ran = run([Task("a", "hear", {"texts": ["x"]})], [DSPyAgent("t", ["hear"], Kept, lm=lm, blocking=True)])
    assert ran.values == {"a": "sad"}


def test_a_task_that_does_not_say_enough(run: Any) -> None:
    agent = DSPyAgent("x", ["do"], "a, b, c -> d", lm=DummyLM([]))
    (failure,) = run([Task("t", "do", {"a": 1})], [agent]).run.failures
    assert failure.failure_class == "missing_dependency" and "b, c" in failure.message


def test_what_arguments_says_is_asked(run: Any) -> None:
    lm = DummyLM([{"d": "yes"}])
    agent = DSPyAgent("x", ["do"], "a, b -> d", lm=lm, arguments=lambda job: {"a": job.task.id, "b": "bee"})
    assert run([Task("t", "do")], [agent]).values == {"t": "yes"}
    assert "bee" in str(lm.history[0]["messages"])


def test_the_example_documents_a_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), str(repository)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "# Files"
    assert [line for line in lines if "cart.py" in line] == [
        "- **repository/shop/cart.py**: What is bought. Has add, Cart."
    ]
    assert any("README.md" in line and "Sells things." in line for line in lines)
    assert "broken" not in said.out and "broken.py: expected Python" in said.err
    assert "5 tasks, 0 critical steps" in said.err or "5 tasks, 1 critical steps instead of 3" in said.err


def test_the_example_with_a_model(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"id": "files", "kind": "summarise", "each": "**/*.py", "inputs": {}, "needs": []}
    plan = planned(files, {"id": "page", "kind": "join", "inputs": {}, "needs": ["files"]})
    lm = DummyLM([plan, *[{"summary": "Something <b>useful</b>.\x1b[2J"}] * 3])
    monkeypatch.setattr(dspy, "LM", lambda model: lm)
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), str(repository), "some/model"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    said = capsys.readouterr()
    assert said.out.count("Something &lt;b&gt;useful&lt;/b&gt;.") == 3
    assert "\x1b" not in said.out + said.err
    assert "4 tasks, 2 critical steps instead of 4" in said.err
