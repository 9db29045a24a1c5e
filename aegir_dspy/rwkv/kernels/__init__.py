"""Compiled kernels for a processor; without a compiler there are none, and torch does it all."""

from aegir_dspy.rwkv.kernels.library import library

__all__ = ["library"]
