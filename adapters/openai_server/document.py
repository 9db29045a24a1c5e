"""What FastAPI does not write into the OpenAPI document by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from aegir_dspy.adapters.openai_server.wire import AnnotateRequest

__all__ = ["ANNOTATED", "STREAMED", "DocumentedApp"]

_SCHEMA = AnnotateRequest.model_json_schema(ref_template="#/components/schemas/{model}")
_PARTS: dict[str, Any] = _SCHEMA.pop("$defs")
_BODIES = {"application/json": {"schema": _SCHEMA}, "text/csv": {"schema": {"type": "string"}}}
_EVENTS: dict[str, Any] = {"text/event-stream": {}}

ANNOTATED: dict[str, Any] = {"openapi_extra": {"requestBody": {"required": True, "content": _BODIES}}}
STREAMED: dict[str, Any] = {"openapi_extra": {"responses": {"200": {"content": _EVENTS}}}}


class DocumentedApp(FastAPI):
    """With the schemas that a body refers to which FastAPI does not read itself."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        document["components"]["schemas"] |= _PARTS
        return document
