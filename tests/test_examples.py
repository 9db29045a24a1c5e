"""Examples that run with the shipped weights, here with a tiny annotator instead of them."""

from __future__ import annotations

import functools
import runpy
from pathlib import Path

import pytest
import torch

import aegir_dspy
from aegir_dspy.annotator import relations
from aegir_dspy.annotator.relation_model import KINDS, RelationModel
from aegir_dspy.ontology import load_vocabulary

EXAMPLES = Path(__file__).parents[1] / "examples"


def no_relations() -> RelationModel:
    """Weights that know every relation and are sure of none."""
    names = load_vocabulary("sotab_cpa").names
    buckets, many = sum(size for size, _ in KINDS.values()), len(names)
    return RelationModel(
        names,
        (),
        torch.zeros(buckets, many, dtype=torch.int8),
        torch.ones(len(KINDS), many),
        torch.ones(buckets),
        torch.zeros(many),
        torch.zeros(0, many),
        torch.zeros(many, many),
    )


def test_verify_composition(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = functools.partial(aegir_dspy.Swarm, checkpoint=str(bundle_path), abstain_below=0.0)
    monkeypatch.setattr(aegir_dspy, "Swarm", tiny)
    monkeypatch.setattr(relations, "default_relation_model", no_relations)
    monkeypatch.setattr("sys.argv", ["verify_composition.py"])
    runpy.run_path(str(EXAMPLES / "verify_composition.py"), run_name="__main__")
    good, bad, turtle = capsys.readouterr().out.split("--- ")[1:]
    assert "refused by none" in good
    assert good.splitlines()[2].startswith("R = 0.")
    assert not good.splitlines()[2].startswith("R = 0.000")
    assert "refused by satisfiable" in bad
    assert bad.splitlines()[2].startswith("R = 0.000")
    assert "satisfiable.empty_class" in bad
    assert "@prefix schema: <https://schema.org/> ." in turtle
