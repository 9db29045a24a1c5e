r"""What the members say of the columns of a table, made into one decision.

For column c of a table with n columns, over the labels l:

.. math::
    s_c(l) = \sum_m w_m g_m \log p_m(l \mid c)
      + \lambda \log \sum_t P(t) \frac{P(l \mid t)}{P(l)}
      + \mu \frac{\min(n - 1, 8)}{n - 1} \sum_{c' \ne c} \sum_{l'} q_{c'}(l') \log \frac{P(l', l)}{P(l') P(l)}

The first sum is the members' opinions (margins for the n-gram specialist). A domain specialist is heard as
far as the table is of its domain: g is the probability of the domain's themes, 1 for all others. The theme t
is what the rows of the table are (books, events, …); P(t) comes from what the members say of it, and from how
well the columns' opinions fit it. q are the beliefs after the first two terms: each column tells the others
what it takes itself for, as in Sato's CRF (Zhang et al., PVLDB 13, 2020), in one round; P(l', l) is of a
column l' to the left of a column l, or the other way round for the columns to the right. P(l | t) and
P(l', l) are counts of the training tables. The parameters are fitted by `aegir_dspy.training.calibrate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["Agreement", "DecisionConfig", "Decisions", "decide", "pool"]

_MOST_COMPANY = 8


@dataclass(frozen=True)
class DecisionConfig:
    """The parameters of a decision; numbers, or scalar tensors while they are fitted.

    Attributes:
        opinions: weight of each member's opinion, by member.
        themes: weight of what each member says of the theme.
        theme: λ. evidence: how much the columns' opinions say about the theme. company: μ.
        temperature: the scores are divided by it.
        domains: the themes of each domain specialist.
    """

    opinions: Mapping[str, Any] = field(default_factory=lambda: {"primary": 1.0})
    themes: Mapping[str, Any] = field(default_factory=dict)
    theme: Any = 0.0
    evidence: Any = 0.0
    company: Any = 0.0
    temperature: Any = 1.0
    domains: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Agreement:
    """What goes together: themes with labels, and labels with labels.

    themes: names, ``theme:Book``. labels: names.
    affinity: (T, L) log P(l | t) / P(l). company: (L, L) log P(l', l) / P(l') P(l), row l' to the left of l.
    """

    themes: tuple[str, ...]
    labels: tuple[str, ...]
    affinity: Tensor
    company: Tensor

    def on(self, labels: Sequence[str], themes: Sequence[str]) -> Agreement:
        """The same for some labels and themes; nothing is known of those that are not here."""
        rows = {label: row for row, label in enumerate(self.labels)}
        places = [(new, rows[label]) for new, label in enumerate(labels) if label in rows]
        affinity = torch.zeros(len(themes), len(labels), dtype=torch.float64)
        company = torch.zeros(len(labels), len(labels), dtype=torch.float64)
        if places:
            new, old = (torch.tensor(side) for side in zip(*places, strict=True))
            for row, theme in enumerate(themes):
                if theme in self.themes:
                    affinity[row, new] = self.affinity[self.themes.index(theme)].double()[old]
            company[new.unsqueeze(1), new] = self.company.double()[old][:, old]
        return Agreement(tuple(themes), tuple(labels), affinity, company)


@dataclass(frozen=True, slots=True)
class Decisions:
    """How opinions become decisions: with every member's (`full`), and without those not asked (`first`)."""

    first: DecisionConfig = DecisionConfig()
    full: DecisionConfig = DecisionConfig()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decisions:
        """Inverse of `dataclasses.asdict`."""
        return cls(DecisionConfig(**data["first"]), DecisionConfig(**data["full"]))


def decide(
    opinions: Mapping[str, Tensor],
    themes: Mapping[str, Tensor],
    decisions: Decisions,
    agreement: Agreement | None,
    asked: Tensor,
) -> Tensor:
    """Calibrated log-probabilities (C, L) of the columns of one table.

    Args:
        opinions: by member, (C, L) log-probabilities, or margins; those without a weight are left out.
        themes: by member, (C, T) log-probabilities, or margins.
        agreement: on exactly these labels and themes; None for opinions alone.
        asked: (C,) bool: columns about which every member was asked.
    """
    first, full = decisions.first, decisions.full
    names = agreement.themes if agreement is not None else ()
    scores, some = pool(opinions, first, _gates(themes, first, names)), asked.unsqueeze(1)
    if bool(asked.any()):
        scores = torch.where(some, pool(opinions, full, _gates(themes, full, names)), scores)
    if agreement is not None and len(scores):
        if agreement.themes:
            message = _theme_message(scores, themes, first, agreement.affinity)
            scores = scores + torch.where(some, full.theme, first.theme) * message
        beliefs = scores.softmax(1)
        left = beliefs.cumsum(0) - beliefs
        right = beliefs.sum(0) - beliefs - left
        heard = left @ agreement.company + right @ agreement.company.T
        others = max(1, len(scores) - 1)
        heard = heard * (min(others, _MOST_COMPANY) / others)
        scores = scores + torch.where(some, full.company, first.company) * heard
    return (scores / torch.where(some, full.temperature, first.temperature)).log_softmax(1)


def pool(opinions: Mapping[str, Tensor], config: DecisionConfig, gates: Mapping[str, Tensor]) -> Tensor:
    """(C, L) the sum of the opinions that have a weight, by weight and gate."""
    weighted = [
        config.opinions[name] * gates.get(name, 1.0) * said
        for name, said in opinions.items()
        if name in config.opinions
    ]
    return torch.stack(weighted).sum(0)


def _gates(themes: Mapping[str, Tensor], config: DecisionConfig, names: Sequence[str]) -> dict[str, Tensor]:
    """How probable it is that the table is of each specialist's domain."""
    if not names or not any(name in config.themes for name in themes):
        return {}
    probable = _said_of_themes(themes, config).softmax(0)
    rows = {
        member: [names.index(theme) for theme in domain if theme in names]
        for member, domain in config.domains.items()
    }
    return {member: probable[chosen].sum() for member, chosen in rows.items()}


def _said_of_themes(themes: Mapping[str, Tensor], config: DecisionConfig) -> Tensor:
    """(T,) what the members say of the theme of a table."""
    said = [config.themes[name] * x.mean(0) for name, x in themes.items() if name in config.themes]
    return torch.stack(said).sum(0)


def _theme_message(
    scores: Tensor, themes: Mapping[str, Tensor], config: DecisionConfig, affinity: Tensor
) -> Tensor:
    """(L,) or (C, L): log Σ_t P(t) P(l|t) / P(l)."""
    fit = torch.logsumexp(scores.log_softmax(1).unsqueeze(1) + affinity, 2)  # (C, T)
    log_t = config.evidence * fit.sum(0) / max(1.0, len(scores) / _MOST_COMPANY)
    if any(name in config.themes for name in themes):
        log_t = log_t + _said_of_themes(themes, config)
    return torch.logsumexp(log_t.log_softmax(0).unsqueeze(1) + affinity, 0)
