"""Does confidence mean what it says, and what do answers outside the 82 trained types look like?

    python benchmarks/calibration.py [--quick] [--checkpoint FILE] [--seed N] [--json FILE] [--data DIR]

Four parts: calibration and coverage on the dev hosts (the temperature that ships was fitted on them, so the
error is also measured crosswise: fitted on one half of the hosts, measured on the other); the 82 labels
scored as text by a head that knows none; a vocabulary file of other words for some of them; and generated
tables of seeds that training has not used, with and without headers, labelled with the types of ``schema``.
Goal: answers above the threshold are right no less often than all answers. The rest has no goal.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from _harness import Bench, labelled_folder, main
from _svm import gold_labels, svm_predict
from cta import Tables, answers_of, bundle_of, checkpoint_option, sample, swarm_of

from aegir_dspy import Table, load_vocabulary
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.calibration import expected_calibration_error, fit_temperature
from aegir_dspy.annotator.evaluation import Prediction, Score, score_predictions
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology import Label, Vocabulary
from aegir_dspy.tables.table import Column
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.generated import generate_table
from aegir_dspy.training.split import sotab82_split

__all__ = ["HELD_OUT", "PARAPHRASES", "generated_tables", "relabelled"]

HELD_OUT = 1_000_003  # added to the seed: training and its calibration use small seeds
# Other words for labels of sotab82; none is a label of a built-in vocabulary.
PARAPHRASES = {
    "telephone": "phone number",
    "email": "mail address",
    "addressLocality": "town",
    "postalCode": "zip",
    "Country": "nation",
    "Person/name": "full name of a person",
    "Date": "calendar day",
    "Duration": "how long",
    "price": "cost",
    "currency": "money unit",
    "URL": "web link",
    "Book/name": "title of the book",
    "Recipe/name": "dish",
    "Hotel/name": "name of the hotel",
    "Organization": "company",
    "Boolean": "yes or no",
}


def measure(bench: Bench) -> None:
    """calibration, coverage, labels as text, generated technical types"""
    dev = sotab82_split(labelled_folder(bench)).dev
    quick, seed = bench.options.quick, bench.options.seed
    print("right: share of the answers given. ece: expected calibration error of the answers given.")
    _calibration(bench, sample(dev, 60, seed) if quick else dev)
    _as_text(bench, sample(dev, 2 if quick else 40, seed))
    _paraphrased(bench, sample(dev, 12 if quick else 120, seed))
    for headers in (True, False):
        _generated(bench, 40 if quick else 300, headers=headers)


def _row(
    bench: Bench, arm: str, answers: Sequence[Prediction], gold: Sequence[str], **more: float | None
) -> Score:
    score = score_predictions(answers, [(label,) for label in gold])
    bench.row(**{"arm": arm, **asdict(score), **more})
    return score


def _majority(bench: Bench, arm: str, gold: Sequence[str]) -> None:
    """What always saying the most common label of these very columns would give: more than chance."""
    common = max(sorted(set(gold)), key=gold.count)
    _row(bench, arm, [Prediction("", 0, common, 1.0) for _ in gold], gold, ece=None)


# --- dev hosts ------------------------------------------------------------------------------------


def _calibration(bench: Bench, dev: Tables) -> None:
    bundle, gold, sotab82 = bundle_of(bench), gold_labels(dev), load_vocabulary("sotab82")
    answers = answers_of(swarm_of(bench, sotab82)(tables=[t.table for t in dev]).annotations, dev)
    everything, own = _row(bench, "dev hosts, every column", answers, gold), bundle.config.abstain_below
    for threshold in sorted({own, 0.5, 0.7, 0.9}):
        some = [replace(a, type=a.type if a.confidence >= threshold else None) for a in answers]
        shipped = " (default)" if threshold == own else ""
        score = _row(bench, f"dev hosts, confidence >= {threshold:g}{shipped}", some, gold)
        if shipped:
            bench.check("right answers gained by abstaining", score.right - everything.right, at_least=0.0)
    bench.row(arm="dev hosts, temperature fitted crosswise", ece=_crosswise(bundle, sotab82, dev))


def _crosswise(bundle: Bundle, vocabulary: Vocabulary, dev: Tables) -> float:
    """Calibration error when each half of the hosts has the temperature fitted on the other half."""
    annotator = ColumnTypeAnnotator(bundle, vocabulary)
    scored = [annotator.scores([t.table]).logits[[g.column_index for g in t.labels]] for t in dev]
    logits = torch.cat(scored)
    label = torch.tensor([vocabulary.names.index(name) for name in gold_labels(dev)])
    number = {host: n for n, host in enumerate(sorted({t.host or "" for t in dev}))}
    half = torch.tensor([number[t.host or ""] % 2 for t in dev for _ in t.labels])
    fitted = torch.tensor([fit_temperature(logits[half != h], label[half != h]) for h in (0, 1)])
    confidence, best = (logits / fitted[half].unsqueeze(1)).softmax(1).max(1)
    return expected_calibration_error(confidence, best == label)


# --- labels as text -------------------------------------------------------------------------------


def _as_text(bench: Bench, dev: Tables) -> None:
    """The 82 labels, by the head that knows them and by one that knows none."""
    bundle, gold = bundle_of(bench), gold_labels(dev)
    ignorant = replace(bundle, config=replace(bundle.config, labels=()))
    _majority(bench, "82 labels, most common", gold)
    for arm, asked in (("known to the head", bundle), ("as text", ignorant)):
        config = AnnotatorConfig(abstain_below=0.0)
        annotator = ColumnTypeAnnotator(asked, load_vocabulary("sotab82"), config)
        annotations = [annotation for annotation, _ in annotator.annotate([t.table for t in dev])]
        _row(bench, f"82 labels, {arm}", answers_of(annotations, dev), gold)


def _paraphrased(bench: Bench, dev: Tables) -> None:
    """Columns of some labels, annotated with other words for these labels from a file."""
    known = [relabelled(t, {label: label for label in PARAPHRASES}) for t in dev]
    known = [t for t in known if t.labels]
    other = [relabelled(t, PARAPHRASES) for t in known]
    names, gold = f"{len(PARAPHRASES)} labels", gold_labels(other)
    _majority(bench, f"{names}, most common", gold)
    own = Vocabulary("known", tuple(map(Label, PARAPHRASES)))
    answers = answers_of(swarm_of(bench, own)(tables=[t.table for t in known]).annotations, known)
    _row(bench, f"{names}, known to the head", answers, gold_labels(known))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "words.json"
        file.write_text(json.dumps(list(PARAPHRASES.values())), encoding="utf-8")
        answers = answers_of(swarm_of(bench, str(file))(tables=[t.table for t in other]).annotations, other)
    _row(bench, f"{names}, other words from a file", answers, gold)


def relabelled(table: LabelledTable, names: dict[str, str]) -> LabelledTable:
    """The table with only the labels that have another name, under that name."""
    labels = (replace(g, label=names[g.label]) for g in table.labels if g.label in names)
    return replace(table, labels=tuple(labels))


# --- generated tables -----------------------------------------------------------------------------


def _generated(bench: Bench, count: int, *, headers: bool) -> None:
    seed, name = HELD_OUT + bench.options.seed, "headers" if headers else "no headers"
    tables, web = generated_tables(seed, count, headers=headers), load_vocabulary("sotab82")
    gold = gold_labels(tables)
    _majority(bench, f"generated, {name}, most common", gold)

    def report(arm: str, answers: Sequence[Prediction], **more: None) -> None:
        hits = [a.type == label for a, label in zip(answers, gold, strict=True) if label not in web]
        right = sum(hits) / max(1, len(hits))
        _row(bench, f"generated, {name}, {arm}", answers, gold, technical_right=right, **more)

    train = generated_tables(seed + 1, 5 * count, headers=headers, in_values=headers)
    asked = generated_tables(seed, count, headers=headers, in_values=headers)
    said = svm_predict(train, asked, context=True, seed=bench.options.seed)
    report("SVM + other columns", [Prediction("", 0, label, 1.0) for label in said], ece=None)
    for arm, context in (("single agent", 0), ("default", 8)):
        swarm = swarm_of(bench, "schema", context=context)
        report(arm, answers_of(swarm(tables=[t.table for t in tables]).annotations, tables))


def generated_tables(seed: int, count: int, *, headers: bool, in_values: bool = False) -> list[LabelledTable]:
    """Generated tables of 2 to 9 columns and 5 rows; `in_values` puts the header before the cells."""
    rng, found = random.Random(seed), []
    for number in range(count):
        made = generate_table(rng, rng.randint(2, 9), 5)
        columns = (
            Column(i, c.header if headers else None, ((c.header,) if in_values else ()) + tuple(c.values))
            for i, c in enumerate(made)
        )
        labels = (LabelledColumn(i, c.label, (c.label,)) for i, c in enumerate(made))
        table = Table(f"generated {number}", "generated", tuple(columns))
        found.append(LabelledTable(table, tuple(labels), "generated", "", None))
    return found


if __name__ == "__main__":
    sys.exit(main("calibration", measure, checkpoint_option))
