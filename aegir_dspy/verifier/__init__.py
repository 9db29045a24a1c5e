"""The verifier R(O, I): gates, components, nulls and the score record. No model, no torch."""

from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.profiles import PROFILES, Profile, load_profile
from aegir_dspy.verifier.score import GateResult, Score
from aegir_dspy.verifier.verifier import Verifier

__all__ = ["PROFILES", "Diagnostic", "GateResult", "Profile", "Score", "Verifier", "load_profile"]
