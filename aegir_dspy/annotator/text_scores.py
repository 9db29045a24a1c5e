"""How the labels of a vocabulary are scored: by the head that knows them, by their texts, or by both.

For a column with features x, head h and text score t (`aegir_dspy.annotator.label_text`):

- labels that the head knows, all of a vocabulary:
  h(x, l) + w·t(x, text of l) + v·g(l)·(t(x, text of l) - t(x, built-in text of l));
  w is fitted on dev for each vocabulary such that accuracy does not fall. The last term is zero for a label
  with the text the weights were trained with, and speaks for a user's own or an evolved text: it says by how
  much the new text fits the column better than the built-in one. g(l), 0 to 1, grows with the distance of
  the two texts: other words for the same lie nearer than words for something else.
- otherwise t(x, text of l), to which the labels that the head knows add its opinion among them.

What a label does not say (no description, no headers, no examples) counts as unchanged.

Weights without an encoder of labels score unknown labels by how likely their name is after the column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.label_text import LabelTexts, verbalise
from aegir_dspy.latent.lens import LensCache
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading
from aegir_dspy.ontology.vocabulary import VOCABULARIES, Label, Vocabulary, load_vocabulary
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.scoring import ContinuationScorer
from aegir_dspy.rwkv.state import StateTensors
from aegir_dspy.tables.serialize import ANSWER_END, COLUMN_END

__all__ = ["KnownScore", "TextScore", "TextScorer", "label_score", "reference", "text_change", "verbalise"]

_FAR = 0.45  # 1 - cosine of two texts of one label from which on the new one counts in full


def label_score(
    bundle: Bundle, vocabulary: Vocabulary, lenses: LensCache | None = None
) -> KnownScore | TextScore | None:
    """What scores this vocabulary; None where the head alone does. Vectors of labels are kept in `lenses`."""
    known = set(bundle.config.labels)
    if not all(name in known for name in vocabulary.names):
        return TextScore(bundle, vocabulary, lenses)
    changed = [i for i, label in enumerate(vocabulary) if reference(label) != label]
    if bundle.label_text is None or not (changed or bundle.config.text_share.get(vocabulary.name)):
        return None
    return KnownScore(bundle, vocabulary, changed, lenses)


def reference(label: Label) -> Label:
    """The label with every text it states replaced by the built-in one; itself where nothing changes.

    A label equals its reference when no built-in label has its name, or when it says nothing else than some
    built-in label of this name does.
    """
    named = [v[label.label] for v in _built_in() if label.label in v]
    if not named or any(_stated(label, own) == label for own in named):
        return label
    return _stated(label, named[0])


@cache
def _built_in() -> tuple[Vocabulary, ...]:
    return tuple(map(load_vocabulary, VOCABULARIES))


def _stated(label: Label, own: Label) -> Label:
    """`label` with the texts of `own` wherever it states one."""
    return replace(
        label,
        description=own.description if label.description else "",
        headers=own.headers if label.headers else (),
        examples=own.examples if label.examples else (),
    )


class TextScorer:
    """Log-probability gains of a fixed list of labels, all from one state in one batch.

    Args:
        model: a byte-level model trained to answer after a column with its header in words.
        labels: labels as the vocabulary writes them.
    """

    def __init__(self, model: RWKV7, labels: Sequence[str]) -> None:
        texts = [verbalise(label) for label in labels]
        distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        self.of_label = torch.tensor([distinct[text] for text in texts])
        encoded = [text.encode("utf-8", "replace") + ANSWER_END for text in distinct]
        self.scorer = ContinuationScorer(model, encoded)
        with torch.inference_mode():
            hidden, states = model(torch.tensor([list(COLUMN_END)], device=model.device))
            self.prior = self.scorer.score(states, hidden[:, -1])  # (1, distinct)

    def gain(self, states: StateTensors, hidden: Tensor) -> Tensor:
        """(C, labels) gain in nats, from C states that end at a column's delimiter.

        `hidden` (C, D): the hidden vector at that delimiter.
        """
        return (self.scorer.score(states, hidden) - self.prior)[:, self.of_label]


class _Rows:
    """Some rows of a bundle's head. In double: float32 products depend on what else is in the batch."""

    def __init__(self, bundle: Bundle, names: Sequence[str]) -> None:
        rows = {label: row for row, label in enumerate(bundle.config.labels)}
        chosen = [rows[name] for name in names]
        self.weight = bundle.head.classify.weight[chosen].double()
        self.bias = bundle.head.classify.bias[chosen].double()

    def __call__(self, features: Tensor) -> Tensor:
        return F.linear(features.double(), self.weight, self.bias)


class TextScore:
    """Scores of a vocabulary the head knows in part or not at all: label texts, moved by what it knows."""

    def __init__(self, bundle: Bundle, vocabulary: Vocabulary, lenses: LensCache | None = None) -> None:
        self.width = len(vocabulary)
        self.texts = _texts(bundle, tuple(vocabulary), lenses) if bundle.label_text else None
        self.likelihood = None if self.texts else TextScorer(bundle.model, vocabulary.names)
        self.wants_states = self.texts is None
        rows = set(bundle.config.labels)
        self.positions = [i for i, name in enumerate(vocabulary.names) if name in rows]
        self.head = _Rows(bundle, [vocabulary.names[i] for i in self.positions])

    def __call__(self, reading: Reading) -> Tensor:
        """(C, labels) float64."""
        scores = self._texts(reading)
        if self.positions:  # labels the head knows: its opinion among them moves their text scores
            opinion = self.head(reading.features).log_softmax(1) + math.log(len(self.positions))
            scores[:, self.positions] += opinion
        return scores.cpu()

    def _texts(self, reading: Reading) -> Tensor:
        if self.texts is not None:
            return self.texts.scores(reading.features)
        assert self.likelihood is not None
        half = reading.features.shape[1] // 2  # the second half is the hidden vector at the delimiter
        hidden = reading.features[:, half:].to(reading.states.shift.dtype)
        return self.likelihood.gain(reading.states, hidden).double()


class KnownScore:
    """Scores of a vocabulary the head knows, moved by what the labels' texts say."""

    wants_states = False

    def __init__(
        self,
        bundle: Bundle,
        vocabulary: Vocabulary,
        changed: Sequence[int],
        lenses: LensCache | None = None,
    ) -> None:
        self.width = len(vocabulary)
        self.head = _Rows(bundle, vocabulary.names)
        labels = tuple(vocabulary)
        share, shift = bundle.config.text_share.get(vocabulary.name, 0.0), bundle.config.text_shift
        own = _texts(bundle, labels, lenses)
        self.share, self.shift, self.own = share, shift, own
        self.built_in = None
        if changed:
            self.built_in = _texts(bundle, tuple(map(reference, labels)), lenses)

    def __call__(self, reading: Reading) -> Tensor:
        """(C, labels) float64."""
        scores = self.head(reading.features)
        if self.share:
            scores = scores + self.share * self.own.scores(reading.features)
        if self.built_in is not None:
            scores = scores + self.shift * text_change(self.own, self.built_in, reading.features)
        return scores.cpu()


def text_change(own: LabelTexts, built_in: LabelTexts, features: Tensor) -> Tensor:
    """(C, L) by how much the labels' own texts fit columns better than the built-in ones."""
    distance = 1 - (own.vectors * built_in.vectors).sum(1)  # (L,)
    change = own.scores(features) - built_in.scores(features)
    return change * (distance / _FAR).clamp(max=1)


def _texts(bundle: Bundle, labels: Sequence[Label], lenses: LensCache | None) -> LabelTexts:
    assert bundle.label_text is not None
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    return LabelTexts(specialist, bundle.label_text, labels, bundle.config.serialize, lenses)
