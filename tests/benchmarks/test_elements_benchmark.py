from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aegir_dspy.annotator.annotation import ColumnAnnotation, TableAnnotation
from aegir_dspy.errors import InputError
from aegir_dspy.tables.table import Column, ForeignKey, Table

OMOP = """
ALTER TABLE @x.person ADD CONSTRAINT a FOREIGN KEY (gender_concept_id) REFERENCES @x.CONCEPT (CONCEPT_ID);
ALTER TABLE @x.visit ADD CONSTRAINT b FOREIGN KEY (person_id) REFERENCES @x.PERSON (PERSON_ID);
ALTER TABLE @x.visit  ADD CONSTRAINT c FOREIGN KEY (type_concept_id) REFERENCES @x.CONCEPT (CONCEPT_ID);
"""
MIMIC = """
CREATE TABLE d_items (row_id INT, itemid INT, label TEXT);
CREATE TABLE d_labitems (row_id INT, itemid INT);
CREATE TABLE labevents (row_id INT, subject_id INT, itemid INT);
CREATE TABLE chartevents (row_id INT, subject_id INT, itemid INT);
"""


@pytest.fixture(scope="module")
def module(import_benchmark: Callable[[str], Any]) -> Any:
    return import_benchmark("elements")


def clusters(gold: dict[Any, Any]) -> set[frozenset[Any]]:
    return {frozenset(place for place in gold if gold[place] == label) for label in gold.values()}


def test_generated_databases_are_what_the_seed_says(module: Any) -> None:
    one, two, other = (module.database(seed, rows=5) for seed in (3, 3, 4))
    assert one == two != other
    columns = {(t.name, c.index) for t in one.tables for c in t.columns}
    assert columns == set(one.same) == set(one.parts)
    assert len({t.name for t in one.tables}) == len(one.tables)
    shared = [group for group in clusters(one.same) if len({table for table, _ in group}) > 1]
    assert len(shared) >= 4
    assert any(len(group) > 1 for group in clusters(one.parts))
    assert all(len({table for table, _ in group}) == 1 for group in clusters(one.parts))


def test_foreign_keys_make_clusters_and_are_hidden(module: Any, tmp_path: Path) -> None:
    path = tmp_path / "messy/sql/omop_postgresql/OMOPCDM_postgresql_5.4_constraints.sql"
    path.parent.mkdir(parents=True)
    path.write_text(OMOP, encoding="utf-8")
    case = module._omop(tmp_path)
    assert not any(table.foreign_keys for table in case.tables)
    named = {(t.name, c.index): f"{t.name}.{c.name}" for t in case.tables for c in t.columns}
    assert {frozenset(named[place] for place in group) for group in clusters(case.gold)} == {
        frozenset({"person.gender_concept_id", "concept.concept_id", "visit.type_concept_id"}),
        frozenset({"visit.person_id", "person.person_id"}),
    }
    with pytest.raises(InputError, match="--data"):
        module._omop(tmp_path / "else")


def test_mimics_keys_are_told_apart(module: Any, tmp_path: Path) -> None:
    folder = tmp_path / "messy/sql/mimic"
    folder.mkdir(parents=True)
    (folder / "mimic_postgres_create.sql").write_text(MIMIC, encoding="utf-8")
    (case,) = module._mimic(tmp_path)
    assert len(clusters(case.gold)) == 4 + 1 + 2  # every row_id, subject_id, items of charts and of labs
    assert len(case.gold) == 10


def test_every_arm_is_scored(module: Any) -> None:
    def table(name: str, header: str, cells: tuple[str, ...], keys: tuple[ForeignKey, ...] = ()) -> Table:
        return Table(name, "x", (Column(0, header, cells), Column(1, "note", (name,))), foreign_keys=keys)

    cells = tuple(f"K{n}" for n in range(20))
    key = ForeignKey(("customer_id",), "customers", ("id",))
    case = module._by_keys([table("customers", "id", cells), table("orders", "customer_id", cells, (key,))])
    assert clusters(case.gold) == {frozenset({("customers", 0), ("orders", 0)})}
    types = [
        TableAnnotation(t.name, "x", tuple(ColumnAnnotation(i, "", "UUID", None, 1, False) for i in (0, 1)))
        for t in case.tables
    ]
    harness = importlib.import_module("_harness")
    bench = harness.Bench("elements", argparse.Namespace(quick=True, seed=0))
    found = module._same(bench, "made", [case], [types])
    assert {arm: round(score.f1, 3) for arm, score in found.items()} == {
        module.ALONE: 0.667,
        module.HEADER: 0.667,
        module.TYPE: 1.0,
        module.CELLS: 1.0,
        module.UNTYPED: 1.0,
        module.OURS: 1.0,
    }
    assert len(bench.rows) == 6
    module._parts(bench, [(case.tables, {("customers", 0): 1, ("customers", 1): 2})], [types])
    assert bench.rows[-1]["f1"] == 1.0
    assert [check["ok"] for check in bench.checks] == [False]  # there was nothing to gain


def test_speed_is_measured_on_400_tables(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = module.database(1, rows=3)
    monkeypatch.setattr(module, "database", lambda seed, rows: made)
    harness = importlib.import_module("_harness")
    bench = harness.Bench("elements", argparse.Namespace(quick=True, seed=0))
    module._speed(bench)
    (row,) = bench.rows
    assert row["columns"] == 6000
    assert row["gold"] > 1
    assert row["seconds"] > 0
