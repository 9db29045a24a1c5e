from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rdflib import Graph

ORDERS = "order_id,customer,email,city\n" + "".join(
    f"{1000 + i},{name},{name.split()[0].lower()}@example.org,{city}\n"
    for i, (name, city) in enumerate(
        [
            ("Ann Lee", "Hamburg"),
            ("Bo Kim", "Lyon"),
            ("Cy Roe", "Izmir"),
            ("Di Fox", "Oslo"),
            ("Ed Ray", "Graz"),
        ]
    )
)


@pytest.fixture
def orders(folder: Path) -> Path:
    path = folder / "orders.csv"
    path.write_text(ORDERS, encoding="utf-8")
    return path


@pytest.fixture
def composition(aegir: Callable, weights: Path, orders: Path) -> Path:
    out = orders.with_name("orders.json")
    assert aegir("annotate", orders, "--no-store", "--format", "composition", "--out", out).code == 0
    return out


def test_what_annotate_writes_passes_the_gates(aegir: Callable, composition: Path, orders: Path) -> None:
    done = aegir("verify", composition, "--tables", orders)
    assert done.code == 0
    assert done.out.startswith("R = 0.") and "All 10 gates passed" in done.out
    told = json.loads(aegir("verify", composition, "--tables", orders, "--format", "json").out)
    assert set(told) == {"R", "gates", "components", "diagnostics", "verifier", "inputs", "identity"}
    assert told["identity"] in done.out and 0 < told["R"] < 1


def test_a_closed_gate_is_exit_code_1(aegir: Callable, composition: Path, orders: Path) -> None:
    content = json.loads(composition.read_text())
    del content["tables"][0]["columns"][-1]
    composition.write_text(json.dumps(content))
    done = aegir("verify", composition, "--tables", orders)
    assert done.code == 1
    assert "R = 0.000" in done.out and "coverage:REFUSED" in done.out and "orders[3]" in done.out
    composition.write_bytes(b"\xff{not json")
    done = aegir("verify", composition, "--tables", orders, "--format", "json")
    assert done.code == 1
    assert {g["name"]: g["ok"] for g in json.loads(done.out)["gates"]}["parse"] is False


def test_what_cannot_be_read_is_named(aegir: Callable, composition: Path, orders: Path) -> None:
    done = aegir("verify", composition, "--tables", orders, "--tables", "no.csv")
    assert done.code in (1, 2) and "no.csv" in done.err
    done = aegir("verify", "nothing.json", "--tables", orders)
    assert (done.code, done.out) == (2, "") and "nothing.json" in done.err
    done = aegir("verify", composition, "--tables", orders, "--ontology", "no-such")
    assert done.code == 2 and "no-such" in done.err
    broken = orders.with_name("broken.ttl")
    broken.write_text("@prefix : <http://x#> .\n:A a owl:Class ;;; .\n")
    out = orders.with_name("score.json")
    done = aegir("verify", composition, "--tables", orders, "--ontology", broken, "--out", out)
    assert done.code == 2 and "broken.ttl:2" in done.err
    assert not out.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")
@pytest.mark.parametrize(
    ("format", "parser"), [("turtle", "turtle"), ("jsonld", "json-ld"), ("shacl", "turtle")]
)
def test_rdf_is_read_by_rdflib(
    aegir: Callable, weights: Path, orders: Path, format: str, parser: str
) -> None:
    out = orders.with_name("out.rdf")
    assert aegir("annotate", orders, "--no-store", "--format", format, "--out", out).code == 0
    assert len(Graph().parse(out, format=parser)) > 10


def test_manchester_names_the_rows(aegir: Callable, weights: Path, orders: Path) -> None:
    done = aegir("annotate", orders, "--no-store", "--format", "manchester")
    assert done.code == 0 and "Ontology:" in done.out and "Class: :Orders" in done.out
