"""Whether R knows what is true: R against the F1 of annotations on tables of held out sites.

    python benchmarks/verifier_truth.py [--quick] [--seed N] [--json FILE] [--data DIR]

The swarm annotates the `sotab82` dev tables that have at least two labelled columns; then the columns without
a label, whose truth nobody knows, are left out. Eight compositions a table are sampled from the calibrated
probabilities (temperature 2). F1 of a composition: the share of its columns whose type is right. R never sees
a label.

Rows: Spearman's correlation of R and F1 over tables (mean of the samples; the swarm's own answers), and over
all samples, beside ``aegir-0.3`` and the swarm's own confidence. `ideal` is what a perfect judge would reach:
most of the swarm's own answers are all right, and so alike. Then the F1 of one sample, of the best of eight
by R, by ``aegir-0.3`` and by confidence, of the swarm's own answer, and of the best by truth. ± is the
standard error over resamples of the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from _harness import Bench, labelled_folder, main
from _study import composed
from numpy.typing import NDArray
from scipy.stats import spearmanr

from aegir_dspy.annotator.bundle import default_bundle
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology.composition import ColumnType, TableTypes
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.split import sotab82_split
from aegir_dspy.verifier import Verifier

SAMPLES, TEMPERATURE, RESAMPLES = 8, 2.0, 1_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Arrays (tables, 1 + SAMPLES): the swarm's own answer first, then the samples."""

    f1: Floats
    R: Floats
    original: Floats
    confidence: Floats

    @property
    def ideal(self) -> Floats:
        """The F1 with ties broken by chance."""
        return self.f1 + 1e-6 * np.random.default_rng(0).random(self.f1.shape)


def measure(bench: Bench) -> None:
    """R against the truth on tables of held out sites"""
    tables = [t for t in sotab82_split(labelled_folder(bench)).dev if len(t.labels) > 1]
    tables = tables[: 30 if bench.options.quick else None]
    judged = _judged(tables, bench.options.seed)
    own, mean = (lambda x: x[:, 0]), (lambda x: x[:, 1:].mean(1))
    every = lambda x: x[:, 1:].ravel()  # noqa: E731
    rng = np.random.default_rng(bench.options.seed)
    drawn = rng.integers(0, len(tables), (RESAMPLES, len(tables)))
    slack = 0.2 if bench.options.quick else 0.0
    for over, of in (("tables, mean of samples", mean), ("samples", every), ("tables, own answers", own)):
        for name in ("R", "original", "confidence", "ideal"):
            found = _correlation(judged, name, of)
            spread = np.std([_correlation(_part(judged, rows), name, of) for rows in drawn[:200]])
            bench.row(what=f"Spearman over {over}", by=name, value=found, se=float(spread))
            if name == "R" and of is not own:
                bench.check(f"Spearman of R and F1 over {over}", found, at_least=0.5 - slack)
    picks = {
        "one sample": judged.f1[:, 1:].mean(1),
        "best of 8 by R": _picked(judged, judged.R),
        "best of 8 by aegir-0.3": _picked(judged, judged.original),
        "best of 8 by confidence": _picked(judged, judged.confidence),
        "the swarm's own answer": judged.f1[:, 0],
        "best of 8 by truth": judged.f1[:, 1:].max(1),
    }
    for name, f1 in picks.items():
        bench.row(what=f"F1 of {name}", value=float(f1.mean()), se=float(f1[drawn].mean(1).std()))
    gain = picks["best of 8 by R"] - picks["one sample"]
    bench.check("F1 gained by the best of 8 by R", float(gain.mean()), at_least=0.01)
    low = float(np.quantile(gain[drawn].mean(1), 0.025))
    bench.check("its lower bound (95 %)", low, at_least=0.0)


def _judged(tables: list[LabelledTable], seed: int) -> Judged:
    config = AnnotatorConfig(abstain_below=0.0)
    annotator = ColumnTypeAnnotator(default_bundle(), load_vocabulary("sotab82"), config)
    scores = annotator.scores([t.table for t in tables])
    generator = torch.Generator().manual_seed(seed)
    verifier, original = Verifier("annotation"), Verifier("aegir-0.3")
    found, first = [], 0
    for labelled in tables:
        last = first + len(labelled.table.columns)
        log_p, readable = scores.logits[first:last], scores.readable[first:last]
        first = last
        flat = (log_p / TEMPERATURE).softmax(1)
        drawn = torch.multinomial(flat, SAMPLES, replacement=True, generator=generator)
        answers = torch.cat([log_p.argmax(1, keepdim=True), drawn], 1).T  # (1 + SAMPLES, columns)
        found.append([_one(labelled, rows, log_p, readable, verifier, original) for rows in answers])
    return Judged(*np.array(found).transpose(2, 0, 1))


def _one(
    labelled: LabelledTable,
    rows: torch.Tensor,
    log_p: torch.Tensor,
    readable: torch.Tensor,
    verifier: Verifier,
    original: Verifier,
) -> tuple[float, float, float, float]:
    """F1, R, the original's R, and the mean log-probability of one answer."""
    names = load_vocabulary("sotab82").names
    kept = [g.column_index for g in labelled.labels]
    columns = tuple(
        ColumnType(i, names[int(rows[k])]) if readable[k] else ColumnType(i, None, "the column is empty")
        for i, k in enumerate(kept)
    )
    table = replace(
        labelled.table,
        columns=tuple(replace(labelled.table.columns[k], index=i) for i, k in enumerate(kept)),
    )
    composition = composed(TableTypes(table.name, columns), table)
    right = [names[int(rows[g.column_index])] in g.labels for g in labelled.labels]
    confidence = float(log_p[kept].gather(1, rows[kept].unsqueeze(1)).mean())
    return (
        float(np.mean(right)),
        verifier.score(composition, [table]).R,
        original.score(composition, [table]).R,
        confidence,
    )


def _part(judged: Judged, rows: NDArray[np.int64]) -> Judged:
    return Judged(*(getattr(judged, name)[rows] for name in ("f1", "R", "original", "confidence")))


def _correlation(judged: Judged, name: str, of: Callable[[Floats], Floats]) -> float:
    return float(spearmanr(of(getattr(judged, name)), of(judged.f1)).statistic)


def _picked(judged: Judged, by: Floats) -> Floats:
    return np.take_along_axis(judged.f1[:, 1:], by[:, 1:].argmax(1)[:, None], 1)[:, 0]


if __name__ == "__main__":
    sys.exit(main("verifier_truth", measure))
