from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aegir_dspy import Swarm, Table
from aegir_dspy.annotator.bundle import BundleConfig, load_bundle, save_bundle
from aegir_dspy.annotator.evaluation import Prediction, score_predictions
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import InputError
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.tables.table import Column
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.split import Split

pytestmark = pytest.mark.usefixtures("import_benchmark")
LABELS = load_vocabulary("sotab82").names


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An annotator whose every weight is random and matters."""
    geometry = Geometry(2, 64, 32, 256, 128, 8, 8, 8, 8, ngram_buckets=64, ngram_width=8)
    generator = torch.Generator().manual_seed(0)
    model, head = RWKV7(geometry), ColumnHead(64, len(LABELS))
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *head.named_parameters()]:
            scale = tensor.shape[-1] ** -0.5 if tensor.dim() == 2 else 0.3
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale + ("ln" in name))
    path = tmp_path_factory.mktemp("weights") / "columns.safetensors"
    save_bundle(path, model, head, BundleConfig(LABELS))
    return path


def labelled(number: int, width: int, host: str) -> LabelledTable:
    """Column 0 holds mail addresses, the others numbers; an empty column at the end of wide tables."""
    cells = [[f"a{number}{row}@example.org" for row in range(3)]]
    cells += [[str(100 * number + 10 * column + row) for row in range(3)] for column in range(1, width)]
    if width > 3:
        cells[-1] = ["", "", ""]
    columns = tuple(Column(i, None, tuple(values)) for i, values in enumerate(cells))
    names = ("email", "price")[: min(2, width)]
    gold = tuple(LabelledColumn(i, name, (name,)) for i, name in enumerate(names))
    return LabelledTable(Table(f"t{number}", "memory", columns), gold, "sotabv2_cta", "train", host)


DEV = [labelled(n, width, f"dev{n % 4}.example") for n, width in enumerate((1, 2, 3, 5, 12, 2))]
TRAIN = [labelled(n, 3, f"train{n}.example") for n in range(10, 30)]


@pytest.fixture(scope="module")
def parts(checkpoint: Path, import_benchmark: Callable[[str], Any]) -> tuple[Any, Any]:
    """A reader of the checkpoint, and the columns of the dev tables."""
    module, bundle = import_benchmark("_reader"), load_bundle(checkpoint, dtype=torch.float32)
    columns = module.Columns([t.table for t in DEV], [t.host for t in DEV], bundle, 0)
    return module.Reader(bundle, LABELS), columns


def annotator_of(reader: Any, checkpoint: Path) -> ColumnTypeAnnotator:
    bundle = load_bundle(checkpoint, dtype=torch.float32)
    return ColumnTypeAnnotator(bundle, load_vocabulary("sotab82"), AnnotatorConfig())


def test_the_readers_fusion_is_the_annotators(parts: tuple[Any, Any], checkpoint: Path) -> None:
    reader, columns = parts
    scores = annotator_of(reader, checkpoint).scores([t.table for t in DEV])
    ours = reader.fused(columns, columns.right, "sqrt")
    # the annotator gives no answer about empty columns, so it reads them once only
    asked = scores.readable
    assert (~asked).nonzero().flatten().tolist() == [10, 22]
    torch.testing.assert_close(ours.double()[asked], scores.logits.exp()[asked], rtol=1e-3, atol=1e-5)
    blocks = [columns.right[s.start : s.stop, s.start : s.stop] for s in columns.spans]
    assert all((a == b).all() for a, b in zip(blocks, scores.members, strict=True))
    for mode in ("sum", "mean"):
        assert not torch.allclose(reader.fused(columns, columns.right, mode), ours, atol=1e-4)


def test_reading_piece_by_piece_is_reading_the_concatenation(parts: tuple[Any, Any]) -> None:
    reader, columns = parts
    span = columns.spans[4]
    tokens = torch.tensor([list(b"".join(columns.pieces[i] for i in span))])
    with torch.inference_mode():
        hidden, _ = reader.specialist.model(tokens)
    first = 0
    for i in span:
        last = first + len(columns.pieces[i])
        features = torch.cat([hidden[:, first:last].mean(1), hidden[:, last - 1]], 1)
        expected = reader.head(features).softmax(1)[0]
        torch.testing.assert_close(reader.in_order(columns)[i], expected, rtol=1e-3, atol=1e-5)
        first = last


def test_the_long_path_ends_with_the_target(parts: tuple[Any, Any]) -> None:
    reader, columns = parts
    two = columns.spans[1]  # in a table of two columns, file order already puts the second one last
    last = reader.after_columns(columns, [two[1], two[0]])
    torch.testing.assert_close(last[0], reader.in_order(columns)[two[1]])
    assert not torch.allclose(last[1], reader.in_order(columns)[two[0]], atol=1e-4)
    texts = [reader.after_texts(columns, [two[1]], [name] * len(columns.pieces)) for name in ("email", "URL")]
    assert not torch.allclose(texts[0], texts[1], atol=1e-5)


def test_a_column_without_context_is_read_alone_by_all(parts: tuple[Any, Any]) -> None:
    reader, columns = parts
    alone = reader.alone(columns)[0]
    for other in (
        reader.in_order(columns)[0],
        reader.after_columns(columns, [0])[0],
        reader.fused(columns, columns.right, "sqrt")[0],
        reader.fused(columns, columns.wrong, "sqrt")[0],
    ):
        torch.testing.assert_close(other, alone)


def test_wrong_context_is_of_another_host_and_as_much(parts: tuple[Any, Any]) -> None:
    _, columns = parts
    host = np.concatenate([[t.host] * len(t.table.columns) for t in DEV])
    assert not (columns.wrong & (host[:, None] == host[None, :])).any()
    wanted, given = columns.right.sum(1), columns.wrong.sum(1)
    assert (given <= wanted).all()
    assert (given[wanted > 0] > 0).all()
    empty = [len(piece) <= 1 for piece in columns.pieces]
    assert sum(empty) == 2
    assert not columns.wrong[:, empty].any()
    assert columns.others[list(columns.spans[3])].tolist() == [3, 3, 3, 3, 4]


def test_wrong_context_needs_two_hosts(checkpoint: Path) -> None:
    module, bundle = importlib.import_module("_reader"), load_bundle(checkpoint)
    with pytest.raises(InputError, match="two hosts"):
        module.Columns([DEV[1].table] * 2, ["a", "a"], bundle, 0)


def test_resamples_are_of_hosts() -> None:
    cta = importlib.import_module("cta")
    gold, answers = ["a", "a", "b", "b"], ["a", "b", None, "b"]
    predictions = [Prediction("t", 0, answer, 1.0) for answer in answers]
    score = score_predictions(predictions, [(label,) for label in gold])
    one = cta.Resampler(["x"] * 4, gold, seed=0, count=20).scores(answers)
    assert one.shape == (2, 21)
    np.testing.assert_allclose(one, np.array([[score.micro_f1], [score.macro_f1]]).repeat(21, 1))
    two = cta.Resampler(["x", "x", "y", "y"], gold, seed=0, count=200).scores(answers)
    np.testing.assert_allclose(two[:, 0], one[:, 0])
    # Two hosts drawn twice: both times the first, both times the second, or once each.
    np.testing.assert_allclose(np.unique(two[0].round(6)), np.unique([0.5, 4 / 7, 2 / 3]).round(6))


def test_all_arms_are_reported(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cta, harness = importlib.import_module("cta"), importlib.import_module("_harness")
    (tmp_path / "train_dev").mkdir()
    monkeypatch.setattr(cta, "sotab82_split", lambda folder: Split(TRAIN, DEV))
    out = tmp_path / "cta.json"
    argv = ["--data", str(tmp_path), "--checkpoint", str(checkpoint), "--json", str(out)]
    assert harness.main("cta", cta.measure, cta.checkpoint_option, argv) == 1  # random weights miss the goal
    written = json.loads(out.read_text(encoding="utf-8"))
    rows = {row["arm"]: row for row in written["rows"]}
    assert len(rows) == 15
    assert rows.keys() >= {"majority class", "SVM", "text passing", "sequential, target last", "fused sum/√N"}
    assert {cta.DEFAULT, cta.SINGLE} <= rows.keys()
    assert rows["(labelled columns)"] == {
        "arm": "(labelled columns)", "N0": 1, "N1": 4, "N2_3": 4, "N4_7": 0, "N8": 2,
    }  # fmt: skip
    assert rows["SVM"]["micro_f1"] == 1.0
    assert rows[cta.SINGLE]["gain"] == rows[cta.SINGLE]["gain_se"] == 0.0
    arms = [row for name, row in rows.items() if name != "(labelled columns)"]
    assert all(row["columns_s"] > 0 and row["micro_se"] >= 0 and row["N4_7"] is None for row in arms)
    checks = {check["name"]: check for check in written["checks"]}
    assert checks["dev hosts in the training part"]["ok"]
    assert not checks["micro F1 of the default"]["ok"]
    assert "resamples" in capsys.readouterr().out


def test_leakage_fails_the_run(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cta, harness = importlib.import_module("cta"), importlib.import_module("_harness")
    (tmp_path / "train_dev").mkdir()
    monkeypatch.setattr(cta, "sotab82_split", lambda folder: Split([*TRAIN, DEV[0]], DEV))
    out = tmp_path / "cta.json"
    argv = ["--quick", "--data", str(tmp_path), "--checkpoint", str(checkpoint), "--json", str(out)]
    assert harness.main("cta", cta.measure, cta.checkpoint_option, argv) == 1
    checks = {check["name"]: check for check in json.loads(out.read_text(encoding="utf-8"))["checks"]}
    assert checks["dev hosts in the training part"]["value"] == 1
    assert not checks["dev hosts in the training part"]["ok"]


def test_answers_are_of_the_labelled_columns(checkpoint: Path) -> None:
    cta = importlib.import_module("cta")
    swarm = Swarm(vocabulary="sotab82", checkpoint=str(checkpoint), abstain_below=0.0)
    annotations = swarm(tables=[t.table for t in DEV]).annotations
    answers = cta.answers_of(annotations, DEV)
    assert [(a.table, a.column_index) for a in answers] == [
        (t.table.name, g.column_index) for t in DEV for g in t.labels
    ]
    assert answers[3].type == annotations[2].columns[0].type
