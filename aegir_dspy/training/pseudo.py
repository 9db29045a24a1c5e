"""More labelled columns: the relations of SOTAB tables, turned into types by a teacher.

Columns of the relation sets are labelled with a property of the table's subject (``telephone``,
``byArtist``), not with a type. Three opinions on a column's type are multiplied: the teacher's, who reads it
in its table; how often the theme of the table (its rows are books, events, …) has the type; and how the
teacher sees all columns with the same property. What stays unsure is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledTable, theme_of
from aegir_dspy.training.examples import optional_set, to_example
from aegir_dspy.training.split import Split, without_dev

__all__ = ["RELATION_SETS", "pseudo_examples", "theme_affinity"]

RELATION_SETS = ("sotabv2_cpa", "sotabv2_cpa_val")
_THEME, _PROPERTY = 0.7, 0.8  # weights of the two priors beside the teacher's log-probabilities


def pseudo_examples(folder: Path, split: Split, teacher: Bundle, least: float = 0.9) -> list[Example]:
    """Tables of the relation sets, labelled with the types that are at least `least` probable."""
    vocabulary = load_vocabulary("sotab82")
    tables = [t for name in RELATION_SETS for t in without_dev(optional_set(folder, name, "CPA"), split.dev)]
    if not tables:
        return []
    opinions = _informed(tables, _opinions(tables, teacher), theme_affinity(split.train))
    examples = []
    for table, beliefs in zip(tables, opinions, strict=True):
        sure, best = beliefs.max(1)
        asked = {gold.column_index for gold in table.labels}
        labels = tuple(
            vocabulary.names[int(best[i])] if i in asked and float(sure[i]) >= least else ""
            for i in range(len(best))
        )
        if any(labels):
            example = to_example(table, "sotab82")
            examples.append(
                Example(example.columns, example.headers, labels, "sotab82", example.theme, example.caption)
            )
    return examples


def theme_affinity(tables: Iterable[LabelledTable], strength: float = 5.0) -> dict[str, Tensor]:
    """Per theme (labels,) log P(label | theme) / P(label) of the SOTAB types; rare themes say little."""
    names = load_vocabulary("sotab82").names
    row = {name: i for i, name in enumerate(names)}
    counts: dict[str, Tensor] = defaultdict(lambda: torch.zeros(len(names), dtype=torch.float64))
    for table in tables:
        if theme := theme_of(table.table.name):
            for gold in table.labels:
                counts[theme][row[gold.label]] += 1
    prior = sum(counts.values(), torch.ones(len(names), dtype=torch.float64))
    prior = prior / prior.sum()
    smooth = {theme: (n + strength * prior) / (n.sum() + strength) for theme, n in sorted(counts.items())}
    return {theme: (p / prior).log() for theme, p in smooth.items()}


def _opinions(tables: Sequence[LabelledTable], teacher: Bundle) -> list[Tensor]:
    """(columns, labels) log-probabilities of every table."""
    annotator = ColumnTypeAnnotator(teacher, load_vocabulary("sotab82"), AnnotatorConfig())
    found: list[Tensor] = []
    for first in range(0, len(tables), 64):
        batch = [t.table for t in tables[first : first + 64]]
        log_p = annotator.scores(batch).logits.double().log_softmax(1)
        found += torch.split(log_p, [len(t.columns) for t in batch])
    return found


def _informed(
    tables: Sequence[LabelledTable], opinions: Sequence[Tensor], affinity: dict[str, Tensor]
) -> list[Tensor]:
    """(columns, labels) probabilities after the theme and the property have had their say."""
    themed = []
    for table, log_p in zip(tables, opinions, strict=True):
        prior = affinity.get(theme_of(table.table.name) or "", torch.zeros(log_p.shape[1]))
        themed.append((log_p + _THEME * prior).softmax(1))
    seen: dict[str, list[Tensor]] = defaultdict(list)
    for table, beliefs in zip(tables, themed, strict=True):
        for gold in table.labels:
            seen[gold.label].append(beliefs[gold.column_index])
    everything = torch.cat(themed).mean(0)
    lift = {
        name: ((torch.stack(rows).mean(0) + 0.01 * everything) / (everything + 1e-4)).log()
        for name, rows in seen.items()
    }
    for table, beliefs in zip(tables, themed, strict=True):
        for gold in table.labels:
            row = beliefs[gold.column_index].clamp(min=1e-12).log() + _PROPERTY * lift[gold.label]
            beliefs[gold.column_index] = row.softmax(0)
    return themed
