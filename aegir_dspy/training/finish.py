"""From a pre-trained checkpoint to the files that ship: train types, add members, calibrate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from aegir_dspy.annotator.bundle import Bundle, BundleConfig, MemberConfig, load_bundle, save_bundle
from aegir_dspy.annotator.evaluation import Prediction, score_predictions
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.tables.table import Table
from aegir_dspy.training.agreement import count_agreement
from aegir_dspy.training.average import average
from aegir_dspy.training.calibrate import calibrate, check_dev
from aegir_dspy.training.column_types import (
    THEME_GROUP,
    Example,
    TypesConfig,
    TypesModel,
    theme_label,
    train_types,
)
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.examples import gather_examples, generated_examples, to_example
from aegir_dspy.training.ngrams import train_ngrams
from aegir_dspy.training.pseudo import RELATION_SETS, pseudo_examples
from aegir_dspy.training.split import Split, sotab32_split, sotab82_split, wikitables_split, without_dev

__all__ = [
    "DOMAINS",
    "MEMBERS",
    "PSEUDO_SHARE",
    "assemble",
    "average_and_write",
    "label_sets",
    "train_and_write",
    "train_reader",
]

MEMBERS: Mapping[str, str] = {
    "backward": "reads every value from its end: endings, units, domains and file types come first",
    "places": "knows places, organisations and the people who work there",
    "offers": "knows offers: products, quantities, identifiers, recipes",
    "works": "knows creative works and events, and the people behind them",
}
"""What each member of the swarm is for."""

DOMAINS: Mapping[str, frozenset[str]] = {
    "places": frozenset({"LocalBusiness", "Hotel", "Restaurant", "Museum", "Place", "Person", "JobPosting"}),
    "offers": frozenset({"Product", "Recipe"}),
    "works": frozenset(
        {
            "Book",
            "Movie",
            "MusicRecording",
            "MusicAlbum",
            "TVEpisode",
            "CreativeWork",
            "Event",
            "SportsEvent",
        }
    ),
}
"""The themes of each domain specialist."""

_NGRAM_SEED = 0
_OWN_COUNT = 3  # how often a table of the 32 types counts beside one of the 82
PSEUDO_SHARE = 0.2
_CALIBRATION_SEED = 1_000_003  # other generated tables than any training seed draws
_VOCABULARIES = ("sotab82", "schema", "sotab32")


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
    check_dev(sotab82_split(data).dev)
    examples = gather_examples(data, config.seed)
    if teacher is not None:
        examples["pseudo"] = (pseudo_examples(data, sotab82_split(data), load_bundle(teacher)), PSEUDO_SHARE)
    train_reader(pretrained, examples, corpus, config, run, out, metrics, start)
    columns = {name: _labelled(tables) for name, (tables, _) in examples.items()}
    about = {"config": asdict(config), "columns": columns}
    return assemble(load_bundle(out, dtype=torch.float32), data, out, about)


def train_reader(
    pretrained: Path,
    examples: Mapping[str, tuple[Sequence[Example], float]],
    corpus: Sequence[Table],
    config: TypesConfig,
    run: Path,
    out: Path,
    metrics: Callable[[dict[str, float]], None],
    start: Path | None = None,
) -> None:
    """Train one model and its head, and write them without calibration."""
    sets = label_sets(examples)
    first = None if start is None else load_bundle(start, dtype=torch.float32)
    _write(train_types(pretrained, examples, corpus, config, run, metrics, sets, first), config, out)


def average_and_write(members: Sequence[Path], data: Path, out: Path) -> dict[str, Any]:
    """Average annotators, calibrate on the dev hosts, write `out` and its report."""
    bundles = [load_bundle(path, dtype=torch.float32) for path in members]
    about = {"average_of": [bundle.sha256 for bundle in bundles]}
    return assemble(average(bundles), data, out, about)


def assemble(
    primary: Bundle,
    data: Path,
    out: Path,
    about: Mapping[str, Any],
    members: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Make a swarm of a primary and its members, calibrate it on the dev hosts, write it and its report.

    The n-gram specialist is trained and what goes together is counted here; both take seconds.

    Args:
        out: the primary's file; the members' are written beside it, without what they share with it.
        about: what the report says beside the measurements.
        members: other specialists' files by name; roles are those of `MEMBERS`.
    """
    split = sotab82_split(data)
    examples = gather_examples(data, _NGRAM_SEED)
    labelled = examples["sotab82"][0]
    agreement = count_agreement(labelled)
    themed = [*labelled, *(table for name in RELATION_SETS for table in examples.get(name, ([], 0))[0])]
    sotab = [*labelled, *examples.get("sotab32", ([], 0))[0]]
    wikitables = examples.get("wikitables", ([], 0))[0]
    small = sotab32_split(data) if "sotab32" in examples else None
    own = {"sotab32": _as_sotab32(small, split)} if small else None
    ngrams = train_ngrams(sotab, examples["generated"][0], wikitables, agreement.themes, themed, own)
    written = tuple(_write_member(primary, name, path, out) for name, path in (members or {}).items())
    config = replace(primary.config, members=written)
    save_bundle(out, primary.model, primary.head, config, ngrams, agreement)
    others = {"wikitables_turl": wikitables_split(data).dev} if wikitables else {}
    made = generated_examples(150, _CALIBRATION_SEED)
    calibrated = calibrate(load_bundle(out), split.dev, made, others, small.dev if small else ())
    sha256 = save_bundle(out, primary.model, primary.head, calibrated.bundle.config, ngrams, agreement)
    report = {
        "sha256": sha256,
        "members": {member.name: member.sha256 for member in written},
        "torch": torch.__version__,
        **about,
        "dev": {
            "columns": sum(len(t.labels) for t in split.dev),
            **_dev_scores(load_bundle(out), split.dev),
            "micro_f1_crosswise": calibrated.micro_f1,
            "ece_crosswise": calibrated.ece,
            "ece_before_calibration": calibrated.ece_before,
        },
    }
    out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _as_sotab32(small: Split, large: Split) -> list[Example]:
    """Tables labelled with the 32 SOTAB types: their own, counted often, and what the 82 call the same."""
    vocabulary = load_vocabulary("sotab32")
    more = [to_example(t, "sotab82") for t in without_dev(large.train, small.dev)]
    shared = [replace(e, labels=tuple(x if x in vocabulary else "" for x in e.labels)) for e in more]
    return [to_example(t, "sotab32", vocabulary) for t in small.train] * _OWN_COUNT + shared


def _write_member(primary: Bundle, name: str, path: Path, out: Path) -> MemberConfig:
    """Write a member's file beside `out`; a domain specialist shares the primary's n-gram memory."""
    member = load_bundle(path, dtype=torch.float32)
    file, domain = f"{name}.safetensors", DOMAINS.get(name, frozenset())
    without = ("ngram.",) if domain else ()
    sha256 = save_bundle(out.with_name(file), member.model, member.head, member.config, without=without)
    return MemberConfig(name, MEMBERS[name], file, sha256, tuple(sorted(map(theme_label, domain))))


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
