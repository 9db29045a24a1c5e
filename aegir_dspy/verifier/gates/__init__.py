"""The gates: each says what in a composition it refuses; R is 0 behind any of them."""

from aegir_dspy.verifier.gates.judge import MOST_REASONS, refusals

__all__ = ["MOST_REASONS", "refusals"]
