"""Training the column types: the head, and the model under it, on labelled columns.

Two objectives take turns on the same weights:

- *fused*: every column of a table is read alone, the states of a random subset of the others are fused
  (sum/√N) and the column is read again from the fused state; labels are asked after both readings. This
  is what the annotator does, end to end, so the states learn to carry what other columns need.
- *stream*: concatenated columns with the label asked at each delimiter, header classes of unlabelled
  tables rehearsed beside them, and the next byte. It keeps what pre-training taught.

Left out: a separate frozen specialist and primary (one model plays both parts here), and distillation.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.latent.fusion import fuse_tensors
from aegir_dspy.latent.specialist import read_pieces, span_features
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.model import RWKV7
from aegir_dspy.tables.serialize import SerializeConfig, serialize_values
from aegir_dspy.tables.table import Table
from aegir_dspy.training.corpus import normalise_header, reading_streams
from aegir_dspy.training.labels import LabelSpace, group_loss
from aegir_dspy.training.optimize import OptimizerConfig, ScheduledAdamW
from aegir_dspy.training.pretrain import next_byte_loss
from aegir_dspy.training.progress import load_progress, save_progress
from aegir_dspy.training.segments import NO_LABEL, Segment, collate, length_batches, make_stream

__all__ = ["THEME_GROUP", "Example", "TypesConfig", "TypesModel", "theme_label", "train_types"]

HEADER_GROUP = "header"
THEME_GROUP = "theme"
_CAPTION = "table"  # what stands as header over the text about a table
_NAMED = frozenset({"freebase"})  # label sets of tables that always come with headers
_WHOLE = frozenset({"relational"})  # label sets of tables whose columns are compared: all rows, all context


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled table as the trainer sees it: per column the cells, possible headers, label and set.

    `label` is "" for a column that is only context. `theme` says what the rows are (Book, Event, …), ""
    where that is not known. `caption` is text about the table.
    """

    columns: tuple[tuple[str, ...], ...]
    headers: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    group: str
    theme: str = ""
    caption: str = ""


@dataclass(frozen=True)
class TypesConfig:
    """Everything that decides the result.

    Attributes:
        minutes, max_steps: when the run ends (0 steps: no limit).
        columns: columns of a fused step.
        fused: share of fused steps.
        context: most context columns of a target.
        header_share: share of tables whose columns show a header.
        text_weight: weight of the next-byte loss in stream steps.
        smoothing: label smoothing.
        theme_weight: weight of the theme's loss: every column is also asked what the rows of its table are.
        frozen: names of parameters (their beginnings) that keep their values.
    """

    minutes: float = 20.0
    max_steps: int = 0
    seed: int = 0
    columns: int = 64
    fused: float = 0.6
    context: int = 8
    header_share: float = 0.3
    text_weight: float = 0.2
    smoothing: float = 0.05
    theme_weight: float = 0.3
    frozen: tuple[str, ...] = ()
    dropout: float = 0.2
    batch_tokens: int = 6144
    stream_bytes: int = 640
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, weight_decay=0.05)
    serialize: SerializeConfig = SerializeConfig()
    checkpoint_every: int = 100


@dataclass(frozen=True)
class TypesModel:
    """What training gives: the model, its head and the labels of the head's rows."""

    model: RWKV7
    head: ColumnHead
    space: LabelSpace


def train_types(
    pretrained: Path,
    examples: Mapping[str, tuple[Sequence[Example], float]],
    corpus: Sequence[Table],
    config: TypesConfig,
    folder: Path,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    label_sets: Mapping[str, Sequence[str]] | None = None,
    start: Bundle | None = None,
) -> TypesModel:
    """Fine-tune a pre-trained checkpoint; continues a run found in the folder.

    Args:
        pretrained: what `aegir_dspy.training.pretrain.pretrain` wrote.
        examples: name → (tables, share of the fused batches they get).
        corpus: unlabelled tables to rehearse header classes on.
        label_sets: all labels by set name; by default those that occur in `examples`.
        folder: where the configuration and `types.pt` are kept.
        start: an annotator to start from instead of the pre-trained model; labels it knows keep their rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "types.json").write_text(json.dumps(asdict(config), indent=1))
    torch.manual_seed(config.seed)
    trained, classes = _start(pretrained, label_sets or _occurring(examples), config)
    if start is not None:
        _take_over(trained, start)
    for name, parameter in trained.model.named_parameters():
        parameter.requires_grad_(not name.startswith(config.frozen))
    optimizer = ScheduledAdamW([*trained.model.parameters(), *trained.head.parameters()], config.optimizer)
    path = folder / "types.pt"
    step, spent = load_progress(path, trained.model, trained.head, optimizer) if path.exists() else (0, 0.0)
    rng = random.Random(config.seed * 1_000_003 + step)
    steps = _Steps(trained, examples, corpus, classes, config, rng)
    while (progress := _progress(config, step, spent)) < 1:
        began = time.monotonic()
        kind = "fused" if rng.random() < config.fused else "stream"
        with torch.autocast("cpu", torch.bfloat16):
            loss = steps.fused() if kind == "fused" else steps.stream()
        optimizer.step(loss, progress)
        step, spent = step + 1, spent + time.monotonic() - began
        report({"step": step, "minutes": spent / 60, kind: loss.item()})
        if step % config.checkpoint_every == 0:
            save_progress(path, trained.model, trained.head, optimizer, step, spent)
    save_progress(path, trained.model, trained.head, optimizer, step, spent)
    trained.head.eval()
    trained.model.eval()
    return trained


class _Steps:
    """The two kinds of training step, each returning a loss."""

    def __init__(
        self,
        trained: TypesModel,
        examples: Mapping[str, tuple[Sequence[Example], float]],
        corpus: Sequence[Table],
        classes: Sequence[str],
        config: TypesConfig,
        rng: random.Random,
    ) -> None:
        self.trained, self.config, self.rng = trained, config, rng
        self.rows, self.masks = trained.space.rows(), trained.space.masks()
        self.group_ids = {name: i for i, name in enumerate(trained.space.group_names)}
        self.tables = _mixture(examples, rng)
        header_rows = trained.space.groups[HEADER_GROUP]
        reading = reading_streams(corpus, classes, config.serialize, config.stream_bytes, rng)
        self.readings = length_batches(reading, config.batch_tokens // 2, rng, pool=128)
        self.labelled = length_batches(self._labelled_streams(), config.batch_tokens // 2, rng, pool=128)
        self.header_rows = torch.tensor(header_rows)

    def fused(self) -> Tensor:
        """Read alone, fuse, read again: the loss of both readings."""
        pieces, labels, groups, tables, themes = self._pieces()
        model, head, c = self.trained.model, self.trained.head, self.config
        label, group, theme = torch.tensor(labels), torch.tensor(groups), torch.tensor(themes)
        alone = read_pieces(model, pieces, None, c.batch_tokens // 4)
        members = self._members(tables, [self.trained.space.group_names[g] in _WHOLE for g in groups])
        informed = members.any(1)
        start = fuse_tensors(alone.states, members[informed])
        chosen = [pieces[i] for i in informed.nonzero().flatten().tolist()]
        losses = [self._both(head(alone.features), label, group, theme)]
        if chosen:
            again = read_pieces(model, chosen, start, c.batch_tokens // 4)
            losses.append(self._both(head(again.features), label[informed], group[informed], theme[informed]))
        return losses[0] * 0.5 + losses[-1]

    def stream(self) -> Tensor:
        """Concatenated columns: labelled ones, and unlabelled ones with their header classes."""
        streams = [*next(self.labelled), *next(self.readings)]
        batch = collate(streams)
        hidden, _ = self.trained.model(batch.tokens, None, batch.lengths)
        features = span_features(hidden, batch.stream, batch.start, batch.end)
        text_loss = next_byte_loss(self.trained.model, hidden, batch)
        # reading_streams number header classes from 0 in group 0; labelled streams use rows of the space
        header = (batch.group == 0) & (batch.label != NO_LABEL)
        label = torch.where(
            header, self.header_rows[batch.label.clamp(0, len(self.header_rows) - 1)], batch.label
        )
        group = torch.where(batch.group == 0, self.group_ids[HEADER_GROUP], batch.group - 1)
        type_loss = self._loss(self.trained.head(features), label, group)
        return type_loss + self.config.text_weight * text_loss

    def _both(self, logits: Tensor, label: Tensor, group: Tensor, theme: Tensor) -> Tensor:
        """The loss of the labels, and of the themes."""
        themes = torch.full_like(group, self.group_ids[THEME_GROUP])
        return self._loss(logits, label, group) + self.config.theme_weight * self._loss(logits, theme, themes)

    def _loss(self, logits: Tensor, label: Tensor, group: Tensor) -> Tensor:
        known = label != NO_LABEL
        if not bool(known.any()):
            return logits.sum() * 0.0
        losses = group_loss(logits[known], label[known], self.masks[group[known]], self.config.smoothing)
        return losses.mean()

    def _pieces(self) -> tuple[list[bytes], list[int], list[int], list[int], list[int]]:
        """Serialized columns of some tables: pieces, rows of labels, groups, tables, rows of themes."""
        pieces: list[bytes] = []
        labels: list[int] = []
        groups: list[int] = []
        tables: list[int] = []
        themes: list[int] = []
        number = 0
        while len(pieces) < self.config.columns:
            example = next(self.tables)
            for segment in self._segments(example, most=12):
                pieces.append(serialize_values(segment.header, segment.values, self.config.serialize))
                labels.append(segment.label)
                groups.append(segment.group - 1)
                tables.append(number)
                themes.append(self.rows.get(theme_label(example.theme), NO_LABEL))
            number += 1
        return pieces, labels, groups, tables, themes

    def _members(self, tables: Sequence[int], whole: Sequence[bool]) -> Tensor:
        """(C, C) bool: a random subset of the table's other columns for each column, sometimes none.

        Three in four of the columns that have to be compared with others (`whole`) keep all of them.
        """
        table = torch.tensor(tables)
        members = (table.unsqueeze(0) == table.unsqueeze(1)) & ~torch.eye(len(tables), dtype=torch.bool)
        for row, compared in zip(members, whole, strict=True):
            others = row.nonzero().flatten().tolist()
            full = self.rng.random() < (0.75 if compared else 0.6)
            keep = self.config.context if full else self.rng.randint(0, self.config.context)
            for dropped in self.rng.sample(others, max(0, len(others) - keep)):
                row[dropped] = False
        return members

    def _labelled_streams(self) -> Iterator:  # type: ignore[type-arg]
        while True:
            segments = self._segments(next(self.tables), most=16)
            if segments:
                answers = self.rng.random() < 0.3
                yield make_stream(
                    segments,
                    self.config.serialize,
                    headers=True,
                    answers=answers,
                    limit=self.config.stream_bytes,
                )

    def _segments(self, example: Example, most: int) -> list[Segment]:
        """Shuffled columns of a table, rows sampled, headers shown for some tables.

        A segment's group is 1 + the number of its label set (0 marks header classes).
        """
        rng = self.rng
        group = self.group_ids[example.group] + 1
        headers = rng.random() < (0.95 if example.group in _NAMED else self.config.header_share)
        indices = rng.sample(range(len(example.columns)), len(example.columns))[:most]
        rows = self._rows(example)
        values_hidden = headers and rng.random() < 0.15  # a schema without values
        segments = []
        if example.caption and rng.random() < 0.9:
            segments.append(Segment(_CAPTION, [example.caption], None, NO_LABEL, group))
        for i in indices:
            values = [example.columns[i][j] for j in rows if j < len(example.columns[i])]
            shown = [] if values_hidden else list(dict.fromkeys(v for v in values if v.strip()))
            names = example.headers[i]
            header = rng.choice(names) if headers and names and rng.random() < 0.9 else None
            if not shown and header is None:
                continue
            label = self.rows[example.labels[i]] if example.labels[i] else NO_LABEL
            answer = normalise_header(example.labels[i]) or None
            segments.append(Segment(header, shown[: self.config.serialize.max_values], answer, label, group))
        return segments

    def _rows(self, example: Example) -> Sequence[int]:
        """The rows of a table that are shown, the same for all its columns, often not all nor in order."""
        count, rng = max(map(len, example.columns), default=0), self.rng
        if example.group in _WHOLE:
            return range(count)
        keep = count if rng.random() < 0.5 else rng.randint(min(2, count), count)
        return rng.sample(range(count), keep) if rng.random() < 0.5 else range(keep)


def theme_label(theme: str) -> str:
    """The label that stands for a theme: ``theme:Book``."""
    return f"{THEME_GROUP}:{theme}"


def _mixture(
    examples: Mapping[str, tuple[Sequence[Example], float]], rng: random.Random
) -> Iterator[Example]:
    """Endless tables, sets mixed by their share, each set in a new random order each round."""
    names = [name for name, (tables, share) in examples.items() if tables and share > 0]
    shares = [examples[name][1] for name in names]
    queues: dict[str, list[Example]] = {name: [] for name in names}
    while True:
        name = rng.choices(names, shares)[0]
        if not queues[name]:
            tables = examples[name][0]
            queues[name] = rng.sample(tables, len(tables))
        yield queues[name].pop()


def _start(
    pretrained: Path, label_sets: Mapping[str, Sequence[str]], config: TypesConfig
) -> tuple[TypesModel, list[str]]:
    """The pre-trained model with a new head whose header rows are the pre-trained ones."""
    content = torch.load(pretrained, weights_only=True)
    model = RWKV7(Geometry.from_json(content["geometry"]))
    model.load_state_dict(content["model"])
    classes: list[str] = content["classes"]
    label_sets = {THEME_GROUP: [], **label_sets}
    space = LabelSpace.of({**label_sets, HEADER_GROUP: [f"{HEADER_GROUP}:{name}" for name in classes]})
    head = ColumnHead(model.geometry.width, len(space.labels), config.dropout)
    rows = torch.tensor(space.groups[HEADER_GROUP])
    by_header = {name: row for row, name in enumerate(classes)}
    with torch.no_grad():
        head.classify.weight.zero_()  # no seed in the head: runs with several seeds can be averaged
        head.classify.bias.zero_()
        head.classify.weight[rows] = content["head"]["classify.weight"]
        head.classify.bias[rows] = content["head"]["classify.bias"]
        for row, label in enumerate(space.labels):  # a label that is also a common header starts from it
            if (known := by_header.get(normalise_header(label))) is not None:
                head.classify.weight[row] = content["head"]["classify.weight"][known]
    return TypesModel(model, head, space), classes


def _take_over(trained: TypesModel, start: Bundle) -> None:
    """Copy an annotator's weights, and the head's rows of the labels both know."""
    rows = trained.space.rows()
    known = [(old, rows[label]) for old, label in enumerate(start.config.labels) if label in rows]
    trained.model.load_state_dict({name: t.float() for name, t in start.model.state_dict().items()})
    old, new = (list(part) for part in zip(*known, strict=True)) if known else ([], [])
    with torch.no_grad():
        trained.head.classify.weight[new] = start.head.classify.weight[old].float()
        trained.head.classify.bias[new] = start.head.classify.bias[old].float()


def _occurring(examples: Mapping[str, tuple[Sequence[Example], float]]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for tables, _ in examples.values():
        for example in tables:
            found.setdefault(example.group, {}).update(dict.fromkeys(x for x in example.labels if x))
    return {group: sorted(labels) for group, labels in sorted(found.items())}


def _progress(config: TypesConfig, step: int, spent: float) -> float:
    by_time = spent / (60 * config.minutes)
    return max(by_time, step / config.max_steps) if config.max_steps else by_time
