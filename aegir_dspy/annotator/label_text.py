"""Labels as text: a label's words and a column meet in one space, and their cosine is the score.

Both sides are read by the same frozen model. What it made of a text or a column goes through a small trained
projection; the vectors of the labels are computed once a vocabulary, so that a column costs a dot product.
A label has up to four kinds of text, each with a trained share in the label's vector:

- its *name*, in words, read as a header without values;
- its *description*, with the rules in it, read as plain text;
- its *headers*, each read as a header without values;
- its *examples*, read as the column they would be, by the columns' own projection.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aegir_dspy.latent.lens import Lens, LensCache, projection_hash
from aegir_dspy.latent.specialist import FrozenSpecialist
from aegir_dspy.ontology.vocabulary import Label
from aegir_dspy.tables.serialize import (
    COLUMN_END,
    HEADER_END,
    SerializeConfig,
    sample_values,
    serialize_values,
)

__all__ = ["KINDS", "LabelEncoder", "LabelTexts", "Part", "label_parts", "text_part", "verbalise"]

KINDS = ("name", "description", "headers", "examples")
"""The kinds of text a label may have, in the order of `LabelEncoder.share`."""

_HEADERS = 4
_TEXT_BYTES = 400  # a longer description is cut here
_TO_SPACE = dict.fromkeys([*range(32), 127], " ")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER = re.compile(r"[^\w]+|_+")


def verbalise(label: str) -> str:
    """``"MusicAlbum/name"`` → ``"music album name"``: the text a header of this type would have."""
    return " ".join(_OTHER.sub(" ", _CAMEL.sub(" ", label)).lower().split()) or label


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a label: its kind (a position in `KINDS`), its words and the bytes the model reads."""

    kind: int
    text: str
    piece: bytes


def text_part(kind: str, text: str, serialize: SerializeConfig) -> Part:
    """A name, description or header as the model reads it."""
    if kind == "description":
        flat, most, end = " ".join(text.translate(_TO_SPACE).split()), _TEXT_BYTES, COLUMN_END
    else:
        flat, most, end = verbalise(text), serialize.header_bytes, HEADER_END + COLUMN_END
    shown = flat.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
    return Part(KINDS.index(kind), shown, shown.encode() + end)


def label_parts(label: Label, serialize: SerializeConfig, headers: int = _HEADERS) -> list[Part]:
    """The texts of a label; of many headers only `headers`, spread over them."""
    parts = [text_part("name", label.label, serialize)]
    if label.description:
        parts.append(text_part("description", label.description, serialize))
    parts += [text_part("headers", header, serialize) for header in sample_values(label.headers, headers)]
    if label.examples:
        piece = serialize_values(None, label.examples, serialize)
        parts.append(Part(KINDS.index("examples"), "", piece))
    return parts


class LabelEncoder(nn.Module):
    """Two projections into one space, for columns and for texts, and hashed words beside the second.

    Args:
        width: D of the model whose features, (·, 2·D), come in.
        size: of the common space.
        hidden: of the layer between.
        buckets: rows of the table of hashed words.
    """

    def __init__(self, width: int, size: int = 128, hidden: int = 256, buckets: int = 2048) -> None:
        super().__init__()
        self.column = _projection(width, hidden, size)
        self.text = _projection(width, hidden, size)
        self.words = nn.EmbeddingBag(buckets, size, mode="mean")
        self.share = nn.Parameter(torch.zeros(len(KINDS)))
        self.scale = nn.Parameter(torch.tensor(2.5))
        nn.init.normal_(self.words.weight, std=0.1)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> LabelEncoder:
        """The encoder with these tensors, sizes read from them; RuntimeError or KeyError for others."""
        hidden, inputs = tensors["column.1.weight"].shape
        buckets, size = tensors["words.weight"].shape
        encoder = cls(inputs // 2, size, hidden, buckets)
        encoder.load_state_dict(tensors)
        return encoder

    def columns(self, features: Tensor) -> Tensor:
        """(C, 2·D) → (C, size) unit vectors of columns."""
        return F.normalize(self.column(features), dim=1)

    def parts(self, features: Tensor, kind: Tensor, words: Tensor, offsets: Tensor) -> Tensor:
        """(P, size) unit vectors of parts.

        Args:
            features: (P, 2·D) of the parts' pieces. kind: (P,) positions in `KINDS`.
            words: all parts' hashed words one after the other; offsets: (P,) where each part's begin.
        """
        texts = self.text(features) + self.words(words, offsets)
        examples = (kind == KINDS.index("examples")).unsqueeze(1)
        return F.normalize(torch.where(examples, self.column(features), texts), dim=1)

    def labels(self, parts: Tensor, kind: Tensor, of: Tensor, count: int) -> Tensor:
        """(L, size) unit vectors of `count` labels; part p, of kind kind[p], belongs to label of[p]."""
        cell = of * len(KINDS) + kind
        sums = parts.new_zeros(count * len(KINDS), parts.shape[1]).index_add(0, cell, parts)
        # A kind of text counts by its share, however many parts it has.
        kinds = F.normalize(sums, dim=1).view(count, len(KINDS), -1)
        return F.normalize((kinds * self.share.exp().view(1, -1, 1)).sum(1), dim=1)

    def hashed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Hashed words of texts, and where each text's begin; a text without words has none."""
        words: list[int] = []
        offsets = []
        for text in texts:
            offsets.append(len(words))
            words += [
                zlib.crc32(w.encode("utf-8", "replace")) % self.words.num_embeddings for w in _grams(text)
            ]
        return torch.tensor(words, dtype=torch.int64), torch.tensor(offsets, dtype=torch.int64)


class LabelTexts:
    """Scores of fixed labels by their texts.

    Args:
        specialist: the frozen model that reads the texts, the one that reads the columns.
        encoder: trained for it.
        labels: what is scored.
        serialize: how columns are laid out.
        lenses: where the labels' vectors are kept; by default they are made anew.
    """

    def __init__(
        self,
        specialist: FrozenSpecialist,
        encoder: LabelEncoder,
        labels: Sequence[Label],
        serialize: SerializeConfig,
        lenses: LensCache | None = None,
    ) -> None:
        # In double: the last bits of a float32 product depend on how many columns are in the batch.
        self.encoder = deepcopy(encoder).double().requires_grad_(False).eval()
        self.specialist, self.parts = specialist, [label_parts(label, serialize) for label in labels]
        self.vectors = self._vectors() if lenses is None else self.lens(lenses).vectors  # (L, size)
        self.vectors = self.vectors.to(specialist.model.device)

    def lens(self, lenses: LensCache) -> Lens:
        """The lens of these labels, from the cache where it has been read before."""
        texts = [[part.piece for part in own] for own in self.parts]
        return lenses.get(self.specialist, texts, self._vectors, projection_hash(self.encoder))

    def _vectors(self) -> Tensor:
        device = self.specialist.model.device
        flat = [part for own in self.parts for part in own]
        of = torch.tensor([i for i, own in enumerate(self.parts) for _ in own], device=device)
        kind = torch.tensor([part.kind for part in flat], device=device)
        # Texts are read in groups of like length: which labels stand beside one may change its last digits.
        read = self.specialist.read([part.piece for part in flat]).features
        words, offsets = self.encoder.hashed([part.text for part in flat])
        vectors = self.encoder.parts(read.double(), kind, words.to(device), offsets.to(device))
        return self.encoder.labels(vectors, kind, of, len(self.parts))

    def scores(self, features: Tensor) -> Tensor:
        """(C, 2·D) → (C, L) float64 scaled cosines, in the range of logits."""
        columns = self.encoder.columns(features.double())
        return F.linear(columns, self.vectors) * self.encoder.scale.exp()


def _projection(width: int, hidden: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(2 * width), nn.Linear(2 * width, hidden), nn.GELU(), nn.Linear(hidden, size)
    )


def _grams(text: str) -> list[str]:
    """The words of a text and, of each, the runs of four characters."""
    found = []
    for word in verbalise(text).split():
        marked = f"<{word}>"
        found.append(marked)
        if len(word) > 2:
            found += [marked[i : i + 4] for i in range(len(marked) - 3)]
    return found
