"""Counting what goes together in the training tables: themes with labels, labels with labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from aegir_dspy.annotator.decision import Agreement
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.training.column_types import Example, theme_label

__all__ = ["count_agreement"]

_THEME_STRENGTH = 5.0  # columns' worth of the overall distribution mixed into each theme's
_COMPANY_STRENGTH = 0.5  # pairs' worth of independence mixed into each pair of labels


def count_agreement(examples: Sequence[Example]) -> Agreement:
    """What goes together in tables labelled with the SOTAB types.

    Themes that no table has say nothing; so do labels without columns.
    """
    labels = load_vocabulary("sotab82").names
    row = {label: i for i, label in enumerate(labels)}
    names = sorted({theme_label(e.theme) for e in examples if e.theme})
    themed = torch.zeros(len(names), len(labels), dtype=torch.float64)
    pairs = torch.zeros(len(labels), len(labels), dtype=torch.float64)  # row to the left of column
    for example in examples:
        there = torch.zeros(len(labels), dtype=torch.float64)  # the columns to the left
        for label in example.labels:
            if label in row:
                pairs[:, row[label]] += there
                there[row[label]] += 1
        if example.theme:
            themed[names.index(theme_label(example.theme))] += there
    prior = themed.sum(0) + 1
    prior = prior / prior.sum()
    smooth = (themed + _THEME_STRENGTH * prior) / (themed.sum(1, keepdim=True) + _THEME_STRENGTH)
    expected = torch.outer(pairs.sum(1), pairs.sum(0)) / pairs.sum().clamp(min=1.0)
    company = ((pairs + _COMPANY_STRENGTH) / (expected + _COMPANY_STRENGTH)).log()
    return Agreement(tuple(names), tuple(labels), (smooth / prior).log(), company)
