"""Plans as somebody proposes them, and the check that makes tasks of them before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.paths import NamedPaths
from aegir_dspy.orchestrator.task import Task, TaskBudget, TaskGraph

__all__ = ["Inputs", "Kind", "PlanLimits", "PlannedTask", "check_plan", "plan_type"]

_Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
_Needs = Annotated[list[_Id], Field(max_length=64)]
_SHOWN = 8  # problems of a plan that are told at most


class Inputs(BaseModel):
    """Base of the parameters of a kind of task; no others are taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task that plans may use.

    Attributes:
        name: of the kind, and the skill of the agents that do it.
        says: what it does, what it is given and what it makes, for whoever plans; one line.
        inputs: its parameters, as a pydantic model of JSON values.
        path: which of them is the path of a file; empty for none.
        partial: whether it is done also where some of what it needs could not be.
    """

    name: str
    says: str
    inputs: type[Inputs] = Inputs
    path: str = ""
    partial: bool = False


class PlannedTask(BaseModel):
    """A task as a plan proposes it.

    id: lower-case letters, digits, ``_`` and ``-``. each: a glob; the task is done once for each of the named
    files that match, and who needs it needs all of these. seconds: of one attempt.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Id
    kind: str
    inputs: dict[str, Any] = {}
    needs: list[str] = []
    each: str = ""
    attempts: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a plan may ask for.

    Attributes:
        tasks: in all, with those of every file.
        attempts, seconds: most of one task, and what it has where the plan does not say.
    """

    tasks: int = 1000
    attempts: int = 4
    seconds: float = 600.0


def plan_type(kinds: Sequence[Kind]) -> Any:
    """The type of a plan of these kinds: a list of tasks, each with the inputs of its kind.

    Its JSON schema admits no other kinds and inputs, so a model that is constrained by it cannot name any.
    """
    return list[Union[tuple(map(_model, kinds))]]  # type: ignore[misc]  # noqa: UP007


def _model(kind: Kind) -> type[BaseModel]:
    """A task of a kind; where it takes a file, that may come from ``each`` instead."""
    inputs: Any = kind.inputs
    fields: dict[str, Any] = {"id": (_Id, ...), "kind": (Literal[kind.name], ...)}
    if kind.path:
        inputs = create_model(f"{kind.name}_inputs", __base__=kind.inputs, **{kind.path: (str, "")})  # type: ignore[call-overload]
        fields["each"] = (str, "")
    fields |= {"inputs": (inputs, ...), "needs": (_Needs, ...)}
    return create_model(f"Planned_{kind.name}", __config__=ConfigDict(extra="forbid"), **fields)


def check_plan(
    plan: Sequence[PlannedTask | Mapping[str, Any]],
    kinds: Sequence[Kind],
    skills: frozenset[str],
    paths: NamedPaths,
    limits: PlanLimits | None = None,
) -> TaskGraph:
    """The tasks of a plan.

    Args:
        plan: as proposed. kinds: that there are. skills: of the agents that there are.
        paths: what the user named. limits: what a plan may ask for.

    Raises:
        InputError: the plan cannot be carried out, with the reasons: ids, kinds, skills, inputs, paths,
            needs, budgets, circles, size.
    """
    return _Check({kind.name: kind for kind in kinds}, skills, paths, limits or PlanLimits()).graph(plan)


class _Check:
    def __init__(
        self, kinds: Mapping[str, Kind], skills: frozenset[str], paths: NamedPaths, limits: PlanLimits
    ) -> None:
        self.kinds, self.skills, self.paths, self.limits = kinds, skills, paths, limits
        self.problems: list[str] = []

    def graph(self, plan: Sequence[PlannedTask | Mapping[str, Any]]) -> TaskGraph:
        """See `check_plan`."""
        if not plan:
            raise InputError("expected a plan, found one without tasks")
        planned = [one for said in plan[: self.limits.tasks + 1] if (one := self._planned(said))]
        groups: dict[str, list[Task]] = {}
        for one in planned:
            if one.id in groups:
                self.problems.append(f"{one.id}: there are two tasks of this id")
            groups[one.id] = list(self._tasks(one))
            if (size := sum(map(len, groups.values()))) > self.limits.tasks:
                raise InputError(
                    f"expected at most {self.limits.tasks} tasks in a plan, found {size} up to {one.id}"
                )
        for one in planned:
            if unknown := [need for need in one.needs if need not in groups]:
                self.problems.append(f"{one.id}: needs {', '.join(unknown)}, which is not in the plan")
        if self.problems:
            said = "; ".join(self.problems[:_SHOWN])
            raise InputError(f"expected a plan that can be carried out, found {said}")
        return _graph(planned, groups)

    def _planned(self, said: PlannedTask | Mapping[str, Any]) -> PlannedTask | None:
        try:
            return PlannedTask.model_validate(said.model_dump() if isinstance(said, BaseModel) else said)
        except ValidationError as error:
            self.problems += [_problem("a task", one) for one in error.errors(include_url=False)]
            return None

    def _tasks(self, one: PlannedTask) -> Iterator[Task]:
        """One task, or one for each file."""
        kind = self.kinds.get(one.kind)
        if kind is None or kind.name not in self.skills:
            known = ", ".join(name for name in self.kinds if name in self.skills)
            self.problems.append(f"{one.id}: no agent does {one.kind}; there are {known}")
            return
        budget = self._budget(one)
        if not one.each:
            inputs = self._inputs(one, kind, one.inputs)
            yield Task(one.id, kind.name, inputs, partial=kind.partial, budget=budget)
            return
        for task, path in _named(one.id, self._files(one, kind)):
            inputs = self._inputs(one, kind, {**one.inputs, kind.path: path})
            yield Task(task, kind.name, inputs, partial=kind.partial, budget=budget)

    def _files(self, one: PlannedTask, kind: Kind) -> list[str]:
        if not kind.path:
            self.problems.append(f"{one.id}: {kind.name} takes no file, so it cannot be done for each")
            return []
        try:
            found = self.paths.files(one.each)
        except InputError as error:
            self.problems.append(f"{one.id}: {error}")
            return []
        if not found:
            self.problems.append(f"{one.id}: no file matches {one.each!r}")
        return found[: self.limits.tasks + 1]

    def _inputs(self, one: PlannedTask, kind: Kind, said: Mapping[str, Any]) -> dict[str, Any]:
        try:
            inputs = kind.inputs.model_validate(said).model_dump(mode="json")
            if kind.path and not inputs[kind.path]:
                raise InputError(f"{kind.name} takes a file: name it as {kind.path}, or several with each")
            if kind.path:
                self.paths.resolve(inputs[kind.path])
            return inputs
        except ValidationError as error:
            self.problems += [_problem(one.id, problem) for problem in error.errors(include_url=False)]
        except InputError as error:
            self.problems.append(f"{one.id}: {error}")
        return {}

    def _budget(self, one: PlannedTask) -> TaskBudget:
        limits = self.limits
        attempts = limits.attempts if one.attempts is None else one.attempts
        seconds = limits.seconds if one.seconds is None else one.seconds
        if not 1 <= attempts <= limits.attempts or not 0 < seconds <= limits.seconds:
            self.problems.append(
                f"{one.id}: {attempts} attempts of {seconds:g} s; 1 to {limits.attempts} of at most "
                f"{limits.seconds:g} s are allowed"
            )
        return TaskBudget(attempts=attempts, seconds=seconds)


def _graph(planned: Sequence[PlannedTask], groups: Mapping[str, Sequence[Task]]) -> TaskGraph:
    """With what every task needs; raises InputError for tasks that need each other."""
    tasks = []
    for one in planned:
        needs = tuple(task.id for need in dict.fromkeys(one.needs) for task in groups[need])
        tasks += [replace(task, needs=needs) for task in groups[one.id]]
    return TaskGraph(tasks)


def _named(group: str, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """An id for the task of every file: its name without signs that do something to a terminal."""
    taken: set[str] = set()
    for number, path in enumerate(files, 1):
        plain = re.sub(r"[^\w./-]+", "_", "/".join(PurePosixPath(path).parts[-3:]), flags=re.ASCII)[-80:]
        name = f"{group}/{plain}" if f"{group}/{plain}" not in taken else f"{group}/{plain}~{number}"
        taken.add(name)
        yield name, path


def _problem(who: str, error: Mapping[str, Any]) -> str:
    return f"{who}: {'.'.join(map(str, error['loc']))}: {error['msg']}"
