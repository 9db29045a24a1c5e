"""Shape statistics of labels: how columns of each type look, as ``assets/shapes.json`` for the verifier.

    python -m aegir_dspy.training.shapes DATASET_DIR [OUT]

Linear discriminant analysis (Fisher 1936; Hastie, Tibshirani and Friedman, "The Elements of Statistical
Learning", 4.3): every label is a Gaussian over `FEATURES` and validator shares, its mean drawn towards the
mean of all by `PRIOR` columns, with one covariance for all labels, drawn towards its diagonal by `SHRINK`
and with `FLOOR` of the variance added. What is kept of it are the label's linear weights, as integers, so
that the verifier's sums are exact on every machine. No cell of the data is in the file.

Columns are those of the training sites of SOTAB, never dev, and generated ones, which count
`GENERATED_WEIGHT` each in what labels have in common. A label that has both has two forms, a Gaussian each:
ratings are ``PG-13`` on web pages and ``4.5`` in files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegir_dspy.errors import AegirError, InputError
from aegir_dspy.training.generated import GENERATED, generate_column
from aegir_dspy.training.split import sotab32_split, sotab82_split
from aegir_dspy.verifier.column_profile import FEATURES, profile
from aegir_dspy.verifier.shapes import FINE, SCALE
from aegir_dspy.verifier.validators import VALIDATORS

__all__ = ["fit_shapes", "labelled_columns"]

PRIOR, SHRINK, FLOOR = 5.0, 0.2, 0.1
GENERATED_WEIGHT = 0.2
TEMPERATURE = 3.0  # features repeat each other: posteriors of LDA are too sure of themselves by this much
COLUMNS = 60  # generated for a label
# A validator is a feature where some label passes it that much more often than columns do on average.
MIN_SPREAD = 0.3

Array = NDArray[np.float64]
Cells = tuple[str, ...]


def labelled_columns(folder: Path) -> tuple[list[tuple[str, Cells]], list[tuple[str, Cells]]]:
    """Labels and cells of the training columns of web tables, and of generated columns."""
    return list(_real(folder)), [pair for label in GENERATED for pair in _generated(label)]


def _real(folder: Path) -> Iterator[tuple[str, Cells]]:
    tables = sotab82_split(folder).train
    known = {gold.label for table in tables for gold in table.labels}
    for number, part in enumerate((tables, sotab32_split(folder).train)):
        for table in part:
            for gold in table.labels:
                if number == 0 or gold.label not in known:
                    yield gold.label, table.table.columns[gold.column_index].values


def _generated(label: str) -> Iterator[tuple[str, Cells]]:
    rng = Random(f"shape:{label}")
    for _ in range(COLUMNS):
        yield label, tuple(generate_column(label, rng, rng.choice((5, 5, 8, 12, 24)))[1])


def fit_shapes(real: Sequence[tuple[str, Cells]], generated: Sequence[tuple[str, Cells]]) -> dict[str, Any]:
    """The content of ``shapes.json`` from labelled columns; those without a value are left out."""
    given = [((label, i), cells) for i, part in enumerate((real, generated)) for label, cells in part]
    pairs = [(form, cells) for form, cells in given if profile(cells).sample]
    weights = np.array([GENERATED_WEIGHT if made else 1.0 for (_, made), _ in pairs])
    forms = sorted({form for form, _ in pairs})
    of = np.array([forms.index(form) for form, _ in pairs])
    rows = np.array([(*profile(c).shape, *(profile(c).share(v) for v in VALIDATORS)) for _, c in pairs])
    means = np.array([rows[of == i].mean(axis=0) for i in range(len(forms))])
    background = np.average(rows, axis=0, weights=weights)
    kept = _kept(rows, means - background)
    linear, bias = _discriminants(rows[:, kept], of, weights, len(forms))
    names = (*FEATURES, *VALIDATORS)
    rates = dict(zip(VALIDATORS, background[len(FEATURES) :], strict=True))
    return {
        "features": [names[i] for i in kept],
        "background": {name: round(float(rate), 4) for name, rate in rates.items()},
        "labels": {
            label: [
                [_whole(bias[i], SCALE * FINE), *(_whole(w, FINE) for w in linear[i])]
                for i, (name, _) in enumerate(forms)
                if name == label
            ]
            for label in sorted({name for name, _ in forms})
        },
    }


def _kept(rows: Array, above: Array) -> list[int]:
    shapes = [i for i in range(len(FEATURES)) if rows[:, i].std() > 0.01]
    shares = range(len(FEATURES), rows.shape[1])
    return shapes + [i for i in shares if above[:, i].max() > MIN_SPREAD]


def _discriminants(rows: Array, of: NDArray[np.int_], weights: Array, count: int) -> tuple[Array, Array]:
    """Weights (labels, features) and bias (labels,) on the features as they are, temperature included."""
    mean = np.average(rows, axis=0, weights=weights)
    scale = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights)) + 1e-3
    z = (rows - mean) / scale
    centres = np.array([z[of == i].sum(axis=0) / ((of == i).sum() + PRIOR) for i in range(count)])
    rest = z - centres[of]
    covariance = (rest * weights[:, None]).T @ rest / weights.sum()
    diagonal = np.diag(np.diag(covariance))
    covariance = (1 - SHRINK) * covariance + SHRINK * diagonal + FLOOR * np.eye(len(covariance))
    linear = np.linalg.solve(covariance, centres.T).T  # (labels, features), on z
    bias = -0.5 * (linear * centres).sum(axis=1)
    return linear / scale / TEMPERATURE, (bias - (linear / scale) @ mean) / TEMPERATURE


def _whole(value: float, scale: int) -> int:
    return round(float(value) * scale)


def _main(arguments: Sequence[str]) -> int:
    try:
        if len(arguments) not in (1, 2):
            raise InputError(
                f"expected a folder of labelled data and a file to write; found {len(arguments)} arguments"
            )
        content = fit_shapes(*labelled_columns(Path(arguments[0])))
    except AegirError as error:
        print(error, file=sys.stderr)
        return 2
    default = Path(__file__).parents[1] / "assets" / "shapes.json"
    path = Path(arguments[1]) if len(arguments) > 1 else default
    lines = [
        f"  {json.dumps(label)}: {json.dumps(row, separators=(',', ':'))}"
        for label, row in content["labels"].items()
    ]
    head = {key: value for key, value in content.items() if key != "labels"}
    text = json.dumps(head, indent=1)[:-2] + ',\n "labels": {\n' + ",\n".join(lines) + "\n }\n}\n"
    path.write_text(text, encoding="utf-8")
    print(f"{path}: {len(content['labels'])} labels, {len(content['features'])} features, {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
