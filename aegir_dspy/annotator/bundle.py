"""A trained annotator in one safetensors file: model, head, labels, calibration, serialization.

The model's parameters keep their official names, the head's are `head.classify.*`, everything else is JSON
in the metadata. Hence `aegir_dspy.rwkv.read_weights` reads the same file as a plain language model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch

from aegir_dspy._version import __version__
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.ngrams import NgramSpecialist
from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.rwkv.checkpoint import Weights, build_model, read_weights, save_weights
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.state import Identity
from aegir_dspy.tables.serialize import SerializeConfig

__all__ = ["DEFAULT_FILE", "Bundle", "BundleConfig", "default_bundle", "load_bundle", "save_bundle"]

DEFAULT_FILE = "columns.safetensors"


@dataclass(frozen=True)
class BundleConfig:
    """What the weights need beside themselves.

    Attributes:
        labels: the label of each row of the head.
        serialize: how columns were laid out in training.
        temperatures: softmax temperature by vocabulary name; ``""`` for any other vocabulary.
        text_temperature: temperature of labels scored as text.
        abstain_below: confidence under which `annotate` abstains.
        context: most context columns a target was trained with.
        ngram_share: weight of the n-gram specialist's margins beside the head's log-probabilities, by
            vocabulary name; 0 where none is given.
        ngram_labels: the label of each column of the n-gram specialist's weights.
    """

    labels: tuple[str, ...]
    serialize: SerializeConfig = SerializeConfig()
    temperatures: Mapping[str, float] = field(default_factory=dict)
    text_temperature: float = 1.0
    abstain_below: float = 0.3
    context: int = 8
    ngram_share: Mapping[str, float] = field(default_factory=dict)
    ngram_labels: tuple[str, ...] = ()

    def temperature(self, vocabulary: str) -> float:
        """Temperature for a vocabulary, the general one where none was fitted."""
        return self.temperatures.get(vocabulary, self.temperatures.get("", 1.0))

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            **asdict(self),
            "labels": list(self.labels),
            "temperatures": dict(self.temperatures),
            "ngram_share": dict(self.ngram_share),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BundleConfig:
        """Inverse of `to_json`."""
        values = dict(data)
        values["labels"] = tuple(values["labels"])
        values["ngram_labels"] = tuple(values.get("ngram_labels", ()))
        values["serialize"] = SerializeConfig(**values["serialize"])
        return cls(**values)


@dataclass(frozen=True)
class Bundle:
    """A loaded annotator: frozen model, head, configuration and the sha256 of the file."""

    model: RWKV7
    head: ColumnHead
    config: BundleConfig
    sha256: str
    ngrams: NgramSpecialist | None = None

    @property
    def identity(self) -> Identity:
        """Identity of the states this model makes."""
        return Identity(self.sha256, "bytes", self.model.geometry)


def save_bundle(
    path: Path,
    model: RWKV7,
    head: ColumnHead,
    config: BundleConfig,
    ngrams: NgramSpecialist | None = None,
) -> str:
    """Write the file, floats in bf16; returns its sha256."""
    tensors = {**model.state_dict(), **{f"head.{n}": t for n, t in head.state_dict().items()}}
    if ngrams is not None:
        tensors |= {f"ngrams.{n}": t for n, t in ngrams.tensors().items()}
        config = replace(config, ngram_labels=ngrams.labels)
    metadata = {"aegir": json.dumps(config.to_json(), ensure_ascii=False), "tokenizer": "bytes"}
    return save_weights(path, tensors, metadata, torch.bfloat16)


def load_bundle(path: Path, device: str = "cpu", dtype: torch.dtype = torch.bfloat16) -> Bundle:
    """Read an annotator, its matrices in `dtype` (states stay float32).

    Raises:
        CheckpointError: the file is no annotator.
        InputError: this machine has no such device.
    """
    weights = read_weights(path)
    if "aegir" not in weights.metadata or "head.classify.weight" not in weights.extra:
        raise CheckpointError(
            f"expected an annotator written by aegir train, found a plain RWKV-7 checkpoint in {path}: "
            "use it through aegir_dspy.lm, or train a head on it"
        )
    try:
        config = BundleConfig.from_json(json.loads(weights.metadata["aegir"]))
        head = ColumnHead(weights.geometry.width, len(config.labels))
        head.load_state_dict(
            {n: weights.extra[f"head.{n}"].float() for n in ("classify.weight", "classify.bias")}
        )
        ngrams = _ngrams(weights, config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"expected an annotator written by aegir train {__version__}, found in {path}: {error}"
        ) from error
    place = _device(device)
    model = build_model(weights, device=place, dtype=dtype)
    return Bundle(model, head.to(place).requires_grad_(False).eval(), config, weights.sha256, ngrams)


def _ngrams(weights: Weights, config: BundleConfig) -> NgramSpecialist | None:
    if not config.ngram_labels:
        return None
    names = [f.name for f in fields(NgramSpecialist) if f.name != "labels"]
    return NgramSpecialist(config.ngram_labels, *(weights.extra[f"ngrams.{name}"] for name in names))


def _device(name: str) -> torch.device:
    """The device of that name. Raises InputError when this machine has none."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"expected cpu, cuda or cuda:N as device, found {name!r}") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0}
    if (device.index or 0) >= there.get(device.type, 0):
        found = ["cpu", *(f"cuda:{i}" for i in range(there["cuda"]))]
        raise InputError(f"expected a device of this machine ({', '.join(found)}), found {name!r}")
    return device


@cache
def default_bundle(device: str = "cpu") -> Bundle:
    """The annotator that ships in the package, loaded once a device."""
    with as_file(files("aegir_dspy.assets").joinpath(DEFAULT_FILE)) as path:
        return load_bundle(path, device)
