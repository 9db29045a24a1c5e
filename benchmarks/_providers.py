"""Remote models against simulated providers: what routing saves, and whether slow calls hold up the rest."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from _simulated import Behaviour, SimulatedProvider, fate_of, rng_of, simulated_process

from aegir_dspy.adapters.providers import (
    GeneralSkill,
    Provider,
    Providers,
    Quality,
    QualityRouter,
    provider_agents,
)
from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.agent import Agent, Job, TaskError, Work
from aegir_dspy.orchestrator.artifacts import MemoryArtifacts
from aegir_dspy.orchestrator.execution import Execution
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.roster import Preference, Roster, by_load
from aegir_dspy.orchestrator.task import Task, TaskGraph, critical_path

__all__ = ["latency", "routing"]

LABELS = tuple(f"type{number}" for number in range(12))
SCHEMA = {
    "type": "object",
    "properties": {"type": {"enum": list(LABELS)}},
    "required": ["type"],
    "additionalProperties": False,
}
# Per token read and written, as a small and a large model of one vendor are listed: 1 to 17.
CHEAP, DEAR = (0.15e-6, 0.60e-6), (2.50e-6, 10.0e-6)
TOKENS = (92, 5)  # read and written for one question
# Share of right answers to the easiest and to the hardest question.
WEAK, STRONG = (0.99, 0.45), (0.99, 0.90)
CAUGHT, REFUSED = 0.9, 0.02  # wrong answers that the simulated verifier catches, right ones that it refuses
AGENTS, STEPS = 300, 13  # side by side, and one after the other: 3,900 calls, as Kimi K2.6 has 4,000


def routing(seed: int, quick: bool) -> dict[str, Any]:
    """Cost and score by arm: the router beside always-cheap, always-dear, random, and cheap before dear.

    All arms have the same questions, verifier, replanner and attempts. The score is the share of questions
    whose accepted answer is right; those without one count as wrong. The router starts without knowing
    anything of the providers but their prices. Quick: without LiteLLM and HTTP between.

    Returns:
        ``rows`` (by arm: cost, score, calls of each provider), ``cost_share`` and ``score_share`` of the
        router against always-dear.
    """
    questions = _questions(1500, seed)
    arms = ("cheap", "dear", "random", "cheap first", "router")
    rows = [_arm(name, questions, seed, in_process=quick) for name in arms]
    by_arm = {row["arm"]: row for row in rows}
    ours, dear = by_arm["router"], by_arm["dear"]
    return {
        "rows": rows,
        "cost_share": ours["cost"] / dear["cost"],
        "score_share": ours["score"] / dear["score"],
    }


@dataclass(frozen=True)
class _Asked:
    task: Task
    truth: str
    difficulty: float


def _questions(count: int, seed: int) -> dict[str, _Asked]:
    """What is asked; the planner's difficulty is off by up to 0.15."""
    rng, found = random.Random(seed), {}
    for number in range(count):
        difficulty = rng.random()
        told = min(1.0, max(0.0, difficulty + rng.uniform(-0.15, 0.15)))
        inputs = {"instructions": "Say which type the column has.", "schema": SCHEMA, "column": f"q{number}"}
        task = Task(f"classify:q{number}", "classify", {**inputs, "difficulty": round(told, 3)})
        found[f"q{number}"] = _Asked(task, rng.choice(LABELS), difficulty)
    return found


def _arm(name: str, questions: Mapping[str, _Asked], seed: int, *, in_process: bool) -> dict[str, Any]:
    """One arm, through LiteLLM and HTTP or, quick, without them; the same answers to the same questions."""
    models = {
        "cheap": _Model(CHEAP, WEAK, questions, seed),
        "dear": _Model(DEAR, STRONG, questions, seed + 1),
    }
    with ExitStack() as servers:
        agents: list[Agent] = [_Local(one, model) for one, model in models.items()]
        if not in_process:
            providers = [_provider(one, servers.enter_context(m.server()), m) for one, m in models.items()]
            agents = provider_agents(Providers(providers), {"classify": GeneralSkill()})
        able = [_Verified(one, questions) for one in agents if name not in models or one.name == name]
        prices = {one: model.cost for one, model in models.items()}
        router = QualityRouter(Quality(), prices, seed=seed)
        prefer: Preference = {"random": _at_random(seed), "cheap first": _first, "router": router}.get(
            name, by_load
        )
        graph, artifacts = TaskGraph([asked.task for asked in questions.values()]), MemoryArtifacts()
        roster = Roster(able, AGENTS, prefer)
        execution = Execution(graph, roster, artifacts, RuleReplanner(), on_event=router.observe)
        run = asyncio.run(execution.run())
    right = sum(
        one.artifact is not None
        and artifacts.get("classify", one.artifact)["type"] == questions[one.task.partition(":")[2]].truth
        for one in run.outcomes.values()
    )
    calls = {f"calls of {one}": model.calls for one, model in models.items()}
    return {"arm": name, "cost": run.usage.cost, "score": right / len(questions), **calls}


@dataclass
class _Model:
    """A simulated model: price per token, share of right answers to the easiest and the hardest question."""

    price: tuple[float, float]
    skill: tuple[float, float]
    questions: Mapping[str, _Asked]
    seed: int
    calls: int = 0

    @property
    def cost(self) -> float:
        """Of one answer, about."""
        return self.price[0] * TOKENS[0] + self.price[1] * TOKENS[1]

    def server(self) -> SimulatedProvider:
        return SimulatedProvider(self.answer, Behaviour(seed=self.seed))

    def answer(self, request: dict[str, Any], rng: random.Random) -> str:
        """By how hard the question is that stands in the data of the last message."""
        said = request["messages"][-1]["content"].removeprefix("<data>").removesuffix("</data>")
        asked = self.questions[json.loads(said)["inputs"]["column"]]
        self.calls += 1
        right = rng.random() < self.skill[0] + (self.skill[1] - self.skill[0]) * asked.difficulty
        wrong = [label for label in LABELS if label != asked.truth]
        return json.dumps({"type": asked.truth if right else rng.choice(wrong)})


class _Local:
    """A simulated model without LiteLLM and HTTP between."""

    skills, slots = frozenset({"classify"}), 16

    def __init__(self, name: str, model: _Model) -> None:
        self.name, self._model, self._seen = name, model, Counter[str]()

    async def perform(self, job: Job) -> Work:
        await asyncio.sleep(0)
        content = _content(GeneralSkill(), job)
        self._seen[content] += 1
        rng = rng_of(self._model.seed, content, self._seen[content])
        fate_of(Behaviour(), rng)  # as the server draws before it answers
        said = self._model.answer({"messages": [{"content": content}]}, rng)
        return Work(json.loads(said), tokens=sum(TOKENS), cost=self._model.cost)


def _content(skill: GeneralSkill, job: Job) -> str:
    """The last message of what is asked."""
    question = skill.question(job, unmasked=False)
    assert question is not None
    return question.messages(with_schema=False)[-1]["content"]


def _provider(name: str, server: SimulatedProvider, model: _Model) -> Provider:
    read, written = model.price
    return Provider(
        name, f"openai/{name}", server.address, price_in=read, price_out=written, skills=("classify",),
        max_tokens=64,
    )  # fmt: skip


def _first(task: Task, agents: Sequence[Agent]) -> Sequence[Agent]:
    """The first of them and no other; after a failure its replanner leaves the one out that failed."""
    return agents[:1]


def _at_random(seed: int) -> Preference:
    rng = random.Random(seed)

    def prefer(task: Task, agents: Sequence[Agent]) -> Sequence[Agent]:
        return rng.sample(list(agents), len(agents))

    return prefer


class _Verified:
    """An agent whose answers a simulated verifier looks at: it catches most wrong ones, refuses few others.

    It says the same of the same answer to the same question, whoever gave it.
    """

    def __init__(self, agent: Agent, questions: Mapping[str, _Asked]) -> None:
        self._agent, self._questions = agent, questions
        self.name, self.skills, self.slots = agent.name, agent.skills, agent.slots

    async def perform(self, job: Job) -> Work:
        work = await self._agent.perform(job)
        asked, said = self._questions[job.task.inputs["column"]], work.value["type"]
        drawn = random.Random(f"{job.task.id}/{said}").random()
        if drawn < (REFUSED if said == asked.truth else CAUGHT):
            raise TaskError("gate:simulated", "expected another type", tokens=work.tokens, cost=work.cost)
        return work


def latency(seed: int, quick: bool) -> dict[str, Any]:
    """Wall time of 300 agents, each with 13 calls one after the other, against their critical path.

    A call takes 1 s, one in ten 10 s. Quick: a fifth of that, asleep in this process instead of through
    LiteLLM and HTTP.

    Returns:
        ``rows``: arm, tasks, wall, critical path and serial time in s; ``overhead``: wall time over the
        critical path; ``speedup``: serial over wall time.
    """
    scale = 0.2 if quick else 1.0
    behaviour = Behaviour(seconds=scale, slow_share=0.1, slow_seconds=10 * scale, seed=seed)
    if quick:
        row = {"arm": "asleep", **asyncio.run(_timed(_Asleep(behaviour), behaviour))}
    else:
        with simulated_process(behaviour) as address:
            row = {"arm": "litellm, http", **_over_http(address, behaviour)}
    return {
        "rows": [row],
        "overhead": row["wall"] / row["critical path"],
        "speedup": row["serial"] / row["wall"],
    }


def _over_http(address: str, behaviour: Behaviour) -> dict[str, float]:
    named = Provider(
        "simulated", "openai/simulated", address, price_in=0.0, price_out=0.0, skills=("step",),
        parallel=AGENTS, max_tokens=16,
    )  # fmt: skip
    [agent] = provider_agents(Providers([named]), {"step": GeneralSkill()})

    async def timed() -> dict[str, float]:
        await agent.perform(Job(_step(-1, 0)))  # LiteLLM is imported by the first call
        return await _timed(agent, behaviour)

    return asyncio.run(timed())


class _Asleep:
    """What a provider takes, without one."""

    name, skills, slots = "asleep", frozenset({"step"}), AGENTS

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def perform(self, job: Job) -> Work:
        await asyncio.sleep(_seconds(self._behaviour, job.task))
        return Work("done")


def _seconds(behaviour: Behaviour, task: Task) -> float:
    """What the provider takes for the call of a task."""
    content = _content(GeneralSkill(), Job(task))
    return fate_of(behaviour, rng_of(behaviour.seed, content, 1)).seconds


async def _timed(agent: Agent, behaviour: Behaviour) -> dict[str, float]:
    """Chains of tasks, one an agent, and what they took."""
    graph = TaskGraph([_step(chain, step) for chain in range(AGENTS) for step in range(STEPS)])
    seconds = {name: _seconds(behaviour, task) for name, task in graph.items()}
    roster, began = Roster([agent], AGENTS), time.monotonic()
    run = await Execution(graph, roster, MemoryArtifacts(), RuleReplanner()).run()
    wall = time.monotonic() - began
    if run.failures:
        raise InputError(f"expected all calls to be answered, found {run.failures[0].message}")
    _, path = critical_path(graph, seconds.__getitem__)
    return {"tasks": len(graph), "wall": wall, "critical path": path, "serial": sum(seconds.values())}


def _step(chain: int, step: int) -> Task:
    inputs = {"instructions": "Say yes.", "schema": {"type": "object"}, "at": f"{chain}/{step}"}
    return Task(f"{chain}/{step}", "step", inputs, (f"{chain}/{step - 1}",) if step else ())
