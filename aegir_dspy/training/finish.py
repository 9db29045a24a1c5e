"""From a pre-trained checkpoint to the file that ships: train types, drop what is not needed, calibrate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from aegir_dspy.annotator.bundle import Bundle, BundleConfig, load_bundle, save_bundle
from aegir_dspy.annotator.evaluation import Prediction, score_predictions
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.tables.table import Table
from aegir_dspy.training.average import average
from aegir_dspy.training.calibrate import calibrate
from aegir_dspy.training.column_types import (
    THEME_GROUP,
    Example,
    TypesConfig,
    TypesModel,
    theme_label,
    train_types,
)
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.examples import gather_examples, generated_examples
from aegir_dspy.training.ngrams import train_ngrams
from aegir_dspy.training.pseudo import pseudo_examples
from aegir_dspy.training.split import sotab82_split

__all__ = ["average_and_write", "label_sets", "train_and_write"]

_NGRAM_SEED = 0
_PSEUDO_SHARE = 0.2
_CALIBRATION_SEED = 1_000_003  # other generated tables than any training seed draws
_VOCABULARIES = ("sotab82", "schema", "sotab32", "dbpedia")


def train_and_write(
    pretrained: Path,
    data: Path,
    corpus: Sequence[Table],
    config: TypesConfig,
    run: Path,
    out: Path,
    metrics: Callable[[dict[str, float]], None],
    start: Path | None = None,
    teacher: Path | None = None,
) -> dict[str, Any]:
    """Train, calibrate on the dev hosts, write `out` and `out` with suffix .json. Returns the report.

    `start` is an annotator to start from instead of the pre-trained model; `teacher` one that labels the
    columns of the relation sets.
    """
    examples = gather_examples(data, config.seed)
    if teacher is not None:
        found = pseudo_examples(data, sotab82_split(data), load_bundle(teacher))
        examples["pseudo"] = (found, _PSEUDO_SHARE)
    sets = label_sets(examples)
    first = None if start is None else load_bundle(start, dtype=torch.float32)
    trained = train_types(pretrained, examples, corpus, config, run, metrics, sets, first)
    _write(trained, config, out)
    columns = {name: _labelled(tables) for name, (tables, _) in examples.items()}
    about = {"config": asdict(config), "columns": columns}
    return _finish(load_bundle(out, dtype=torch.float32), data, out, about)


def average_and_write(members: Sequence[Path], data: Path, out: Path) -> dict[str, Any]:
    """Average annotators, calibrate on the dev hosts, write `out` and its report."""
    bundles = [load_bundle(path, dtype=torch.float32) for path in members]
    about = {"average_of": [bundle.sha256 for bundle in bundles]}
    return _finish(average(bundles), data, out, about)


def _finish(bundle: Bundle, data: Path, out: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Add the n-gram specialist, write, calibrate what was written, write with the calibration, report."""
    examples = gather_examples(data, _NGRAM_SEED)
    ngrams = train_ngrams(examples["sotab82"][0], examples["generated"][0])
    save_bundle(out, bundle.model, bundle.head, bundle.config, ngrams)
    dev = sotab82_split(data).dev
    calibrated = calibrate(load_bundle(out), dev, generated_examples(150, _CALIBRATION_SEED))
    sha256 = save_bundle(out, bundle.model, bundle.head, calibrated.bundle.config, ngrams)
    report = {
        "sha256": sha256,
        "torch": torch.__version__,
        **about,
        "dev": {
            "columns": sum(len(t.labels) for t in dev),
            **_dev_scores(load_bundle(out), dev),
            "micro_f1_crosswise": calibrated.micro_f1,
            "ece_crosswise": calibrated.ece,
            "ece_before_calibration": calibrated.ece_before,
        },
    }
    out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def label_sets(examples: Mapping[str, tuple[Sequence[Example], float]]) -> dict[str, list[str]]:
    """All labels by set: the shipped vocabularies whole, others and themes as they occur in the examples."""
    sets = {name: dict.fromkeys(load_vocabulary(name).names) for name in _VOCABULARIES}
    for tables, _ in examples.values():
        for example in tables:
            own = sets.setdefault(example.group, {})
            own.update(dict.fromkeys(label for label in example.labels if label))
    themes = {theme_label(e.theme) for tables, _ in examples.values() for e in tables if e.theme}
    sets[THEME_GROUP] = dict.fromkeys(sorted(themes))
    return {name: list(labels) for name, labels in sets.items()}


def _write(trained: TypesModel, config: TypesConfig, out: Path) -> None:
    """The file without the rows of the header classes, which only training needs."""
    keep = [row for row, label in enumerate(trained.space.labels) if not label.startswith("header:")]
    head = ColumnHead(trained.model.geometry.width, len(keep))
    with torch.no_grad():
        head.classify.weight.copy_(trained.head.classify.weight[keep])
        head.classify.bias.copy_(trained.head.classify.bias[keep])
    labels = tuple(trained.space.labels[row] for row in keep)
    save_bundle(out, trained.model, head, BundleConfig(labels, config.serialize, context=config.context))


def _dev_scores(bundle: Bundle, dev: Sequence[LabelledTable]) -> dict[str, float]:
    """Micro and macro F1 on dev, fused from context and each column alone."""
    scores: dict[str, float] = {}
    for name, columns in (("fused", AnnotatorConfig().context.columns), ("alone", 0)):
        settings = AnnotatorConfig(replace(AnnotatorConfig().context, columns=columns), abstain_below=0.0)
        annotator = ColumnTypeAnnotator(bundle, load_vocabulary("sotab82"), settings)
        answers = []
        for table, (annotation, _) in zip(dev, annotator.annotate([t.table for t in dev]), strict=True):
            for gold in table.labels:
                column = annotation.columns[gold.column_index]
                answers.append(
                    Prediction(table.table.name, gold.column_index, column.type, column.confidence)
                )
        score = score_predictions(answers, [g.labels for t in dev for g in t.labels])
        scores |= {f"micro_f1_{name}": score.micro_f1, f"macro_f1_{name}": score.macro_f1}
    return scores


def _labelled(tables: Sequence[Example]) -> int:
    return sum(bool(label) for example in tables for label in example.labels)
