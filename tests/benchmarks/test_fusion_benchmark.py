"""`benchmarks/fusion.py` on made-up tables and random weights: the ways of reading, and the whole run."""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aegir_dspy import Table
from aegir_dspy.annotator.bundle import Bundle, BundleConfig, load_bundle, save_bundle
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.latent.state_fusion import RWKVStateFusion
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.tables.serialize import SerializeConfig, serialize_values
from aegir_dspy.tables.table import Column
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.fusion import FusionTrainingConfig
from aegir_dspy.training.generated import RELATIONAL
from aegir_dspy.training.split import Split

pytestmark = pytest.mark.usefixtures("import_benchmark")
LABELS = tuple(
    dict.fromkeys((*load_vocabulary("sotab82").names, "sports.team", "location.city", *RELATIONAL))
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An annotator whose every weight is random and matters."""
    model, head = RWKV7(Geometry(2, 32, 16, 256, 64, 8, 8, 8, 8)), ColumnHead(32, len(LABELS))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *head.named_parameters()]:
            scale = tensor.shape[-1] ** -0.5 if tensor.dim() == 2 else 0.3
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale + ("ln" in name))
    path = tmp_path_factory.mktemp("weights") / "columns.safetensors"
    save_bundle(path, model, head, BundleConfig(LABELS))
    return path


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Bundle:
    return load_bundle(checkpoint, dtype=torch.float32)


def labelled(
    number: int, width: int, host: str, labels: tuple[str, ...], comment: str | None
) -> LabelledTable:
    cells = [[f"c{number} {column} {row}" for row in range(3)] for column in range(width)]
    columns = tuple(Column(i, None, tuple(values)) for i, values in enumerate(cells))
    gold = tuple(LabelledColumn(i, name, tuple(name.split("|"))) for i, name in enumerate(labels[:width]))
    return LabelledTable(
        Table(f"{host}-{number}", "memory", columns, comment=comment), gold, "", "train", host
    )


def split(labels: tuple[str, ...], comment: str | None = None) -> Split:
    train = [labelled(n, 3, f"train{n}", labels, comment) for n in range(8)]
    widths = (1, 2, 3, 12, 4, 5, 3, 2, 3, 12)
    return Split(train, [labelled(n, w, f"dev{n}", labels, comment) for n, w in enumerate(widths)])


SPLITS = {
    "split_sotab": split(("email", "price", "Date")),
    "split_wikitables": split(("sports.team|location.city", "location.city"), "a page"),
}


@pytest.fixture
def cases_module(monkeypatch: pytest.MonkeyPatch, import_benchmark: Callable[[str], Any]) -> Any:
    module = import_benchmark("_cases")
    for name, parts in SPLITS.items():
        monkeypatch.setattr(module, name, lambda folder, parts=parts: parts)
    monkeypatch.setattr(module, "load_labelled", lambda folder, source: SPLITS["split_sotab"].dev)
    return module


def test_cases_are_columns_with_something_beside_them(cases_module: Any, bundle: Bundle) -> None:
    cases = cases_module.sotab82(bundle, Path(), 0)
    assert len(cases) == 3 * 7 + 2 * 2  # not the table of one column
    for target, context, others, wrong in zip(
        cases.targets, cases.context, cases.others, cases.wrong, strict=True
    ):
        number = cases.pieces[target].split()[0]
        beside = [cases.pieces[i] for i in (*context, *others)]
        assert target not in context and len(set(beside)) == len(beside)
        assert {piece.split()[0] for piece in beside} == {number} and 1 <= len(context) <= 8
        assert number not in {cases.pieces[i].split()[0] for i in wrong} and len(wrong) <= len(context)
    captioned = cases_module.wikitables(bundle, Path(), 0)
    assert captioned.labels == ("location.city", "sports.team")
    assert all(captioned.pieces[c[-1]] == b"table\x1fa page\x1d" for c in captioned.context)
    assert captioned.right(["location.city"] * len(captioned)).all()
    assert captioned.right(["sports.team"] * len(captioned)).mean() < 1


def test_a_number_of_agents_is_met_exactly(cases_module: Any, bundle: Bundle) -> None:
    cases = cases_module.relational(bundle, 6, 0)
    for agents in (1, 3, 16):
        some = cases.at(agents, 5, random.Random(0))
        assert len(some) == 5 and all(len(set(c)) == agents for c in some.context)
        for target, context in zip(some.targets, some.context, strict=True):
            own = cases.context[cases.targets.index(target)]
            assert target not in context
            assert set(context) <= set(own) if agents <= len(own) else set(own) <= set(context)
    wide = cases_module.sotab82(bundle, Path(), 0).at(9, 100, random.Random(0))
    assert {len(c) for c in wide.context} == {9} and len(wide) == 6
    assert (cases.name, cases.labels) == ("relational", RELATIONAL)
    assert cases.pieces != cases_module.relational(bundle, 6, 1).pieces


def test_one_agent_and_the_wrong_way_round(cases_module: Any, bundle: Bundle) -> None:
    """From one agent's state the target is read as after it; a turned piece is what is read backward."""
    fusion, module = importlib.import_module("fusion"), importlib.import_module("_reader")
    cases = cases_module.sotab82(bundle, Path(), 0).at(1, 5, random.Random(0))
    reader = module.Reader(bundle, cases.labels)
    first = reader.specialist.read(cases.pieces, maps="full")
    pieces = [cases.pieces[i] for i in cases.targets]
    after = reader.last([[cases.pieces[c[0]], p] for c, p in zip(cases.context, pieces, strict=True)])
    for mode in ("sqrt", "compose"):
        fused = reader.from_context(pieces, cases.context, first, RWKVStateFusion(mode).eval())
        torch.testing.assert_close(fused, after, rtol=1e-3, atol=1e-4)
    values, backward = ["añb", "cd"], SerializeConfig(direction="backward")
    turned = fusion._turned(serialize_values("head", values, SerializeConfig()))
    assert turned == serialize_values("head", values, backward)


def test_gaps_are_paired_and_intervals_hold_them(cases_module: Any, bundle: Bundle) -> None:
    fusion = importlib.import_module("fusion")
    cases = cases_module.sotab82(bundle, Path(), 0)
    rng = np.random.default_rng(0)
    right = (rng.random((3, len(cases))) < 0.5).astype(float)
    found = {(0, "a"): right, (0, "b"): right[:1], (0, "c"): np.ones((1, len(cases)))}
    assert fusion._gap([(cases, {**found, (0, "a"): right[:1]})], "a", "b", 0, 0) == (0, 0, 0)
    gap, low, high = fusion._gap([(cases, found)], "c", "a", 0, 0)
    assert gap == pytest.approx(1 - right.mean()) and low < gap < high


def test_the_whole_run(
    cases_module: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusion, harness = importlib.import_module("fusion"), importlib.import_module("_harness")
    (tmp_path / "train_dev").mkdir()
    training = FusionTrainingConfig(steps=2, columns=4, targets=8)
    monkeypatch.setattr(fusion, "QUICK", fusion.Size(2, 25, 8, 8, (1, 16), training))
    out = tmp_path / "fusion.json"
    argv = ["--quick", "--data", str(tmp_path), "--checkpoint", str(checkpoint), "--json", str(out)]
    harness.main("fusion", fusion.measure, fusion._options, [*argv, "--reader", str(checkpoint)])
    written = json.loads(out.read_text(encoding="utf-8"))
    rows = {(row["set"], row["arm"]): row for row in written["rows"]}
    assert {name for name, _ in rows} == {"sotab82", "wikitables_turl", "t2dv2", "relational", "time"}
    arms = {arm for name, arm in rows if name == "sotab82"}
    assert arms >= {
        fusion.SINGLE,
        fusion.SEQUENTIAL,
        fusion.TEXT,
        fusion.DEFAULT,
        *fusion.FREE,
        *fusion.TRAINED,
    }
    slots = rows["relational", "gated, 8 slots"]
    assert slots["N16"] == "cannot" and 0 <= slots["all"] <= 1
    single, default = rows["relational", fusion.SINGLE], rows["relational", fusion.DEFAULT]
    assert single["handed"] == 0 < default["handed"] and single["path"] < default["path"]
    assert default["path"] < rows["relational", fusion.SEQUENTIAL]["path"]
    same = f"aligned {checkpoint.parent.name}/columns"  # the primary itself, its states fitted to its own
    assert abs(rows["sotab82", same]["all"] - rows["sotab82", fusion.DEFAULT]["all"]) < 0.2
    assert ("t2dv2", "text passing") not in rows and ("t2dv2", fusion.DEFAULT) in rows
    times = [row for (name, _), row in rows.items() if name == "time"]
    assert times and all(row["cold_ms"] >= row["reuse_ms"] >= 0 for row in times)
    names = {check["name"] for check in written["checks"]}
    assert {f"relational, {fusion.DEFAULT}", f"{fusion.DEFAULT} - {fusion.SINGLE}"} <= names
