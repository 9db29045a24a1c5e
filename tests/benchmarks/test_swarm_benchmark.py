from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from aegir_dspy.annotator.bundle import Bundle, MemberConfig, load_bundle, save_bundle
from aegir_dspy.annotator.decision import DecisionConfig, Decisions
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.split import Split

SOTAB82 = ("email", "price")
SOTAB32 = load_vocabulary("sotab32").names[:2]
WIKITABLES = ("people.person", "sports.sports_team")


@pytest.fixture(scope="module")
def module(import_benchmark: Callable[[str], Any]) -> Any:
    return import_benchmark("swarm")


@pytest.fixture(scope="module")
def swarm(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A random primary that asks one of its two members, and knows the labels of the three sets."""
    folder = tmp_path_factory.mktemp("swarm")
    members = []
    for seed, name in enumerate(("backward", "places"), start=1):
        own = wider(load_bundle(make_bundle(folder / "own.safetensors", seed=seed), dtype=torch.float32))
        sha256 = save_bundle(folder / f"{name}.safetensors", own.model, own.head, own.config)
        members.append(MemberConfig(name, "for a test", f"{name}.safetensors", sha256))
    primary = wider(load_bundle(make_bundle(folder / "first.safetensors"), dtype=torch.float32))
    full = DecisionConfig({"primary": 1.0, "backward": 0.7})
    config = replace(
        primary.config, members=tuple(members), decisions={"": Decisions(DecisionConfig(), full)}
    )
    save_bundle(folder / "swarm.safetensors", primary.model, primary.head, config)
    return load_bundle(folder / "swarm.safetensors")


def wider(bundle: Bundle) -> Bundle:
    """With the labels of the Wikipedia tables in the place of two others."""
    kept = [label for label in bundle.config.labels if label not in (*SOTAB82, *SOTAB32)]
    renamed = dict(zip(kept[-2:], WIKITABLES, strict=True))
    labels = tuple(renamed.get(label, label) for label in bundle.config.labels)
    return replace(bundle, config=replace(bundle.config, labels=labels))


def tables(labels: tuple[str, ...], host: str, count: int = 6) -> list[LabelledTable]:
    """The first label's columns hold mail addresses, the other's numbers."""
    found = []
    for n in range(count):
        cells = ([f"a{n}{row}@example.org" for row in range(3)], [str(10 * n + row) for row in range(3)])
        columns = tuple(Column(i, f"field {i}", tuple(values)) for i, values in enumerate(cells))
        gold = tuple(LabelledColumn(i, name, (name,)) for i, name in enumerate(labels))
        table = Table(f"{n}-1", "memory", columns, comment="Addresses and numbers")
        found.append(LabelledTable(table, gold, "s", "train", f"{host}{n}.example"))
    return found


def run(module: Any, tmp_path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    (tmp_path / "train_dev").mkdir(exist_ok=True)
    out, harness = tmp_path / "swarm.json", importlib.import_module("_harness")
    argv = ["--data", str(tmp_path), "--json", str(out), *more]
    code = harness.main("swarm", module.measure, module._options, argv)
    return code, json.loads(out.read_text(encoding="utf-8"))


@pytest.fixture
def small(module: Any, swarm: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three sets with six tables a part, and the tiny swarm."""
    splits = {
        name: Split(tables(labels, "train"), tables(labels, "dev"))
        for name, labels in (("sotab82", SOTAB82), ("sotab32", SOTAB32), ("wikitables", WIKITABLES))
    }
    for name, split in splits.items():
        monkeypatch.setattr(module, f"{name}_split", lambda folder, split=split: split)
    monkeypatch.setattr(module, "load_label_set", lambda folder, source: list(WIKITABLES))
    monkeypatch.setattr(module, "default_bundle", lambda: swarm)


@pytest.mark.usefixtures("small")
def test_every_arm_is_reported(module: Any, tmp_path: Path) -> None:
    code, written = run(module, tmp_path, "--quick")
    assert code == 1  # random weights miss the goals
    rows = {(row["set"], row["arm"]): row for row in written["rows"]}
    arms = {arm for name, arm in rows if name == "sotab82"}
    assert arms == {
        *(module.SVM, module.BEST_SVM, module.ALONE, module.SWARM),
        *("primary from its context", "primary + n-grams", "primary + n-grams + agreement"),
        *("swarm without primary", "swarm without backward", "swarm with places"),
        "swarm without agreement",
    }
    assert {arm for name, arm in rows if name == "sotab32"} >= {module.BEST_SVM, module.ALONE, module.SWARM}
    assert rows["sotab82", module.SVM]["micro_f1"] == 1.0
    assert rows["wikitables_turl", "SVM + header and title"]["macro_f1"] == 1.0
    assert all(row["columns"] == 12 and row["seeds"] == 1 for row in rows.values())
    assert all(row["micro_sd"] is None and 0 <= row["micro_f1"] <= 1 for row in rows.values())
    checks = {check["name"]: check for check in written["checks"]}
    assert not checks["gain over the SVM with context"]["ok"]
    ours, alone = (rows["sotab82", arm]["micro_f1"] for arm in (module.SWARM, module.ALONE))
    assert checks["gain over the primary alone"]["value"] == pytest.approx(ours - alone)


@pytest.mark.usefixtures("small")
def test_other_primaries_take_its_place(module: Any, swarm: Bundle, tmp_path: Path) -> None:
    other = wider(load_bundle(swarm.path.with_name("backward.safetensors"), dtype=torch.float32))
    order = tuple(reversed(other.config.labels))
    head = other.head
    with torch.no_grad():
        head.classify.weight.copy_(head.classify.weight.flip(0))
        head.classify.bias.copy_(head.classify.bias.flip(0))
    save_bundle(tmp_path / "other.safetensors", other.model, head, replace(other.config, labels=order))
    taken = module._with_primary(tmp_path / "other.safetensors")
    assert taken.config == swarm.config
    row = order.index("email")
    kept = taken.config.labels.index("email")
    torch.testing.assert_close(taken.head.classify.weight[kept], head.classify.weight[row].bfloat16().float())
    _, written = run(module, tmp_path, "--primary", str(tmp_path / "other.safetensors"))
    seeds = {
        row["arm"]: (row["seeds"], row["micro_sd"]) for row in written["rows"] if row["set"] == "sotab82"
    }
    assert seeds[module.SWARM][0] == seeds[module.ALONE][0] == 2
    assert seeds[module.SWARM][1] is not None
    assert seeds["swarm without backward"] == (1, None)  # the members are left out of the shipped one only
