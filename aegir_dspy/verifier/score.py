"""The score record: R, gates, components and reasons, the same bytes on every machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["Finding", "GateResult", "Score", "quantised"]


def quantised(value: float) -> float:
    """Rounded to a multiple of 1e-9, so that the last bits of a sum do not reach the record; never -0.0."""
    return round(value, 9) + 0.0


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a gate lets the composition through; every refusal has a diagnostic with code ``<name>.…``."""

    name: str
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """The entry of ``score.gates``."""
        return {"name": self.name, "ok": self.ok}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a component says: a value in 0 … 1 and its reasons."""

    value: float
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Score:
    """R(O, I) and why.

    Attributes:
        R: 0 when any gate refuses, otherwise the weighted mean of the components; 0 … 1.
        gates: every gate, in the order of the profile.
        components: name → value in 0 … 1; empty when a gate refuses.
        diagnostics: sorted.
        shaped: partial credit for training, 0 … 1; never reported as R.
        verifier: sha256 over catalog, ontology, vocabulary, weights and nulls (`Verifier.identity`).
        inputs: sha256 over O and I.
    """

    R: float
    gates: tuple[GateResult, ...]
    components: dict[str, float]
    diagnostics: tuple[Diagnostic, ...]
    shaped: float
    verifier: str
    inputs: str

    @property
    def ok(self) -> bool:
        """Whether every gate lets the composition through."""
        return all(gate.ok for gate in self.gates)

    def to_json(self) -> dict[str, Any]:
        """The ``score`` of ``aegir.result/1``: R, gates, components, diagnostics."""
        return {
            "R": self.R,
            "gates": [gate.to_json() for gate in self.gates],
            "components": dict(sorted(self.components.items())),
            "diagnostics": [d.to_json() for d in self.diagnostics],
        }

    def record(self) -> bytes:
        """Canonical JSON of everything, the same bytes for the same O, I and verifier."""
        content = {
            **self.to_json(),
            "shaped": self.shaped,
            "verifier": self.verifier,
            "inputs": self.inputs,
        }
        return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )

    @cached_property
    def identity(self) -> str:
        """SHA-256, in hex, of `record`."""
        return hashlib.sha256(self.record()).hexdigest()
