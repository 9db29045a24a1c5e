"""What is done about a failure, by rules: the default, deterministic, no model is asked.

==================  =====================================================================================
context_overflow    decompose; else fewer rows; else an agent that has not overflowed; else give up
parse               temperature 0; the second time another agent, or a higher one and another seed
low_confidence      look deeper, on another agent; when all are unsure, decompose
gate, contradiction another agent and seed, told what the verifier refused
timeout             another agent with twice the time; the second time decompose
provider_down       another agent; when all are down, wait; when all refuse for good, give up
resource            memory: decompose, fewer rows; a disk: give up; else another agent, else wait: for as
                    long as Retry-After says, or longer each time
missing_dependency  give up: it does not appear by asking again
==================  =====================================================================================

Nothing is tried more often than `task.budget.attempts` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aegir_dspy.errors import FailureRecord
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.decision import Decision, GiveUp, Retry
from aegir_dspy.orchestrator.strategies import Case, Rules
from aegir_dspy.orchestrator.task import Task

__all__ = ["RetryOnly", "RuleReplanner", "by_rules"]

_VARIED = 0.7  # temperature at which another seed makes another answer


class RetryOnly:
    """The same again, after a wait, on whatever agent is free: the baseline.

    Args:
        rules: its waits.
    """

    steps = 0

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()

    async def decide(
        self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Agent]
    ) -> Decision:
        """See `aegir_dspy.orchestrator.decision.Replanner`."""
        case = Case(task, failures, agents, self.rules)
        return case.spent() or Retry(task.again(), wait=min(case.backoff(), self.rules.longest_wait))


class RuleReplanner:
    """See the module's documentation.

    Args:
        rules: its numbers, and how tasks are decomposed.
    """

    steps = 0

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()

    async def decide(
        self, task: Task, failures: Sequence[FailureRecord], agents: Sequence[Agent]
    ) -> Decision:
        """See `aegir_dspy.orchestrator.decision.Replanner`."""
        return by_rules(Case(task, failures, agents, self.rules))


def by_rules(case: Case) -> Decision:
    """What the rules say."""
    kind = case.kind.partition(":")[0]
    return case.spent() or _RULES.get(kind, _resource)(case)


def _context_overflow(case: Case) -> Decision:
    found = case.decompose() or case.fewer() or case.reassign()
    return found or GiveUp("too large for every agent, and it has no parts")


def _parse(case: Case) -> Decision:
    again = {"temperature": 0.0 if case.times == 1 else _VARIED, "seed": case.task.attempt}
    if case.permanent:
        return case.reassign() or GiveUp("no agent can read it")
    return (case.reassign(**again) if case.times > 1 else None) or case.retry(**again)


def _low_confidence(case: Case) -> Decision:
    deeper = {"depth": int(case.task.inputs.get("depth", 0)) + 1}
    return case.reassign(**deeper) or case.decompose() or case.retry(**deeper)


def _refused(case: Case) -> Decision:
    """By the verifier: names of gates and rules are its own words, so an agent may be told."""
    kinds = (one.failure_class for one in case.failures)
    refused = sorted({kind for kind in kinds if kind.startswith(("gate:", "contradiction:"))})
    told = {"refused": refused, "seed": case.task.attempt}
    return case.reassign(**told) or case.retry(**told)


def _timeout(case: Case) -> Decision:
    return (case.decompose() if case.times > 1 else None) or case.longer()


def _provider_down(case: Case) -> Decision:
    if found := case.reassign():
        return found
    if all(agent.name in case.unable for agent in case.agents):
        return GiveUp("no agent with its skill is able to do it")
    return case.wait(create=True)


def _resource(case: Case) -> Decision:
    if not case.agents and case.task.attempt == 1:
        return Retry(case.task.again(), create=True)
    if case.permanent:
        return GiveUp("trying again does not change it")
    memory = case.facts.get("error") in ("MemoryError", "OutOfMemoryError")
    smaller = (case.decompose() or case.fewer()) if memory else None
    return smaller or case.reassign() or case.wait()


def _missing_dependency(case: Case) -> Decision:
    return GiveUp("what it needs is not there")


_RULES: Mapping[str, Callable[[Case], Decision]] = {
    "context_overflow": _context_overflow,
    "parse": _parse,
    "low_confidence": _low_confidence,
    "gate": _refused,
    "contradiction": _refused,
    "timeout": _timeout,
    "provider_down": _provider_down,
    "resource": _resource,
    "missing_dependency": _missing_dependency,
}
