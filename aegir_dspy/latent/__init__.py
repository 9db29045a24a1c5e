"""The latent room: frozen specialists that read, and the fusion of what they read."""

from aegir_dspy.latent.affine import AffineMaps, compose
from aegir_dspy.latent.alignment import AlignmentForm, AlignmentProjection
from aegir_dspy.latent.fusion import FusionMode, fuse, fuse_bmm, fuse_tensors, fusion_weights
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading, read_pieces, span_features
from aegir_dspy.latent.state_fusion import FusionConfig, RWKVStateFusion, StateFusionMode

__all__ = [
    "AffineMaps",
    "AlignmentForm",
    "AlignmentProjection",
    "FrozenSpecialist",
    "FusionConfig",
    "FusionMode",
    "RWKVStateFusion",
    "Reading",
    "StateFusionMode",
    "compose",
    "fuse",
    "fuse_bmm",
    "fuse_tensors",
    "fusion_weights",
    "read_pieces",
    "span_features",
]
