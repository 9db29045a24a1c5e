"""The latent room: frozen specialists that read, and the fusion of what they read."""

from aegir_dspy.latent.affine import AffineMaps, compose
from aegir_dspy.latent.alignment import AlignmentForm, AlignmentProjection
from aegir_dspy.latent.fusion import FusionMode, fuse, fuse_bmm, fuse_tensors, fusion_weights
from aegir_dspy.latent.plan import ReadingPlan, choose_reading, read_in_context
from aegir_dspy.latent.pool import PoolCounters, SpecialistPool
from aegir_dspy.latent.recall import Recall, Start
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading, read_pieces, span_features
from aegir_dspy.latent.state_fusion import FusionConfig, RWKVStateFusion, StateFusionMode
from aegir_dspy.latent.store import Kept, StateStore, StoreConfig, content_key

__all__ = [
    "AffineMaps",
    "AlignmentForm",
    "AlignmentProjection",
    "FrozenSpecialist",
    "FusionConfig",
    "FusionMode",
    "Kept",
    "PoolCounters",
    "RWKVStateFusion",
    "Reading",
    "ReadingPlan",
    "Recall",
    "SpecialistPool",
    "Start",
    "StateFusionMode",
    "StateStore",
    "StoreConfig",
    "choose_reading",
    "compose",
    "content_key",
    "fuse",
    "fuse_bmm",
    "fuse_tensors",
    "fusion_weights",
    "read_in_context",
    "read_pieces",
    "span_features",
]
