r"""Training the router: which readers is a column worth?

For every labelled column of dev and every reader r, the benefit of asking it beside the primary's first
reading is the negative log-likelihood of the right type that it takes away, less what a reading costs:

.. math:: b_r = \log p(y \mid \text{first}, r) - \log p(y \mid \text{first}) - \text{cost}

The router is a logistic regression on [b > 0] in which every column counts \|b\|: it asks where a benefit is
to be expected, not where one is likely but small. What is reported is measured crosswise, on hosts that it
was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.annotator.bundle import ROUTER_SUFFIX, Bundle
from aegir_dspy.annotator.consultation import Consultation
from aegir_dspy.annotator.reader import Opinion
from aegir_dspy.annotator.router import CONTEXT, Router, router_features, save_router
from aegir_dspy.annotator.sheet import Sheet
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.training.calibrate import check_dev, half_of
from aegir_dspy.training.datasets import LabelledTable
from aegir_dspy.training.split import sotab82_split

__all__ = ["Readings", "RouterConfig", "crosswise_routes", "fit_router", "train_router"]

_MOST = 1.0  # nats that one column counts at most, as some labels are wrong
_STEPS = 200


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """cost: of a reading, in nats. decay: of the weights, on standardised features."""

    cost: float = 0.03
    decay: float = 100.0


class Readings:
    """What every reader says of every column of some labelled tables.

    Attributes:
        readers: `CONTEXT` and the members, in the order of a routing's columns.
        gold: (C,) index of the label, -1 for columns without one. half: (C,) 0 or 1, by host.
        tables: (C,) the number of the table.
    """

    def __init__(self, bundle: Bundle, dev: Sequence[LabelledTable]) -> None:
        vocabulary = load_vocabulary("sotab82")
        self.annotator = ColumnTypeAnnotator(bundle, vocabulary, AnnotatorConfig(routed=False))
        self.sheet: Sheet = self.annotator.sheet([labelled.table for labelled in dev])
        every = torch.ones(len(self.sheet.readable), dtype=torch.bool)
        self._ngrams = self.annotator.ngram_opinion(self.sheet)
        self._alone = self.annotator.primary.opine(self.sheet, every, lambda _: ~every)
        self._context = self.annotator.primary.opine(self.sheet, every)
        self._members = {name: m.opine(self.sheet, every) for name, m in self.annotator.members.items()}
        self.readers = (CONTEXT, *self._members)
        widths = torch.tensor([len(labelled.table.columns) for labelled in dev])
        self.tables = torch.arange(len(dev)).repeat_interleave(widths)
        self.half = torch.tensor([half_of(labelled) for labelled in dev]).repeat_interleave(widths)
        self.gold = torch.cat([_gold(labelled, vocabulary.names) for labelled in dev])

    @property
    def hidden(self) -> Tensor:
        """(C, F) what the primary made of each column alone."""
        return self._alone.hidden

    @property
    def labelled(self) -> Tensor:
        """(C,) bool: columns with a label."""
        return self.gold >= 0

    def decided(self, asked: Tensor) -> Tensor:
        """(C, L) log-probabilities when the readers are asked as in `asked`, (C, R) bool."""
        none = torch.zeros(len(asked), dtype=torch.bool)
        again = asked[:, 0].unsqueeze(1)
        primary = Opinion(
            torch.where(again, self._context.labels, self._alone.labels),
            torch.where(again, self._context.themes, self._alone.themes),
            self._alone.read,
            self._alone.hidden,
        )
        found = Consultation.of(primary, *self._ngrams, none)
        for column, (name, said) in enumerate(self._members.items(), 1):
            some = asked[:, column]
            found = found.joined(name, said._replace(labels=said.labels * some.unsqueeze(1)), some)
        return self.annotator.decide(self.sheet, found)

    def everywhere(self, *readers: str) -> Tensor:
        """(C, R) bool: these readers asked about every column."""
        wanted = torch.tensor([reader in readers for reader in self.readers])
        return wanted.expand(len(self.gold), -1).clone()

    def likelihood(self, asked: Tensor) -> Tensor:
        """(C,) log-probability of the label; 0 for columns without one."""
        return self.decided(asked).gather(1, self.gold.clamp(min=0).unsqueeze(1)).squeeze(1) * self.labelled

    def confidence(self) -> Tensor:
        """(C,) of the decision without any further reader."""
        return self.decided(self.everywhere()).exp().amax(1)


def _gold(labelled: LabelledTable, names: Sequence[str]) -> Tensor:
    gold = torch.full((len(labelled.table.columns),), -1)
    for label in labelled.labels:
        gold[label.column_index] = names.index(label.labels[0])
    return gold


def fit_router(readings: Readings, config: RouterConfig, some: Tensor | None = None) -> Router:
    """A router for all readers, fitted on some (C,) of the labelled columns, by default on all."""
    used = readings.labelled if some is None else readings.labelled & some
    if not bool(used.any()):
        raise InputError("expected labelled columns to fit a router on, found none: name dev tables")
    features = router_features(readings.hidden, readings.confidence())[used]
    mean, scale = features.mean(0), features.std(0) + 1e-6
    before = readings.likelihood(readings.everywhere())
    rows, biases = [], []
    for reader in readings.readers:
        benefit = readings.likelihood(readings.everywhere(reader)) - before - config.cost
        weight, bias = _regress((features - mean) / scale, benefit[used].clamp(-_MOST, _MOST), config.decay)
        rows.append(weight / scale)
        biases.append(bias - (weight / scale) @ mean)
    identity = readings.annotator.bundle.sha256
    return Router(readings.readers, torch.stack(rows), torch.stack(biases), identity)


def _regress(features: Tensor, benefit: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Weights (F,) and bias of σ(w·x + b) for [benefit > 0], every row counting |benefit| (L-BFGS)."""
    parameters = torch.zeros(features.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    target, weight = (benefit > 0).double(), benefit.abs() / benefit.abs().mean()
    optimizer = torch.optim.LBFGS([parameters], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = features @ parameters[:-1] + parameters[-1]
        fit = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
        value = fit + 0.5 * decay * parameters[:-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found = parameters.detach()
    return found[:-1], found[-1]


def crosswise_routes(readings: Readings, config: RouterConfig) -> Tensor:
    """(C, R) bool: whom a router asks that was fitted on the hosts of the other half."""
    confidence = readings.confidence()
    first, second = (
        fit_router(readings, config, readings.half != half).routes(
            readings.readers, readings.hidden, confidence
        )
        for half in (0, 1)
    )
    return torch.where((readings.half == 0).unsqueeze(1), first, second)


def train_router(
    data: Path, bundle: Bundle, out: Path | None = None, config: RouterConfig | None = None
) -> dict[str, object]:
    """Fit on the dev hosts, write beside the bundle (or to `out`); a report, measured crosswise.

    Raises:
        InputError: there are no labelled dev tables, or the bundle was not read from a file.
    """
    if out is None and bundle.path is None:
        raise InputError("expected a file to write the router to, found none: name it")
    config, dev = config or RouterConfig(), sotab82_split(data).dev
    check_dev(dev)
    readings = Readings(bundle, dev)
    path = out or Path(str(bundle.path)).with_suffix(ROUTER_SUFFIX)
    sha256 = save_router(path, fit_router(readings, config))
    report: dict[str, object] = {"out": str(path), "sha256": sha256, "columns": int(readings.labelled.sum())}
    ways = {
        "nobody": readings.everywhere(),
        "routed": crosswise_routes(readings, config),
        "everybody": readings.everywhere(*readings.readers),
    }
    for name, asked in ways.items():
        right = (readings.decided(asked).argmax(1) == readings.gold)[readings.labelled]
        shares = asked[readings.labelled].double().mean(0).tolist()
        report[name] = {
            "micro_f1": round(float(right.double().mean()), 4),
            "asked": {r: round(share, 3) for r, share in zip(readings.readers, shares, strict=True)},
        }
    return report
