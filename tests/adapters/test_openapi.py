"""Whatever is sent, answers are as the server's own OpenAPI document says; requests by schemathesis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from hypothesis.internal.conjecture.utils import many  # noqa: E402
from schemathesis.specs.openapi import checks as conformance  # noqa: E402

from aegir_dspy.adapters.openai_server import Host, Limits, create_app  # noqa: E402
from aegir_dspy.result import result_document  # noqa: E402
from aegir_dspy.rwkv import Engine  # noqa: E402
from aegir_dspy.swarm import Swarm  # noqa: E402

POSITIVE = schemathesis.GenerationMode.POSITIVE
EXAMPLES = 40  # of each operation and mode
SHORT = {"max_tokens": 8, "max_completion_tokens": 8, "n": 2}


@pytest.fixture(scope="module")
def document(
    tmp_path_factory: pytest.TempPathFactory, make_weights: Callable[..., Path], bundle_path: Path
) -> Any:
    engine = Engine.load(make_weights(tmp_path_factory.mktemp("openapi") / "tiny.safetensors"))
    swarm = Swarm(checkpoint=str(bundle_path))
    host = Host(
        {"tiny": engine},
        limits=Limits(max_tokens=8),
        annotate=lambda tables: result_document(swarm(tables=tables)),
    )
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(host))


def sensible(body: Any) -> Any:
    """A request for the one model there is, and not for long answers; tables that say something."""
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        short = {name: value for name, value in SHORT.items() if isinstance(body.get(name), int)}
        return {**body, **short, "model": "tiny"}
    if isinstance(body, dict) and isinstance(body.get("tables"), list):
        return {**body, "tables": [*body["tables"][:-1], {"csv": "a,b\n1,x\n2,y\n"}]}
    return body


CHECKS = (
    schemathesis.checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
    conformance.unsupported_method,
    conformance.missing_required_header,
)


@pytest.fixture(autouse=True)
def _older_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    """hypothesis-jsonschema 0.23 asks collections `more()`, which newer Hypotheses do not have."""
    if hasattr(many, "more"):
        return

    def more(elements: Any) -> bool:
        if not hasattr(elements, "_each"):
            elements._each = iter(elements.__enter__())
        if found := next(elements._each, True) is None:
            return found
        elements.__exit__(None, None, None)
        return False

    monkeypatch.setattr(many, "more", more, raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=str)
def test_answers_are_as_documented(document: Any, mode: Any) -> None:
    seen: Counter[tuple[str, int]] = Counter()
    for found in document.get_all_operations():
        operation = found.ok()

        @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            case.body = sensible(case.body) if mode is POSITIVE else case.body
            answer = case.call()
            seen[case.operation.label, answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        with suppress(Unsatisfiable):  # nothing is wrong with a request that has no parameters
            ask()
    right = {label for label, status in seen if status == 200}
    posts = {label for label, _ in seen if label.startswith("POST")}
    assert len(posts) == 5 and right.issuperset(posts) is (mode is POSITIVE), seen
