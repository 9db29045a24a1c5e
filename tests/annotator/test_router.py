from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aegir_dspy.annotator.bundle import ROUTER_SUFFIX, Bundle, default_bundle, load_bundle
from aegir_dspy.annotator.decision import Decisions
from aegir_dspy.annotator.router import CONTEXT, Router, load_router, save_router
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import CheckpointError
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.tables.table import Table


def router(bundle: Bundle, bias: float, *readers: str) -> Router:
    width = 2 * bundle.model.geometry.width + 1
    names = readers or (CONTEXT,)
    weight = torch.zeros(len(names), width, dtype=torch.float64)
    return Router(names, weight, torch.full((len(names),), bias, dtype=torch.float64), bundle.sha256)


def test_zero_one_or_many_readers_are_asked() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    found = Router(("context", "offers"), weight, torch.zeros(2, dtype=torch.float64), "")
    hidden = torch.tensor([[-1.0], [1.0], [1.0]])
    confidence = torch.tensor([0.1, 0.1, 0.9])
    asked = found.routes(found.readers, hidden, confidence).T.tolist()
    assert asked == [[False, True, True], [False, False, True]]
    assert not found.routes(["works"], hidden, confidence).any()
    sure = found.probabilities(hidden, torch.tensor([0.0, 1.0, 0.5]))
    assert sure.isfinite().all()


def test_a_router_is_kept_beside_its_primary(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "r.safetensors"
    saved = replace(router(bundle, 0.25), threshold=0.4)
    sha256 = save_router(path, saved)
    found = load_router(path, bundle.sha256)
    assert found is not None and (found.readers, found.threshold) == ((CONTEXT,), 0.4)
    assert found.sha256 == sha256 and torch.equal(found.bias, saved.bias)
    assert load_router(path, "0" * 64) is None
    assert load_router(tmp_path / "none.safetensors", bundle.sha256) is None
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="expected a router written by aegir train"):
        load_router(path, bundle.sha256)


def test_a_bundle_brings_its_router(tmp_path: Path, bundle_path: Path, bundle: Bundle) -> None:
    copied = tmp_path / bundle_path.name
    copied.write_bytes(bundle_path.read_bytes())
    assert load_bundle(copied).router is None
    save_router(copied.with_suffix(ROUTER_SUFFIX), router(bundle, 1.0))
    assert load_bundle(copied).router is not None


def test_the_router_decides_who_reads_again(bundle: Bundle, tables: list[Table]) -> None:
    vocabulary = load_vocabulary("schema")

    fitted = replace(bundle, config=replace(bundle.config, decisions={"schema": Decisions()}))

    def tokens(bias: float | None, **settings: bool) -> torch.Tensor:
        said = replace(fitted, router=None if bias is None else router(bundle, bias))
        return ColumnTypeAnnotator(said, vocabulary, AnnotatorConfig(**settings)).scores(tables[:1]).tokens

    nobody, everybody = tokens(-9.0), tokens(9.0)
    assert (everybody > nobody).all()
    assert torch.equal(tokens(-9.0, routed=False), tokens(None))
    some = Vocabulary("some", vocabulary.labels[:40])  # a confidence among fewer labels is another number
    assert ColumnTypeAnnotator(replace(fitted, router=router(bundle, 9.0)), some).router is None


def test_the_shipped_router_knows_the_shipped_primary_and_its_members() -> None:
    shipped = default_bundle()
    annotator = ColumnTypeAnnotator(shipped, load_vocabulary("schema"))
    assert annotator.router is not None and annotator.router.checkpoint == shipped.sha256
    assert set(annotator.router.readers) == {CONTEXT, *annotator.members}
