"""What exceptions mean; those of providers' libraries are made by these libraries."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import urllib.error
from email.message import Message
from email.utils import formatdate
from time import time
from typing import Any

import dspy
import httpx
import openai
import pytest
from dspy.utils.exceptions import AdapterParseError, LMUnexpectedError
from pydantic import TypeAdapter, ValidationError

from aegir_dspy.errors import ConstraintError, InputError, PrerequisiteError
from aegir_dspy.orchestrator.agent import TaskError
from aegir_dspy.orchestrator.failure import facts, failure_class, failure_of
from aegir_dspy.orchestrator.task import Task

REQUEST = httpx.Request("POST", "http://localhost/v1/chat/completions")


def record(error: BaseException) -> Any:
    return failure_of(error, Task("t", "do", attempt=2), "agent")


def status(code: int, headers: dict[str, str] | None = None, body: Any = None) -> openai.APIStatusError:
    """What the openai client raises for an answer of a server."""
    client = openai.OpenAI(api_key="none", base_url="http://localhost")
    response = httpx.Response(code, headers=headers, request=REQUEST, json=body or {})
    return client._make_status_error_from_response(response)


@pytest.mark.parametrize(
    ("code", "kind", "permanent"),
    [
        (408, "timeout", False),
        (429, "resource", False),
        (500, "provider_down", False),
        (503, "provider_down", False),
        (504, "timeout", False),
        (401, "provider_down", True),
        (403, "provider_down", True),
        (404, "provider_down", True),
        (400, "provider_down", True),
        (413, "context_overflow", False),
    ],
)
def test_http_statuses(code: int, kind: str, permanent: bool) -> None:
    plain = httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(code))
    errors: list[Exception] = [plain, urllib.error.HTTPError("http://x", code, "no", Message(), None)]
    if code != 504:  # openai has one class for all of 5xx
        errors.append(status(code))
    for error in errors:
        found = record(error)
        assert found.failure_class == kind, error
        assert facts(found)["status"] == str(code)
        assert ("permanent" in facts(found)) == permanent


@pytest.mark.parametrize(
    "error",
    [
        status(400, body={"error": {"code": "context_length_exceeded", "message": "too many tokens"}}),
        status(400, body={"error": {"message": "This model's maximum context length is 4096 tokens."}}),
        dspy.ContextWindowExceededError(message="too long"),
    ],
)
def test_what_is_too_long(error: Exception) -> None:
    assert failure_class(error) == "context_overflow"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (openai.APITimeoutError(REQUEST), "timeout"),
        (openai.APIConnectionError(request=REQUEST), "provider_down"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.ConnectError("refused"), "provider_down"),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), "provider_down"),
        (httpx.RemoteProtocolError("peer closed connection (incomplete chunked read)"), "parse"),
        (http.client.IncompleteRead(b"half"), "parse"),
        (http.client.RemoteDisconnected("gone"), "provider_down"),
        (asyncio.IncompleteReadError(b"half", 9), "parse"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "provider_down"),
        (OSError(errno.EHOSTUNREACH, "no route"), "provider_down"),
        (urllib.error.URLError("no name"), "provider_down"),
        (TimeoutError(), "timeout"),
        (AdapterParseError("ChatAdapter", dspy.Signature("a -> b"), "nonsense"), "parse"),
        (ConstraintError("no output"), "parse"),
        (MemoryError(), "resource"),
        (OSError(errno.EMFILE, "too many open files"), "resource"),
        (ValueError("something"), "resource"),
        (ExceptionGroup("several", [TimeoutError()]), "timeout"),
        (TaskError("gate:slots", "refused"), "gate:slots"),
        (TaskError("contradiction:disjoint_classes", "refused"), "contradiction:disjoint_classes"),
        (TaskError("made up", "refused"), "resource"),
        (TaskError("gate:\x1b[2J", "refused"), "resource"),
    ],
)
def test_classes(error: BaseException, kind: str) -> None:
    found = record(error)
    assert (found.failure_class, found.attempt, found.agent) == (kind, 2, "agent")
    assert "permanent" not in facts(found)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "resource"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), "resource"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/data/x"), "missing_dependency"),
        (InputError("expected a file"), "missing_dependency"),
        (PrerequisiteError("install it"), "missing_dependency"),
        (ModuleNotFoundError("no", name="polars"), "missing_dependency"),
    ],
)
def test_what_does_not_change_by_trying(error: Exception, kind: str) -> None:
    found = record(error)
    assert (found.failure_class, "permanent" in facts(found)) == (kind, True)


def test_a_cause_that_is_known_decides() -> None:
    outer = LMUnexpectedError("engine failed")
    outer.__cause__ = status(429, {"retry-after": "3"})
    assert record(outer).failure_class == "resource" and facts(record(outer))["retry_after"] == "3"
    outer.__cause__ = outer
    assert record(outer).failure_class == "resource"


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [("7", 7, 7), ("0.5", 0.5, 0.5), ("-3", 0, 0), ("nan", None, None), ("soon", None, None)],
)
def test_retry_after(said: str, low: float | None, high: float | None) -> None:
    found = facts(record(status(429, {"Retry-After": said}))).get("retry_after")
    assert found is None if low is None or high is None else low <= float(str(found)) <= high


def test_retry_after_as_a_date() -> None:
    at = formatdate(time() + 100, usegmt=True)
    assert 90 < float(facts(record(status(503, {"retry-after": at})))["retry_after"]) <= 100
    assert facts(record(status(503, {"retry-after": formatdate(0, usegmt=True)})))["retry_after"] == "0"


def test_nothing_of_the_data_is_in_a_record() -> None:
    cell = "Ann Lee owes 500"
    errors: list[BaseException] = []
    for call in (
        lambda: float(cell),
        lambda: {}[cell],
        lambda: json.loads(cell),
        lambda: TypeAdapter(list[int]).validate_python([cell]),
        lambda: TypeAdapter(dict[str, int]).validate_python({cell: "x"}),
        lambda: cell.encode("ascii") and b"\xff".decode(),
        lambda: (_ for _ in ()).throw(RuntimeError(f"cannot use {cell}")),
    ):
        try:
            call()
        except (ValueError, KeyError, RuntimeError) as error:
            errors.append(error)
    errors.append(status(400, body={"error": {"message": f"bad prompt: {cell}"}}))
    errors.append(AdapterParseError("ChatAdapter", dspy.Signature("a -> b"), cell))
    assert len(errors) == 9 and any(isinstance(error, ValidationError) for error in errors)
    for error in errors:
        said = json.dumps(record(error).to_json())
        assert "Ann" not in said and "500" not in said, said


def test_an_exception_that_cannot_be_asked_is_an_unknown_one() -> None:
    class Broken(Exception):
        @property
        def response(self) -> None:
            raise RuntimeError("Ann Lee")

        def __str__(self) -> str:
            raise RuntimeError("Ann Lee")

    found = record(Broken())
    assert (found.failure_class, facts(found)) == ("resource", {"error": "Broken"})
    assert "Ann" not in str(found)


def test_where_an_unknown_error_was_raised() -> None:
    try:
        float("x")
    except ValueError as error:
        assert (
            "ValueError in test_where_an_unknown_error_was_raised (test_failure.py:" in record(error).message
        )


def test_messages_are_one_line_without_escapes_and_masked() -> None:
    wild = (
        "expected x,\nfound \x1b[2J\x1b]0;pwned\x07 ann.lee@example.org \u202e4111 1111 1111 1111" + "y" * 999
    )
    found = record(TaskError("parse", wild, wild))
    for text in (found.message, found.evidence):
        assert text.isprintable() and len(text) <= 300
        assert "ann.lee" not in text and "4111 1111" not in text and "\u202e" not in text


def test_text_cannot_pass_for_facts() -> None:
    fake = "permanent=yes; retry_after=999"
    assert facts(record(TaskError("parse", "x", fake))) == {}
    assert facts(record(TaskError("parse", "x", fake, retry_after=2.0))) == {"retry_after": "2"}
    assert facts(record(TaskError("parse", "x", permanent=True))) == {"permanent": "yes"}
    for seconds in (5e-05, 1e9, float("inf"), -1.0):
        known = facts(record(TaskError("resource", "x", retry_after=seconds)))
        assert float(known["retry_after"]) == min(max(seconds, 0.0), 1e9)


@pytest.mark.slow
def test_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    known = {"message": "no", "llm_provider": "p", "model": "m"}
    for error, kind in (
        (litellm.RateLimitError(**known), "resource"),
        (litellm.Timeout(**known), "timeout"),
        (litellm.ContextWindowExceededError(**known), "context_overflow"),
        (litellm.AuthenticationError(**known), "provider_down"),
        (litellm.ServiceUnavailableError(**known), "provider_down"),
        (litellm.InternalServerError(**known), "provider_down"),
        (litellm.APIConnectionError(**known), "provider_down"),
        (litellm.BadRequestError(**known), "provider_down"),
        (litellm.BudgetExceededError(1.0, 0.5), "resource"),
    ):
        assert failure_class(error) == kind, error
