"""Refusals in the form OpenAI's clients know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from aegir_dspy.errors import AegirError

__all__ = ["ApiError", "refusal", "refusal_of_fields"]

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
}


class ApiError(Exception):
    """A request that is refused.

    Args:
        status: of HTTP.
        message: one line: what was expected, what was found.
        param: the field that is at fault, if one is.
        code: what programs look at.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = headers or {}

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        kind = _KINDS.get(self.status, "invalid_request_error")
        found = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": found}


def refusal(error: Exception) -> ApiError:
    """What a request is refused with when our own code, or pydantic, refused it; others are defects."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ValidationError):
        return refusal_of_fields(error.errors(include_url=False, include_context=False))
    if isinstance(error, AegirError):
        return ApiError(400, " ".join(str(error).split()))
    return ApiError(500, f"a defect: {type(error).__name__}", code="internal_error")


def refusal_of_fields(errors: Sequence[Any]) -> ApiError:
    """The first of the fields that pydantic found at fault."""
    if not errors:
        return ApiError(400, "expected a JSON object")
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    message = " ".join(str(first["msg"]).encode("ascii", "backslashreplace").decode().split())
    where = where.encode("ascii", "backslashreplace").decode()[:100]
    return ApiError(400, f"{where or 'body'}: {message[:300]}", param=where or None, code="invalid_value")
