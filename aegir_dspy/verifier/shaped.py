"""The shaped score: partial credit below the gates, for training only, never reported as R.

A policy that has not yet got a composition through the gates sees R = 0 everywhere and learns nothing from
it. The shaped score orders what R does not:

- behind a gate it lies in 0 … 1/2: 1/10 for how far the text could be read; then 3/10 for the gates, those
  that come first counting more; then 1/20 for the components, as far as they can be told;
- through all gates it is 1/2 + R / 2, so it is never below a refused composition's, and orders as R does.

A refusing gate still gives a little: 1 / (2 + refusals) of its share, so that one mistake fewer is seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from aegir_dspy.verifier.score import quantised

__all__ = ["shaped", "shaped_unread", "variety"]


def shaped(R: float | None, refusals: Sequence[int], components: Mapping[str, float]) -> float:
    """The shaped score of a composition that parses.

    Args:
        R: of a composition that passes all gates, else None.
        refusals: how often each gate refused, in order.
        components: name → value.
    """
    if R is not None:
        return quantised(0.5 + R / 2)
    weights = [1 / (1 + i) for i in range(len(refusals))]
    credit = [weight / (2 + n) if n else weight for weight, n in zip(weights, refusals, strict=True)]
    values = [components[name] for name in sorted(components)]
    mean = math.fsum(values) / len(values) if values else 0.0
    return quantised(0.1 + 0.3 * math.fsum(credit) / math.fsum(weights) + 0.05 * mean)


def shaped_unread(read: float, problems: int) -> float:
    """The shaped score of a text that is no composition.

    Args:
        read: the share of the text before the first place that is no JSON; 1 when all of it is JSON.
        problems: how much of the JSON is not as a composition's.
    """
    return quantised(0.05 * read + (0.05 / (1 + problems) if read >= 1 else 0.0))


def variety(groups: Sequence[frozenset[str]]) -> float:
    """How different things are, 0 (all the same) to 1: the mean Jaccard distance of their pairs.

    For the diversity term of a training objective: what a composition says, as strings.
    """
    pairs = [(one, other) for i, one in enumerate(groups) for other in groups[:i]]
    if not pairs:
        return 0.0
    distances = [1 - len(one & other) / len(one | other) if one | other else 0.0 for one, other in pairs]
    return quantised(math.fsum(distances) / len(distances))
