"""What the label encoder is trained on: features of columns and of texts, read once by the frozen primary.

Columns of the corpus come with their header; labelled columns with the texts of all labels of their set. Held
out hosts and pages are in neither (see `aegir_dspy.training.examples.gather_examples`), and ``t2dv2`` is not
used at all: its classes measure labels never trained on. Where the schema.org tables are at hand, names come
with their definitions, so that words mean something beyond the labels; terms that a built-in vocabulary uses
are left out, and their definitions stay texts never seen.
"""

from __future__ import annotations

import csv
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.label_text import Part, label_parts, text_part
from aegir_dspy.latent.fusion import fuse_tensors
from aegir_dspy.latent.specialist import FrozenSpecialist
from aegir_dspy.ontology.vocabulary import VOCABULARIES, Label, load_vocabulary
from aegir_dspy.tables.serialize import SerializeConfig, serialize_values
from aegir_dspy.tables.table import Table
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.corpus import ARTEFACTS, normalise_header
from aegir_dspy.training.examples import gather_examples

__all__ = [
    "LabelSet",
    "Material",
    "MaterialConfig",
    "Texts",
    "definitions",
    "gather_material",
    "ontology_terms",
]

# Where the labels of a set of examples have their descriptions.
_VOCABULARIES = {"sotab82": "sotab82", "schema": "schema", "sotab32": "sotab32"}
_ONTOLOGY = "ontologies/schemaorg/schemaorg-current-https-{}.csv"  # beside the folder of labelled data
_TAG = re.compile(r"<[^>]*>|\[\[|\]\]")
_ROUND = 48  # tables read at once
_SHORTENED = 4  # descriptions of each label with words left out


@dataclass(frozen=True)
class MaterialConfig:
    """How much is read.

    Attributes:
        corpus: columns of unlabelled tables.
        labelled: columns a labelled set gives at most, by name.
        per_header, per_label: most columns of one header or label, so that common ones do not rule.
        header_share: share of the columns whose header is shown.
    """

    corpus: int = 24_000
    labelled: tuple[tuple[str, int], ...] = (
        ("sotab82", 6000),
        ("generated", 5000),
        ("sotab32", 1500),
        ("wikitables", 3000),
        ("sotabv2_cpa", 2000),
    )
    per_header: int = 60
    per_label: int = 150
    header_share: float = 0.3
    context: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Texts:
    """Texts as read: features (P, 2·D), the words, kind (P,) and which label or header each is of (P,)."""

    features: Tensor
    texts: tuple[str, ...]
    kind: Tensor
    of: Tensor


@dataclass(frozen=True)
class LabelSet:
    """Columns (C, 2·D) of one labelled set with the number of their label (C,), and the labels' texts."""

    columns: Tensor
    label: Tensor
    labels: tuple[str, ...]
    texts: Texts


@dataclass(frozen=True)
class Material:
    """All there is to train on.

    columns: (C, 2·D) of the corpus; header: (C,) number of each column's header; headers: their texts.
    sets: the labelled sets. definitions: a name and a description each of terms of an ontology.
    """

    columns: Tensor
    header: Tensor
    headers: Texts
    sets: dict[str, LabelSet]
    definitions: Texts


def gather_material(
    bundle: Bundle, data: Path, corpus: Sequence[Table], config: MaterialConfig | None = None
) -> Material:
    """Read columns and texts once with the bundle's primary: a few minutes on one core."""
    config = config or MaterialConfig()
    rng = random.Random(config.seed)
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    serialize = bundle.config.serialize
    pieces, names = _corpus_pieces(corpus, serialize, config, rng)
    distinct = {name: number for number, name in enumerate(dict.fromkeys(names))}
    columns = specialist.read(pieces).features
    parts = [text_part("headers", name, serialize) for name in distinct]
    headers = _read_texts(specialist, parts, range(len(parts)))
    examples, sets = gather_examples(data, config.seed), {}
    for name, most in config.labelled:
        if name in examples:
            sets[name] = _label_set(specialist, examples[name][0], most, serialize, config, rng)
    terms = [label_parts(label, serialize) for label in definitions(data.parent)]
    defined = _read_texts(
        specialist, [p for t in terms for p in t], [i for i, t in enumerate(terms) for _ in t]
    )
    header = torch.tensor([distinct[name] for name in names])
    return Material(columns, header, headers, sets, defined)


def definitions(folder: Path) -> list[Label]:
    """The terms of schema.org that no built-in vocabulary uses, with their comments."""
    used = {label.iri for name in VOCABULARIES for label in load_vocabulary(name)}
    return [label for label in ontology_terms(folder) if label.iri not in used]


def ontology_terms(folder: Path) -> list[Label]:
    """The terms of schema.org under `folder`, each with the first sentences of its comment as description."""
    terms = []
    for part in ("types", "properties"):
        path = folder / _ONTOLOGY.format(part)
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                for line in csv.DictReader(file):
                    comment = " ".join(_TAG.sub(" ", line["comment"]).split())[:300]
                    terms.append(Label(line["label"], line["id"], comment))
    return [term for term in terms if len(term.description) > 20]


def _corpus_pieces(
    corpus: Sequence[Table], serialize: SerializeConfig, config: MaterialConfig, rng: random.Random
) -> tuple[list[bytes], list[str]]:
    """Columns of tables in random order, headers mostly hidden, and the words of their headers."""
    pieces, names, seen = [], [], Counter[str]()
    for index in rng.sample(range(len(corpus)), len(corpus)):
        for column in corpus[index].columns:
            name = normalise_header(column.name) if column.name else ""
            values = [v for v in dict.fromkeys(column.values) if v.strip()]
            if len(name) < 2 or name in ARTEFACTS or not values or seen[name] >= config.per_header:
                continue
            seen[name] += 1
            shown = column.name if rng.random() < config.header_share else None
            chosen = rng.sample(values, min(len(values), rng.randint(3, serialize.max_values)))
            pieces.append(serialize_values(shown, chosen, serialize))
            names.append(name)
        if len(pieces) >= config.corpus:
            break
    return pieces, names


def _label_set(
    specialist: FrozenSpecialist,
    examples: Sequence[Example],
    most: int,
    serialize: SerializeConfig,
    config: MaterialConfig,
    rng: random.Random,
) -> LabelSet:
    group = examples[0].group
    labels = sorted({label for e in examples for label in e.labels if label})
    if group in _VOCABULARIES:
        labels = list(load_vocabulary(_VOCABULARIES[group]).names)
    number = {label: i for i, label in enumerate(labels)}
    chosen = _choose(examples, most, config, rng)
    features: list[Tensor] = []
    found: list[int] = []
    for first in range(0, len(chosen), _ROUND):
        for reading, gold in _read_tables(specialist, chosen[first : first + _ROUND], serialize, config, rng):
            features.append(reading)
            found += [number[label] for label in gold]
    parts, of = _label_texts(group, labels, serialize, rng)
    return LabelSet(
        torch.cat(features), torch.tensor(found), tuple(labels), _read_texts(specialist, parts, of)
    )


def _choose(
    examples: Sequence[Example], most: int, config: MaterialConfig, rng: random.Random
) -> list[Example]:
    """Tables by lot until there are `most` labelled columns; tables of common labels only are left out."""
    seen, chosen, total = Counter[str](), [], 0
    for index in rng.sample(range(len(examples)), len(examples)):
        labels = [label for label in examples[index].labels if label]
        if total >= most:
            break
        if any(seen[label] < config.per_label for label in labels):
            seen.update(labels)
            chosen.append(examples[index])
            total += len(labels)
    return chosen


def _read_tables(
    specialist: FrozenSpecialist,
    examples: Sequence[Example],
    serialize: SerializeConfig,
    config: MaterialConfig,
    rng: random.Random,
) -> list[tuple[Tensor, list[str]]]:
    """Labelled columns read alone, and again in their context: (features, labels) of either reading."""
    pieces, labels, table = [], [], []
    for number, example in enumerate(examples):
        headers = rng.random() < config.header_share
        order = sorted(range(len(example.columns)), key=lambda i: (not example.labels[i], rng.random()))
        for i in order[: config.context + 1]:
            values = [v for v in dict.fromkeys(example.columns[i]) if v.strip()]
            header = rng.choice(example.headers[i]) if headers and example.headers[i] else None
            if values:
                pieces.append(serialize_values(header, values[: serialize.max_values], serialize))
                labels.append(example.labels[i])
                table.append(number)
    alone = specialist.read(pieces)
    of = torch.tensor(table)
    asked = [i for i, label in enumerate(labels) if label]
    gold = [labels[i] for i in asked]
    members = (of.unsqueeze(0) == of.unsqueeze(1)) & ~torch.eye(len(of), dtype=torch.bool)
    again = specialist.read([pieces[i] for i in asked], fuse_tensors(alone.states, members[asked]))
    return [(alone.features[asked], gold), (again.features, gold)]


def _label_texts(
    group: str, labels: Sequence[str], serialize: SerializeConfig, rng: random.Random
) -> tuple[list[Part], list[int]]:
    """The labels' texts, some descriptions several times with words left out."""
    known = load_vocabulary(_VOCABULARIES[group]) if group in _VOCABULARIES else None
    parts, of = [], []
    for number, name in enumerate(labels):
        label = known[name] if known else Label(name)
        own = label_parts(label, serialize, len(label.headers))
        if label.description:
            shorter = [_shortened(label.description, rng) for _ in range(_SHORTENED)]
            own += [text_part("description", text, serialize) for text in shorter]
        parts += own
        of += [number] * len(own)
    return parts, of


def _shortened(text: str, rng: random.Random) -> str:
    """A text with about a quarter of its words left out."""
    words = text.split()
    return " ".join(word for word in words if rng.random() > 0.25) or words[0]


def _read_texts(specialist: FrozenSpecialist, parts: Sequence[Part], of: Sequence[int]) -> Texts:
    features = specialist.read([part.piece for part in parts]).features
    kind = torch.tensor([part.kind for part in parts])
    return Texts(features, tuple(part.text for part in parts), kind, torch.tensor(list(of)))
