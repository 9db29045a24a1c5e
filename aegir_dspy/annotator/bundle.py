"""A trained annotator in one safetensors file: model, head, labels, calibration, serialization.

The model's parameters keep their official names, the head's are `head.classify.*`, everything else is JSON
in the metadata. Hence `aegir_dspy.rwkv.read_weights` reads the same file as a plain language model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch

from aegir_dspy._version import __version__
from aegir_dspy.annotator.decision import Agreement, Decisions
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.label_text import LabelEncoder
from aegir_dspy.annotator.ngrams import NgramSpecialist
from aegir_dspy.annotator.router import Router, load_router
from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.rwkv.checkpoint import SHARED, Weights, build_model, read_weights, save_weights
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.state import Identity
from aegir_dspy.tables.serialize import SerializeConfig

__all__ = [
    "DEFAULT_FILE",
    "Bundle",
    "BundleConfig",
    "MemberConfig",
    "default_bundle",
    "load_bundle",
    "load_member",
    "save_bundle",
]

_MEMORY = "ngram.weight"  # half of all bytes otherwise
DEFAULT_FILE = "columns.safetensors"
ROUTER_SUFFIX = ".router.safetensors"


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """Another specialist of the swarm: its name, what it is for, its file beside this one, and its sha256.

    `themes` are those of its domain (``theme:Book``), none where it has no domain.
    """

    name: str
    role: str
    file: str
    sha256: str
    themes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BundleConfig:
    """What the weights need beside themselves.

    Attributes:
        labels: the label of each row of the head; ``theme:Book`` is a theme of tables, not a type.
        serialize: how columns were laid out in training.
        decisions: by vocabulary name; ``""`` for any other vocabulary.
        text_temperature: temperature of labels scored as text.
        text_share: weight of the labels' texts beside the head's scores, by vocabulary name; 0 elsewhere.
        text_shift: weight of the difference that a text other than the built-in one makes.
        abstain_below: confidence under which `annotate` abstains.
        context: most context columns a target was trained with.
        members: specialists to ask about columns that the primary is not sure of.
        ngram_labels, ngram_themes: what the columns of the n-gram specialist's weights stand for.
        agreement_themes, agreement_labels: what the tables of the agreement are about.
    """

    labels: tuple[str, ...]
    serialize: SerializeConfig = SerializeConfig()
    decisions: Mapping[str, Decisions] = field(default_factory=dict)
    text_temperature: float = 1.0
    text_share: Mapping[str, float] = field(default_factory=dict)
    text_shift: float = 0.5
    abstain_below: float = 0.3
    context: int = 8
    members: tuple[MemberConfig, ...] = ()
    ngram_labels: tuple[str, ...] = ()
    ngram_themes: tuple[str, ...] = ()
    agreement_themes: tuple[str, ...] = ()
    agreement_labels: tuple[str, ...] = ()

    def decision(self, vocabulary: str) -> Decisions:
        """How to decide within a vocabulary, the general way where none was fitted."""
        return self.decisions.get(vocabulary, self.decisions.get("", Decisions()))

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        decisions = {name: asdict(one) for name, one in self.decisions.items()}
        return {**asdict(replace(self, decisions={})), "decisions": decisions}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BundleConfig:
        """Inverse of `to_json`."""
        values = dict(data)
        for name in ("labels", "ngram_labels", "ngram_themes", "agreement_themes", "agreement_labels"):
            values[name] = tuple(values.get(name, ()))
        values["serialize"] = SerializeConfig(**values["serialize"])
        values["members"] = tuple(
            MemberConfig(**{**one, "themes": tuple(one.get("themes", ()))})
            for one in values.get("members", ())
        )
        values["decisions"] = {n: Decisions.from_json(d) for n, d in values.get("decisions", {}).items()}
        return cls(**values)


@dataclass(frozen=True)
class Bundle:
    """A loaded annotator: frozen model, head, configuration and the sha256 of the file.

    Attributes:
        path: the file; members lie beside it.
        ngrams: the n-gram specialist, if there is one.
        agreement: what goes together in a table, if that was counted.
        label_text: what reads labels as text, if it was trained.
        router: who is asked about a column, if that was trained: ``….router.safetensors`` beside the file.
    """

    model: RWKV7
    head: ColumnHead
    config: BundleConfig
    sha256: str
    ngrams: NgramSpecialist | None = None
    agreement: Agreement | None = None
    path: Path | None = None
    label_text: LabelEncoder | None = None
    router: Router | None = None

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
    agreement: Agreement | None = None,
    without: Sequence[str] = (),
    label_text: LabelEncoder | None = None,
) -> str:
    """Write the file, floats in bf16 and the n-gram memory in int8; returns its sha256.

    Args:
        without: beginnings of the names of parameters to leave out: those a member shares with the primary.
    """
    tensors = {n: t for n, t in model.state_dict().items() if not n.startswith(tuple(without))}
    tensors |= {f"head.{n}": t for n, t in head.state_dict().items()}
    if ngrams is not None:
        tensors |= {f"ngrams.{n}": t for n, t in ngrams.tensors().items()}
        config = replace(config, ngram_labels=ngrams.labels, ngram_themes=ngrams.themes)
    if label_text is not None:
        tensors |= {f"label_text.{n}": t for n, t in label_text.state_dict().items()}
    if agreement is not None:
        tensors |= {"agreement.affinity": agreement.affinity, "agreement.company": agreement.company}
        config = replace(config, agreement_themes=agreement.themes, agreement_labels=agreement.labels)
    metadata = {
        "aegir": json.dumps(config.to_json(), ensure_ascii=False),
        "tokenizer": "bytes",
        SHARED: " ".join(without),
    }
    packed = [name for name in (_MEMORY,) if name in tensors]
    return save_weights(path, tensors, metadata, torch.bfloat16, packed)


def load_bundle(
    path: Path, device: str = "cpu", dtype: torch.dtype = torch.bfloat16, base: RWKV7 | None = None
) -> Bundle:
    """Read an annotator, its matrices in `dtype` (states stay float32).

    Args:
        base: the model whose parameters stand in for those the file shares with it.

    Raises:
        CheckpointError: the file is no annotator, or lacks what it shares with `base` and there is none.
        InputError: this machine has no such device.
    """
    weights = read_weights(path, None if base is None else base.state_dict())
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
        ngrams, agreement = _ngrams(weights, config), _agreement(weights, config)
        label_text = _label_text(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"expected an annotator written by aegir train {__version__}, found in {path}: {error}"
        ) from error
    place = _device(device)
    model = build_model(weights, device=place, dtype=dtype)
    head = head.to(place).requires_grad_(False).eval()
    if label_text is not None:
        label_text = label_text.to(place).requires_grad_(False).eval()
    router = load_router(Path(path).with_suffix(ROUTER_SUFFIX), weights.sha256)
    return Bundle(model, head, config, weights.sha256, ngrams, agreement, Path(path), label_text, router)


def load_member(bundle: Bundle, member: MemberConfig) -> Bundle:
    """The annotator of another specialist, on the device of the bundle's own model.

    Raises:
        CheckpointError: the file is not there or not the one named.
    """
    if bundle.path is None:
        raise CheckpointError(f"expected {member.file} beside the primary's file, found no such file's path")
    matrix = bundle.model.emb.weight
    loaded = load_bundle(bundle.path.with_name(member.file), str(matrix.device), matrix.dtype, bundle.model)
    if loaded.sha256 != member.sha256:
        raise CheckpointError(
            f"expected {member.file} with sha256 {member.sha256[:12]} beside {bundle.path.name}, found "
            f"{loaded.sha256[:12]}: copy all files of one training run, or train the swarm again"
        )
    return loaded


def _ngrams(weights: Weights, config: BundleConfig) -> NgramSpecialist | None:
    if not config.ngram_labels:
        return None
    names = [f.name for f in fields(NgramSpecialist) if f.name not in ("labels", "themes")]
    tensors = (weights.extra[f"ngrams.{name}"] for name in names)
    return NgramSpecialist(config.ngram_labels, config.ngram_themes, *tensors)


def _agreement(weights: Weights, config: BundleConfig) -> Agreement | None:
    if not config.agreement_labels:
        return None
    tables = (weights.extra[f"agreement.{name}"].double() for name in ("affinity", "company"))
    return Agreement(config.agreement_themes, config.agreement_labels, *tables)


def _label_text(weights: Weights) -> LabelEncoder | None:
    prefix = "label_text."
    tensors = {n.removeprefix(prefix): t.float() for n, t in weights.extra.items() if n.startswith(prefix)}
    return LabelEncoder.of(tensors) if tensors else None


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
