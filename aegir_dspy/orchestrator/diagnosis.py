"""What an exception means: which class of failure it is, and what is known about trying again.

Providers' libraries (litellm, openai, httpx, aiohttp, dspy) are never imported: their exceptions are told by
the names of their classes and by the HTTP status and headers they carry. No text of an exception that is not
this package's own is passed on, because it may quote what was asked: cells and documents are data.
"""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

from aegir_dspy.errors import AegirError, ConstraintError, InputError, PrerequisiteError

__all__ = ["Diagnosis", "diagnose"]

# Names of classes, whichever library they are from; the most derived one that is known decides.
_BY_NAME = {
    "context_overflow": ("ContextWindowExceededError", "ContextLengthError"),
    "timeout": ("Timeout", "APITimeoutError", "TimeoutException", "LMTimeoutError", "ServerTimeoutError"),
    "parse": (
        "ValidationError", "JSONDecodeError", "AdapterParseError", "JSONSchemaValidationError",
        "APIResponseValidationError", "DecodingError", "IncompleteRead", "IncompleteReadError",
        "ChunkedEncodingError", "ClientPayloadError", "StreamAssemblyError", "LMStreamAssemblyError",
    ),
    "resource": ("RateLimitError", "LMRateLimitError", "OutOfMemoryError"),
    "provider_down": (
        "APIConnectionError", "TransportError", "LMTransportError", "ServiceUnavailableError",
        "InternalServerError", "ServerError", "LMServerError", "ClientConnectionError", "BadStatusLine",
    ),
}  # fmt: skip
_CLASS_OF = {name: kind for kind, names in _BY_NAME.items() for name in names}
# What no further try at the same provider changes: keys, accounts, what it does not offer.
_REFUSED = frozenset(
    {
        "AuthenticationError", "AuthError", "LMAuthError", "PermissionDeniedError", "NotFoundError",
        "BillingError", "LMBillingError", "ContentPolicyViolationError", "UnsupportedFeatureError",
        "LMUnsupportedFeatureError", "UnsupportedModelError", "LMUnsupportedModelError",
        "ConfigurationError", "LMConfigurationError",
    }
)  # fmt: skip
_UNREACHABLE = frozenset(
    {
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH,
        errno.ENETDOWN, errno.EPIPE, errno.ENOTCONN,
    }
)  # fmt: skip
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|prompt is too long"
)
_CUT_OFF = re.compile(r"incomplete (?:chunked read|message body)|complete message body")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What went wrong.

    Attributes:
        failure_class: see `aegir_dspy.errors.FailureRecord`.
        message: one line for a person: what was expected, what was found.
        facts: what a replanner may go by: ``error`` (name of the exception), ``status`` (of HTTP), ``errno``,
            ``retry_after`` (s), ``permanent``.
    """

    failure_class: str
    message: str
    facts: Mapping[str, str] = field(default_factory=dict)


def diagnose(error: BaseException) -> Diagnosis:
    """The diagnosis of an exception, or of the one it was raised from where only that one is known."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        if isinstance(one, BaseExceptionGroup):
            one = one.exceptions[0]
            continue
        if (found := _known(one)) is not None:
            return found
        one = one.__cause__
    name = type(error).__name__
    message = f"expected the task to be done, found {name}{_place(error.__traceback__)}"
    return Diagnosis("resource", message, {"error": name})


def _known(error: BaseException) -> Diagnosis | None:
    try:
        looks = (look(error) for look in (_own, _built_in, _named, _http, _system))
        return next((found for found in looks if found is not None), None)
    except Exception:  # an exception whose own attributes cannot be read is an unknown one
        return None


def _own(error: BaseException) -> Diagnosis | None:
    """This package's errors; their messages are its own."""
    if not isinstance(error, AegirError):
        return None
    facts = {"error": type(error).__name__}
    if isinstance(error, PrerequisiteError | InputError):
        return Diagnosis("missing_dependency", str(error), {**facts, "permanent": "yes"})
    return Diagnosis("parse" if isinstance(error, ConstraintError) else "resource", str(error), facts)


def _built_in(error: BaseException) -> Diagnosis | None:
    facts = {"error": type(error).__name__}
    if isinstance(error, json.JSONDecodeError):
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        return Diagnosis("parse", f"expected JSON, found {where}", facts)
    if isinstance(error, UnicodeError):
        return Diagnosis("parse", "expected text, found bytes that are none", facts)
    if isinstance(error, MemoryError):
        return Diagnosis("resource", "expected enough memory, found none left", facts)
    if isinstance(error, ImportError):
        message = f"expected the module {error.name or 'it needs'}, found none: install it"
        return Diagnosis("missing_dependency", message, {**facts, "permanent": "yes"})
    return None


def _named(error: BaseException) -> Diagnosis | None:
    """By the name of its class, or of one it is derived from."""
    name = type(error).__name__
    facts = {"error": name, **_status_fact(error), **_wait_fact(error)}
    for base in type(error).__mro__:
        if base.__name__ in _REFUSED:
            message = f"expected a provider that does it, found a refusal ({_found(error)})"
            return Diagnosis("provider_down", message, {**facts, "permanent": "yes"})
        if base.__name__ == "BudgetExceededError":
            return Diagnosis(
                "resource", "expected a budget, found it spent: allow more", {**facts, "permanent": "yes"}
            )
        if (kind := _CLASS_OF.get(base.__name__)) is not None:
            kind = "parse" if kind == "provider_down" and _CUT_OFF.search(str(error)) else kind
            return Diagnosis(kind, f"expected an answer, found {_found(error)}", facts)
    return None


def _http(error: BaseException) -> Diagnosis | None:
    """By the HTTP status it carries."""
    status = _status(error)
    if status is None:
        return None
    facts = {"error": type(error).__name__, **_status_fact(error), **_wait_fact(error)}
    message = f"expected an answer, found {_found(error)}"
    if status in (408, 504):
        return Diagnosis("timeout", message, facts)
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(_code(error) + str(error))):
        return Diagnosis("context_overflow", message, facts)
    if status == 429:
        return Diagnosis("resource", message, facts)
    # What is left of 4xx (keys, unknown models, parameters it does not take) does not change by asking again.
    return Diagnosis("provider_down", message, facts if status >= 500 else {**facts, "permanent": "yes"})


def _system(error: BaseException) -> Diagnosis | None:
    """Of the operating system: disks, files, sockets."""
    if isinstance(error, TimeoutError):
        return Diagnosis("timeout", "expected an answer in time, found none", {"error": type(error).__name__})
    if isinstance(error, EOFError):
        return Diagnosis("parse", "expected a whole answer, found half of one", {"error": "EOFError"})
    if not isinstance(error, OSError):
        return None
    code = errno.errorcode.get(error.errno or 0, "")
    facts = {"error": type(error).__name__, **({"errno": code} if code else {})}
    found = error.strerror or type(error).__name__
    if isinstance(error, ConnectionError) or error.errno in _UNREACHABLE or _is_network(error):
        return Diagnosis("provider_down", f"expected a provider that answers, found: {found}", facts)
    place = f" {error.filename}" if isinstance(error.filename, str) else ""
    message = f"expected to use the file{place}, found: {found}"
    if error.errno in _ABSENT:
        return Diagnosis("missing_dependency", message, {**facts, "permanent": "yes"})
    return Diagnosis("resource", message, {**facts, "permanent": "yes"} if error.errno in _FULL else facts)


def _is_network(error: OSError) -> bool:
    return any(base.__name__ in ("gaierror", "URLError", "SSLError") for base in type(error).__mro__)


def _found(error: BaseException) -> str:
    """Status, class, and where it is pydantic's the kinds of errors; never the values that were refused."""
    status, name = _status(error), type(error).__name__
    listed = getattr(error, "errors", None)
    if name == "ValidationError" and callable(listed):
        kinds = {str(one.get("type")) for one in listed(include_input=False, include_context=False)}
        return f"{name}: {', '.join(sorted(kinds))}"
    return f"HTTP {status} ({name})" if status else name


def _status(error: BaseException) -> int | None:
    """The HTTP status, under the names the libraries have for it."""
    response = getattr(error, "response", None)
    for holder, names in ((error, ("status_code", "status", "code")), (response, ("status_code", "status"))):
        for name in names:
            value = getattr(holder, name, None)
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return None


def _status_fact(error: BaseException) -> dict[str, str]:
    return {"status": str(status)} if (status := _status(error)) else {}


def _code(error: BaseException) -> str:
    return " ".join(str(getattr(error, name, "")) for name in ("code", "provider_code", "type"))


def _wait_fact(error: BaseException) -> dict[str, str]:
    """Seconds a provider asks to wait: an attribute, or the header Retry-After (RFC 9110, 10.2.3)."""
    said: Any = getattr(error, "retry_after", None)
    for holder in (error, getattr(error, "response", None)):
        headers: Any = getattr(holder, "headers", None)
        if said is None and hasattr(headers, "get"):
            said = headers.get("retry-after") or headers.get("Retry-After")
    seconds = _seconds(said)
    return {} if seconds is None else {"retry_after": f"{seconds:g}"}


def _seconds(said: Any) -> float | None:
    """Seconds from now, of a number or of a date as HTTP writes it."""
    try:
        found = float(said)
    except (TypeError, ValueError):
        try:
            date = parsedate_to_datetime(str(said))
        except ValueError:
            return None
        found = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return max(found, 0.0) if math.isfinite(found) else None


def _place(trace: TracebackType | None) -> str:
    """Where it was raised: file and line of the innermost frame, which are code, not data."""
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    file = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f" in {code.co_name} ({file}:{trace.tb_lineno})"
