"""An agent that does its tasks with a DSPy predictor, on any language model DSPy has: local or remote."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.agent import Job, TaskError, Work

if TYPE_CHECKING:
    import dspy

__all__ = ["DSPyAgent"]


class DSPyAgent:
    """Fills a signature from a job, asks, and checks the types of the answer.

    The signature's inputs are taken from the task's inputs by name; one that is not among them is given the
    values of what the task needs, as a list, in order. The work's value is the output field, or a dictionary
    of several. ``temperature`` and ``seed`` of the task, which a replanner may set, go to the model.

    Args:
        name: of the agent. skills: what it does.
        signature: of the predictor.
        lm: by default the one DSPy is configured with when a task is done.
        adapter: of DSPy, for example `aegir_dspy.CompactAdapter`; by default the configured one.
        slots: tasks at once.
        blocking: the model has no async calls: each task gets a thread.
        arguments: the signature's inputs of a job, where they are not as above.
    """

    def __init__(
        self,
        name: str,
        skills: Iterable[str],
        signature: str | type[dspy.Signature],
        *,
        lm: dspy.BaseLM | None = None,
        adapter: dspy.Adapter | None = None,
        slots: int = 8,
        blocking: bool = False,
        arguments: Callable[[Job], Mapping[str, Any]] | None = None,
    ) -> None:
        import dspy

        self.name, self.skills, self.slots = name, frozenset(skills), slots
        self.predict = dspy.Predict(signature)
        self._set = {key: one for key, one in (("lm", lm), ("adapter", adapter)) if one is not None}
        self._blocking, self._arguments = blocking, arguments or self._by_name
        fields: Mapping[str, Any] = self.predict.signature.output_fields
        self._types = {field: TypeAdapter(info.annotation) for field, info in fields.items()}

    async def perform(self, job: Job) -> Work:
        """See `aegir_dspy.orchestrator.agent.Agent`."""
        import dspy
        from dspy.utils.usage_tracker import track_usage

        given = {**self._arguments(job), "config": _config(job)}
        with dspy.context(**self._set), track_usage() as usage:
            if self._blocking:
                said = await asyncio.to_thread(self.predict, **given)
            else:
                said = await self.predict.acall(**given)
        return Work(self._checked(said), tokens=_tokens(usage.get_total_tokens()))

    def _by_name(self, job: Job) -> dict[str, Any]:
        names = list(self.predict.signature.input_fields)
        given = {name: job.task.inputs[name] for name in names if name in job.task.inputs}
        open_ = [name for name in names if name not in given]
        if len(open_) > 1:
            raise InputError(f"expected {job.task.id} to say {', '.join(open_)}, found only {sorted(given)}")
        return {**given, **{name: list(job.inputs.values()) for name in open_}}

    def _checked(self, said: dspy.Prediction) -> Any:
        """The output as its types have it. Raises TaskError ``parse`` where it is of others."""
        found: dict[str, Any] = {}
        for name, type_ in self._types.items():
            try:
                found[name] = type_.validate_python(said.get(name), strict=True)
            except ValueError as error:
                raise TaskError("parse", f"expected {name} of its type, found another") from error
        return found[name] if len(found) == 1 else found


def _config(job: Job) -> dict[str, Any]:
    task = job.task
    config = {key: task.inputs[key] for key in ("temperature", "seed") if key in task.inputs}
    if task.budget.tokens is not None:
        config["max_tokens"] = task.budget.tokens
    return config


def _tokens(usage: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(int(one.get("total_tokens") or 0) for one in usage.values())
