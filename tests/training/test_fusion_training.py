"""Training a fusion on frozen readers: it learns, nothing else changes, and the same seed gives the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aegir_dspy.annotator.bundle import Bundle, BundleConfig, load_bundle, save_bundle
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.errors import InputError
from aegir_dspy.latent.alignment import AlignmentProjection
from aegir_dspy.latent.state_fusion import FusionConfig, RWKVStateFusion
from aegir_dspy.rwkv import RWKV7, Geometry
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.fusion import FusionTask, FusionTrainingConfig, read_fusion_task, train_fusion

TINY = Geometry(2, 32, 16, 256, 64, 8, 8, 8, 8)
SMALL = Geometry(1, 16, 8, 256, 32, 8, 8, 8, 8)
LABELS = ("first", "second", "far", "other")
CONFIG = FusionTrainingConfig(steps=12, columns=16, targets=48, agents=3)


def bundle_of(folder: Path, geometry: Geometry, seed: int) -> Bundle:
    """An annotator whose every weight is random and matters."""
    generator = torch.Generator().manual_seed(seed)
    model, head = RWKV7(geometry), ColumnHead(geometry.width, len(LABELS))
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *head.named_parameters()]:
            scale = tensor.shape[-1] ** -0.5 if tensor.dim() == 2 else 0.3
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale + ("ln" in name))
    path = folder / f"{seed}.safetensors"
    save_bundle(path, model, head, BundleConfig(LABELS))
    return load_bundle(path, dtype=torch.float32)


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("weights"), TINY, 0)


def example(number: int) -> Example:
    """What the first column is follows from the second alone."""
    far = number % 2
    columns = (("a", "b"), ("z" * (3 + far), "y" if far else "x"), (str(number), "7"))
    label = "second" if far else "first"
    return Example(columns, ((), ("head",), ()), (label, "far", ""), "set", caption="about it" if far else "")


@pytest.fixture(scope="module")
def examples() -> dict[str, tuple[list[Example], float]]:
    unknown = Example((("q",), ("r",)), ((), ()), ("not known", ""), "set")
    alone = Example((("q",),), ((),), ("first",), "set")
    return {"some": ([*(example(i) for i in range(40)), unknown, alone], 1.0), "none": ([example(1)], 0.0)}


@pytest.fixture(scope="module")
def task(primary: Bundle, examples: dict[str, tuple[list[Example], float]]) -> FusionTask:
    return read_fusion_task(primary, examples, CONFIG)


def fusion_of(mode: str = "weighted_sum") -> RWKVStateFusion:
    return RWKVStateFusion(FusionConfig(mode), TINY)  # type: ignore[arg-type]


def copied(module: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in module.state_dict().values()]


def test_a_task_holds_targets_with_a_context_within_their_label_set(task: FusionTask) -> None:
    assert len(task.pieces) == len(task.context) == len(task.label) == len(task.teacher) == CONFIG.targets
    assert all(1 <= len(set(context)) == len(context) <= CONFIG.agents for context in task.context)
    assert all(states.batch == len(task.context_pieces) for states in task.states)
    own = task.mask.gather(1, task.label.unsqueeze(1))
    assert own.all() and not task.mask[:, LABELS.index("other")].any()
    torch.testing.assert_close((task.teacher.exp() * task.mask).sum(1), torch.ones(CONFIG.targets))
    assert any(b"table\x1fabout it" in task.context_pieces[i] for c in task.context for i in c)


@pytest.mark.parametrize("mode", ["weighted_sum", "gated", "concat_project"])
def test_the_loss_falls_and_only_the_fusion_changes(primary: Bundle, task: FusionTask, mode: str) -> None:
    fusion = fusion_of(mode)
    before = [copied(part) for part in (primary.model, primary.head, fusion)]
    reports: list[dict[str, float]] = []
    losses = train_fusion(primary, fusion, task, replace(CONFIG, steps=30), report=reports.append)
    assert sum(losses[-6:]) < sum(losses[:6])
    assert [r["loss"] for r in reports] == losses and len(losses) == 30
    after = [copied(part) for part in (primary.model, primary.head, fusion)]
    same = [
        all(torch.equal(x, y) for x, y in zip(a, b, strict=True)) for a, b in zip(before, after, strict=True)
    ]
    assert same == [True, True, False]
    assert not fusion.training


def test_the_same_seed_gives_the_same_and_leaves_the_global_generator(
    primary: Bundle, examples: dict[str, tuple[list[Example], float]], task: FusionTask
) -> None:
    generator = torch.get_rng_state()
    found = []
    for seed in (0, 0, 1):
        fusion = fusion_of()
        again = read_fusion_task(primary, examples, CONFIG)
        assert torch.equal(again.teacher, task.teacher) and again.context == task.context
        train_fusion(primary, fusion, again, replace(CONFIG, seed=seed))
        found.append(copied(fusion))
    same = [all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True)) for other in found]
    assert same == [True, True, False]
    assert torch.equal(torch.get_rng_state(), generator)


def test_another_readers_states_are_aligned_in_training(
    primary: Bundle, examples: dict[str, tuple[list[Example], float]], tmp_path: Path
) -> None:
    other = bundle_of(tmp_path, SMALL, 1)
    task = read_fusion_task(primary, examples, CONFIG, readers=[primary, other])
    assert [states.kv.shape[0] for states in task.states] == [TINY.layers, SMALL.layers]
    align = AlignmentProjection(SMALL, TINY, rank=4)
    start = copied(align)
    losses = train_fusion(primary, fusion_of("sqrt"), task, CONFIG, [None, align])
    assert len(losses) == CONFIG.steps
    assert not all(torch.equal(a, b) for a, b in zip(start, copied(align), strict=True))
    with pytest.raises(InputError, match="expected 2 aligners, one a reader, found 1"):
        train_fusion(primary, fusion_of(), task, CONFIG, [align])


def test_what_cannot_be_trained_is_refused(
    primary: Bundle, task: FusionTask, examples: dict[str, tuple[list[Example], float]]
) -> None:
    with pytest.raises(InputError, match="found mode sqrt alone: there is nothing to train"):
        train_fusion(primary, fusion_of("sqrt"), task, CONFIG)
    with pytest.raises(InputError, match="expected tables with a known label and a second column"):
        read_fusion_task(primary, {"alone": (examples["some"][0][-2:], 1.0)}, CONFIG)
