"""The classical baseline: a linear SVM on character n-grams, of the column and of its table.

C, the n-gram lengths, case folding and the weight of the context were chosen on a quarter of the hosts of
the training part; the dev part took no part in it. Run it on the dev split, and on the published one::

    python benchmarks/_svm.py [--quick] [--seed N] [--json FILE] [--data DIR]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from _harness import Bench, labelled_folder, main
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from aegir_dspy.training.datasets import LabelledTable, load_labelled
from aegir_dspy.training.split import sotab82_split

__all__ = ["f1", "gold_labels", "svm_predict", "titled_svm_predict"]

C = 1.0
CONTEXT_WEIGHT = 0.7
Tables = Sequence[LabelledTable]


def svm_predict(train: Tables, dev: Tables, *, context: bool, seed: int) -> list[str]:
    """A label for each labelled column of ``dev``, table by table, in the order of `gold_labels`.

    Args:
        train: the tables to fit the n-grams and the SVM on.
        dev: the tables to annotate; their labels say which columns, and are not read otherwise.
        context: also look at the other columns of the table.
        seed: of the order in which the solver visits columns.
    """
    (own, other), (dev_own, dev_other) = _texts(train), _texts(dev)
    parts = [_tfidf(own, dev_own, longest=4, weight=1.0)]
    if context:
        parts.append(_tfidf(other, dev_other, longest=3, weight=CONTEXT_WEIGHT))
    features, dev_features = (hstack(side).tocsr() for side in zip(*parts, strict=True))
    model = LinearSVC(C=C, random_state=seed).fit(features, gold_labels(train))
    return [str(label) for label in model.predict(dev_features)]


def titled_svm_predict(train: Tables, dev: Tables, *, seed: int) -> list[str]:
    """The same from a column's values, its header and the text about its table, where several labels apply.

    The most common of a column's labels is taught.
    """
    common = Counter(label for t in train for gold in t.labels for label in gold.labels)
    kinds = zip(_titled_texts(train), _titled_texts(dev), (1.0, 1.0, CONTEXT_WEIGHT), strict=True)
    parts = [_tfidf(a, b, longest=4, weight=weight) for a, b, weight in kinds]
    features, dev_features = (hstack(side).tocsr() for side in zip(*parts, strict=True))
    taught = [max(gold.labels, key=lambda label: common[label]) for t in train for gold in t.labels]
    model = LinearSVC(C=C, random_state=seed).fit(features, taught)
    return [str(label) for label in model.predict(dev_features)]


def _titled_texts(tables: Tables) -> tuple[list[str], list[str], list[str]]:
    columns = [(t.table.columns[gold.column_index], t.table.comment) for t in tables for gold in t.labels]
    values = ["\n".join(column.values[:10]) for column, _ in columns]
    return values, [column.name or "" for column, _ in columns], [comment or "" for _, comment in columns]


def gold_labels(tables: Tables) -> list[str]:
    """The labels of the labelled columns, table by table."""
    return [gold.label for table in tables for gold in table.labels]


def f1(gold: Sequence[str], predicted: Sequence[str]) -> tuple[float, float]:
    """(micro, macro) F1 in 0..1; macro over the labels that occur in either list."""
    micro, macro = (f1_score(gold, predicted, average=kind, zero_division=0.0) for kind in ("micro", "macro"))
    return float(micro), float(macro)


def _texts(tables: Tables) -> tuple[list[str], list[str]]:
    """Of each labelled column: its values, and the values of the other columns of its table."""
    own, other = [], []
    for table in tables:
        texts = ["\n".join(column.values) for column in table.table.columns]
        for gold in table.labels:
            own.append(texts[gold.column_index])
            other.append("\n".join(texts[: gold.column_index] + texts[gold.column_index + 1 :]))
    return own, other


def _tfidf(train: list[str], dev: list[str], *, longest: int, weight: float) -> tuple[csr_matrix, csr_matrix]:
    settings: dict[str, Any] = {"analyzer": "char", "lowercase": True, "min_df": 2, "sublinear_tf": True}
    vectors = TfidfVectorizer(ngram_range=(1, longest), dtype=np.float32, **settings)
    return weight * vectors.fit_transform(train), weight * vectors.transform(dev)


def _measure(bench: Bench) -> None:
    """the classical baseline on the dev split by host, and on the published validation part"""
    folder = labelled_folder(bench)
    split = sotab82_split(folder)
    tables = load_labelled(folder, "sotabv2_cta")
    published = [[t for t in tables if t.split == part] for part in ("train", "val")]
    arms = [("dev by host", split.train, split.dev), ("published val", *published)]
    for name, train, dev in arms[: 1 if bench.options.quick else None]:
        gold, micros = gold_labels(dev), []
        for context in (False, True):
            micro, macro = f1(gold, svm_predict(train, dev, context=context, seed=bench.options.seed))
            counts = {"train_columns": len(gold_labels(train)), "dev_columns": len(gold)}
            arm = "SVM + other columns" if context else "SVM"
            bench.row(split=name, arm=arm, micro_f1=micro, macro_f1=macro, **counts)
            micros.append(micro)
        bench.check(f"{name}: micro F1 gained by the other columns", micros[1] - micros[0], at_least=0.02)


if __name__ == "__main__":
    sys.exit(main("svm", _measure))
