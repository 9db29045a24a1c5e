"""The reward of parallel-agent reinforcement learning (PARL), and its steps: formulas, no training.

After Kimi K2.5 (arXiv:2602.02276): ``r = r_perf + λ1·r_parallel + λ2·r_finish``. `r_parallel` works against
serial collapse, `r_finish` against sub-agents that are spawned for nothing; both are means, so λ1 and λ2 are
annealed to 0, or the reward is collected by spawning. Kimi publishes the sum and the purpose of its parts but
no formulas for them; here are two sets:

- ours, over the subtasks of a run: `r_parallel`, `r_finish`;
- that of the first Aegir swarm, over a router's activations: `r_balance`, `r_coverage`.

Activations are a matrix: a row a decision, a column a specialist, 1 (or a probability) where it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from aegir_dspy.errors import InputError
from aegir_dspy.orchestrator.execution import Run

__all__ = [
    "Reward",
    "annealed",
    "critical_steps",
    "degenerate_penalty",
    "parl_reward",
    "r_balance",
    "r_coverage",
    "r_finish",
    "r_parallel",
    "r_perf",
    "run_reward",
]

Activations = Sequence[Sequence[float]]

_ALWAYS, _NEVER = 0.95, 0.05  # shares of decisions from which on a specialist counts as always, never asked


@dataclass(frozen=True, slots=True)
class Reward:
    """``total = perf + lambda_parallel · parallel + lambda_finish · finish``."""

    perf: float
    parallel: float
    finish: float
    lambda_parallel: float
    lambda_finish: float

    @property
    def total(self) -> float:
        """What is learned from."""
        return self.perf + self.lambda_parallel * self.parallel + self.lambda_finish * self.finish


def parl_reward(
    perf: float,
    parallel: float,
    finish: float,
    update: int,
    updates: int,
    weights: tuple[float, float] = (0.3, 0.3),
) -> Reward:
    """The reward at one update of a training; `weights` are λ1 and λ2 at its start, see `annealed`."""
    first, second = (annealed(weight, update, updates) for weight in weights)
    return Reward(perf, parallel, finish, first, second)


def annealed(start: float, update: int, updates: int, until: float = 0.6) -> float:
    """``λ(t) = λ0 · max(0, 1 − t / (until · T))``: 0 from 60 % of the updates on, so that what is left to
    collect is r_perf. An independent reproduction that never annealed saw spawning rewarded for its own sake.
    """
    if updates < 1 or not 0 < until <= 1:
        raise InputError(f"expected updates >= 1 and until in (0, 1], found {updates} and {until}")
    return start * max(0.0, 1.0 - update / (until * updates))


def r_perf(scores: Sequence[float]) -> float:
    """``mean(clip(s))``: of the verifier's R of the results, or a macro F1 as the only one; 0 without any."""
    return fmean(map(_clip, scores)) if scores else 0.0


def r_parallel(used: int, serial: int) -> float:
    """``clip(1 − C_used / C_serial)``: critical steps saved against one after the other.

    `serial` counts subtasks only that the verifier accepted, so that work nobody needs saves nothing.
    """
    return _clip(1.0 - used / serial) if serial > 0 else 0.0


def r_finish(accepted: int, assigned: int) -> float:
    """``accepted / assigned`` subtasks; 1 where none was assigned: nothing was spawned for nothing."""
    if not 0 <= accepted <= assigned:
        raise InputError(f"expected 0 <= accepted <= assigned, found {accepted} of {assigned}")
    return accepted / assigned if assigned else 1.0


def run_reward(
    run: Run, accepted: Collection[str], scores: Sequence[float], update: int, updates: int
) -> Reward:
    """The reward of a run: `accepted` are the ids of the tasks whose outcome the verifier let pass.

    Steps of the planner count on both sides.
    """
    passed = [run.outcomes[name] for name in sorted(set(accepted) & run.outcomes.keys())]
    passed = [one for one in passed if one.ok]
    main = run.usage.serial_steps - sum(one.serial_steps for one in run.outcomes.values())
    serial = main + sum(one.serial_steps for one in passed)
    parallel = r_parallel(run.usage.critical_steps, serial)
    finish = r_finish(len(passed), len(run.outcomes))
    return parl_reward(r_perf(scores), parallel, finish, update, updates)


def r_balance(activations: Activations, alpha: float = 1.0, beta: float = 1.0) -> float:
    """``−α·CV(n) + β·utilisation``, the first Aegir swarm's r_parallel.

    n are the activations of each specialist, CV their standard deviation over their mean, utilisation the
    share of specialists that were asked at all.
    """
    asked = _per_specialist(activations)
    if not asked or not sum(asked):
        return 0.0
    return -alpha * pstdev(asked) / fmean(asked) + beta * fmean(n > 0 for n in asked)


def r_coverage(accepted: int, assigned: int, activations: Activations) -> float:
    """``coverage − degenerate penalty``, the first Aegir swarm's r_finish."""
    return r_finish(accepted, assigned) - degenerate_penalty(activations)


def degenerate_penalty(activations: Activations) -> float:
    """``max(always on, always off, constant)`` in [0, 1]: how far a router decides nothing.

    Always on, always off: share of specialists that are asked in at least 95 %, at most 5 % of the decisions.
    Constant: 1 where every decision is the same. A single decision shows none of it.
    """
    if len(activations) < 2 or not activations[0]:
        return 0.0
    rates = [n / len(activations) for n in _per_specialist(activations)]
    constant = all(list(row) == list(activations[0]) for row in activations)
    return max(
        fmean(rate >= _ALWAYS for rate in rates), fmean(rate <= _NEVER for rate in rates), float(constant)
    )


def critical_steps(stages: Sequence[tuple[int, Sequence[int]]]) -> int:
    """``Σ_t (S_main(t) + max_i S_sub,i(t))`` of a run in stages: the main agent's steps, its sub-agents'.

    For tasks that start as soon as they can, without stages, see `aegir_dspy.orchestrator.outcome.Usage`.
    """
    return sum(main + max(subs, default=0) for main, subs in stages)


def _per_specialist(activations: Activations) -> list[float]:
    if len({len(row) for row in activations}) > 1:
        raise InputError(
            "expected an activation a specialist in every decision, found rows of several lengths"
        )
    return [sum(column) for column in zip(*activations, strict=True)]


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
