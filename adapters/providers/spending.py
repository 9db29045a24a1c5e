"""What providers cost in one run, and when that has to stop."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

__all__ = ["Spending"]


class Spending:
    """A ledger: calls reserve what they may cost and settle what they did.

    Calls run side by side, so what they may still cost counts as spent until it is known: a limit is kept
    even when three hundred start at once.

    Args:
        budgets: by provider; no entry for no limit.
        total: of all together, None for no limit.
    """

    def __init__(self, budgets: Mapping[str, float] | None = None, total: float | None = None) -> None:
        self._budgets = dict(budgets or {})
        self._total = math.inf if total is None else total
        self.spent: dict[str, float] = defaultdict(float)
        self._reserved: dict[str, float] = defaultdict(float)

    @property
    def all_spent(self) -> float:
        """By all providers."""
        return sum(self.spent.values())

    def left(self, provider: str) -> float:
        """What a provider may still cost; infinite without limits."""
        own = self._budgets.get(provider, math.inf) - self.spent[provider] - self._reserved[provider]
        return min(own, self._total - self.all_spent - sum(self._reserved.values()))

    def reserve(self, provider: str, most: float) -> bool:
        """Set aside what a call costs at most; False where that much is not left."""
        if most > self.left(provider):
            return False
        self._reserved[provider] += most
        return True

    def settle(self, provider: str, reserved: float, cost: float) -> None:
        """A call has ended and cost that much."""
        self._reserved[provider] -= reserved
        self.spent[provider] += cost
