"""The whole way from tables to the files of a swarm; every stage continues where it was stopped.

1. Pre-training on unlabelled tables: a forward reader, and from it a backward one.
2. A teacher: types learnt from the labelled tables alone. It labels the columns of the relation sets.
3. The primary: types, themes and relational columns, with the teacher's labels, on concatenated segments and
   on fused states of a random number of context columns. Comparing cells of two columns for equality is not
   learnt among all this: it then has some minutes of its own, and others to settle in what was there before.
4. The members: the backward reader on the same mixture; the domain specialists, from the primary, on tables
   of their domain mostly, with the primary's n-gram memory, which they share.
5. `aegir_dspy.training.finish.assemble`: n-grams, agreement, label texts, calibration.

Left out: distillation of the readers to sequential reading (the fusion modules are, see
`aegir_dspy.training.fusion`), and training the members against each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from aegir_dspy.annotator.bundle import load_bundle
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.tables.serialize import SerializeConfig
from aegir_dspy.tables.table import Table
from aegir_dspy.training.calibrate import check_dev
from aegir_dspy.training.column_types import Example, TypesConfig
from aegir_dspy.training.examples import gather_examples, match_examples
from aegir_dspy.training.finish import DOMAINS, PSEUDO_SHARE, assemble, train_reader
from aegir_dspy.training.optimize import OptimizerConfig
from aegir_dspy.training.pretrain import PretrainConfig, pretrain
from aegir_dspy.training.pseudo import pseudo_examples
from aegir_dspy.training.split import sotab82_split

__all__ = ["SwarmTraining", "in_domain", "train_swarm"]

Examples = Mapping[str, tuple[Sequence[Example], float]]
Metrics = Callable[[dict[str, float]], None]

_INSIDE = 0.75  # share of a source's batches that a specialist takes from its domain
_MATCHES, _SETTLED = 40_000, 0.4  # tables of matches, and their share when settling
_COMPARING = TypesConfig(
    columns=128, fused=0.9, theme_weight=0.0, optimizer=OptimizerConfig(lr=1e-3, floor=0.5, weight_decay=0.05)
)
_SETTLING = TypesConfig(optimizer=OptimizerConfig(lr=9e-4, weight_decay=0.05))


@dataclass(frozen=True)
class SwarmTraining:
    """Minutes of training on one thread for each stage; `max_steps` (0: none) cuts every stage short."""

    geometry: Geometry = replace(Geometry.small(3, 160), ngram_buckets=65_536, ngram_width=64)
    pretrain: float = 56.0
    backward: float = 36.0
    teacher: float = 24.0
    primary: float = 35.0
    comparing: float = 12.0
    settling: float = 16.0
    member: float = 22.0
    specialist: float = 9.0
    max_steps: int = 0
    seed: int = 0

    def scaled(self, share: float) -> SwarmTraining:
        """The same with every stage's minutes multiplied."""
        stages = [field.name for field in fields(self) if field.type == "float"]
        return replace(self, **{name: share * getattr(self, name) for name in stages})


def train_swarm(
    data: Path, corpus: Sequence[Table], run: Path, out: Path, config: SwarmTraining, metrics: Metrics
) -> dict[str, Any]:
    """Train everything, write `out` (the primary's file) and the members beside it. Returns the report.

    Raises:
        InputError: the data lack the layout, or have too few dev tables to calibrate on.
    """
    check_dev(sotab82_split(data).dev)
    out.parent.mkdir(parents=True, exist_ok=True)
    forward, backward = SerializeConfig(), SerializeConfig(direction="backward")
    pretrained = _pretrain(corpus, run / "forward", config, forward, config.pretrain, metrics)
    turned = _pretrain(corpus, run / "backward", config, backward, config.backward, metrics, pretrained)
    taught = gather_examples(data, config.seed)

    def reader(
        name: str, examples: Examples, minutes: float, types: TypesConfig, start: Path | None = None
    ) -> Path:
        path = run / name / "reader.safetensors"
        if not path.exists():
            settings = replace(types, minutes=minutes, max_steps=config.max_steps, seed=config.seed)
            origin = turned if types.serialize.direction == "backward" else pretrained
            train_reader(origin, examples, corpus, settings, run / name, path, metrics, start)
        return path

    teacher = load_bundle(reader("teacher", taught, config.teacher, TypesConfig()))
    pseudo = pseudo_examples(data, sotab82_split(data), teacher)
    examples = {**taught, "pseudo": (pseudo, PSEUDO_SHARE)}
    primary = reader("primary", examples, config.primary, TypesConfig())
    members = {"backward": reader("turned", examples, config.member, TypesConfig(serialize=backward))}
    matches = match_examples(_MATCHES, config.seed)
    alone = {**{name: (tables, 0.0) for name, (tables, _) in examples.items()}, "matches": (matches, 1.0)}
    compared = reader("comparing", alone, config.comparing, _COMPARING, primary)
    settled = {**examples, "matches": (matches, _SETTLED)}
    finished = reader("finished", settled, config.settling, _SETTLING, compared)
    gentle = TypesConfig(optimizer=OptimizerConfig(lr=6e-4, weight_decay=0.05), frozen=("ngram",))
    for name in DOMAINS:
        members[name] = reader(name, in_domain(examples, name), config.specialist, gentle, primary)
    about = {"seed": config.seed, "columns": {name: len(tables) for name, (tables, _) in examples.items()}}
    return assemble(load_bundle(finished, dtype=torch.float32), data, out, about, members)


def in_domain(examples: Examples, domain: str) -> dict[str, tuple[Sequence[Example], float]]:
    """The same sources with most of their batches from the domain's themes."""
    mixed: dict[str, tuple[Sequence[Example], float]] = {}
    for name, (tables, share) in examples.items():
        inside = [table for table in tables if table.theme in DOMAINS[domain]]
        mixed[name] = (tables, share * (1 - _INSIDE) if inside else share)
        if inside:
            mixed[f"{name} of {domain}"] = (inside, share * _INSIDE)
    return mixed


def _pretrain(
    corpus: Sequence[Table],
    run: Path,
    config: SwarmTraining,
    serialize: SerializeConfig,
    minutes: float,
    metrics: Metrics,
    start: Path | None = None,
) -> Path:
    done = run / "done.json"
    path = run / "pretrain.pt"
    if done.exists():
        return path
    settings = PretrainConfig(
        config.geometry,
        minutes=minutes,
        max_steps=config.max_steps,
        seed=config.seed,
        serialize=serialize,
        optimizer=OptimizerConfig(lr=2e-3 if start is None else 1.5e-3),
    )
    pretrain(corpus, settings, run, metrics, start)
    done.write_text(json.dumps({"minutes": minutes}))
    return path
