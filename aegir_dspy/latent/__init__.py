"""The latent room: frozen specialists that read, and the fusion of what they read."""

from aegir_dspy.latent.fusion import FusionMode, fuse, fuse_tensors, fusion_weights
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading, read_pieces, span_features

__all__ = [
    "FrozenSpecialist",
    "FusionMode",
    "Reading",
    "fuse",
    "fuse_tensors",
    "fusion_weights",
    "read_pieces",
    "span_features",
]
