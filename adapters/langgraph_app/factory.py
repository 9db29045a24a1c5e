"""The graph of a deployment, and that of a `Swarm` to embed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from platformdirs import user_cache_path

from aegir_dspy.adapters.langgraph_app.graph import Graph, build_graph
from aegir_dspy.adapters.langgraph_app.swarm_application import SwarmApplication
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import RELATION_VOCABULARIES, VOCABULARIES
from aegir_dspy.swarm import Swarm

__all__ = ["GraphSettings", "make_graph", "run_folder", "swarm_graph"]


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """What a client of a deployment may choose, in ``configurable``.

    Attributes:
        vocabulary, relations: built-in names; files only where the deployment names them.
        abstain_below: confidence under which no type is given; None for that of the weights.
        review_below: confidence under which a person is asked what a column is; None to ask nobody.
    """

    vocabulary: str = "schema"
    relations: str = "sotab_cpa"
    abstain_below: float | None = None
    review_below: float | None = None

    @classmethod
    def of(cls, configurable: Mapping[str, Any]) -> GraphSettings:
        """The settings among what a client sent.

        Raises:
            InputError: a vocabulary that is not built in, or a confidence that is none.
        """
        given = {f.name: configurable[f.name] for f in fields(cls) if configurable.get(f.name) is not None}
        for name, known in (("vocabulary", VOCABULARIES), ("relations", RELATION_VOCABULARIES)):
            if name in given and given[name] not in known:
                raise InputError(f"expected {name} {' or '.join(known)}, found {given[name]!r}")
        for name in ("abstain_below", "review_below"):
            if not isinstance(given.get(name, 0.0), int | float) or not 0 <= given.get(name, 0.0) <= 1:
                raise InputError(f"expected {name} from 0 to 1, found {given[name]!r}")
        return cls(**given)


def make_graph(config: dict[str, Any] | None = None) -> Graph:
    """The graph of a deployment, as ``langgraph.json`` names it.

    The environment says what a client may not choose: AEGIR_DATA, the folders that data may be in (by
    default the one it was started in), AEGIR_HOME, below which runs are kept, and AEGIR_CHECKPOINT, weights
    written by ``aegir train``.

    Args:
        config: of a run; its ``configurable`` may hold the fields of `GraphSettings`.
    """
    return _deployed(GraphSettings.of((config or {}).get("configurable") or {}))


@lru_cache(maxsize=8)  # each holds weights, and clients choose how many there are
def _deployed(settings: GraphSettings) -> Graph:
    swarm = Swarm(
        vocabulary=settings.vocabulary,
        relations=settings.relations,
        abstain_below=settings.abstain_below,
        checkpoint=os.environ.get("AEGIR_CHECKPOINT"),
        store=_home() / "states",
    )
    roots = os.environ.get("AEGIR_DATA", str(Path.cwd())).split(os.pathsep)
    return swarm_graph(swarm, review_below=settings.review_below, roots=[Path(root) for root in roots])


def swarm_graph(
    swarm: Swarm,
    *,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    review_below: float | None = None,
    roots: Sequence[Path] = (),
    name: str = "aegir",
) -> Graph:
    """The graph of a swarm for tables, to run or to embed in another one.

    Args:
        checkpointer: None for that of the graph it is embedded in.
        review_below: confidence under which a person is asked what a column is; None to ask nobody.
        roots: folders that data may be in; none for wherever this process may read.
        name: as a member of other graphs.
    """
    application = SwarmApplication(swarm, review_below)
    return build_graph(application, run_folder, name=name, roots=tuple(roots), checkpointer=checkpointer)


def run_folder(config: RunnableConfig) -> Path:
    """Where the runs of a thread are kept: below AEGIR_HOME."""
    thread = str(config.get("configurable", {}).get("thread_id") or "")
    return _home() / "runs" / "threads" / hashlib.sha256(thread.encode()).hexdigest()[:32]


def _home() -> Path:
    return Path(os.environ.get("AEGIR_HOME") or user_cache_path("aegir"))
