"""``aegir trace``: what happened in a run that was kept in a folder, and whether it happens again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegir_dspy.cli.annotate import Format, write_output

if TYPE_CHECKING:
    from aegir_dspy.orchestrator.traced_run import Difference, TracedRun, TracedTask

__all__ = ["EXAMPLES", "trace"]

EXAMPLES = (
    "Examples: aegir annotate data/ --run runs/first · aegir trace runs/first · "
    "aegir trace runs/first --format json · aegir trace runs/first --replay"
)
_SIBLINGS = 12  # tasks of one kind side by side that are shown; the others are counted
_SHOWN = 60  # characters of an id


def trace(
    run: Annotated[Path, typer.Argument(help="The folder given to --run.", metavar="RUN")],
    replay: Annotated[
        bool, typer.Option("--replay", help="Do it again with the local swarm, and compare what comes of it.")
    ] = False,
    format: Annotated[Format, typer.Option(help="text or json.")] = Format.TEXT,
) -> None:
    """Show a run as a tree: who did which task in what time, what failed, and the critical path (*).

    The trace's hashes are checked first. Exit code 1 when a replay makes something else, 2 when the trace was
    changed.
    """
    from aegir_dspy.orchestrator.trace import FILE, read_trace
    from aegir_dspy.orchestrator.traced_run import TracedRun

    read = read_trace(run / FILE)
    traced = TracedRun(read)
    found: Sequence[Difference] | None = None
    if replay:
        from aegir_dspy.cli.replay import replayed

        found = replayed(run, traced)
    if format is Format.JSON:
        document = {"schema": "aegir.trace/1", "head": read.head, "torn": read.torn, **traced.to_json()}
        if found is not None:
            document["differences"] = [_difference(one) for one in found]
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    else:
        text = "\n".join([*_tree(traced), *_summary(traced), *_compared(found)]) + "\n"
    write_output(text, None)
    if found:
        raise typer.Exit(1)


def _tree(traced: TracedRun) -> Iterator[str]:
    """One line a task; of many of one kind at one place those that took longest, failed or are critical."""
    path = set(traced.critical_path[0])
    children, seen = traced.children(), set[str]()
    for group in children.values():
        by_kind: dict[str, list[TracedTask]] = {}
        for name in group:
            by_kind.setdefault(traced.tasks[name].kind, []).append(traced.tasks[name])
        for tasks in by_kind.values():
            longest = sorted(tasks, key=lambda one: (one.id not in path, one.status == "done", -one.seconds))
            seen |= {one.id for one in longest[_SIBLINGS:]}
    left_out = 0
    for depth, task in traced.walk():
        if task.id in seen and not children.get(task.id):
            left_out += 1
            continue
        yield _line(depth, task, critical=task.id in path)
    if left_out:
        yield f"… {left_out} more tasks: --format json has all"


def _line(depth: int, task: TracedTask, *, critical: bool) -> str:
    from aegir_dspy.orchestrator.masking import plain

    name = plain(task.id)
    name = name if len(name) <= _SHOWN else f"…{name[-_SHOWN + 1 :]}"
    said = [f"{'*' if critical else ' '} {'  ' * depth}{name}", f"{task.seconds:.2f} s"]
    said += [", ".join(dict.fromkeys(task.agents))] if task.agents else []
    if task.attempts > 1:
        said.append(f"{task.attempts} attempts")
    if task.status != "done":
        said.append(task.status)
    if task.failures:
        said.append(", ".join(dict.fromkeys(one["class"] for one in task.failures)))
        said.append(plain(task.failures[-1]["message"]))
    return "  ".join(said)


def _summary(traced: TracedRun) -> Iterator[str]:
    path, seconds = traced.critical_path
    tasks = traced.tasks.values()
    counts = {status: sum(one.status == status for one in tasks) for status in ("done", "failed", "open")}
    cost = sum(one.cost for one in tasks)
    yield ""
    yield (
        f"{len(tasks)} tasks: {', '.join(f'{count} {status}' for status, count in counts.items())}; "
        f"{sum(len(one.failures) for one in tasks)} attempts failed; {traced.seconds:.2f} s"
        + (f"; cost {cost:.4g}" if cost else "")
    )
    yield f"critical path {seconds:.2f} s over {len(path)} tasks"


def _compared(found: Sequence[Difference] | None) -> Iterator[str]:
    if found is None:
        return
    yield "replay: the same" if not found else f"replay: {len(found)} tasks made something else"
    for one in found:
        yield f"  {one.task}: {_short(one.before)} → {_short(one.after)}"


def _short(key: str | None) -> str:
    return "nothing" if key is None else key[:12]


def _difference(one: Difference) -> dict[str, Any]:
    return {"task": one.task, "before": one.before, "after": one.after}
