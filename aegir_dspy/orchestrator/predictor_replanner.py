"""What is done about a failure, by a language model: it picks one of the strategies the rules have too.

It is told classes, facts and names of agents, never messages or evidence in words: what came from cells and
documents does not reach it. Where its answer is no strategy, or of no use here, the rules decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.decision import Decision, GiveUp
from aegir_dspy.orchestrator.failure import facts
from aegir_dspy.orchestrator.replanner import by_rules
from aegir_dspy.orchestrator.strategies import Case, Rules
from aegir_dspy.orchestrator.task import Task

if TYPE_CHECKING:
    import dspy

__all__ = ["PredictorReplanner", "Strategy"]

Strategy = Literal[
    "retry", "wait", "reassign", "decompose", "look_at_less", "allow_more_time", "create_worker", "give_up"
]
_INSTRUCTIONS = """Say what is done about a task that failed.

retry: the same again. wait: later, as a provider asks to. reassign: on another agent. decompose: do its
parts, then join them. look_at_less: half of its input. allow_more_time: twice the seconds. create_worker: on
a new agent. give_up: nothing that is left would help.
"""
_STRATEGIES: Mapping[str, Callable[[Case], Decision | None]] = {
    "retry": lambda case: case.retry(seed=case.task.attempt),
    "wait": lambda case: case.wait(),
    "reassign": lambda case: case.reassign(seed=case.task.attempt),
    "decompose": lambda case: case.decompose(),
    "look_at_less": lambda case: case.fewer(),
    "allow_more_time": lambda case: case.longer(),
    "create_worker": lambda case: case.wait(create=True),
    "give_up": lambda case: GiveUp("the planner sees nothing that would help"),
}


class PredictorReplanner:
    """Asks a DSPy predictor; attempts stay within the task's budget whatever it says.

    Args:
        lm: by default the one DSPy is configured with.
        predictor: any DSPy module with the fields of its signature; by default `dspy.Predict`.
        rules: of the strategies, and of the rules that decide where it does not.
    """

    steps = 1

    def __init__(
        self,
        lm: dspy.BaseLM | None = None,
        predictor: dspy.Module | None = None,
        rules: Rules | None = None,
    ) -> None:
        import dspy

        self.rules = rules or Rules()
        self._set = {} if lm is None else {"lm": lm}
        self._predictor = predictor or dspy.Predict(_signature())

    async def decide(
        self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Agent]
    ) -> Decision:
        """See `aegir_dspy.orchestrator.decision.Replanner`."""
        import dspy

        case = Case(task, failures, agents, self.rules)
        if spent := case.spent():
            return spent
        try:
            with dspy.context(**self._set):
                said = await self._predictor.acall(**_told(case))
            found = _STRATEGIES[said.strategy](case)
        except Exception:  # a model that cannot be asked, or says something else
            found = None
        return found or by_rules(case)


def _told(case: Case) -> dict[str, object]:
    """What a model is told about a failure."""
    task = case.task
    history = [
        f"attempt {one.attempt}, agent {one.agent}: {one.failure_class}"
        + "".join(f", {name} {value}" for name, value in facts(one).items())
        for one in case.failures
    ]
    return {
        "kind": task.kind,
        "failures": history,
        "agents": [agent.name for agent in case.agents],
        "attempts_left": task.budget.attempts - task.attempt,
    }


def _signature() -> type[dspy.Signature]:
    import dspy

    fields = {
        "kind": (str, dspy.InputField(desc="of the task")),
        "failures": (list[str], dspy.InputField(desc="all its failures, the last one last")),
        "agents": (list[str], dspy.InputField(desc="agents that could do it")),
        "attempts_left": (int, dspy.InputField()),
        "strategy": (Strategy, dspy.OutputField()),
    }
    return dspy.Signature(fields, _INSTRUCTIONS)  # type: ignore[no-any-return]
