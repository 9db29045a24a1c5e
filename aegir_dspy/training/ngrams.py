"""Training the n-gram specialist: one linear support vector machine a label.

Columns of the SOTAB types compete among themselves; a technical type is learnt against the other technical
ones and against those SOTAB columns that cannot contain it (`AMBIGUOUS`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.annotator.ngrams import (
    CONTEXT_BUCKETS,
    OWN_BUCKETS,
    Bag,
    NgramSpecialist,
    bag_of,
    features,
    merge,
)
from aegir_dspy.errors import PrerequisiteError
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.tables.context import ContextConfig, context_members
from aegir_dspy.tables.serialize import SerializeConfig, serialize_column
from aegir_dspy.tables.table import Column
from aegir_dspy.training.column_types import Example, theme_label
from aegir_dspy.training.examples import AMBIGUOUS

__all__ = ["train_ngrams"]

_CONTEXT_WEIGHT = 0.5  # of the context's features beside the column's own
_PENALTY = 0.5  # C of the support vector machines
_GENERATED = 40  # most generated columns a technical type


@dataclass(frozen=True)
class _Columns:
    """Labelled columns: their bags, their contexts' bags, labels, and the themes of their tables."""

    bags: list[Bag]
    contexts: list[Bag]
    labels: list[str]
    themes: list[str]


def train_ngrams(
    sotab: Sequence[Example], generated: Sequence[Example], themes: Sequence[str] = ()
) -> NgramSpecialist:
    """Fit every label of ``schema``: the SOTAB types on `sotab`, the technical ones on `generated` too.

    Args:
        themes: labels such as ``theme:Book``, fitted on the columns of the tables whose theme is known.
    """
    real = _columns(sotab, frozenset(load_vocabulary("sotab82").names), most=None)
    technical = [n for n in load_vocabulary("schema").names if n not in load_vocabulary("sotab82")]
    made = _columns(generated, frozenset(technical), most=_GENERATED)
    own_idf = _idf(real.bags + made.bags, OWN_BUCKETS)
    context_idf = _idf(real.contexts + made.contexts, CONTEXT_BUCKETS)
    rows = _matrix(real, own_idf, context_idf), _matrix(made, own_idf, context_idf)
    labels = load_vocabulary("schema").names
    fitted = [_fit(label, real.labels, made.labels, *rows) for label in labels]
    known = np.array([theme != "" for theme in real.themes], dtype=np.bool_)
    told = [theme_label(theme) for theme in real.themes if theme]
    fitted += [_fit(theme, told, [], rows[0][known], None) for theme in themes]  # type: ignore[index]
    weights = np.stack([w for w, _ in fitted], 1)  # (own + context buckets, labels)
    own, own_scale = _int8(weights[:OWN_BUCKETS])
    context, context_scale = _int8(weights[OWN_BUCKETS:] * _CONTEXT_WEIGHT)
    bias = torch.tensor([b for _, b in fitted])
    idfs = torch.from_numpy(own_idf).float(), torch.from_numpy(context_idf).float()
    names = (*labels, *themes)
    return NgramSpecialist(names, own, context, own_scale, context_scale, bias.float(), *idfs)


def _columns(examples: Sequence[Example], wanted: frozenset[str], most: int | None) -> _Columns:
    """Labelled columns of some tables, at most `most` a label, in the context the annotator gives them."""
    found, seen = _Columns([], [], [], []), Counter[str]()
    for example in examples:
        chosen = [i for i, label in enumerate(example.labels) if label in wanted]
        chosen = [i for i in chosen if most is None or seen[example.labels[i]] < most]
        if not chosen:
            continue
        columns = [Column(i, None, values) for i, values in enumerate(example.columns)]
        bags = [bag_of(column) for column in columns]
        pieces = [serialize_column(column, SerializeConfig()) for column in columns]
        members = context_members(pieces, ContextConfig())
        for i in chosen:
            seen[example.labels[i]] += 1
            found.bags.append(bags[i])
            found.contexts.append(merge([bags[j] for j in np.flatnonzero(members[i])]))
            found.labels.append(example.labels[i])
            found.themes.append(example.theme)
    return found


def _idf(bags: Sequence[Bag], buckets: int) -> NDArray[np.float64]:
    """log((1 + n) / (1 + documents)) + 1, as scikit-learn smooths it; rounded to what the file keeps."""
    documents = np.bincount(np.concatenate([bag.buckets for bag in bags]), minlength=buckets)
    idf = np.log((1 + len(bags)) / (1 + documents)) + 1
    return torch.from_numpy(idf).bfloat16().double().numpy()


def _matrix(columns: _Columns, own_idf: NDArray[np.float64], context_idf: NDArray[np.float64]) -> object:
    """Sparse (columns, own + context buckets)."""
    from scipy.sparse import csr_matrix

    data, index, start = [], [], [0]
    for bag, context in zip(columns.bags, columns.contexts, strict=True):
        data += [features(bag, own_idf), features(context, context_idf) * _CONTEXT_WEIGHT]
        index += [bag.buckets, context.buckets + OWN_BUCKETS]
        start.append(start[-1] + len(bag.buckets) + len(context.buckets))
    shape = (len(columns.labels), OWN_BUCKETS + CONTEXT_BUCKETS)
    if not data:
        return csr_matrix(shape)
    return csr_matrix((np.concatenate(data), np.concatenate(index), start), shape)


def _fit(
    label: str, real: Sequence[str], made: Sequence[str], real_rows: object, made_rows: object
) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of one label against the others; a label without examples never speaks up."""
    try:
        from scipy.sparse import vstack
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise PrerequisiteError('training needs an extra: pip install "aegir-dspy[train]"') from error
    if label in made:
        keep = np.array([name not in AMBIGUOUS for name in real])
        rows = vstack([real_rows[keep], made_rows]).tocsr()  # type: ignore[index]
        right = np.array([False] * int(keep.sum()) + [name == label for name in made])
    else:
        rows, right = real_rows, np.array([name == label for name in real])
    if not right.any():
        return np.zeros(OWN_BUCKETS + CONTEXT_BUCKETS), -1.0
    machine = LinearSVC(C=_PENALTY, random_state=0).fit(rows, right)
    return machine.coef_[0], float(machine.intercept_[0])


def _int8(weights: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """int8 weights and a scale a label, the scale as exact as the file keeps it."""
    scale = torch.from_numpy(np.abs(weights).max(0) / 127).clamp(min=1e-8).bfloat16().double()
    quantised = (torch.from_numpy(weights) / scale).round().clamp(-127, 127).to(torch.int8)
    return quantised, scale.float()
