import random

import numpy as np

from aegir_dspy.training.generated import generate_column
from aegir_dspy.training.shapes import fit_shapes
from aegir_dspy.verifier.column_profile import FEATURES, profile
from aegir_dspy.verifier.shapes import FINE, SCALE, load_shapes, log_ratios
from aegir_dspy.verifier.validators import VALIDATORS

LABELS = ("email", "UUID", "Date", "LogLevel")


def columns(seed: int, count: int) -> list[tuple[str, tuple[str, ...]]]:
    rng = random.Random(seed)
    return [(label, tuple(generate_column(label, rng, 6)[1])) for label in LABELS for _ in range(count)]


def test_a_fit_tells_its_labels_apart_and_repeats() -> None:
    content = fit_shapes(columns(0, 12), [])
    assert content == fit_shapes(columns(0, 12), [])
    assert list(content["labels"]) == sorted(LABELS) and set(content["background"]) == set(VALIDATORS)
    weights = np.array([form for (form,) in content["labels"].values()], dtype=np.int64)
    right = 0
    for label, cells in columns(1, 10):
        column = profile(cells)
        shape = dict(zip(FEATURES, column.shape, strict=True))
        values = [shape[f] if f in shape else column.share(f) for f in content["features"]]
        scores = weights @ np.array([1, *(round(v * SCALE) for v in values)], dtype=np.int64)
        right += sorted(LABELS)[int(scores.argmax())] == label
        assert abs(int(scores.max())) < 10_000 * SCALE * FINE
    assert right >= 36


def test_a_label_with_both_sorts_of_columns_has_two_forms() -> None:
    content = fit_shapes(columns(0, 6), [pair for pair in columns(1, 6) if pair[0] == "Date"])
    assert {label: len(forms) for label, forms in content["labels"].items()} == {
        "Date": 2, "LogLevel": 1, "UUID": 1, "email": 1
    }  # fmt: skip


def test_the_shipped_profiles_know_most_generated_columns() -> None:
    labels = load_shapes().labels
    ranks = []
    for label, cells in columns(2, 10):
        ratios = log_ratios(cells)
        ranks.append(sum(r > ratios[labels.index(label)] for r in ratios))
    assert sum(rank <= 2 for rank in ranks) >= 0.9 * len(ranks)
    assert (
        len(labels) > 140 and sum(count > 1 for count in map(load_shapes().of.count, range(len(labels)))) > 20
    )
