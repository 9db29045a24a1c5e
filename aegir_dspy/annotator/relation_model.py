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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, lru_cache
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
from aegir_dspy.annotator.ngrams import Bag, bags_of, features
from aegir_dspy.errors import CheckpointError
from aegir_dspy.rwkv.checkpoint import file_sha256, save_weights
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
_FAR = 12
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
    bags = [bags_of(column, table.comment) for column in table.columns]
    probable = [_types(types, i) for i in range(len(bags))]
    counts = [_summed([bag.grams], "others") for bag in bags]
    beside = sum((one for j, one in enumerate(counts) if j != subject), np.zeros(KINDS["others"][0]))
    of_subject = {
        "subject": _folded(bags[subject].grams, "subject"),
        "subject_shape": _folded(bags[subject].shapes, "subject_shape"),
    }
    found = []
    for i in columns:
        own = {
            "own": bags[i].grams,
            "others": _bag(beside if i == subject else beside - counts[i]),
            "shape": _folded(bags[i].shapes, "shape"),
            "place": _place(i, subject, len(bags)),
            "title": _folded(bags[i].titles, "title"),
        }
        found.append(Described({**own, **of_subject}, probable[i], probable[subject]))
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
        known: dict[str, tuple[Bag, NDArray[np.float32]]] = {}
        for one in columns:
            total = bias + type_features(one, self.types) @ by_type
            for kind, weights, idf in zip(KINDS, parts, idfs, strict=True):
                bag = one.bags[kind]
                if kind not in known or known[kind][0] is not bag:  # that of the subject is everybody's
                    known[kind] = bag, features(bag, idf).astype(np.float32) @ weights.take(bag.buckets, 0)
                total = total + known[kind][1]
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
    found, place = np.zeros(2 * len(types)), _places(tuple(types))
    for name, probability in column.types.items():
        if name in place:
            found[place[name]] = probability
    for name, probability in column.subject_types.items():
        if name in place:
            found[len(types) + place[name]] = SUBJECT_TYPES * probability
    return found


@lru_cache(maxsize=8)
def _places(types: tuple[str, ...]) -> dict[str, int]:
    return {name: i for i, name in enumerate(types)}


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


@lru_cache(maxsize=1 << 12)
def _place(index: int, subject: int, columns: int) -> Bag:
    distance = max(-_FAR, min(_FAR, index - subject))
    tokens = (f"p{distance}", f"n{min(columns, _FAR)}", f"e{min(columns - index, _FAR)}")
    buckets = np.array([zlib.crc32(token.encode()) % KINDS["place"][0] for token in tokens], np.int64)
    return _bag(np.bincount(buckets, minlength=KINDS["place"][0]).astype(np.float64))


def _folded(bag: Bag, kind: str) -> Bag:
    """The bag in the coarser buckets of a kind, whose number divides that of the bag's."""
    return _bag(_summed([bag], kind))


def _summed(bags: Sequence[Bag], kind: str) -> NDArray[np.float64]:
    """(buckets of the kind,) counts of all bags together, in its coarser buckets."""
    counts = np.zeros(KINDS[kind][0])
    for bag in bags:
        counts += np.bincount(bag.buckets % len(counts), bag.counts, len(counts))
    return counts


def _bag(counts: NDArray[np.float64]) -> Bag:
    buckets = np.flatnonzero(counts)
    return Bag(buckets, counts[buckets])
