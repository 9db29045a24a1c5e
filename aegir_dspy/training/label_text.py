"""Training the label encoder on a frozen primary: columns and the texts that stand for them come together.

Each step has up to three parts, each a softmax over scaled cosines:

- columns of unlabelled tables against the headers of the batch (negatives: the other headers);
- columns of one labelled set against the texts of all its labels. Which texts a label shows is drawn anew in
  each step, and its name is often hidden, so that a description alone must do;
- names of terms of an ontology against their definitions, where there are any.

Left out: a trained reader. What is read is read once (`aegir_dspy.training.label_material`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.label_text import KINDS, LabelEncoder
from aegir_dspy.tables.table import Table
from aegir_dspy.training.label_material import LabelSet, Material, MaterialConfig, Texts, gather_material
from aegir_dspy.training.optimize import OptimizerConfig, ScheduledAdamW

__all__ = ["LabelTextConfig", "fit_label_text", "train_label_text"]


@dataclass(frozen=True)
class LabelTextConfig:
    """Everything that decides the result beside what was read.

    Attributes:
        steps, batch: of training; columns a step of either part.
        shown: how often a kind of text is shown, in the order of `KINDS`.
        dropout: of features.
        corpus_weight, terms_weight: weights of the corpus' part and of the definitions' part, which has a
            third of the batch.
        hidden, size, buckets: of `LabelEncoder`.
    """

    steps: int = 2000
    batch: int = 384
    seed: int = 0
    shown: tuple[float, ...] = (0.5, 0.7, 0.3, 0.3)
    dropout: float = 0.1
    corpus_weight: float = 1.0
    terms_weight: float = 0.3
    hidden: int = 256
    size: int = 128
    buckets: int = 2048
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-3, weight_decay=0.05)


def train_label_text(
    bundle: Bundle,
    data: Path,
    corpus: Sequence[Table],
    config: LabelTextConfig | None = None,
    material: MaterialConfig | None = None,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> LabelEncoder:
    """Read columns and texts with the bundle's primary, then train an encoder: minutes on one core."""
    config = config or LabelTextConfig()
    return fit_label_text(gather_material(bundle, data, corpus, material), config, report)


def fit_label_text(
    material: Material,
    config: LabelTextConfig,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> LabelEncoder:
    """Train an encoder on what was read."""
    torch.manual_seed(config.seed)
    width = material.columns.shape[1] // 2
    encoder = LabelEncoder(width, config.size, config.hidden, config.buckets)
    optimizer = ScheduledAdamW(encoder.parameters(), config.optimizer)
    generator = torch.Generator().manual_seed(config.seed)
    terms = _Terms(material.definitions, encoder, config, generator)
    corpus = _Corpus(material, encoder, config, generator)
    sets = [_Set(s, encoder, config, generator) for s in material.sets.values()]
    share = torch.tensor([len(s.label) for s in material.sets.values()]).float().sqrt()
    for step in range(config.steps):
        header_loss = corpus.loss()
        label_loss = sets[int(share.multinomial(1, generator=generator))].loss()
        loss = config.corpus_weight * header_loss + label_loss
        if len(material.definitions.of):
            loss = loss + config.terms_weight * terms.loss()
        optimizer.step(loss, step / config.steps)
        if step % 50 == 0:
            report({"step": step, "header_loss": header_loss.item(), "label_loss": label_loss.item()})
    return encoder.eval().requires_grad_(False)


class _Words:
    """The hashed words of texts, picked text by text."""

    def __init__(self, encoder: LabelEncoder, texts: Sequence[str]) -> None:
        words, offsets = encoder.hashed(texts)
        ends = [*offsets.tolist()[1:], len(words)]
        ends = ends[: len(offsets)]
        self.of = [words[begin:end] for begin, end in zip(offsets.tolist(), ends, strict=True)]

    def pick(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        chosen = [self.of[i] for i in rows.tolist()]
        lengths = torch.tensor([0, *(len(words) for words in chosen[:-1])])
        return torch.cat(chosen), lengths.cumsum(0)


class _Corpus:
    """The corpus' part of a step."""

    def __init__(
        self, material: Material, encoder: LabelEncoder, config: LabelTextConfig, generator: torch.Generator
    ) -> None:
        self.material, self.encoder, self.config, self.generator = material, encoder, config, generator
        self.words = _Words(encoder, material.headers.texts)

    def loss(self) -> Tensor:
        rows = torch.randint(len(self.material.header), (self.config.batch,), generator=self.generator)
        texts, target = torch.unique(self.material.header[rows], return_inverse=True)
        features = _dropped(self.material.columns[rows], self.config.dropout)
        read = self.material.headers
        vectors = self.encoder.parts(
            _dropped(read.features[texts], self.config.dropout), read.kind[texts], *self.words.pick(texts)
        )
        return F.cross_entropy(_scores(self.encoder, features, vectors), target)


class _Set:
    """A labelled set's part of a step."""

    def __init__(
        self, labelled: LabelSet, encoder: LabelEncoder, config: LabelTextConfig, generator: torch.Generator
    ) -> None:
        self.labelled, self.encoder, self.config, self.generator = labelled, encoder, config, generator
        self.words = _Words(encoder, labelled.texts.texts)
        counts = torch.bincount(labelled.label, minlength=len(labelled.labels)).float()
        self.weight = counts[labelled.label] ** -0.5  # rare labels are drawn more often than they occur

    def loss(self) -> Tensor:
        rows = self.weight.multinomial(self.config.batch, True, generator=self.generator)
        features = _dropped(self.labelled.columns[rows], self.config.dropout)
        vectors = self._labels()
        logits = _scores(self.encoder, features, vectors)
        return F.cross_entropy(logits, self.labelled.label[rows], label_smoothing=0.05)

    def _labels(self) -> Tensor:
        texts, count = self.labelled.texts, len(self.labelled.labels)
        rows = _shown(texts, count, self.config.shown, self.generator)
        kind, of = texts.kind[rows], texts.of[rows]
        features = _dropped(texts.features[rows], self.config.dropout)
        return self.encoder.labels(
            self.encoder.parts(features, kind, *self.words.pick(rows)), kind, of, count
        )


class _Terms:
    """The definitions' part of a step."""

    def __init__(
        self, texts: Texts, encoder: LabelEncoder, config: LabelTextConfig, generator: torch.Generator
    ) -> None:
        self.texts, self.encoder, self.config, self.generator = texts, encoder, config, generator
        self.words = _Words(encoder, texts.texts)
        self.name, self.description = (texts.kind == KINDS.index(k) for k in ("name", "description"))

    def loss(self) -> Tensor:
        names, descriptions = (side.nonzero().flatten() for side in (self.name, self.description))
        chosen = torch.randperm(len(names), generator=self.generator)[: self.config.batch // 3]
        left, right = self._vectors(names[chosen]), self._vectors(descriptions[chosen])
        return F.cross_entropy(left @ right.T * self.encoder.scale.exp(), torch.arange(len(chosen)))

    def _vectors(self, rows: Tensor) -> Tensor:
        features = _dropped(self.texts.features[rows], self.config.dropout)
        return self.encoder.parts(features, self.texts.kind[rows], *self.words.pick(rows))


def _shown(texts: Texts, count: int, share: Sequence[float], generator: torch.Generator) -> Tensor:
    """Which texts the labels show in one step: one of each kind drawn for it, at least one a label.

    In half of the steps all labels show the same kinds, as in a vocabulary file; otherwise each its own.
    """
    same = bool(torch.rand((), generator=generator) < 0.5)
    draws = torch.rand(1 if same else count, len(KINDS), generator=generator).expand(count, -1)
    kinds = draws < torch.tensor(share)  # (labels, kinds)
    lots = torch.rand(len(texts.of), generator=generator)
    cell = texts.of * len(KINDS) + texts.kind
    best = torch.full((count * len(KINDS),), -1.0).scatter_reduce(0, cell, lots, "amax")
    first = lots == best[cell]  # one text of each kind, by lot
    shown = first & kinds.flatten()[cell]
    silent = torch.ones(count, dtype=torch.bool)
    silent[texts.of[shown]] = False
    # A label without any of the kinds drawn shows its name, which every label has.
    shown |= silent[texts.of] & (texts.kind == 0)
    return shown.nonzero().flatten()


def _scores(encoder: LabelEncoder, features: Tensor, vectors: Tensor) -> Tensor:
    return encoder.columns(features) @ vectors.T * encoder.scale.exp()


def _dropped(features: Tensor, share: float) -> Tensor:
    return F.dropout(features, share)
