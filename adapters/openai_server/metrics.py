"""What a server has done, as Prometheus reads it (text format 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from aegir_dspy.adapters.openai_server.host import Host

__all__ = ["Metrics"]

_BOUNDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # seconds
_PATHS = {
    "/health", "/metrics", "/v1/annotate", "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
    "/v1/models", "/v1/states",
}  # fmt: skip


class Metrics:
    """Counters of requests and tokens, a histogram of seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._tokens: Counter[str] = Counter()
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """A request has been answered."""
        with self._lock:
            self._requests[path if path in _PATHS else "other", status] += 1
            self._buckets[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def count_tokens(self, read: int, made: int) -> None:
        """So many tokens of prompts were read, so many generated."""
        with self._lock:
            self._tokens["prompt"] += read
            self._tokens["generated"] += made

    def text(self, host: Host) -> str:
        """All of it, and what the server has on hand now."""
        with self._lock:
            lines = [*self._counters(), *self._histogram()]
        busy, waiting = host.streams
        gauges = {
            "aegir_answers_open": host.load.taken,
            "aegir_streams_decoding": busy,
            "aegir_streams_waiting": waiting,
            "aegir_states_held": len(host.shelf.handles()),
        }
        lines += ["# TYPE aegir_refused_total counter", f"aegir_refused_total {host.load.refused}"]
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name} {value}"]
        return "\n".join(lines) + "\n"

    def _counters(self) -> Iterator[str]:
        yield "# TYPE aegir_requests_total counter"
        for (path, status), count in sorted(self._requests.items()):
            yield f'aegir_requests_total{{path="{path}",status="{status}"}} {count}'
        yield "# TYPE aegir_tokens_total counter"
        for kind in ("prompt", "generated"):
            yield f'aegir_tokens_total{{kind="{kind}"}} {self._tokens[kind]}'

    def _histogram(self) -> Iterator[str]:
        yield "# TYPE aegir_request_seconds histogram"
        total = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
            total += count
            yield f'aegir_request_seconds_bucket{{le="{bound}"}} {total}'
        yield f"aegir_request_seconds_sum {self._seconds:.6f}"
        yield f"aegir_request_seconds_count {total}"
