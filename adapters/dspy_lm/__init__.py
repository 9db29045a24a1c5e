"""DSPy on the local engine: `lm` makes a `dspy.LM`, `CompactAdapter` speaks to byte-level specialists."""

from aegir_dspy.adapters.dspy_lm.checkpoint import Checkpoint
from aegir_dspy.adapters.dspy_lm.compact import CompactAdapter, CompactParseError, default_instructions
from aegir_dspy.adapters.dspy_lm.engine import AegirAsyncEngine, AegirEngine, AegirLM, lm

__all__ = [
    "AegirAsyncEngine",
    "AegirEngine",
    "AegirLM",
    "Checkpoint",
    "CompactAdapter",
    "CompactParseError",
    "default_instructions",
    "lm",
]
