"""Scoring labels the weights have never seen: how likely is the label's text after the column?

What is compared is the gain over the same label after *no particular* column (pointwise mutual
information); otherwise short and common words would win everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.latent.specialist import Reading
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.rwkv.scoring import ContinuationScorer
from aegir_dspy.rwkv.state import StateTensors
from aegir_dspy.tables.serialize import ANSWER_END, COLUMN_END

__all__ = ["TextScore", "TextScorer", "verbalise"]

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER = re.compile(r"[^\w]+|_+")


def verbalise(label: str) -> str:
    """``"MusicAlbum/name"`` → ``"music album name"``: the text a header of this type would have."""
    return " ".join(_OTHER.sub(" ", _CAMEL.sub(" ", label)).lower().split()) or label


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


class TextScore:
    """Scores of a vocabulary the head knows in part or not at all: label texts, moved by what it knows."""

    wants_states = True

    def __init__(self, bundle: Bundle, labels: Sequence[str]) -> None:
        self.width = len(labels)
        self.scorer = TextScorer(bundle.model, labels)
        self.model_width = bundle.model.geometry.width
        rows = {label: row for row, label in enumerate(bundle.config.labels)}
        self.positions = torch.tensor([i for i, name in enumerate(labels) if name in rows], dtype=torch.int64)
        known = [rows[name] for name in labels if name in rows]
        self.weight = bundle.head.classify.weight[known].double()
        self.bias = bundle.head.classify.bias[known].double()

    def __call__(self, reading: Reading) -> Tensor:
        """(C, labels) float64."""
        hidden = reading.features[:, self.model_width :].to(reading.states.shift.dtype)
        gain = self.scorer.gain(reading.states, hidden).cpu().double()
        if len(self.positions):  # labels the head knows: its opinion among them moves their text scores
            head = torch.nn.functional.linear(reading.features.double(), self.weight, self.bias).cpu()
            gain[:, self.positions] += head.log_softmax(1) + math.log(len(self.positions))
        return gain
