"""A result as the JSON document ``aegir.result/1``."""

from __future__ import annotations

from typing import Any

__all__ = ["SCHEMA", "result_document"]

SCHEMA = "aegir.result/1"


def result_document(prediction: Any) -> dict[str, Any]:
    """The prediction of a `Swarm` as one JSON-able document."""
    return {
        "schema": SCHEMA,
        "tables": [table.to_json() for table in prediction.annotations],
        "elements": [element.to_json() for element in prediction.elements],
        "score": None if prediction.score is None else prediction.score.to_json(),
        "failures": [failure.to_json() for failure in prediction.failures],
        "usage": prediction.usage.to_json(),
        "identity": prediction.identity,
    }
