"""Which remote models there are: the section ``providers`` of ``aegir.toml``.

A model that LiteLLM knows, or anything that speaks OpenAI's protocol, or a deployed LangGraph graph::

    [providers.quick]
    model = "openai/gpt-4.1-mini"
    keys = ["OPENAI_API_KEY", "OPENAI_API_KEY_2"]   # names of environment variables, never keys
    rpm = 500                                       # calls a minute, with each key
    budget = 2.0                                    # in the currency of the prices

    [providers.house]
    model = "openai/qwen3-32b"
    api_base = "http://10.0.0.7:8000/v1"
    price_in = 0.0
    price_out = 0.0
    unmasked = true                                 # is shown cells as they are

    [providers.colleague]
    url = "http://10.0.0.8:2024"
    graph = "annotator"

Prices are per token; those of LiteLLM's own list hold where none are given.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints, overload
from urllib.parse import urlsplit

from aegir_dspy.errors import InputError
from aegir_dspy.settings_file import read_settings

__all__ = ["Provider", "Providers", "providers_from", "read_providers"]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_SECRET = re.compile(r"(api_?)?key|token|secret|password|authorization", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Provider:
    """One remote model.

    Attributes:
        name: unique; also that of its agent.
        model: as LiteLLM names it, with its provider in front: ``anthropic/…``, ``openai/…``, ``ollama/…``.
        api_base: address of an endpoint that speaks OpenAI's protocol.
        url: address of a LangGraph deployment, instead of a model. graph: the name of the graph there.
        keys: environment variables that hold keys; calls are spread over them.
        price_in, price_out: of a token read and written; None for LiteLLM's own list.
        rpm, tpm: calls and tokens a minute with each key; None for no limit.
        budget: what it may cost in one run; None for no limit.
        skills: kinds of tasks it does.
        timeout: seconds for one call.
        parallel: calls at once.
        max_tokens: written in one answer, at most.
        unmasked: whether it is shown cells as they are, not masked by `aegir_dspy.verifier.masking`.
        fallback: names of providers that are asked when this one cannot be.
    """

    name: str
    model: str = ""
    api_base: str = ""
    url: str = ""
    graph: str = "agent"
    keys: tuple[str, ...] = ()
    price_in: float | None = None
    price_out: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    budget: float | None = None
    skills: tuple[str, ...] = ("consult",)
    timeout: float = 60.0
    parallel: int = 16
    max_tokens: int = 2048
    unmasked: bool = False
    fallback: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"provider {self.name}"
        if bool(self.model) == bool(self.url):
            raise InputError(f"expected either a model or a url of {where}, found {_both(self)}")
        if self.url and self.budget is not None:
            raise InputError(f"expected no budget of {where}, found one: a graph does not say what it costs")
        for option in ("api_base", "url"):
            _check_address(where, option, getattr(self, option))
        for key in self.keys:
            if not _VARIABLE.fullmatch(key):
                raise InputError(
                    f"expected names of environment variables as keys of {where}, found something else: "
                    "put the key into the environment and its variable's name here"
                )
        for option, least in (("price_in", 0.0), ("price_out", 0.0), ("budget", 0.0)):
            _check_number(where, option, getattr(self, option), least)
        for option in ("rpm", "tpm", "parallel", "max_tokens"):
            _check_number(where, option, getattr(self, option), 1)
        _check_number(where, "timeout", self.timeout, 1e-3)

    def key_values(self) -> tuple[str, ...]:
        """The keys, from the environment. Raises InputError where a variable is not set."""
        for key in self.keys:
            if not os.environ.get(key):
                raise InputError(
                    f"expected a key of provider {self.name} in {key}, found it unset: export it"
                )
        return tuple(os.environ[key] for key in self.keys)


class Providers(Sequence[Provider]):
    """Providers with names of their own, in the order of the file.

    Raises:
        InputError: two have one name, or a fallback is none of them.
    """

    def __init__(self, providers: Sequence[Provider] = ()) -> None:
        self._all = tuple(providers)
        names = [one.name for one in self._all]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"expected one provider a name, found several called {', '.join(twice)}")
        for one in self._all:
            # A fallback is sent what the first one was to be sent: masked cells stay masked.
            fit = sorted(
                other.name
                for other in self._all
                if other.model and other != one and other.unmasked >= one.unmasked
            )
            if unfit := [name for name in one.fallback if name not in fit]:
                raise InputError(
                    f"expected other models that may see the same cells as fallback of provider {one.name}, "
                    f"found {', '.join(unfit)}: there are {', '.join(fit) or 'none'}"
                )

    @overload
    def __getitem__(self, index: int) -> Provider: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Provider]: ...
    def __getitem__(self, index: int | slice) -> Provider | Sequence[Provider]:
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._all)


def read_providers(folder: str | Path = ".") -> Providers:
    """The providers that ``aegir.toml`` (or ``pyproject.toml``) in a folder names; none without such a file.

    Raises:
        InputError: says what is wrong, without showing keys.
    """
    settings, where = read_settings(Path(folder))
    return providers_from(settings.get("providers", {}), where)


def providers_from(said: Any, where: str) -> Providers:
    """Providers from the section's content: tables by name, or a list of tables with a ``name`` each."""
    if isinstance(said, Mapping):
        named = [(str(name), one) for name, one in said.items()]
    elif isinstance(said, list):
        named = [(str(one.get("name", "")) if isinstance(one, Mapping) else "", one) for one in said]
    else:
        named = [("", said)]
    return Providers([_provider(name, one, f"{where} [providers.{name}]") for name, one in named])


def _provider(name: str, said: Any, where: str) -> Provider:
    if not isinstance(said, Mapping) or not name:
        raise InputError(
            f"expected tables [providers.<name>] in {where.split(' [', maxsplit=1)[0]}, found something else"
        )
    types = get_type_hints(Provider)
    known = {option.name for option in fields(Provider)}
    given: dict[str, Any] = {}
    for key, value in said.items():
        option = key.replace("-", "_")
        if option not in known:
            hint = ": name its environment variable under keys" if _SECRET.fullmatch(option) else ""
            raise InputError(f"expected one of {', '.join(sorted(known))} in {where}, found {key!r}{hint}")
        given[option] = _typed(value, types[option], f"{where}, {key}")
    return Provider(**{**given, "name": name})


def _typed(value: Any, type_: Any, where: str) -> Any:
    """The value as the field has it; the value itself is never in the message: it may be a key."""
    if type_ == tuple[str, ...]:
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return tuple(texts)
        raise InputError(f"expected a list of texts in {where}, found something else")
    wanted = next(kind for kind in (*get_args(type_), type_) if kind is not NoneType)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise InputError(f"expected {_IN_WORDS[wanted]} in {where}, found something else")
    return value


_IN_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _both(provider: Provider) -> str:
    return "both" if provider.model else "neither"


def _check_address(where: str, option: str, address: str) -> None:
    if not address:
        return
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"expected an address http(s)://… as {option} of {where}, found something else")
    if parts.username or parts.password or parts.query:
        raise InputError(
            f"expected an address without keys as {option} of {where}, found one with them: "
            "put the key into the environment and its variable's name under keys"
        )


def _check_number(where: str, option: str, value: float | None, least: float) -> None:
    if value is not None and not (least <= value < math.inf):
        raise InputError(f"expected {option} >= {least:g} of {where}, found {value}")
