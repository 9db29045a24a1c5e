"""Training the n-gram specialist: one linear support vector machine a label, and one a theme.

Columns of the SOTAB types compete among themselves; a technical type is learnt against the other technical
ones and against those SOTAB columns that cannot contain it (`AMBIGUOUS`). Themes are learnt from whole
tables.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.annotator.ngrams import (
    CONTEXT_BUCKETS,
    OWN_BUCKETS,
    SHAPE_BUCKETS,
    TITLE_BUCKETS,
    Bag,
    ColumnBags,
    NgramSpecialist,
    bags_of,
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

_WEIGHTS = (1.0, 0.7, 0.7, 1.0)  # of the column's n-grams, its context's, its shapes, and its titles
_BUCKETS = (OWN_BUCKETS, CONTEXT_BUCKETS, SHAPE_BUCKETS, TITLE_BUCKETS)
_PENALTY, _THEME_PENALTY = 1.0, 0.5  # C of the support vector machines
_GENERATED = 40  # most generated columns a technical type
_TITLED = {"sotab82": 0.3, "sotab32": 0.3, "schema": 0.6}  # share of columns that show a header, else all


@dataclass(frozen=True)
class _Columns:
    """Labelled columns: their own bags, their contexts' bags, and their labels."""

    bags: list[ColumnBags]
    contexts: list[Bag]
    labels: list[str]

    @property
    def kinds(self) -> tuple[list[Bag], ...]:
        """The bags by kind, in the order of `_BUCKETS`."""
        own, shapes = [b.grams for b in self.bags], [b.shapes for b in self.bags]
        return own, self.contexts, shapes, [b.titles for b in self.bags]


def train_ngrams(
    sotab: Sequence[Example],
    generated: Sequence[Example],
    others: Sequence[Example] = (),
    themes: Sequence[str] = (),
    themed: Sequence[Example] = (),
    own: Mapping[str, Sequence[Example]] | None = None,
) -> NgramSpecialist:
    """Fit the SOTAB types on `sotab`, the technical types of ``schema`` on `generated` too.

    Args:
        others: tables of another label set, whose labels compete among themselves.
        themes: labels such as ``theme:Book``.
        themed: tables to fit the themes on, as far as theirs is known.
        own: by vocabulary, tables labelled as it means its labels: they get rows ``vocabulary:label``.
    """
    schema = load_vocabulary("schema").names
    sotab_types = {*load_vocabulary("sotab82").names, *load_vocabulary("sotab32").names}
    technical = [n for n in schema if n not in sotab_types]
    other_types = sorted({label for table in others for label in table.labels if label})
    real = _columns(sotab, frozenset(sotab_types), most=None)
    made = _columns(generated, frozenset(technical), most=_GENERATED)
    more = _columns(others, frozenset(other_types), most=None)
    parts = zip(real.kinds, made.kinds, more.kinds, _BUCKETS, strict=True)
    idfs = [_idf(a + b + c, n) for a, b, c, n in parts]
    rows, other_rows = (_matrix(real, idfs), _matrix(made, idfs)), _matrix(more, idfs)
    labels = tuple(dict.fromkeys([*schema, *sorted(set(real.labels) - set(schema))]))
    fitted = [_fit(label, real.labels, made.labels, *rows) for label in labels]
    fitted += [_machine(other_rows, _where(more.labels, label), _PENALTY) for label in other_types]
    own_types: list[str] = []
    for vocabulary, tables in (own or {}).items():
        told = _columns(tables, frozenset(load_vocabulary(vocabulary).names), most=None)
        own_rows = _matrix(told, idfs)
        for name in load_vocabulary(vocabulary).names:
            own_types.append(f"{vocabulary}:{name}")
            fitted.append(_machine(own_rows, _where(told.labels, name), _PENALTY))
    weights = np.stack([w for w, _ in fitted], 1)  # (all buckets, labels)
    kinds = np.split(weights, np.cumsum(_BUCKETS)[:-1])
    scaled = [_int8(part * share) for part, share in zip(kinds, _WEIGHTS, strict=True)]
    theme, theme_scale, theme_bias, theme_idf = _themes(themes, themed)
    (values, values_scale), (context, context_scale), (shape, shape_scale), (title, title_scale) = scaled
    own_idf, context_idf, shape_idf, title_idf = (torch.from_numpy(idf).float() for idf in idfs)
    return NgramSpecialist(
        labels=(*labels, *other_types, *own_types),
        themes=tuple(themes),
        own=values,
        context=context,
        shape=shape,
        title=title,
        theme=theme,
        own_scale=values_scale,
        context_scale=context_scale,
        shape_scale=shape_scale,
        title_scale=title_scale,
        theme_scale=theme_scale,
        bias=torch.tensor([b for _, b in fitted]).float(),
        theme_bias=theme_bias,
        own_idf=own_idf,
        context_idf=context_idf,
        shape_idf=shape_idf,
        title_idf=title_idf,
        theme_idf=theme_idf,
    )


def _columns(examples: Sequence[Example], wanted: frozenset[str], most: int | None) -> _Columns:
    """Labelled columns of some tables, at most `most` a label, in the context the annotator gives them."""
    found, seen, rng = _Columns([], [], []), Counter[str](), random.Random(0)
    for example in examples:
        chosen = [i for i, label in enumerate(example.labels) if label in wanted]
        chosen = [i for i in chosen if most is None or seen[example.labels[i]] < most]
        if not chosen:
            continue
        titled = _TITLED.get(example.group, 1.0)
        names = [rng.choice(n) if n and rng.random() < titled else None for n in example.headers]
        columns = [Column(i, names[i], values) for i, values in enumerate(example.columns)]
        bags = [bags_of(column, example.caption) for column in columns]
        pieces = [serialize_column(column, SerializeConfig()) for column in columns]
        members = context_members(pieces, ContextConfig())
        for i in chosen:
            seen[example.labels[i]] += 1
            found.bags.append(bags[i])
            found.contexts.append(merge([bags[j].grams for j in np.flatnonzero(members[i])]))
            found.labels.append(example.labels[i])
    return found


def _themes(themes: Sequence[str], tables: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights (CONTEXT_BUCKETS, themes) int8, scales, biases and idf of the themes."""
    told = [(theme_label(t.theme), _table_bag(t)) for t in tables if theme_label(t.theme) in themes]
    names, bags = [name for name, _ in told], [bag for _, bag in told]
    idf = _idf(bags, CONTEXT_BUCKETS)
    rows = _sparse([features(bag, idf) for bag in bags], [bag.buckets for bag in bags], CONTEXT_BUCKETS)
    fitted = [_machine(rows, _where(names, theme), _THEME_PENALTY) for theme in themes]
    stacked = np.stack([w for w, _ in fitted], 1) if fitted else np.ones((CONTEXT_BUCKETS, 0))
    weights, scale = _int8(stacked)
    bias = torch.tensor([b for _, b in fitted], dtype=torch.float64).float()
    return weights, scale, bias, torch.from_numpy(idf).float()


def _table_bag(example: Example) -> Bag:
    return merge([bags_of(Column(i, None, values)).grams for i, values in enumerate(example.columns)])


def _idf(bags: Sequence[Bag], buckets: int) -> NDArray[np.float64]:
    """log((1 + n) / (1 + documents)) + 1, as scikit-learn smooths it; rounded to what the file keeps."""
    where = np.concatenate([bag.buckets for bag in bags]) if bags else np.zeros(0, np.int64)
    idf = np.log((1 + len(bags)) / (1 + np.bincount(where, minlength=buckets))) + 1
    return torch.from_numpy(idf).bfloat16().double().numpy()


def _matrix(columns: _Columns, idfs: Sequence[NDArray[np.float64]]) -> Any:
    """Sparse (columns, all buckets)."""
    data, index = [], []
    offsets = np.cumsum([0, *_BUCKETS])
    for kinds in zip(*columns.kinds, strict=True):
        parts = list(zip(kinds, idfs, _WEIGHTS, offsets, strict=False))
        data.append(np.concatenate([features(bag, idf) * share for bag, idf, share, _ in parts]))
        index.append(np.concatenate([bag.buckets + offset for bag, _, _, offset in parts]))
    return _sparse(data, index, sum(_BUCKETS))


def _sparse(data: Sequence[NDArray[np.float64]], index: Sequence[NDArray[np.int64]], width: int) -> Any:
    from scipy.sparse import csr_matrix

    if not data:
        return csr_matrix((0, width))
    start = np.cumsum([0, *map(len, data)])
    return csr_matrix((np.concatenate(data), np.concatenate(index), start), (len(data), width))


def _fit(
    label: str, real: Sequence[str], made: Sequence[str], real_rows: Any, made_rows: Any
) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of one label against the others."""
    if label not in made:
        return _machine(real_rows, _where(real, label), _PENALTY)
    try:
        from scipy.sparse import vstack
    except ImportError as error:
        raise PrerequisiteError('training needs an extra: pip install "aegir-dspy[train]"') from error
    keep = np.array([name not in AMBIGUOUS for name in real], dtype=np.bool_)
    rows = vstack([real_rows[keep], made_rows]).tocsr()
    return _machine(rows, np.array([False] * int(keep.sum()) + [name == label for name in made]), _PENALTY)


def _where(labels: Sequence[str], label: str) -> NDArray[np.bool_]:
    return np.array([name == label for name in labels], dtype=np.bool_)


def _machine(rows: Any, right: NDArray[np.bool_], penalty: float) -> tuple[NDArray[np.float64], float]:
    """One support vector machine; a label without examples never speaks up."""
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise PrerequisiteError('training needs an extra: pip install "aegir-dspy[train]"') from error
    if not right.any() or right.all():
        return np.zeros(rows.shape[1]), -1.0
    machine = LinearSVC(C=penalty, random_state=0).fit(rows, right)
    return machine.coef_[0], float(machine.intercept_[0])


def _int8(weights: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """int8 weights and a scale a label, the scale as exact as the file keeps it."""
    scale = torch.from_numpy(np.abs(weights).max(0) / 127).clamp(min=1e-8).bfloat16().double()
    quantised = (torch.from_numpy(weights) / scale).round().clamp(-127, 127).to(torch.int8)
    return quantised, scale.float()
