"""An encoder of labels for a bundle, and how much it counts there.

    write_label_text(bundle_file, data_folder, corpus)

trains the encoder on the bundle's primary, fits its weights on dev and writes both into the file. Everything
else in the file stays as it is.

What is fitted (`aegir_dspy.annotator.text_scores`):

- ``text_share``, for sotab82 and schema: the share that makes the gold labels likeliest, if it gains half a
  point of accuracy; otherwise 0, and no text is read for a built-in vocabulary;
- ``text_shift``: the largest that costs at most five points of accuracy when all the descriptions are others
  of the same meaning, schema.org's own comments, which no training has seen;
- ``text_temperature``: on the same comments, with the names hidden, because vocabularies of other labels come
  with texts never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.bundle import Bundle, load_bundle, save_bundle
from aegir_dspy.annotator.calibration import fit_temperature
from aegir_dspy.annotator.label_text import LabelTexts
from aegir_dspy.annotator.sheet import Sheet
from aegir_dspy.annotator.text_scores import text_change
from aegir_dspy.latent.fusion import fuse_tensors
from aegir_dspy.latent.specialist import FrozenSpecialist
from aegir_dspy.ontology.vocabulary import Label, Vocabulary, load_vocabulary
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.tables.table import Table
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.label_material import MaterialConfig, ontology_terms
from aegir_dspy.training.label_text import LabelTextConfig, train_label_text
from aegir_dspy.training.split import sotab82_split

__all__ = ["TextWeights", "fit_text_weights", "with_label_text", "write_label_text"]

_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
_SHIFTS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
_GAIN = 0.005  # accuracy that makes it worth reading the texts of a built-in vocabulary
_COST = 0.05  # accuracy that other words of the same meaning may cost


@dataclass(frozen=True)
class TextWeights:
    """See `aegir_dspy.annotator.bundle.BundleConfig`; accuracy: (head alone, with the texts' share)."""

    share: Mapping[str, float]
    shift: float
    temperature: float
    accuracy: tuple[float, float]


def write_label_text(
    path: Path,
    data: Path,
    corpus: Sequence[Table],
    config: LabelTextConfig | None = None,
    material: MaterialConfig | None = None,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> TextWeights:
    """Train an encoder for the bundle in `path`, fit its weights on dev and write them into the file."""
    bundle, weights = with_label_text(load_bundle(path), data, corpus, config, material, report)
    whole = load_bundle(path, dtype=torch.float32)
    save_bundle(
        path,
        whole.model,
        whole.head,
        bundle.config,
        whole.ngrams,
        whole.agreement,
        label_text=bundle.label_text,
    )
    return weights


def with_label_text(
    bundle: Bundle,
    data: Path,
    corpus: Sequence[Table],
    config: LabelTextConfig | None = None,
    material: MaterialConfig | None = None,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> tuple[Bundle, TextWeights]:
    """The bundle with an encoder trained on its primary, and what was fitted for it on dev."""
    encoder = train_label_text(bundle, data, corpus, config, material, report)
    bundle = replace(bundle, label_text=encoder)
    weights = fit_text_weights(bundle, sotab82_split(data).dev, ontology_terms(data.parent))
    settings = replace(
        bundle.config,
        text_share={name: share for name, share in weights.share.items() if share},
        text_shift=weights.shift,
        text_temperature=weights.temperature,
    )
    return replace(bundle, config=settings), weights


def fit_text_weights(bundle: Bundle, dev: Sequence[LabelledTable], terms: Sequence[Label]) -> TextWeights:
    """Fit on dev tables labelled with the 82 SOTAB types.

    Args:
        terms: an ontology's terms with other descriptions of the labels; without any the shift and the
            temperature stay as they are.
    """
    features = _features(bundle, dev)
    names = [gold.label for table in dev for gold in table.labels]
    share, accuracy = {}, (0.0, 0.0)
    for name in ("schema", "sotab82"):
        vocabulary = load_vocabulary(name)
        gold = torch.tensor([vocabulary.names.index(label) for label in names])
        head, texts = _head(bundle, vocabulary, features), _texts(bundle, tuple(vocabulary), features)
        share[name], accuracy = _share(head, texts, gold)
    shift, temperature = bundle.config.text_shift, bundle.config.text_temperature
    other = _described(vocabulary, terms)
    said = tuple(replace(label, headers=(), examples=()) for label in vocabulary)
    if other != said:
        change = text_change(_read(bundle, other), _read(bundle, said), features)
        shift = _shift(head + share[name] * texts, change, gold)
        hidden = tuple(replace(label, label=f"type {i}") for i, label in enumerate(other))
        temperature = fit_temperature(_texts(bundle, hidden, features).float(), gold)
    return TextWeights(share, shift, temperature, accuracy)


def _share(head: Tensor, texts: Tensor, gold: Tensor) -> tuple[float, tuple[float, float]]:
    """The share, and accuracy without and with it."""
    right = {share: float(((head + share * texts).argmax(1) == gold).double().mean()) for share in _SHARES}
    harmless = [0.0, *(share for share in _SHARES if right[share] >= right[0.0] + _GAIN)]
    best = min(harmless, key=lambda share: float(F.cross_entropy(head + share * texts, gold)))
    return best, (right[0.0], right[best])


def _shift(scores: Tensor, change: Tensor, gold: Tensor) -> float:
    """The largest shift under which other words of the same meaning cost little."""
    floor = float((scores.argmax(1) == gold).double().mean()) - _COST
    harmless = [s for s in _SHIFTS if ((scores + s * change).argmax(1) == gold).double().mean() >= floor]
    return max(harmless, default=_SHIFTS[0])


def _described(vocabulary: Vocabulary, terms: Sequence[Label]) -> tuple[Label, ...]:
    """The labels, with an ontology's description where it has one for a label of their own IRI."""
    comments = {term.iri: term.description for term in terms}
    shared = {label.iri for label in vocabulary if [o.iri for o in vocabulary].count(label.iri) > 1}
    return tuple(
        replace(label, description=comments[label.iri], headers=(), examples=())
        if label.iri in comments and label.iri not in shared
        else replace(label, headers=(), examples=())
        for label in vocabulary
    )


def _features(bundle: Bundle, tables: Sequence[LabelledTable]) -> Tensor:
    """(labelled columns, 2·D): read alone, then from the fused context, as the annotator does."""
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    config = replace(ContextConfig(), columns=min(ContextConfig().columns, bundle.config.context))
    found = []
    for first in range(0, len(tables), 48):
        batch = tables[first : first + 48]
        sheet = Sheet.of([t.table for t in batch], config, bundle.config.serialize)
        asked = [
            span.start + gold.column_index
            for t, span in zip(batch, sheet.spans, strict=True)
            for gold in t.labels
        ]
        pieces = sheet.pieces(bundle.config.serialize)
        joined = sheet.joined[asked]
        used = joined.any(0)
        context = specialist.read([pieces[i] for i in used.nonzero().flatten().tolist()]).states
        found.append(
            specialist.read([pieces[i] for i in asked], fuse_tensors(context, joined[:, used])).features
        )
    return torch.cat(found)


def _head(bundle: Bundle, vocabulary: Vocabulary, features: Tensor) -> Tensor:
    rows = [bundle.config.labels.index(name) for name in vocabulary.names]
    classify = bundle.head.classify
    return F.linear(features.double(), classify.weight[rows].double(), classify.bias[rows].double())


def _texts(bundle: Bundle, labels: Sequence[Label], features: Tensor) -> Tensor:
    return _read(bundle, labels).scores(features)


def _read(bundle: Bundle, labels: Sequence[Label]) -> LabelTexts:
    assert bundle.label_text is not None
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    return LabelTexts(specialist, bundle.label_text, labels, bundle.config.serialize)
