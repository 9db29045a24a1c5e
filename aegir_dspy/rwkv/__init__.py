"""RWKV-7 in plain PyTorch: checkpoints, states, batched reading, generation and scoring."""

from aegir_dspy.rwkv.checkpoint import build_model, read_weights, save_weights
from aegir_dspy.rwkv.decoding import Generation
from aegir_dspy.rwkv.engine import Engine
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.grammar import Grammar
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.sampling import GenerationConfig
from aegir_dspy.rwkv.state import Identity, State, StatePool, StateTensors, zero_tensors

__all__ = [
    "RWKV7",
    "Engine",
    "Generation",
    "GenerationConfig",
    "Geometry",
    "Grammar",
    "Identity",
    "State",
    "StatePool",
    "StateTensors",
    "build_model",
    "read_weights",
    "save_weights",
    "zero_tensors",
]
