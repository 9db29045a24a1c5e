"""The swarm for tables without DSPy around it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aegir_dspy import Swarm, Table
from aegir_dspy.orchestrator.table_swarm import SwarmConfig, TableSwarm
from aegir_dspy.result import result_document


@pytest.mark.parametrize("module", ["aegir_dspy.orchestrator.table_swarm", "aegir_dspy.cli.main"])
def test_tables_are_annotated_without_what_is_slow_to_import(module: str) -> None:
    slow = ("dspy", "litellm", "langgraph", "scipy", "babel", "pycountry", "sklearn", "rdflib", "duckdb")
    code = f"import sys, {module}; print([name for name in {slow} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_swarm_of_dspy_says_the_same(bundle_path: Path, tables: list[Table]) -> None:
    config, heard = SwarmConfig(checkpoint=str(bundle_path), context=2), []
    alone = TableSwarm(config)
    said = result_document(alone(tables[:3], on_table=lambda table: heard.append(table.name)))
    shown = result_document(Swarm(config=config)(tables=tables[:3]))
    for document in (said, shown):
        del document["usage"]["seconds"]
    assert said == shown
    assert sorted(heard) == sorted(table.name for table in tables[:3])
    assert said["identity"] == alone.identity(tables[:3])


def test_it_takes_one_table_or_a_path(bundle_path: Path, tmp_path: Path, tables: list[Table]) -> None:
    swarm = TableSwarm(SwarmConfig(checkpoint=str(bundle_path)))
    (tmp_path / "orders.csv").write_text("id,price\n1,2.50\n2,3.75\n")
    assert [one.name for one in swarm(tables[0]).annotations] == [tables[0].name]
    assert [one.name for one in swarm(tmp_path).annotations] == ["orders"]
