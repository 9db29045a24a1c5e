"""Column types on web sites the weights have not seen: ours, simpler ways to ask the same weights, an SVM.

    python benchmarks/cta.py [--quick] [--checkpoint FILE] [--seed N] [--json FILE] [--data DIR]

The arms with an RWKV have the same primary, head and serialization; the default and *every column alone*
also hear the other members of the swarm, and the default what goes together in a table
(`benchmarks/swarm.py` takes that apart, with its parameters fitted crosswise). They differ in what a column
is read after: nothing, the table's columns in file order, its context columns, their labels as text, or
their fused states. *Wrong context* fuses columns of a table of another site: what context gives beyond the
mere presence of something. Goals: micro F1 of the default at least 0.79 and not below every column alone,
and no dev site in the training part. A quick run takes a sample of the sites, and allows two standard
errors.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _harness import Bench, labelled_folder, main
from _reader import Answers, Columns, Reader
from _svm import gold_labels, svm_predict
from numpy.typing import NDArray

from aegir_dspy import Swarm, Vocabulary
from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.bundle import Bundle, default_bundle, load_bundle
from aegir_dspy.annotator.evaluation import Prediction
from aegir_dspy.latent.fusion import FusionMode
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.split import leakage, sotab82_split

__all__ = ["Resampler", "Tables", "answers_of", "bundle_of", "checkpoint_option", "sample", "swarm_of"]

GOAL = 0.79
DEFAULT, SINGLE = "default: the swarm", "every column alone, all members"
GROUPS = {"N0": (0, 0), "N1": (1, 1), "N2_3": (2, 3), "N4_7": (4, 7), "N8": (8, 1 << 30)}
CAPTION = """\
F1 on the dev hosts, 0..1. _se: standard error over 1,000 resamples of these hosts, the weights being fixed.
gain: micro F1 over that of every column alone, its error paired. N0 … N8: micro F1 of the columns with that
many other columns with values in their table. seconds: of the whole arm, an SVM's fitting included."""

Tables = Sequence[LabelledTable]


class Resampler:
    """Micro and macro F1 of the labelled columns, and of resamples of their hosts, the same for every arm.

    Args:
        hosts: the host of each labelled column. gold: its label. count: how many resamples.
    """

    def __init__(self, hosts: Sequence[str], gold: Sequence[str], seed: int, count: int = 1000) -> None:
        names, self.host = np.unique(hosts, return_inverse=True)
        self.hosts, self.gold = len(names), list(gold)
        draws = np.random.default_rng(seed).integers(self.hosts, size=(count, self.hosts))
        times = [np.ones(self.hosts), *(np.bincount(draw, minlength=self.hosts) for draw in draws)]
        self.times = np.stack(times).astype(np.float64)  # (1 + count, hosts): how often each host is in

    def scores(self, answers: Answers) -> NDArray[np.float64]:
        """(2, 1 + resamples) micro and macro F1 as `score_predictions` defines them, the whole set first."""
        labels = sorted({*self.gold, *(answer for answer in answers if answer)})
        row = {label: number for number, label in enumerate(labels)}
        hits, said, there = np.zeros((3, self.hosts, len(labels)))
        for host, gold, answer in zip(self.host, self.gold, answers, strict=True):
            there[host, row[gold]] += 1
            if answer:
                said[host, row[answer]] += 1
                hits[host, row[answer]] += answer == gold
        hit, total, present = (self.times @ part for part in (hits, said + there, there))
        f1 = np.divide(2 * hit, total, out=np.zeros_like(hit), where=total > 0)
        macro = f1.sum(1, where=present > 0) / (present > 0).sum(1)
        return np.stack([2 * hit.sum(1) / total.sum(1), macro])


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer: a label for each labelled column; `columns` are read for it, context aside."""

    name: str
    answer: Callable[[], Answers]
    columns: int


def measure(bench: Bench) -> None:
    """micro and macro F1 of column types on unseen web sites, beside simpler ways of asking"""
    train, dev = _split(bench)
    swarm, bundle = partial(swarm_of, bench, "sotab82"), bundle_of(bench)
    columns = Columns([t.table for t in dev], [t.host for t in dev], bundle, bench.options.seed)
    targets = [span[g.column_index] for span, t in zip(columns.spans, dev, strict=True) for g in t.labels]
    reader = Reader(bundle, swarm().vocabulary.names)
    arms = [
        *_classical(train, dev, bench.options.seed),
        *_sequential(reader, columns, targets, bench.options.seed),
        *_fused(reader, columns, targets),
        Arm(SINGLE, partial(_types, swarm(context=0), dev), len(columns.pieces)),
        Arm(DEFAULT, partial(_types, swarm(), dev), len(columns.pieces)),
    ]
    _types(swarm(), dev[:4])  # what the first call of a process costs is nobody's speed
    _report(bench, dev, columns.others[targets], arms)


def _split(bench: Bench) -> tuple[Tables, Tables]:
    split = sotab82_split(labelled_folder(bench))
    found = leakage(split)
    bench.check("dev hosts in the training part", found.hosts, at_most=0)
    bench.check("dev columns in nameless training tables", found.nameless, at_most=0)
    if not bench.options.quick:
        return split.train, split.dev
    return sample(split.train, 400, bench.options.seed), sample(split.dev, 60, bench.options.seed)


def _classical(train: Tables, dev: Tables, seed: int) -> list[Arm]:
    gold = gold_labels(train)
    common = min(set(gold), key=lambda label: (-gold.count(label), label))
    asked = len(gold_labels(dev))
    svm = partial(svm_predict, train, dev, seed=seed)
    return [
        Arm("majority class", lambda: [common] * asked, asked),
        Arm("SVM", partial(svm, context=False), asked),
        Arm("SVM + other columns", partial(svm, context=True), asked),
    ]


def _sequential(reader: Reader, columns: Columns, targets: Sequence[int], seed: int) -> list[Arm]:
    def four_orders() -> Answers:
        rng = random.Random(seed)
        passes = [reader.in_order(columns, rng) for _ in range(4)]
        return reader.best(torch.stack(passes).mean(0)[targets])

    def after_texts() -> Answers:
        return reader.best(reader.after_texts(columns, targets, reader.best(reader.alone(columns))))

    every = len(columns.pieces)
    return [
        Arm("sequential, one pass", lambda: reader.best(reader.in_order(columns)[targets]), every),
        Arm("sequential, 4 orders", four_orders, every),
        Arm(
            "sequential, target last",
            lambda: reader.best(reader.after_columns(columns, targets)),
            len(targets),
        ),
        Arm("text passing", after_texts, len(targets)),
    ]


def _fused(reader: Reader, columns: Columns, targets: Sequence[int]) -> list[Arm]:
    def answer(members: NDArray[np.bool_], mode: FusionMode) -> Answers:
        return reader.best(reader.fused(columns, members, mode)[targets])

    every = len(columns.pieces)
    return [
        Arm("alone", lambda: reader.best(reader.alone(columns)[targets]), every),
        Arm("fused, wrong context", partial(answer, columns.wrong, "sqrt"), every),
        Arm("fused sum", partial(answer, columns.right, "sum"), every),
        Arm("fused mean", partial(answer, columns.right, "mean"), every),
        Arm("fused sum/√N", partial(answer, columns.right, "sqrt"), every),
    ]


def _types(swarm: Swarm, tables: Tables) -> Answers:
    annotations = swarm(tables=[t.table for t in tables]).annotations
    return [prediction.type for prediction in answers_of(annotations, tables)]


def _report(bench: Bench, dev: Tables, others: NDArray[np.int64], arms: Sequence[Arm]) -> None:
    gold = gold_labels(dev)
    groups = {name: (others >= low) & (others <= high) for name, (low, high) in GROUPS.items()}
    resampler = Resampler([t.host or t.table.name for t in dev for _ in t.labels], gold, bench.options.seed)
    answers, seconds = {}, {}
    for arm in arms:
        began = time.perf_counter()
        answers[arm.name] = arm.answer()
        seconds[arm.name] = time.perf_counter() - began
    f1 = {name: resampler.scores(answer) for name, answer in answers.items()}
    gain = {name: scores[0] - f1[SINGLE][0] for name, scores in f1.items()}
    print(f"{len(dev)} tables of {resampler.hosts} hosts, {len(gold)} labelled columns. {CAPTION}")
    for arm in arms:
        name, right = arm.name, np.array(answers[arm.name], dtype=object) == np.array(gold, dtype=object)
        bench.row(
            arm=name,
            micro_f1=float(f1[name][0, 0]),
            micro_se=float(f1[name][0, 1:].std()),
            macro_f1=float(f1[name][1, 0]),
            macro_se=float(f1[name][1, 1:].std()),
            gain=float(gain[name][0]),
            gain_se=float(gain[name][1:].std()),
            **{group: float(right[some].mean()) if some.any() else None for group, some in groups.items()},
            seconds=seconds[name],
            columns_s=arm.columns / max(1e-9, seconds[name]),
        )
    bench.row(arm="(labelled columns)", **{name: int(group.sum()) for name, group in groups.items()})
    slack = 2.0 if bench.options.quick else 0.0
    micro, more = f1[DEFAULT][0], gain[DEFAULT]
    bench.check("micro F1 of the default", float(micro[0]), at_least=GOAL - slack * float(micro[1:].std()))
    bench.check(
        "gain of the default over every column alone", float(more[0]), at_least=-slack * float(more[1:].std())
    )


def sample(tables: Tables, count: int, seed: int) -> Tables:
    """Up to `count` of the tables, by lot, in their order."""
    if len(tables) <= count:
        return tables
    return [tables[i] for i in sorted(random.Random(seed).sample(range(len(tables)), count))]


def answers_of(annotations: Sequence[TableAnnotation], tables: Tables) -> list[Prediction]:
    """What is said of the labelled columns, in the order of `gold_labels`."""
    return [
        Prediction(t.table.name, gold.column_index, column.type, column.confidence)
        for t, annotation in zip(tables, annotations, strict=True)
        for gold in t.labels
        for column in (annotation.columns[gold.column_index],)
    ]


def bundle_of(bench: Bench) -> Bundle:
    """The weights that ``--checkpoint`` names, or those of the package."""
    file = bench.options.checkpoint
    return load_bundle(Path(file)) if file else default_bundle()


def swarm_of(bench: Bench, vocabulary: str | Vocabulary, context: int = 8) -> Swarm:
    """A swarm with these weights that answers always."""
    file = bench.options.checkpoint
    return Swarm(vocabulary=vocabulary, checkpoint=file, context=context, abstain_below=0.0)


def checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """``--checkpoint FILE``."""
    parser.add_argument("--checkpoint", metavar="FILE", help="weights (default: those in the package)")


if __name__ == "__main__":
    sys.exit(main("cta", measure, checkpoint_option))
