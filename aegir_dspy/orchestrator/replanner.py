"""What is done about failures, by rules."""

from __future__ import annotations

from collections.abc import Sequence

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.decision import Decision, GiveUp, Retry
from aegir_dspy.orchestrator.task import Task

__all__ = ["RuleReplanner"]


class RuleReplanner:
    """Tries again until the task's attempts are spent."""

    steps = 0

    async def decide(
        self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Agent]
    ) -> Decision:
        """See `aegir_dspy.orchestrator.decision.Replanner`."""
        if task.attempt >= task.budget.attempts:
            return GiveUp(f"tried {task.attempt} times")
        return Retry(task.again())
