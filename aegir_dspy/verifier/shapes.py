"""How well the shape of a column fits a label: log likelihood ratios from ``assets/shapes.json``.

The statistics and how they were made: `aegir_dspy.training.shapes`. All sums are of integers, so they are
the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import cast

import numpy as np
from numpy.typing import NDArray

from aegir_dspy.errors import InputError
from aegir_dspy.verifier.column_profile import FEATURES, profile
from aegir_dspy.verifier.score import quantised

__all__ = ["FINE", "SCALE", "Shapes", "load_shapes", "log_ratios"]

SCALE, FINE = 1000, 100
"""Features and weights are integers: so many to one."""

_FILE = "shapes.json"
_FLOOR = -20.0  # a log ratio below says no more than this


@dataclass(frozen=True)
class Shapes:
    """Linear discriminants of labels.

    Attributes:
        features: names of shape features (`FEATURES`) and validators, in the order of the weights.
        labels: those with a profile.
        of: (forms,) the label's index of each form; columns of a label come in one form or two.
        weights: (forms, 1 + features) int64, bias first, which is times `SCALE` × `FINE`.
        background: validator → share of the cells of a column of any type that pass.
        sha256: of the file.
    """

    features: tuple[str, ...]
    labels: tuple[str, ...]
    of: tuple[int, ...]
    weights: NDArray[np.int64]
    background: dict[str, float]
    sha256: str

    @cached_property
    def index(self) -> dict[str, int]:
        """Label → its place among the labels."""
        return {label: i for i, label in enumerate(self.labels)}

    def scores(self, shares: Mapping[str, float]) -> list[float]:
        """Of each label, the sum of its likelier form; features that are not among the shares are 0.

        In floats, where all sums are whole numbers below 2**53, and so exact.
        """
        weights, starts, places = self._ready
        whole = np.zeros(weights.shape[1])
        whole[0] = 1
        for name, share in shares.items():
            for place in places.get(name, ()) if share else ():
                whole[place] = round(share * SCALE)
        totals = np.maximum.reduceat(weights @ whole, starts)
        return cast(list[float], (totals / (SCALE * FINE)).tolist())

    @cached_property
    def _ready(self) -> tuple[NDArray[np.float64], NDArray[np.int64], dict[str, list[int]]]:
        """The weights in floats, the first form of each label, and the places of each feature.

        A shape feature and a validator may have one name; both are then the shape feature.
        """
        starts = [i for i, label in enumerate(self.of) if i == 0 or self.of[i - 1] != label]
        places: dict[str, list[int]] = {}
        for i, name in enumerate(self.features, 1):
            places.setdefault(name, []).append(i)
        return self.weights.astype(np.float64), np.array(starts, dtype=np.int64), places


@cache
def load_shapes() -> Shapes:
    """The shipped statistics.

    Raises:
        InputError: the file does not fit this version's features.
    """
    data = resources.files("aegir_dspy.assets").joinpath(_FILE).read_bytes()
    content = json.loads(data)
    forms = [(i, form) for i, rows in enumerate(content["labels"].values()) for form in rows]
    weights = np.array([form for _, form in forms], dtype=np.int64)
    features = tuple(content["features"])
    unknown = [name for name in features if name not in FEATURES and name not in content["background"]]
    if unknown or weights.shape[1] != len(features) + 1:
        raise InputError(
            f"expected {_FILE} of this version's features, found {unknown or weights.shape}: fit it again by "
            "python -m aegir_dspy.training.shapes"
        )
    sha256 = hashlib.sha256(data).hexdigest()
    of = tuple(i for i, _ in forms)
    return Shapes(features, tuple(content["labels"]), of, weights, content["background"], sha256)


@lru_cache(maxsize=1 << 13)
def log_ratios(values: tuple[str, ...]) -> tuple[float, ...]:
    """For each of the labels of `load_shapes`, log p(column | label) − log p(column | any of them).

    Natural logarithms, at most log(labels), at least -20; 0 for all when the column has no value. The
    likelihood of a label is that of its likelier form.
    """
    shapes, column = load_shapes(), profile(values)
    if not column.sample:
        return (0.0,) * len(shapes.labels)
    scores = shapes.scores({**column.shares, **dict(zip(FEATURES, column.shape, strict=True))})
    best = max(scores)
    mixture = best + math.log(math.fsum([math.exp(s - best) for s in scores]) / len(scores))
    least = mixture + _FLOOR
    return tuple([quantised(s - mixture) if s > least else _FLOOR for s in scores])
