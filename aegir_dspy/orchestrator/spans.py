"""A run as OpenTelemetry spans: one for the run, below it one a task, below that one for each attempt.

Used only where the user names an endpoint (``OTEL_EXPORTER_OTLP_ENDPOINT``). Names of attributes are those
of the semantic conventions for agents (``gen_ai.*``); values are ids, counts and classes of failures, never
cells.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from aegir_dspy.errors import PrerequisiteError
from aegir_dspy.orchestrator.execution import Event
from aegir_dspy.orchestrator.outcome import Outcome

__all__ = ["SpanWriter", "spans_wanted"]

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def spans_wanted() -> bool:
    """Whether the environment names an endpoint."""
    return bool(os.environ.get(ENDPOINT))


class SpanWriter:
    """An observer of events that sends spans, in the background, over HTTP.

    Args:
        name: of the run.

    Raises:
        PrerequisiteError: OpenTelemetry is not installed.
    """

    def __init__(self, name: str) -> None:
        try:
            exporting = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            self._sdk = import_module("opentelemetry.sdk.trace")
            batching = import_module("opentelemetry.sdk.trace.export")
            resources = import_module("opentelemetry.sdk.resources")
            self._api = import_module("opentelemetry.trace")
        except ImportError as error:
            raise PrerequisiteError(
                f"expected OpenTelemetry, because {ENDPOINT} is set, found no {error.name}: "
                "pip install 'aegir-dspy[otel]', or unset it"
            ) from error
        # A provider of its own: nothing global is set, and no other library's spans are sent.
        self._provider: Any = self._sdk.TracerProvider(
            resource=resources.Resource.create({"service.name": "aegir"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(batching.BatchSpanProcessor(exporting.OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("aegir_dspy")
        self._run = self._span("invoke_workflow " + name, None, {"gen_ai.operation.name": "invoke_workflow"})
        self._tasks: dict[str, Any] = {}
        self._attempts: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        """Begin or end what the event is about."""
        task = event.task
        if event.kind == "started":
            if task.id not in self._tasks:
                self._tasks[task.id] = self._span(
                    f"task {task.kind}", self._run, {"aegir.task.id": task.id, "aegir.task.kind": task.kind}
                )
            attributes = {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": event.agent,
                "aegir.task.attempt": task.attempt,
            }
            self._attempts[task.id] = self._span(
                f"invoke_agent {event.agent}", self._tasks[task.id], attributes
            )
        elif event.kind == "failed":
            self._end(self._attempts.pop(task.id, None), event.detail["failure"].failure_class)
        elif event.kind == "ended":
            self._ended(task.id, event.detail["outcome"])

    def close(self) -> None:
        """End the run's span and send what is not sent yet."""
        for span in (*self._attempts.values(), *self._tasks.values(), self._run):
            span.end()
        self._provider.shutdown()

    def _ended(self, task: str, outcome: Outcome) -> None:
        failure = "" if outcome.ok or not outcome.failures else outcome.failures[-1].failure_class
        self._end(self._attempts.pop(task, None), failure)
        span = self._tasks.pop(task, None)
        if span is not None:
            span.set_attributes(
                {
                    "aegir.task.attempts": outcome.attempts,
                    "aegir.usage.tokens": outcome.tokens,
                    "aegir.usage.cost": outcome.cost,
                    "aegir.usage.steps": outcome.steps,
                }
            )
        self._end(span, failure)

    def _span(self, name: str, parent: Any, attributes: dict[str, Any]) -> Any:
        context = None if parent is None else self._api.set_span_in_context(parent)
        return self._tracer.start_span(name, context=context, attributes=attributes)

    def _end(self, span: Any, failure: str) -> None:
        if span is None:
            return
        if failure:
            span.set_attribute("error.type", failure)
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, failure))
        span.end()
