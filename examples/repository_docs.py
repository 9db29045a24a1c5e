"""Document a repository: a plan from a goal in words, one task a file side by side, and one that joins them.

Without a language model it runs offline: a fixed plan, and summaries that are taken from the files. With one,
the model plans and writes the summaries; its plan is checked before anything runs, and only files of the
named folder are read.

Run: python examples/repository_docs.py FOLDER [MODEL]      (MODEL as DSPy names it: openai/…, ollama_chat/…)
"""

from __future__ import annotations

import ast
import asyncio
import html
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dspy

from aegir_dspy.orchestrator.agent import Agent, Job, TaskError, Work
from aegir_dspy.orchestrator.artifacts import MemoryArtifacts
from aegir_dspy.orchestrator.batching import BatchAgent, one_by_one
from aegir_dspy.orchestrator.dspy_agent import DSPyAgent
from aegir_dspy.orchestrator.execution import Execution
from aegir_dspy.orchestrator.goals import Goal, GoalPlanner
from aegir_dspy.orchestrator.masking import shown
from aegir_dspy.orchestrator.paths import NamedPaths
from aegir_dspy.orchestrator.planned import Inputs, Kind, PlannedTask
from aegir_dspy.orchestrator.replanner import RuleReplanner
from aegir_dspy.orchestrator.roster import Roster


class FileInputs(Inputs):
    path: str


KINDS = (
    Kind("summarise", "says in a sentence or two what a file is for", FileInputs, path="path"),
    Kind("join", "makes one page of the summaries it needs", partial=True),
)


def main(folder: str, model: str | None = None) -> None:
    paths = NamedPaths([folder])
    with ThreadPoolExecutor(2) as threads:
        agents = [
            summariser(paths, threads, model),
            BatchAgent("editor", ["join"], one_by_one(page), threads),
        ]
        planner = GoalPlanner(KINDS, agents, lm=dspy.LM(model) if model else None, fallback=fixed_plan)
        asyncio.run(document(planner, agents, Goal("Document this repository", [folder])))


async def document(planner: GoalPlanner, agents: Sequence[Agent], goal: Goal) -> None:
    plan = await planner.plan(goal)
    artifacts = MemoryArtifacts()
    run = await Execution(plan.graph, Roster(agents), artifacts, RuleReplanner()).run()
    for task in plan.graph.values():
        outcome = run.outcomes[task.id]
        if task.kind == "join" and outcome.artifact:
            print(artifacts.get("join", outcome.artifact))
    for failure in run.failures:
        print(f"{failure.task}: {failure.message}", file=sys.stderr)
    usage = run.usage
    steps = f"{usage.critical_steps + plan.steps} critical steps instead of {usage.serial_steps + plan.steps}"
    print(f"{len(plan.graph)} tasks, {steps}, {usage.seconds} s", file=sys.stderr)


def fixed_plan(goal: Goal) -> list[PlannedTask]:
    """One task a file, then one page; files that are not there are not asked for."""
    found = NamedPaths(goal.paths).suffixes()
    files = [
        PlannedTask(id=f"files-{suffix[1:]}", kind="summarise", each=f"**/*{suffix}")
        for suffix in (".py", ".md")
        if suffix in found
    ]
    return [*files, PlannedTask(id="page", kind="join", needs=[task.id for task in files])]


def summariser(paths: NamedPaths, threads: ThreadPoolExecutor, model: str | None) -> Agent:
    if model is None:
        return BatchAgent(
            "extractor", ["summarise"], one_by_one(lambda job: Work(extract(paths, job))), threads
        )
    signature = dspy.Signature("path, text -> summary", "Say in a sentence or two what the file is for.")
    return DSPyAgent(
        "writer",
        ["summarise"],
        signature,
        lm=dspy.LM(model),
        arguments=lambda job: {**job.task.inputs, "text": paths.read_text(job.task.inputs["path"], 20_000)},
    )


def extract(paths: NamedPaths, job: Job) -> str:
    """The first sentence of a module's documentation, or the first paragraph of a text."""
    path = job.task.inputs["path"]
    text = paths.read_text(path)
    if not path.endswith(".py"):
        paragraphs = [part for part in text.split("\n\n") if part.strip() and not part.startswith("#")]
        return " ".join(paragraphs[0].split()) if paragraphs else "(empty)"
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise TaskError("parse", f"{path}: expected Python, found something else", permanent=True) from error
    said = (ast.get_docstring(module) or "(no documentation)").split("\n\n")[0]
    public = [
        node.name
        for node in module.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    ]
    return " ".join(said.split()) + (f" Has {', '.join(public)}." if public else "")


def page(job: Job) -> Work:
    """Markdown; what comes from files stays on its line and is neither markup nor a terminal's command."""
    lines = [
        f"- **{name.partition('/')[2]}**: {html.escape(shown(said), quote=False)}"
        for name, said in job.inputs.items()
    ]
    return Work("\n".join(["# Files", "", *lines]), steps=0)


if __name__ == "__main__":
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    main(*sys.argv[1:3])
