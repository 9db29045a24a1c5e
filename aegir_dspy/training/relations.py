"""Training the relation model: support vector machines over counted features, and the company relations keep.

What is decided, and how sure it is, is fitted on the training tables themselves: each fifth of their sites is
scored by machines, and held against company, of the other four. The dev tables take no part in it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.calibration import expected_calibration_error
from aegir_dspy.annotator.decision import Agreement, DecisionConfig, Decisions
from aegir_dspy.annotator.ngrams import Bag, features
from aegir_dspy.annotator.relation_model import (
    KINDS,
    Described,
    RelationModel,
    describe,
    load_relation_model,
    save_relation_model,
    type_features,
)
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import PrerequisiteError
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.training.calibrate import Judged, decided
from aegir_dspy.training.datasets import LabelledTable, load_labelled
from aegir_dspy.training.split import Split, choose_dev_hosts, held_out_hosts, without_dev

__all__ = [
    "RelationsConfig",
    "Told",
    "Typed",
    "count_company",
    "cross_fitted",
    "decided_by",
    "fit_decision",
    "fit_relations",
    "relation_split",
    "tell",
    "train_relations",
    "typed_tables",
]

SOURCE = "sotabv2_cpa"
_STEPS = 30
_SILENT = -2.0  # the margin of a label without examples
_START = {"ngrams": 4.0}  # weights the fit begins with; 0.3 for any other member


@dataclass(frozen=True, slots=True)
class RelationsConfig:
    """How the relation model is trained.

    Attributes:
        seed: of the headers drawn and of the solver.
        penalty: C of the support vector machines.
        folds: parts of the training tables scored by machines of the other parts.
        headers: share of the columns of the second copy that show a header.
        untyped: share of the tables of the second copy whose types are not told.
        company: pairs' worth of independence mixed into each pair of relations.
        abstain_below: confidence under which no relation is given.
        varied: whether there is a second copy of the columns, with headers and other types.
        without: kinds of bags that are left out, ``types`` for the types: to see what each is worth.
    """

    seed: int = 0
    penalty: float = 1.0
    folds: int = 5
    headers: float = 0.5
    untyped: float = 0.3
    company: float = 0.5
    abstain_below: float = 0.3
    varied: bool = True
    without: tuple[str, ...] = ()


class Told(NamedTuple):
    """What a model says of the labelled columns of a table, and the company its relations keep."""

    judged: Judged
    agreement: Agreement


@dataclass(frozen=True)
class Typed:
    """A labelled table and the types of its columns, within each of some vocabularies."""

    table: LabelledTable
    types: Mapping[str, TableAnnotation] = field(default_factory=dict)

    @property
    def columns(self) -> list[int]:
        """The labelled columns."""
        return [gold.column_index for gold in self.table.labels]

    @property
    def labels(self) -> list[str]:
        """Their relations."""
        return [gold.label for gold in self.table.labels]

    @property
    def subject(self) -> int:
        """The subject column."""
        return self.table.subject or 0

    def described(self, vocabulary: str | None = None) -> list[Described]:
        """The features of the labelled columns, with their types within a vocabulary."""
        types = self.types.get(vocabulary) if vocabulary else None
        return describe(self.table.table, types, self.subject, self.columns)

    def fold(self, folds: int) -> int:
        """Which part of the training tables it belongs to, by its site."""
        return hashlib.sha256((self.table.host or self.table.table.name).encode()).digest()[1] % folds


def relation_split(folder: Path) -> Split:
    """The training and dev tables of the 108 SOTAB relations.

    dev is every table of a seeded fifth of the sites, without sites whose column types are trained on. train
    is the rest of the named tables, and the nameless ones that share no content with dev.

    Raises:
        InputError: the folder lacks the layout or one of the sets.
    """
    tables = load_labelled(folder, SOURCE, "CPA")
    typed = {t.host for t in load_labelled(folder, "sotabv2_cta")} - held_out_hosts()
    chosen = set(choose_dev_hosts(t.host for t in tables if t.host))
    dev = [t for t in tables if t.host in chosen - typed]
    train = [t for t in tables if t.host not in chosen]
    return Split(train + without_dev(load_labelled(folder, f"{SOURCE}_val", "CPA"), dev), dev)


def typed_tables(
    tables: Sequence[LabelledTable], bundle: Bundle, vocabularies: Sequence[str] = ("sotab82", "schema")
) -> list[Typed]:
    """The tables with the types an annotator gives their columns."""
    types: list[dict[str, TableAnnotation]] = [{} for _ in tables]
    for name in vocabularies:
        annotator = ColumnTypeAnnotator(bundle, load_vocabulary(name), AnnotatorConfig())
        for i, (annotation, _) in enumerate(annotator.annotate([t.table for t in tables])):
            types[i][name] = annotation
    return [Typed(table, found) for table, found in zip(tables, types, strict=True)]


def train_relations(
    data: Path, bundle: Bundle, out: Path, config: RelationsConfig | None = None
) -> dict[str, Any]:
    """Train the relation model, measure it on dev, write `out` and `out` with suffix .json; the report."""
    config = config or RelationsConfig()
    split, vocabulary = relation_split(data), load_vocabulary("sotab_cpa")
    train, dev = typed_tables(split.train, bundle), typed_tables(split.dev, bundle)
    model = fit_relations(train, vocabulary, config)
    told = cross_fitted(train, vocabulary, config)
    model = replace(model, decision=fit_decision(told))
    save_relation_model(out, model)
    model = load_relation_model(out)
    report = {
        "sha256": model.sha256,
        "types": bundle.sha256,
        "train": {"tables": len(train), "columns": sum(len(t.labels) for t in train)},
        "dev": {"columns": sum(len(t.labels) for t in dev), **_dev_scores(model, dev)},
    }
    out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def fit_relations(tables: Sequence[Typed], vocabulary: Vocabulary, config: RelationsConfig) -> RelationModel:
    """Machines over two copies of every column, and the company relations keep; the decision is not fitted.

    The first copy has the types of ``sotab82`` and no header; the second those of ``schema``, or none, and in
    part one of the headers of its relation.
    """
    rng = random.Random(config.seed)
    columns = [one for table in tables for one in table.described("sotab82")]
    labels = [label for table in tables for label in table.labels]
    for table in tables if config.varied else ():
        columns += _varied(table, vocabulary, config, rng).described(
            "schema" if rng.random() >= config.untyped else None
        )
    columns = [_left(one, config.without) for one in columns]
    types = load_vocabulary("schema").names
    told = labels * 2 if config.varied else labels
    weights, scale, idf, bias, by_type = _machines(columns, told, vocabulary.names, types, config)
    company = count_company([table.labels for table in tables], vocabulary.names, config.company)
    return RelationModel(
        vocabulary.names,
        types,
        weights,
        scale,
        idf,
        bias,
        by_type,
        company,
        abstain_below=config.abstain_below,
    )


def cross_fitted(tables: Sequence[Typed], vocabulary: Vocabulary, config: RelationsConfig) -> list[Told]:
    """What machines and company of the other sites say of every table's labelled columns."""
    found = []
    for fold in range(config.folds):
        model = fit_relations([t for t in tables if t.fold(config.folds) != fold], vocabulary, config)
        part = [t for t in tables if t.fold(config.folds) == fold]
        found += tell(model, part, without=config.without)
    return found


def tell(
    model: RelationModel,
    tables: Sequence[Typed],
    types: str | None = "sotab82",
    without: Sequence[str] = (),
) -> list[Told]:
    """What a model says of the labelled columns of some tables, whose types are of that vocabulary.

    `without`: kinds of bags left out, as in its training.
    """
    row, found = {label: i for i, label in enumerate(model.labels)}, []
    for table in tables:
        gold = torch.tensor([row[label] for label in table.labels])
        margins = model.margins([_left(one, without) for one in table.described(types)])
        judged = Judged({"ngrams": margins}, {}, torch.arange(len(gold)), gold, 0)
        found.append(Told(judged, model.agreement))
    return found


def count_company(tables: Sequence[Sequence[str]], labels: Sequence[str], strength: float) -> Tensor:
    """(L, L) log P(l', l) / P(l') P(l), rounded to what the file keeps; row l' to the left of l."""
    row = {label: i for i, label in enumerate(labels)}
    pairs = torch.zeros(len(labels), len(labels), dtype=torch.float64)
    for table in tables:
        for i, label in enumerate(table):
            for other in table[:i]:
                pairs[row[other], row[label]] += 1
    expected = torch.outer(pairs.sum(1), pairs.sum(0)) / pairs.sum().clamp(min=1.0)
    return ((pairs + strength) / (expected + strength)).log().bfloat16().float()


def fit_decision(told: Sequence[Told], members: Sequence[str] = ("ngrams",)) -> DecisionConfig:
    """The weights of the members' opinions and of company with the least negative log-likelihood (L-BFGS)."""
    start = torch.tensor([_START.get(name, 0.3) for name in members] + [0.5], dtype=torch.float64).log()
    logs = start.clone().requires_grad_()

    def config(values: Sequence[Any]) -> DecisionConfig:
        return DecisionConfig(dict(zip(members, values[:-1], strict=True)), company=values[-1])

    optimizer = torch.optim.LBFGS([logs], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        log_p, gold = decided_by(told, config(logs.exp().unbind()))
        value = F.nll_loss(log_p, gold) + 1e-3 * (logs - start).square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return config([round(value, 4) for value in logs.detach().exp().tolist()])


def decided_by(told: Sequence[Told], config: DecisionConfig) -> tuple[Tensor, Tensor]:
    """(N, L) log-probabilities of the labelled columns of some tables, and (N,) their relations."""
    rows = [decided([one.judged], Decisions(config, config), one.agreement)[0] for one in told]
    return torch.cat(rows), torch.cat([one.judged.gold for one in told])


def _left(column: Described, without: Sequence[str]) -> Described:
    """The column without some kinds of bags."""
    nothing = Bag(np.zeros(0, np.int64), np.zeros(0))
    bags = {kind: nothing if kind in without else bag for kind, bag in column.bags.items()}
    return Described(bags, {}, {}) if "types" in without else replace(column, bags=bags)


def _varied(table: Typed, vocabulary: Vocabulary, config: RelationsConfig, rng: random.Random) -> Typed:
    """The table with headers of their relations over some of the labelled columns."""
    labels = dict(zip(table.columns, table.labels, strict=True))
    columns = tuple(
        replace(column, name=rng.choice(vocabulary[labels[column.index]].headers))
        if column.index in labels and rng.random() < config.headers
        else column
        for column in table.table.table.columns
    )
    shown = replace(table.table.table, columns=columns)
    return replace(table, table=replace(table.table, table=shown))


def _machines(
    columns: Sequence[Described],
    labels: Sequence[str],
    names: Sequence[str],
    types: Sequence[str],
    config: RelationsConfig,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Weights, scales, idf, biases and weights of the types: one machine a label, against all others."""
    idfs = {kind: _idf([one.bags[kind] for one in columns], n) for kind, (n, _) in KINDS.items()}
    coef, bias = _fit(_matrix(columns, idfs, types), labels, names, config)
    counted, by_type = np.split(coef, [sum(n for n, _ in KINDS.values())])
    edges = np.cumsum([n for n, _ in KINDS.values()])[:-1]
    parts = [_int8(part) for part in np.split(counted, edges)]
    weights, scales = torch.cat([w for w, _ in parts]), torch.stack([scale for _, scale in parts])
    idf = torch.from_numpy(np.concatenate(list(idfs.values()))).float()
    return weights, scales, idf, _kept(bias), _kept(by_type)


def _fit(
    rows: Any, labels: Sequence[str], names: Sequence[str], config: RelationsConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(features, L) weights and (L,) biases; a label without examples never speaks up."""
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise PrerequisiteError('training needs an extra: pip install "aegir-dspy[train]"') from error
    coef, bias = np.zeros((rows.shape[1], len(names))), np.full(len(names), _SILENT)
    there = [i for i, name in enumerate(names) if name in set(labels)]
    if len(there) < 2:
        return coef, bias
    row = {names[i]: position for position, i in enumerate(there)}
    machine = LinearSVC(C=config.penalty, random_state=config.seed)
    machine.fit(rows, np.array([row[label] for label in labels]))
    fitted, shift = machine.coef_.T, machine.intercept_
    if len(there) == 2:  # one machine tells both
        fitted, shift = np.hstack([-fitted, fitted]), np.concatenate([-shift, shift])
    coef[:, there], bias[there] = fitted, shift
    return coef, bias


def _matrix(
    columns: Sequence[Described], idfs: Mapping[str, NDArray[np.float64]], types: Sequence[str]
) -> Any:
    """Sparse (columns, all buckets and types)."""
    from scipy.sparse import csr_matrix

    offsets = np.cumsum([0, *(n for n, _ in KINDS.values())]).tolist()
    data: list[NDArray[np.float64]] = []
    index: list[NDArray[np.int64]] = []
    for one in columns:
        told = type_features(one, types)
        there = np.flatnonzero(told)
        parts = [(one.bags[kind], idfs[kind], share) for kind, (_, share) in KINDS.items()]
        data.append(np.concatenate([*(features(bag, idf) * w for bag, idf, w in parts), told[there]]))
        shifted = [bag.buckets + offset for (bag, _, _), offset in zip(parts, offsets, strict=False)]
        index.append(np.concatenate([*shifted, there + offsets[-1]]))
    start = np.cumsum([0, *map(len, data)])
    width = offsets[-1] + 2 * len(types)
    return csr_matrix((np.concatenate(data), np.concatenate(index), start), (len(data), width))


def _idf(bags: Sequence[Bag], buckets: int) -> NDArray[np.float64]:
    """log((1 + n) / (1 + documents)) + 1, rounded to what the file keeps."""
    where = np.concatenate([bag.buckets for bag in bags]) if bags else np.zeros(0, np.int64)
    idf = np.log((1 + len(bags)) / (1 + np.bincount(where, minlength=buckets))) + 1
    return torch.from_numpy(idf).bfloat16().double().numpy()


def _int8(weights: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """int8 weights and a scale a label, the scale as exact as the file keeps it."""
    scale = torch.from_numpy(np.abs(weights).max(0) / 127).clamp(min=1e-8).bfloat16().double()
    return (torch.from_numpy(weights) / scale).round().clamp(-127, 127).to(torch.int8), scale.float()


def _kept(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).bfloat16().float()


def _dev_scores(model: RelationModel, dev: Sequence[Typed]) -> dict[str, float]:
    """Micro F1 (every column gets an answer) and calibration error, with types of either vocabulary."""
    scores: dict[str, float] = {}
    for types in ("sotab82", "schema", None):
        log_p, gold = decided_by(tell(model, dev, types), model.decision)
        confidence, best = log_p.exp().max(1)
        scores[f"micro_f1_{types or 'no'}_types"] = float((best == gold).double().mean())
        scores[f"ece_{types or 'no'}_types"] = expected_calibration_error(confidence.float(), best == gold)
    return scores
