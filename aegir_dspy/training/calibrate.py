"""Calibrating a swarm on dev tables: how much each member's opinion counts, and how sure that makes it.

The parameters of `aegir_dspy.annotator.decision` are fitted to the least negative log-likelihood: weights of
the members, of the theme and of the company a column keeps. What is reported is measured crosswise: fitted
on the tables of one half of the hosts, measured on those of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.calibration import expected_calibration_error, fit_temperature
from aegir_dspy.annotator.decision import Agreement, DecisionConfig, Decisions, decide
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import Label, Vocabulary, load_vocabulary
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable
from aegir_dspy.training.examples import AMBIGUOUS

__all__ = [
    "Calibration",
    "Judged",
    "calibrate",
    "check_dev",
    "crosswise",
    "crosswise_answers",
    "decided",
    "fit_decisions",
    "half_of",
    "judge",
    "only",
]

_STEPS = 30
_FIRST = ("primary", "ngrams")
EARNING = ("backward", "offers")
"""Members that are asked: the others lost accuracy when left in (`benchmarks/swarm.py`, leave-one-out)."""
_START = {"primary": 0.8, "ngrams": 1.5}  # weights the fit begins with; 0.3 for any other member


@dataclass(frozen=True)
class Calibration:
    """A bundle with decisions fitted on dev, and what they are worth.

    Attributes:
        bundle: fitted on all of dev.
        ece, micro_f1: measured crosswise.
        ece_before: of the primary alone.
    """

    bundle: Bundle
    ece: float
    micro_f1: float
    ece_before: float


@dataclass(frozen=True)
class Judged:
    """What every member says of the columns of one table, and which of them have which label.

    labels: by member, (c, L). themes: by member, (c, T). rows: labelled columns. gold: their labels.
    half: 0 or 1, by the table's host.
    """

    labels: dict[str, Tensor]
    themes: dict[str, Tensor]
    rows: Tensor
    gold: Tensor
    half: int


def calibrate(
    bundle: Bundle,
    dev: Sequence[LabelledTable],
    generated: Sequence[Example],
    others: Mapping[str, Sequence[LabelledTable]] | None = None,
    small: Sequence[LabelledTable] = (),
) -> Calibration:
    """Fit the decisions within sotab82, schema and any other vocabulary, and the temperature of texts.

    Args:
        dev: tables of hosts the weights have not seen, labelled with the 82 SOTAB types.
        generated: generated tables of another seed, labelled with types of ``schema``.
        others: by vocabulary name, unseen tables labelled with other types that the head knows.
        small: unseen tables labelled with the 32 SOTAB types; their columns are too few to tell what more
            members than the first are worth.
    """
    asked = tuple(member for member in bundle.config.members if member.name in EARNING)
    everyone = replace(bundle, config=replace(bundle.config, members=asked))
    bundle = replace(bundle, config=replace(bundle.config, decisions={"": _everyone(everyone)}))
    sotab82, schema = load_vocabulary("sotab82"), load_vocabulary("schema")
    agreement = _agreement(bundle, sotab82)
    judged = judge(bundle, sotab82, dev)
    clear = [_clear(table) for table in dev] + [_as_labelled(example) for example in generated]
    domains = {member.name: member.themes for member in bundle.config.members if member.themes}
    fitted = {"sotab82": fit_decisions(judged, agreement, domains)}
    fitted["schema"] = fit_decisions(judge(bundle, schema, clear), _agreement(bundle, schema), domains)
    readers = ["primary", *(member.name for member in asked)]  # the n-grams know no other vocabularies
    fitted[""] = fitted["sotab32"] = fit_decisions(only(judged, readers), None)
    if small:
        fitted["sotab32"] = fit_decisions(
            only(judge(bundle, load_vocabulary("sotab32"), small), _FIRST), None
        )
    for name, tables in (others or {}).items():
        labels = sorted({label for table in tables for gold in table.labels for label in gold.labels})
        vocabulary = Vocabulary(name, tuple(Label(label) for label in labels))
        fitted[name] = fit_decisions(judge(bundle, vocabulary, tables), None)
    config = replace(bundle.config, decisions=fitted, text_temperature=_text_temperature(bundle, dev[:60]))
    micro_f1, ece = crosswise(judged, agreement, domains)
    alone = Decisions(*[DecisionConfig({"primary": 1.0})] * 2)
    before = _error(*decided(judged, alone, None))
    return Calibration(replace(bundle, config=config), ece, micro_f1, before)


def judge(
    bundle: Bundle, vocabulary: Vocabulary, tables: Sequence[LabelledTable], context: int = 8
) -> list[Judged]:
    """Ask every member about every column of the tables, from at most `context` other columns."""
    config = AnnotatorConfig(ContextConfig(columns=context), routed=False, sure=2.0, ask_below=2.0)
    annotator = ColumnTypeAnnotator(bundle, vocabulary, config)
    found: list[Judged] = []
    for first in range(0, len(tables), 64):
        batch = tables[first : first + 64]
        sheet = annotator.sheet([t.table for t in batch])
        said = annotator.consult(sheet)
        for table, span in zip(batch, sheet.spans, strict=True):
            rows = torch.tensor([gold.column_index for gold in table.labels], dtype=torch.int64)
            gold = torch.tensor([vocabulary.names.index(gold.labels[0]) for gold in table.labels])
            found.append(Judged(*said.part(span), rows, gold, half_of(table)))
    return found


def fit_decisions(
    judged: Sequence[Judged],
    agreement: Agreement | None,
    domains: Mapping[str, Sequence[str]] | None = None,
) -> Decisions:
    """The decisions without and with the members beside primary and n-grams.

    Args:
        domains: the themes of the members that have a domain.

    Raises:
        InputError: none of the tables has a labelled column.
    """
    asked = [table for table in judged if len(table.rows)]
    if not asked:
        raise InputError(
            f"expected tables with labelled columns to fit decisions on, found {len(judged)} tables without "
            "any: label columns of the dev hosts"
        )
    members = sorted(asked[0].labels, key=lambda name: (name not in _FIRST, name))
    first = _fit(asked, [name for name in members if name in _FIRST] or members, agreement, {})
    full = _fit(asked, members, agreement, domains or {}) if set(members) - set(_FIRST) else first
    return Decisions(first, full)


def _fit(
    judged: Sequence[Judged],
    members: Sequence[str],
    agreement: Agreement | None,
    domains: Mapping[str, Sequence[str]],
) -> DecisionConfig:
    """Minimise the negative log-likelihood over the logarithms of the parameters (L-BFGS)."""
    themes = sorted(judged[0].themes) if agreement is not None and agreement.themes else []
    start = [_START.get(name, 0.3) for name in members] + [0.5, 0.5, 0.1] + [1.0 for _ in themes]
    logs = torch.tensor(start, dtype=torch.float64).log().requires_grad_()

    def config(values: Sequence[Any]) -> DecisionConfig:
        n = len(members)
        if agreement is None:
            return DecisionConfig(dict(zip(members, values[:n], strict=True)))
        return DecisionConfig(
            dict(zip(members, values[:n], strict=True)),
            dict(zip(themes, values[n + 3 :], strict=True)),
            theme=values[n],
            evidence=values[n + 1],
            company=values[n + 2],
            domains={name: tuple(domains[name]) for name in members if name in domains},
        )

    optimizer = torch.optim.LBFGS([logs], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        log_p, gold = decided(judged, Decisions(*[config(logs.exp().unbind())] * 2), agreement)
        value = F.nll_loss(log_p, gold) + 1e-3 * (logs - torch.tensor(start).log()).square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return config([round(value, 4) for value in logs.detach().exp().tolist()])


def decided(
    judged: Sequence[Judged], decisions: Decisions, agreement: Agreement | None
) -> tuple[Tensor, Tensor]:
    """(N, L) log-probabilities of the labelled columns, and (N,) their labels."""
    rows = []
    for table in judged:
        asked = torch.ones(len(next(iter(table.labels.values()))), dtype=torch.bool)
        rows.append(decide(table.labels, table.themes, decisions, agreement, asked)[table.rows])
    return torch.cat(rows), torch.cat([table.gold for table in judged])


def crosswise(
    judged: Sequence[Judged],
    agreement: Agreement | None,
    domains: Mapping[str, Sequence[str]] | None = None,
) -> tuple[float, float]:
    """Accuracy (micro F1, as every column gets an answer) and calibration error on the unseen halves."""
    log_p = torch.cat(crosswise_answers(judged, agreement, domains))
    gold = torch.cat([table.gold for table in judged])
    return float((log_p.argmax(1) == gold).double().mean()), _error(log_p, gold)


def crosswise_answers(
    judged: Sequence[Judged],
    agreement: Agreement | None,
    domains: Mapping[str, Sequence[str]] | None = None,
) -> list[Tensor]:
    """Per table (labelled columns, L) log-probabilities, fitted on the tables of the other half of hosts.

    Raises:
        InputError: all tables with labelled columns are of hosts of one half.
    """
    _check_halves([table.half for table in judged if len(table.rows)])
    halves = [[t for t in judged if t.half != half] for half in (0, 1)]
    fitted = [fit_decisions(half, agreement, domains) for half in halves]
    return [decided([table], fitted[table.half], agreement)[0] for table in judged]


def check_dev(dev: Sequence[LabelledTable]) -> None:
    """Raise InputError where these tables are too few to calibrate on: a training run would end there."""
    _check_halves([half_of(table) for table in dev if table.labels])


def _check_halves(halves: Sequence[int]) -> None:
    if set(halves) != {0, 1}:
        raise InputError(
            "expected labelled dev tables in both halves of the hosts, one to fit and one to measure on; "
            f"found {halves.count(0)} and {halves.count(1)}: add tables of more dev hosts "
            "(aegir_dspy/training/dev_hosts.json)"
        )


def _error(log_p: Tensor, gold: Tensor) -> float:
    confidence, best = log_p.exp().max(1)
    return expected_calibration_error(confidence.float(), best == gold)


def _everyone(bundle: Bundle) -> Decisions:
    """Decisions that make the annotator ask everybody."""
    names = ["primary", *(["ngrams"] if bundle.ngrams else []), *(m.name for m in bundle.config.members)]
    return Decisions(*[DecisionConfig(dict.fromkeys(names, 1.0))] * 2)


def only(judged: Sequence[Judged], members: Sequence[str]) -> list[Judged]:
    """What some members say."""
    return [
        replace(
            table,
            labels={name: said for name, said in table.labels.items() if name in members},
            themes={name: said for name, said in table.themes.items() if name in members},
        )
        for table in judged
    ]


def _agreement(bundle: Bundle, vocabulary: Vocabulary) -> Agreement | None:
    return ColumnTypeAnnotator(bundle, vocabulary).agreement


def _text_temperature(bundle: Bundle, dev: Sequence[LabelledTable]) -> float:
    """Temperature of labels scored as text: the head is made to know none of them."""
    vocabulary = load_vocabulary("sotab82")
    wordless = replace(bundle, config=replace(bundle.config, labels=(), members=()), agreement=None)
    judged = judge(wordless, vocabulary, dev)
    log_p, gold = decided(judged, Decisions(), None)
    return fit_temperature(log_p.float(), gold)


def _clear(table: LabelledTable) -> LabelledTable:
    """Without labels that contain technical types: they say nothing about those."""
    return replace(table, labels=tuple(gold for gold in table.labels if gold.label not in AMBIGUOUS))


def _as_labelled(example: Example) -> LabelledTable:
    columns = (
        Column(i, names[0] if names else None, values)
        for i, (names, values) in enumerate(zip(example.headers, example.columns, strict=True))
    )
    labels = (LabelledColumn(i, label, (label,)) for i, label in enumerate(example.labels) if label)
    content = repr(example.columns)
    return LabelledTable(Table(content, "generated", tuple(columns)), tuple(labels), "generated", "", None)


def half_of(table: LabelledTable) -> int:
    """0 or 1, by the table's host."""
    return hashlib.sha256((table.host or table.table.name).encode()).digest()[0] % 2
