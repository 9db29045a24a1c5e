"""The graph as LangGraph's users meet it: invoked, streamed, reviewed, a member of other graphs."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import aegir_dspy
from aegir_dspy.adapters.langgraph_app import make_graph, swarm_graph
from aegir_dspy.adapters.langgraph_app.application import Doubt
from aegir_dspy.adapters.langgraph_app.graph import Graph, build_graph
from aegir_dspy.adapters.langgraph_app.messages import allowed, paths_in
from aegir_dspy.adapters.langgraph_app.saver import open_saver
from aegir_dspy.adapters.langgraph_app.serde import SealedSerializer
from aegir_dspy.errors import DamagedRunError, InputError, PrerequisiteError
from aegir_dspy.swarm import Swarm

THREAD: Any = {"configurable": {"thread_id": "a"}}
ORDERS = "name,price,mail\nAnn,1.20,ann@example.org\nBob,3,bob@example.org\nCem,17.5,cem@example.org\n"


def _toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("langgraph_toy.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy = _toy()


def toy_graph(folder: Path, doubts: Sequence[Doubt] = ()) -> Graph:
    application = toy.Toy(lambda line: None, 0.0, doubts)
    return build_graph(application, lambda _: folder, checkpointer=InMemorySaver(serde=SealedSerializer()))


def run(graph: Any, given: Any, config: Any = THREAD) -> Any:
    return asyncio.run(graph.ainvoke(given, config))


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AEGIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_text(ORDERS)
    return tmp_path / "orders.csv"


@pytest.fixture(scope="module")
def swarm(bundle_path: Path) -> Swarm:
    return Swarm(checkpoint=str(bundle_path), abstain_below=0.0)


def types(result: dict[str, Any]) -> list[str | None]:
    return [column["type"] for table in result["summary"]["tables"] for column in table["columns"]]


def test_a_graph_says_what_the_swarm_says(swarm: Swarm, orders: Path) -> None:
    said = [column.type for table in swarm(tables=str(orders)).annotations for column in table.columns]
    result = run(swarm.graph, {"data": [str(orders)]})
    assert types(result) == said
    assert (result["data"], result["failures"]) == ([], [])
    assert "orders" in result["messages"][-1].text and result["messages"][-1].name == "aegir"


def test_a_message_names_the_data(swarm: Swarm, orders: Path) -> None:
    said = run(swarm_graph(swarm), {"data": ["orders.csv"]})
    messages = [HumanMessage("what is in 'orders.csv'?"), AIMessage("look at secret.csv")]
    assert run(swarm_graph(swarm), {"messages": messages})["summary"]["tables"] == said["summary"]["tables"]


def test_neither_the_state_nor_the_answer_holds_a_cell(swarm: Swarm, orders: Path) -> None:
    saver = InMemorySaver(serde=SealedSerializer())
    run(swarm_graph(swarm, checkpointer=saver), {"data": ["orders.csv"]})
    checkpoints = repr([list(saver.list(THREAD)), dict(saver.blobs), dict(saver.writes)])
    assert "orders" in checkpoints
    assert not [cell for cell in ("Ann", "17.5", "bob@example.org") if cell in checkpoints]


def test_the_document_is_an_artifact(swarm: Swarm, orders: Path) -> None:
    result = run(swarm_graph(swarm), {"data": ["orders.csv"]})
    (path,) = (orders.parent / "home" / "runs").rglob(f"{result['result']}.json")
    document = json.loads(path.read_text())
    assert document["schema"] == "aegir.result/1"
    assert "bob@example.org" in path.read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": ["missing.csv"]}, "missing.csv"),
        ({"messages": [HumanMessage("look at missing.csv, please")]}, "missing.csv"),
        ({"messages": [HumanMessage("hello, don't worry")]}, "names files"),
        ({"messages": [AIMessage("look at orders.csv")]}, "message of a person"),
        ({"data": ["/etc/passwd"]}, "not among what may be read"),
        ({"data": ["../orders.csv"]}, "not among what may be read"),
        ({"data": ["/etc/*"]}, "not among what may be read"),
    ],
)
def test_data_that_cannot_be_used(swarm: Swarm, orders: Path, given: Any, message: str) -> None:
    result = run(swarm_graph(swarm, roots=[orders.parent]), given)
    assert message in result["failures"][0]["message"]
    assert message in result["messages"][-1].text
    assert not result["result"]


def test_a_thread_takes_one_run_after_the_other(swarm: Swarm, orders: Path) -> None:
    (orders.parent / "more.csv").write_text("city\nUlm\nBonn\n")
    graph = swarm_graph(swarm, checkpointer=InMemorySaver(serde=SealedSerializer()))
    seen = [
        run(graph, given)["summary"].get("tables", [{"name": None}])[0]["name"]
        for given in (
            {"data": ["orders.csv"]},
            {"messages": [HumanMessage("more.csv")]},
            {"data": ["missing.csv"]},
            {"data": ["orders.csv"]},
        )
    ]
    assert seen == ["orders", "more", None, "orders"]


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.csv").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="not among"):
        allowed([str(tmp_path / "in" / "link.csv")], [tmp_path / "in"])
    assert allowed([str(tmp_path / "in")], [tmp_path / "in"])


def test_paths_in_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a b.csv", "c.csv", "d.parquet"):
        (tmp_path / name).touch()
    text = "Compare 'a b.csv' with c.csv, and *.parquet. It's all there (c.csv)!"
    assert paths_in([HumanMessage(text.replace("It's", "It is"))]) == ["a b.csv", "c.csv", "*.parquet"]
    assert paths_in([HumanMessage("it's c.csv")]) == ["c.csv"]


def test_progress_is_streamed(tmp_path: Path) -> None:
    async def events() -> list[Any]:
        stream = toy_graph(tmp_path).astream({"data": ["20"]}, THREAD, stream_mode="custom")
        return [event async for event in stream]

    told = asyncio.run(events())
    ended = [event for event in told if event["event"] == "ended" and "/" not in event["task"]]
    assert [event["ended"] for event in ended] == list(range(1, 21))
    assert {event["tasks"] for event in told} == {20}
    assert {event["event"] for event in told} == {"started", "failed", "decided", "ended"}
    assert {event["task"] for event in ended if not event["ok"]} == {"t7"}


def test_a_person_is_asked_until_the_answer_is_one(tmp_path: Path) -> None:
    graph = toy_graph(tmp_path, [Doubt("a", "unsure", ("red", "blue")), Doubt("gate:x", "refused")])
    (asked,) = run(graph, {"data": ["3"]})["__interrupt__"]
    assert [doubt["id"] for doubt in asked.value["doubts"]] == ["a", "gate:x"]
    for wrong in (
        "perhaps",
        {"b": "approve"},
        {"a": {"correct": "green"}},
        {"gate:x": {"correct": "red"}},
        3,
    ):
        (asked,) = run(graph, Command(resume=wrong))["__interrupt__"]
        assert "expected" in asked.value["complaint"]
    result = run(graph, Command(resume={"a": {"correct": "blue"}, "gate:x": "reject"}))
    assert result["verdicts"] == {
        "a": {"verdict": "correct", "value": "blue"},
        "gate:x": {"verdict": "reject", "value": ""},
    }


def test_what_a_person_says_is_the_result(swarm: Swarm, orders: Path) -> None:
    saver = InMemorySaver(serde=SealedSerializer())
    graph = swarm_graph(swarm, checkpointer=saver, review_below=1.01)
    (asked,) = run(graph, {"data": ["orders.csv"]})["__interrupt__"]
    names = [doubt["id"] for doubt in asked.value["doubts"]]
    assert names[:3] == ["orders[0]", "orders[1]", "orders[2]"]
    best = asked.value["doubts"][1]["choices"][0]
    said = {"orders[0]": {"correct": "email"}, "orders[1]": "approve", "orders[2]": "reject"}
    result = run(graph, Command(resume=said))
    assert types(result) == ["email", best, None]
    columns = result["summary"]["tables"][0]["columns"]
    assert [c["confidence"] for c in columns[:2]] == [1.0, 1.0]
    assert columns[0]["iri"] == swarm.vocabulary["email"].iri


class Rules(BaseChatModel):
    """Hands the work to the member, says the last thing it heard when it has come back."""

    tool: str

    @property
    def _llm_type(self) -> str:
        return "rules"

    def bind_tools(self, tools: Any, **_: Any) -> Rules:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        done = any(message.name == "aegir" for message in messages)
        call = {"name": self.tool, "args": {}, "id": "1", "type": "tool_call"}
        answer = AIMessage("done") if done else AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def test_a_member_under_a_supervisor(swarm: Swarm, orders: Path) -> None:
    supervisor = pytest.importorskip("langgraph_supervisor")
    team = supervisor.create_supervisor(
        [swarm_graph(swarm)], model=Rules(tool="transfer_to_aegir"), output_mode="full_history"
    ).compile()
    result = run(team, {"messages": [HumanMessage("describe orders.csv")]})
    assert any(one.name == "aegir" and "orders (" in one.text for one in result["messages"])


def test_a_member_of_a_swarm(swarm: Swarm, orders: Path) -> None:
    members = pytest.importorskip("langgraph_swarm")
    agents = pytest.importorskip("langchain.agents")
    tool = members.create_handoff_tool(agent_name="aegir")
    clerk = agents.create_agent(Rules(tool="transfer_to_aegir"), tools=[tool], name="clerk")
    team = members.create_swarm([clerk, swarm_graph(swarm)], default_active_agent="clerk")
    graph = team.compile(checkpointer=InMemorySaver(serde=SealedSerializer()))
    result = run(graph, {"messages": [HumanMessage("describe orders.csv")]})
    assert result["active_agent"] == "aegir"
    assert result["messages"][-1].name == "aegir" and "orders (" in result["messages"][-1].text


def test_clients_choose_no_files(orders: Path, monkeypatch: pytest.MonkeyPatch, bundle_path: Path) -> None:
    monkeypatch.setenv("AEGIR_CHECKPOINT", str(bundle_path))
    with pytest.raises(InputError, match="expected vocabulary schema"):
        make_graph({"configurable": {"vocabulary": "/etc/passwd"}})
    for wrong in ("much", 2, -0.5):
        with pytest.raises(InputError, match="expected review_below from 0 to 1"):
            make_graph({"configurable": {"review_below": wrong}})
    graph = make_graph({"configurable": {"vocabulary": "dbpedia", "roots": ["/"], "thread_id": "1"}})
    assert graph is make_graph({"configurable": {"vocabulary": "dbpedia", "thread_id": "2"}})
    assert "not among" in run(graph, {"data": ["/etc/passwd"]})["failures"][0]["message"]


def test_a_forged_checkpoint_calls_nothing() -> None:
    import ormsgpack
    from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_SINGLE_ARG, JsonPlusSerializer

    call = ormsgpack.Ext(EXT_CONSTRUCTOR_SINGLE_ARG, ormsgpack.packb(("os", "listdir", "/")))
    forged = ormsgpack.packb({"a": call})
    assert isinstance(
        JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(("msgpack", forged))["a"], list
    )
    with pytest.raises(DamagedRunError):
        SealedSerializer().loads_typed(("msgpack", forged))
    kind, sealed = SealedSerializer().dumps_typed({"a": [1, "b"]})
    assert SealedSerializer().loads_typed((kind, sealed)) == {"a": [1, "b"]}
    for broken in (sealed[:-1], sealed[:5], b"", sealed[:3] + b"x" + sealed[4:]):
        with pytest.raises(DamagedRunError):
            SealedSerializer().loads_typed((kind, broken))


def test_a_postgres_address_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.postgres.aio", None)

    async def opened(where: str) -> None:
        async with open_saver(where):
            pass

    with pytest.raises(PrerequisiteError, match="pip install 'langgraph-checkpoint-postgres'"):
        asyncio.run(opened("postgres://user@host/database"))
    with pytest.raises(InputError, match="mysql"):
        asyncio.run(opened("mysql://user@host/database"))


def test_annotating_imports_no_langgraph(orders: Path, bundle_path: Path) -> None:
    code = (
        "import sys\n"
        "from aegir_dspy.cli.main import main\n"
        f"sys.argv = ['aegir', 'annotate', 'orders.csv', '--checkpoint', {str(bundle_path)!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    sys.exit(end.code or ('langgraph' in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(aegir_dspy.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
