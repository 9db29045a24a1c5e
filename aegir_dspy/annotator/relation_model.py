"""A linear model of how columns are related to the subject column of their table, over counted features.

Seven kinds of bags, and what the columns' types are taken for:

- ``own``: 1- to 4-grams of the lower case bytes of the column's values; ``subject`` the same of the subject
  column; ``others`` of all other columns, their bags added up;
- ``shape`` and ``subject_shape``: `aegir_dspy.annotator.ngrams.shapes_of` of the two columns;
- ``place``: how far from the subject the column is, and from the last column, and how many there are;
- ``title``: words of its header and of the text about the table;
- the probabilities of the types of the column and of the subject column, as far as the model knows them.

Weights in int8 with a scale for each kind and label, in one safetensors file.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.decision import Agreement, DecisionConfig
from aegir_dspy.annotator.ngrams import Bag, bags_of, features, shapes_of, titles_of
from aegir_dspy.errors import CheckpointError
from aegir_dspy.rwkv.checkpoint import file_sha256, save_weights
from aegir_dspy.tables.serialize import sample_values
from aegir_dspy.tables.table import Table

__all__ = [
    "KINDS",
    "SUBJECT_TYPES",
    "Described",
    "RelationModel",
    "default_relation_model",
    "describe",
    "load_relation_model",
    "save_relation_model",
]

DEFAULT_FILE = "relations.safetensors"
KINDS: Mapping[str, tuple[int, float]] = {
    "own": (1 << 14, 1.0),
    "subject": (1 << 12, 0.7),
    "others": (1 << 12, 0.7),
    "shape": (1 << 12, 0.7),
    "subject_shape": (1 << 10, 0.4),
    "place": (1 << 8, 0.3),
    "title": (1 << 11, 1.0),
}
"""Buckets of each kind of bag, and its weight beside the others."""

Floats = NDArray[np.float64]
SUBJECT_TYPES = 0.5  # weight of the subject column's types beside the column's own
_VALUES, _FAR = 10, 12
_EDGES = np.cumsum([0, *(buckets for buckets, _ in KINDS.values())]).tolist()


@dataclass(frozen=True)
class Described:
    """One column beside the subject column of its table.

    bags: by kind. types: probabilities of the column's types by name; subject_types: of the subject column's.
    """

    bags: Mapping[str, Bag]
    types: Mapping[str, float]
    subject_types: Mapping[str, float]


def describe(
    table: Table, types: TableAnnotation | None, subject: int, columns: Sequence[int]
) -> list[Described]:
    """The features of some columns of a table, in the order asked."""
    values = [sample_values(column.values, _VALUES) for column in table.columns]
    grams = [bags_of(column).grams for column in table.columns]
    probable = [_types(types, i) for i in range(len(values))]
    beside = _summed([bag for j, bag in enumerate(grams) if j != subject], "others")
    found = []
    for i in columns:
        rest = beside if i == subject else beside - _summed([grams[i]], "others")
        bags = {
            "own": grams[i],
            "subject": _bag(_summed([grams[subject]], "subject")),
            "others": _bag(rest),
            "shape": _counted(shapes_of(values[i]), "shape"),
            "subject_shape": _counted(shapes_of(values[subject]), "subject_shape"),
            "place": _counted(_place(i, subject, len(values)), "place"),
            "title": _counted(titles_of(table.columns[i].name, table.comment), "title"),
        }
        found.append(Described(bags, probable[i], probable[subject]))
    return found


@dataclass(frozen=True)
class RelationModel:
    """The weights.

    labels: the relation of each column of the weights. types: the type of each row of `by_type`.
    weights: (all buckets, L) int8. scale: (kinds, L). idf: (all buckets,). bias: (L,).
    by_type: (2·T, L), the column's types, then the subject column's.
    company: (L, L) log P(l', l) / P(l') P(l), row l' to the left of l.
    decision: how margins (``ngrams``), company and what an ontology says (``range``) become one decision.
    abstain_below: confidence under which no relation is given.
    """

    labels: tuple[str, ...]
    types: tuple[str, ...]
    weights: Tensor
    scale: Tensor
    idf: Tensor
    bias: Tensor
    by_type: Tensor
    company: Tensor
    decision: DecisionConfig = DecisionConfig({"ngrams": 1.0})
    abstain_below: float = 0.3
    sha256: str = ""

    @property
    def agreement(self) -> Agreement:
        """The company that relations keep, for `aegir_dspy.annotator.decision.decide`."""
        nothing = torch.zeros(0, len(self.labels), dtype=torch.float64)
        return Agreement((), self.labels, nothing, self.company.double())

    def margins(self, columns: Sequence[Described]) -> Tensor:
        """(C, L) float64: how clearly each column is of each relation."""
        idfs, parts, by_type, bias = self._ready
        rows = []
        for one in columns:
            total = bias + type_features(one, self.types) @ by_type
            for kind, weights, idf in zip(KINDS, parts, idfs, strict=True):
                bag = one.bags[kind]
                total = total + features(bag, idf).astype(np.float32) @ weights[bag.buckets]
            rows.append(total)
        if not rows:
            return torch.zeros(0, len(self.labels), dtype=torch.float64)
        return torch.from_numpy(np.stack(rows))

    @cached_property
    def _ready(
        self,
    ) -> tuple[
        list[NDArray[np.float64]], list[NDArray[np.float32]], NDArray[np.float64], NDArray[np.float64]
    ]:
        """idf and scaled weights by kind, weights of the types, bias: made once."""
        idfs = [part.double().numpy() for part in torch.tensor_split(self.idf, _EDGES[1:-1])]
        parts = torch.tensor_split(self.weights, _EDGES[1:-1])
        scaled = [
            (part.double() * scale.double() * share).float().numpy()
            for part, scale, (_, share) in zip(parts, self.scale, KINDS.values(), strict=True)
        ]
        return idfs, scaled, self.by_type.double().numpy(), self.bias.double().numpy()


def type_features(column: Described, types: Sequence[str]) -> NDArray[np.float64]:
    """(2·T,) what is said of the types of the column, then of the subject column's."""
    own = [column.types.get(name, 0.0) for name in types]
    return np.array(own + [SUBJECT_TYPES * column.subject_types.get(name, 0.0) for name in types])


def save_relation_model(path: Path, model: RelationModel) -> str:
    """Write the file, floats in bf16; returns its sha256."""
    names = ("weights", "scale", "idf", "bias", "by_type", "company")
    config = {
        "labels": model.labels,
        "types": model.types,
        "decision": asdict(model.decision),
        "abstain_below": model.abstain_below,
    }
    metadata = {"aegir_relations": json.dumps(config, ensure_ascii=False)}
    return save_weights(path, {name: getattr(model, name) for name in names}, metadata, torch.bfloat16)


def load_relation_model(path: Path) -> RelationModel:
    """Read the file. Raises CheckpointError when there is none or it is no relation model."""
    try:
        with safe_open(path, framework="pt") as file:
            config: dict[str, Any] = json.loads((file.metadata() or {})["aegir_relations"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return RelationModel(
            tuple(config["labels"]),
            tuple(config["types"]),
            **{name: t if t.dtype == torch.int8 else t.float() for name, t in tensors.items()},
            decision=DecisionConfig(**config["decision"]),
            abstain_below=float(config["abstain_below"]),
            sha256=file_sha256(path),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"expected relation weights written by aegir train relations in {path}; found: {error}"
        ) from error


@cache
def default_relation_model() -> RelationModel:
    """The weights that ship in the package, loaded once."""
    with as_file(files("aegir_dspy.assets").joinpath(DEFAULT_FILE)) as path:
        return load_relation_model(path)


def _types(types: TableAnnotation | None, index: int) -> dict[str, float]:
    if types is None or index >= len(types.columns):
        return {}
    return {one.type: one.probability for one in types.columns[index].candidates}


def _place(index: int, subject: int, columns: int) -> list[str]:
    distance = max(-_FAR, min(_FAR, index - subject))
    return [f"p{distance}", f"n{min(columns, _FAR)}", f"e{min(columns - index, _FAR)}"]


def _counted(tokens: Iterable[str], kind: str) -> Bag:
    most = KINDS[kind][0]
    counts = Counter(zlib.crc32(token.encode("utf-8", "replace")) % most for token in tokens)
    buckets = sorted(counts)
    return Bag(np.array(buckets, np.int64), np.array([counts[b] for b in buckets], np.float64))


def _summed(bags: Sequence[Bag], kind: str) -> NDArray[np.float64]:
    """(buckets of the kind,) counts of all bags together, in its coarser buckets."""
    counts = np.zeros(KINDS[kind][0])
    for bag in bags:
        counts += np.bincount(bag.buckets % len(counts), bag.counts, len(counts))
    return counts


def _bag(counts: NDArray[np.float64]) -> Bag:
    buckets = np.flatnonzero(counts)
    return Bag(buckets, counts[buckets])
