"""One annotator out of several that were trained from the same pre-trained weights with other seeds.

The mean of fine-tuned weights is often better than each of them and costs nothing at inference ("Model
soups", arXiv:2203.05482).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.errors import CheckpointError

__all__ = ["average"]


def average(bundles: Sequence[Bundle]) -> Bundle:
    """A bundle with the mean of all parameters; labels and layout must agree, calibration is left out.

    Raises:
        CheckpointError: nothing to average, or different geometries, labels or serializations.
    """
    if not bundles:
        raise CheckpointError("expected at least one annotator to average, found none")
    first = bundles[0]
    for other in bundles[1:]:
        same = (
            other.model.geometry == first.model.geometry
            and set(other.config.labels) == set(first.config.labels)
            and other.config.serialize == first.config.serialize
        )
        if not same:
            raise CheckpointError(
                f"expected annotators with the same geometry, labels and layout, found {first.sha256[:12]} "
                f"and {other.sha256[:12]}: train them from one pre-trained run"
            )
    model, head = deepcopy(first.model), deepcopy(first.head)
    models = [b.model.state_dict() for b in bundles]
    heads = [_in_order(b, first.config.labels) for b in bundles]
    for whole, states in ((model, models), (head, heads)):
        mean = {name: torch.stack([s[name].double() for s in states]).mean(0) for name in states[0]}
        whole.load_state_dict({name: tensor.float() for name, tensor in mean.items()})
    config = replace(first.config, decisions={}, members=())
    return replace(first, model=model, head=head, config=config, ngrams=None, agreement=None)


def _in_order(bundle: Bundle, labels: Sequence[str]) -> dict[str, Tensor]:
    """The head's parameters with its rows in the order of `labels`."""
    row = {label: i for i, label in enumerate(bundle.config.labels)}
    order = torch.tensor([row[label] for label in labels])
    return {name: tensor[order] for name, tensor in bundle.head.state_dict().items()}
