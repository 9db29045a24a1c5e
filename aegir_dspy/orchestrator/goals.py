"""From a goal in words to tasks: a DSPy predictor proposes a plan, the plan is checked before anything runs.

Whoever plans is told the goal, the kinds of tasks, the agents, and how many files of which suffix there are:
never what is in a file, nor its name. So nothing in the data can change the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegir_dspy.errors import AegirError, InputError, PrerequisiteError
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.diagnosis import diagnose
from aegir_dspy.orchestrator.masking import shown
from aegir_dspy.orchestrator.paths import NamedPaths
from aegir_dspy.orchestrator.planned import Kind, PlanLimits, PlannedTask, check_plan, plan_type
from aegir_dspy.orchestrator.task import TaskGraph

if TYPE_CHECKING:
    import dspy

__all__ = ["Goal", "GoalPlanner", "Plan", "Proposal", "plan_signature"]

_FEEDBACK = 1000  # characters of an answer that is no plan which its planner is shown
Proposal = Sequence[PlannedTask | Mapping[str, Any]]
_INSTRUCTIONS = """Plan the tasks that reach the goal.

Use the kinds of tasks that are listed, with their inputs. A task is given what the tasks it needs have made.
With `each`, a glob such as **/*.py, a task is done once for every file that matches. Tasks that do not need
each other are done at the same time. When there is feedback, the last plan could not be carried out: mend it.
"""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted: words of the user, and the files and folders that may be read for it."""

    text: str
    paths: Sequence[str | Path] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The tasks, and the calls of a model that planning took."""

    graph: TaskGraph
    steps: int = 0


class GoalPlanner:
    """Plans goals.

    Args:
        kinds: the kinds of tasks a plan may use.
        agents: who there is to do them.
        lm: who plans; by default the one DSPy is configured with.
        predictor: any DSPy module with the fields of `plan_signature`; by default `dspy.Predict`.
        fallback: the plan of a goal where there is no language model.
        limits: what a plan may ask for.
        tries: how often a plan is asked for until one can be carried out.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        agents: Sequence[Agent],
        *,
        lm: dspy.BaseLM | None = None,
        predictor: dspy.Module | None = None,
        fallback: Callable[[Goal], Proposal] | None = None,
        limits: PlanLimits | None = None,
        tries: int = 3,
    ) -> None:
        self.kinds, self.limits, self.tries = tuple(kinds), limits or PlanLimits(), tries
        self.agents = tuple(agents)
        self.skills = frozenset(skill for agent in agents for skill in agent.skills)
        self._lm, self._predictor, self._fallback = lm, predictor, fallback

    async def plan(self, goal: Goal) -> Plan:
        """The tasks of a goal, checked.

        Raises:
            PrerequisiteError: there is neither a language model nor a fallback.
            InputError: a path does not exist, or the fallback is no plan that can be carried out.
            AegirError: no plan of the language model can be carried out, in all tries.
        """
        import dspy

        paths = NamedPaths(goal.paths)
        lm = self._lm or dspy.settings.lm
        if lm is None and self._predictor is None:
            return Plan(self._checked(self._without_model(goal), paths))
        predictor = self._predictor or dspy.Predict(plan_signature(self.kinds))
        feedback = ""
        for step in range(1, self.tries + 1):
            try:
                with dspy.context(lm=lm):
                    said = await predictor.acall(**self._told(goal, paths), feedback=feedback)
                return Plan(self._checked(said.plan, paths), step)
            except InputError as error:
                feedback = str(error)
            except Exception as error:
                found = diagnose(error)
                # What cannot be parsed is the planner's own answer; other errors may tell of keys.
                feedback = shown(str(error), _FEEDBACK) if found.failure_class == "parse" else found.message
        raise AegirError(f"expected a plan that can be carried out in {self.tries} tries, found: {feedback}")

    def _told(self, goal: Goal, paths: NamedPaths) -> dict[str, Any]:
        """What a planner knows."""
        usable = [kind for kind in self.kinds if kind.name in self.skills]
        files = ", ".join(f"{count} {suffix}" for suffix, count in paths.suffixes().items())
        return {
            "goal": goal.text,
            "kinds": [f"{kind.name}: {kind.says}" for kind in usable],
            "agents": [f"{a.name}: {', '.join(sorted(a.skills))}, {a.slots} at once" for a in self.agents],
            "files": files or "none",
        }

    def _without_model(self, goal: Goal) -> Proposal:
        if self._fallback is None:
            raise PrerequisiteError(
                "expected a language model to plan with, found none: dspy.configure(lm=...), or pass lm"
            )
        return self._fallback(goal)

    def _checked(self, plan: Proposal, paths: NamedPaths) -> TaskGraph:
        return check_plan(plan, self.kinds, self.skills, paths, self.limits)


def plan_signature(kinds: Sequence[Kind]) -> type[dspy.Signature]:
    """``goal, kinds, agents, files, feedback -> plan``; the type of the plan admits these kinds only."""
    import dspy

    fields = {
        "goal": (str, dspy.InputField(desc="what is wanted")),
        "kinds": (list[str], dspy.InputField(desc="kinds of tasks there are agents for, and what they do")),
        "agents": (list[str], dspy.InputField(desc="who there is, with skills: the kinds of tasks they do")),
        "files": (str, dspy.InputField(desc="how many files of which suffix may be read")),
        "feedback": (str, dspy.InputField(desc="why the last plan could not be carried out; empty at first")),
        "plan": (plan_type(kinds), dspy.OutputField(desc="tasks; ids are words, needs are ids")),
    }
    return dspy.Signature(fields, _INSTRUCTIONS)  # type: ignore[no-any-return]
