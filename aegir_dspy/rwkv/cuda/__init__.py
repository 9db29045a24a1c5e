"""RWKV-7 on a GPU: Triton kernels, CUDA graphs, flash-linear-attention; torch where they are missing.

Nothing here imports triton or fla before they are used, and a model on a processor never uses them.
"""

from aegir_dspy.rwkv.cuda.layers import can_read, can_walk, read_layers, walk
from aegir_dspy.rwkv.cuda.learning import can_learn, learn

__all__ = ["can_learn", "can_read", "can_walk", "learn", "read_layers", "walk"]
