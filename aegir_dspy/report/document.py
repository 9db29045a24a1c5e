"""The JSON document ``aegir.result/1``."""

from __future__ import annotations

from typing import Any

__all__ = ["SCHEMA", "result_document"]

SCHEMA = "aegir.result/1"


def result_document(prediction: Any) -> dict[str, Any]:
    """The prediction of a `Swarm` as one JSON-able document.

    Until a verifier has judged the composition, R is null and gates and components are empty.
    """
    score = prediction.score or {"R": None, "gates": [], "components": {}, "diagnostics": []}
    return {
        "schema": SCHEMA,
        "tables": [table.to_json() for table in prediction.annotations],
        "elements": list(prediction.elements),
        "score": score,
        "failures": [failure.to_json() for failure in prediction.failures],
        "usage": prediction.usage.to_json(),
        "identity": prediction.identity,
    }
