"""One LiteLLM `Router` for all providers: it does keys, rates, cooling down and fallback.

Budgets are left to `aegir_dspy.adapters.providers.spending`: LiteLLM's limiter learns of a cost after the
call, when hundreds are under way, and once made it filters for every router of the process, also after its
own is gone.

LiteLLM is imported with the first call (3 to 5 s), with its own list of prices and without telemetry.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from aegir_dspy.adapters.providers.config import Provider, Providers
from aegir_dspy.errors import InputError

__all__ = ["Price", "ProviderPool", "check_priced", "litellm_module", "price_of"]

_COOLDOWN = 5.0  # seconds in which a key that failed is not asked, while there are others


@dataclass(frozen=True, slots=True)
class Price:
    """Of one token read, and of one written."""

    read: float = 0.0
    written: float = 0.0

    def of(self, read: float, written: float) -> float:
        """What that many tokens cost."""
        return self.read * read + self.written * written


@cache
def litellm_module() -> Any:
    """LiteLLM, offline but for the calls one makes."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm: Any = import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    # It warns of every model that is not in its list; that is what `price_in` is for.
    logging.getLogger("LiteLLM").addFilter(lambda record: "custom pricing" not in record.getMessage())
    return litellm


def price_of(provider: Provider) -> Price | None:
    """As the file says, else as LiteLLM's own list does; None where neither knows it."""
    if provider.price_in is not None and provider.price_out is not None:
        return Price(provider.price_in, provider.price_out)
    if not provider.model:
        return None
    try:
        listed: Mapping[str, Any] = litellm_module().get_model_info(provider.model)
    except Exception:  # what it raises for an unknown model is not said
        return None
    read, written = (listed.get(f"{way}_cost_per_token") or 0.0 for way in ("input", "output"))
    return Price(
        read if provider.price_in is None else provider.price_in,
        written if provider.price_out is None else provider.price_out,
    )


def check_priced(provider: Provider) -> None:
    """Raise InputError where nobody knows the price: a limit of cost would never be reached."""
    if price_of(provider) is None:
        raise InputError(
            f"expected a price of provider {provider.name}, because its cost is limited, found none: "
            "name price_in and price_out"
        )


class ProviderPool:
    """The router of some providers, made when it is first used, again in another event loop.

    Args:
        providers: those without a model are left out.
        retries: of the router itself, at once and with another key where there is one. What is to be done
            about failures is the replanner's, so there are none by default.
    """

    def __init__(self, providers: Providers, *, retries: int = 0) -> None:
        self.providers, self.retries = providers, retries
        self._router: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def router(self) -> Any:
        """The router, for the loop that runs."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.close()
            self._router, self._loop = self._made(), loop
        return self._router

    def close(self) -> None:
        """Forget the router and what it registered with LiteLLM."""
        if self._router is not None:
            self._router.discard()
        self._router = self._loop = None

    def _made(self) -> Any:
        models = [one for one in self.providers if one.model]
        return litellm_module().Router(
            model_list=[entry for one in models for entry in deployments(one)],
            fallbacks=[{one.name: list(one.fallback)} for one in models if one.fallback],
            num_retries=self.retries,
            cooldown_time=_COOLDOWN,
            optional_pre_call_checks=["enforce_model_rate_limits"],
        )


def deployments(provider: Provider) -> list[dict[str, Any]]:
    """A provider in the words of the router: a group with one deployment a key."""
    keys = provider.key_values()
    price = price_of(provider) or Price()
    common: dict[str, Any] = {
        "model": provider.model,
        "timeout": provider.timeout,
        "max_retries": 0,
        "input_cost_per_token": price.read,
        "output_cost_per_token": price.written,
        "rpm": provider.rpm,
        "tpm": provider.tpm,
        "api_base": provider.api_base or None,
        # Without a key of its own an endpoint must not be sent the one of another, from the environment.
        "api_key": "none" if provider.api_base else None,
    }
    common = {name: value for name, value in common.items() if value is not None}
    return [
        {
            "model_name": provider.name,
            "litellm_params": {**common, **({"api_key": key} if key else {})},
            "model_info": {"id": f"{provider.name}/{number}"},
        }
        for number, key in enumerate(keys or ("",))
    ]
