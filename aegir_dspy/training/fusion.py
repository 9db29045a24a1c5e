"""Training a fusion, and alignments before it, on top of readers and a primary that stay as they are.

Context columns are read once, alone; a random subset of their states is fused and the primary reads the
target column from it. Two losses: the label within its set, and the distance (KL) to what the same primary
says when it reads the context and the target one after the other. The gradient passes through the frozen
primary into the fusion's parameters only.

A task is read once and serves any number of trainings::

    task = read_fusion_task(primary, gather_examples(data, 0), FusionTrainingConfig())
    fusion = RWKVStateFusion("weighted_sum", primary.model.geometry)
    losses = train_fusion(primary, fusion, task, FusionTrainingConfig(seed=1))

Left out: training the primary along with the fusion. `aegir_dspy.training.column_types` trains it on fused
states before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.errors import InputError
from aegir_dspy.latent.fusion import side_by_side
from aegir_dspy.latent.specialist import FrozenSpecialist, read_pieces
from aegir_dspy.latent.state_fusion import RWKVStateFusion
from aegir_dspy.rwkv.state import StateTensors
from aegir_dspy.tables.serialize import SerializeConfig, serialize_values
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.labels import group_loss

__all__ = [
    "FusionTask",
    "FusionTrainingConfig",
    "distillation_loss",
    "read_fusion_task",
    "train_fusion",
]

_BATCH_TOKENS = 2048
_HEADER_SHARE = 0.3  # of tables without a caption; those with one come with headers


@dataclass(frozen=True, slots=True)
class FusionTrainingConfig:
    """What decides the result beside the weights.

    Attributes:
        steps, columns: optimizer steps, and targets in each.
        lr, align_lr: peak learning rates of the fusion and of alignments; both decay as a cosine.
        agents: most context columns of a target; their number is drawn from 1 … agents.
        dropout: chance of each agent to be missing in a step; the teacher hears all of them.
        distil: weight of the KL to the sequential reading beside the label's loss.
        targets: labelled columns of a task.
        per_table: most targets of one table of a task.
    """

    steps: int = 150
    columns: int = 24
    lr: float = 3e-3
    align_lr: float = 2e-3
    agents: int = 8
    dropout: float = 0.1
    distil: float = 1.0
    targets: int = 800
    per_table: int = 3
    seed: int = 0


@dataclass(frozen=True)
class FusionTask:
    """T labelled columns and their context, read once.

    Attributes:
        pieces: (T) the targets' bytes, as the primary reads them.
        states: a reader's states of C context columns each.
        context: (T) rows of C.
        context_pieces: (C) bytes, as the primary reads them.
        label: (T,) row of the head.
        mask: (T, labels) bool: the label's set.
        teacher: (T, labels) log-probabilities within the set, context and target read in a row.
    """

    pieces: tuple[bytes, ...]
    states: tuple[StateTensors, ...]
    context: tuple[tuple[int, ...], ...]
    context_pieces: tuple[bytes, ...]
    label: Tensor
    mask: Tensor
    teacher: Tensor


def read_fusion_task(
    primary: Bundle,
    examples: Mapping[str, tuple[Sequence[Example], float]],
    config: FusionTrainingConfig,
    readers: Sequence[Bundle] = (),
) -> FusionTask:
    """Draw targets with a context from labelled tables, and read them.

    Args:
        examples: name → (tables, share of the tables drawn), see `gather_examples`.
        readers: who reads the context; by default the primary itself.

    Raises:
        InputError: no table has a column with a label the primary knows, and something beside it.
    """
    rng = random.Random(config.seed)
    sets = _label_rows(primary, examples)
    drawn = list(_draw(examples, sets, config, rng))
    if not drawn:
        raise InputError("expected tables with a known label and a second column, found none: add such")
    columns = dict.fromkeys(column for one in drawn for column in one.context)
    row = {column: i for i, column in enumerate(columns)}
    states = [_states(reader, list(columns)) for reader in readers or [primary]]
    pieces = [_piece(one.target, primary.config.serialize) for one in drawn]
    before = [[_piece(c, primary.config.serialize) for c in one.context] for one in drawn]
    mask = torch.zeros(len(drawn), len(primary.config.labels), dtype=torch.bool)
    for i, one in enumerate(drawn):
        mask[i, list(sets[one.group].values())] = True
    return FusionTask(
        tuple(pieces),
        tuple(states),
        tuple(tuple(row[c] for c in one.context) for one in drawn),
        tuple(_piece(c, primary.config.serialize) for c in columns),
        torch.tensor([sets[one.group][one.label] for one in drawn]),
        mask,
        _teacher(primary, before, pieces, mask),
    )


def train_fusion(
    primary: Bundle,
    fusion: RWKVStateFusion,
    task: FusionTask,
    config: FusionTrainingConfig,
    aligners: Sequence[nn.Module | None] = (),
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> list[float]:
    """Train the fusion in place, and the alignment of each reader that has one. Returns the losses.

    Every reader of the task reads every context column: a target has (columns × readers) agents. The same
    seed, task and weights give the same result; nothing else is changed, no global generator either.

    Args:
        aligners: one for each reader of the task, from `StateTensors` to the primary's; None where the
            reader's states are the primary's kind already.

    Raises:
        InputError: nothing to train, or another number of aligners than of readers.
    """
    places = list(aligners) or [None] * len(task.states)
    if len(places) != len(task.states):
        raise InputError(f"expected {len(task.states)} aligners, one a reader, found {len(places)}")
    optimizer = _optimizer(fusion, places, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _scale(step / config.steps))
    rng = random.Random(config.seed)
    primary.model.requires_grad_(False)
    fusion.train()
    losses = []
    for step, rows in enumerate(_batches(len(task.pieces), config, rng)):
        loss = _loss(primary, fusion, task, places, rows, config, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        report({"step": step + 1, "loss": losses[-1]})
    fusion.eval()
    return losses


def distillation_loss(teacher: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    """KL(teacher ‖ student) in nats within each row's label set, averaged.

    Args:
        teacher: (T, labels) log-probabilities, see `FusionTask`.
        logits: (T, labels) of the student.
        mask: (T, labels) bool.
    """
    terms = teacher.exp() * (teacher - _log_softmax(logits, mask))
    return terms.masked_fill(~mask, 0.0).sum(1).mean()


# --- one step -------------------------------------------------------------------------------------


def _loss(
    primary: Bundle,
    fusion: RWKVStateFusion,
    task: FusionTask,
    aligners: Sequence[nn.Module | None],
    rows: list[int],
    config: FusionTrainingConfig,
    rng: random.Random,
) -> Tensor:
    """Label loss + distil · KL of some targets, from a random part of their agents."""
    used = sorted({column for row in rows for column in task.context[row]})
    states = side_by_side(
        [
            states.select(used) if align is None else align(states.select(used))
            for states, align in zip(task.states, aligners, strict=True)
        ]
    )
    members = torch.stack([_members(task.context[row], used, len(aligners), config, rng) for row in rows])
    reading = read_pieces(
        primary.model, [task.pieces[row] for row in rows], fusion(states, members), _BATCH_TOKENS
    )
    logits, mask = primary.head(reading.features), task.mask[rows]
    loss = group_loss(logits, task.label[rows], mask, 0.0).mean()
    return loss + config.distil * distillation_loss(task.teacher[rows], logits, mask)


def _members(
    context: Sequence[int],
    used: Sequence[int],
    readers: int,
    config: FusionTrainingConfig,
    rng: random.Random,
) -> Tensor:
    """(readers · used,) bool: the target's agents, some of them missing, never all."""
    place = {column: i for i, column in enumerate(used)}
    agents = [reader * len(used) + place[column] for reader in range(readers) for column in context]
    kept = [agent for agent in agents if rng.random() >= config.dropout] or [rng.choice(agents)]
    chosen = torch.zeros(readers * len(used), dtype=torch.bool)
    chosen[kept] = True
    return chosen


def _log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities within each row's label set, 0 outside."""
    return logits.float().masked_fill(~mask, -torch.inf).log_softmax(1).masked_fill(~mask, 0.0)


def _batches(count: int, config: FusionTrainingConfig, rng: random.Random) -> Iterator[list[int]]:
    """Rows of each step; every target once before one comes again."""
    queue: list[int] = []
    for _ in range(config.steps):
        while len(queue) < min(config.columns, count):
            queue = rng.sample(range(count), count) + queue
        yield [queue.pop() for _ in range(min(config.columns, count))]


def _optimizer(
    fusion: RWKVStateFusion, aligners: Sequence[nn.Module | None], config: FusionTrainingConfig
) -> torch.optim.Optimizer:
    modules = [(fusion, config.lr), *((a, config.align_lr) for a in aligners if a is not None)]
    groups = [{"params": list(module.parameters()), "lr": lr} for module, lr in modules]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise InputError(
            f"expected a fusion with parameters or an alignment, found mode {fusion.config.mode} alone: "
            "there is nothing to train"
        )
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)


def _scale(progress: float) -> float:
    """Warm-up over a twentieth, then a cosine down to a twentieth."""
    warm = min(1.0, (progress + 0.005) / 0.05)
    return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))


# --- the task -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A header to show, or None, and cells; of one table, so that equal columns stay apart."""

    table: int
    header: str | None
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Drawn:
    target: _Column
    context: tuple[_Column, ...]
    label: str
    group: str


def _draw(
    examples: Mapping[str, tuple[Sequence[Example], float]],
    sets: Mapping[str, Mapping[str, int]],
    config: FusionTrainingConfig,
    rng: random.Random,
) -> Iterator[_Drawn]:
    """`config.targets` targets, tables of the sets by their share; fewer when the tables run out."""
    queues = {
        name: rng.sample(list(tables), len(tables)) for name, (tables, share) in examples.items() if share
    }
    count, table = 0, 0
    while count < config.targets and any(queues.values()):
        names = [name for name, queue in queues.items() if queue]
        name = rng.choices(names, [examples[n][1] for n in names])[0]
        for one in _of_table(queues[name].pop(), table, sets, config, rng):
            yield one
            count += 1
            if count == config.targets:
                return
        table += 1


def _of_table(
    example: Example,
    table: int,
    sets: Mapping[str, Mapping[str, int]],
    config: FusionTrainingConfig,
    rng: random.Random,
) -> Iterator[_Drawn]:
    """Targets of one table, each with 1 … agents random other columns and the caption in random order."""
    headers = rng.random() < (0.95 if example.caption else _HEADER_SHARE)
    columns = [
        _Column(table, rng.choice(names) if headers and names else None, cells)
        for names, cells in zip(example.headers, (_shown(c) for c in example.columns), strict=True)
    ]
    known = [i for i, label in enumerate(example.labels) if label in sets.get(example.group, {})]
    said = [c for c in columns if c.values or c.header]
    if example.caption:
        said.append(_Column(table, "table", (example.caption,)))
    for i in rng.sample(known, min(len(known), config.per_table)):
        others = [c for c in said if c is not columns[i]]
        if others and columns[i] in said:
            count = rng.randint(1, min(config.agents, len(others)))
            yield _Drawn(columns[i], tuple(rng.sample(others, count)), example.labels[i], example.group)


def _shown(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value.strip()))


def _piece(column: _Column, config: SerializeConfig) -> bytes:
    return serialize_values(column.header, column.values[: config.max_values], config)


def _label_rows(
    primary: Bundle, examples: Mapping[str, tuple[Sequence[Example], float]]
) -> dict[str, dict[str, int]]:
    """Label set → its labels that occur and that the primary's head knows → their rows."""
    rows = {label: row for row, label in enumerate(primary.config.labels)}
    sets: dict[str, dict[str, int]] = {}
    for tables, _ in examples.values():
        for example in tables:
            own = sets.setdefault(example.group, {})
            own.update((label, rows[label]) for label in example.labels if label in rows)
    return sets


def _states(reader: Bundle, columns: Sequence[_Column]) -> StateTensors:
    specialist = FrozenSpecialist(reader.model, reader.identity)
    return specialist.read([_piece(column, reader.config.serialize) for column in columns]).states


def _teacher(
    primary: Bundle, before: Sequence[Sequence[bytes]], pieces: Sequence[bytes], mask: Tensor
) -> Tensor:
    specialist = FrozenSpecialist(primary.model, primary.identity)
    start = specialist.read([b"".join(context) for context in before]).states
    features = specialist.read(pieces, start).features.clone()  # out of inference mode, to train with
    with torch.no_grad():
        return _log_softmax(primary.head(features), mask)
