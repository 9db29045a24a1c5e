"""`Swarm`: the front door. A `dspy.Module` that says what the columns of tables mean.

Specialists read every column once, in parallel; the primary reads each column again from the fused states
of its context and answers within the vocabulary, with calibrated confidence or not at all.

With a signature of one's own the same happens to one of its inputs: specialists read the elements of that
input, their states are fused, the primary answers from the fused state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import dspy

from aegir_dspy.annotator.annotation import ColumnAnnotation, TableAnnotation
from aegir_dspy.annotator.relations import RelationAnnotator
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.errors import FailureRecord, InputError
from aegir_dspy.latent import FusionMode, RWKVStateFusion
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.orchestrator.outcome import Usage
from aegir_dspy.orchestrator.swarm_orchestrator import Said, SwarmOrchestrator
from aegir_dspy.orchestrator.table_swarm import SwarmConfig, TableResult, Tables, TableSwarm, Working
from aegir_dspy.settings import FOREIGN, ShardSettings, TableSettings
from aegir_dspy.shards import Alignments, read_shards, swarm_predictors
from aegir_dspy.specialist import Primary, Source, Specialist, fuse, record_call
from aegir_dspy.tables import Table
from aegir_dspy.verifier import Verifier

__all__ = ["Swarm", "SwarmConfig", "Usage", "annotator_roles"]


class Swarm(dspy.Module):  # type: ignore[misc]
    """A swarm of small recurrent specialists, for tables or for a signature of one's own.

    >>> out = Swarm()(tables="orders.csv")
    >>> out.annotations[0].columns[0].type
    >>> qa = Swarm("documents: list[str], question -> answer", primary="rwkv7.pth", shard="documents")
    >>> qa(documents=[...], question="...").answer

    For tables the prediction has the fields annotations (list of `TableAnnotation`), relations, elements,
    composition, score, failures (list of `FailureRecord`), usage and identity; otherwise those of the
    signature and usage, and `latent`, the fused state it was answered from.

    `named_predictors()` lists every specialist and the primary.

    Args:
        signature: None for tables.
        shard: the list-valued input that specialists read, one element each.
        primary: a `Primary`, or the checkpoint that answers; by default the weights that ship.
        specialists: `Specialist`s, or checkpoints that read; by default one with the primary's.
        fusion: how their states become one, see `aegir_dspy.fuse`.
        alignments: sha256 of a checkpoint → `aegir_dspy.latent.AlignmentProjection`, or any function, that
            makes its states the primary's; for specialists with other weights.
        working: for tables: ``agents`` beside the local ones (of remote models, say), ``replanner`` and
            ``prefer``, see `aegir_dspy.orchestrator.swarm_orchestrator.SwarmOrchestrator`.
        config: see `SwarmConfig`; keyword arguments replace single fields of it.

    Raises:
        VocabularyError, CheckpointError: the vocabulary or the weights cannot be used.
        InputError: the shard is no input of the signature, or the predictors do not fit it.
    """

    def __init__(
        self,
        signature: str | type[dspy.Signature] | None = None,
        *,
        shard: str | None = None,
        primary: Primary | Source | None = None,
        specialists: Sequence[Specialist | Source] = (),
        fusion: FusionMode | RWKVStateFusion = "sqrt",
        alignments: Alignments | None = None,
        config: SwarmConfig | None = None,
        working: Working | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._signature = None if signature is None else dspy.ensure_signature(signature)
        given = replace(config or SwarmConfig(), **options)
        self.settings: TableSettings | ShardSettings
        if self._signature is None:
            self.settings = TableSettings(given, **(working or {}))
            self.specialists, self.primary = _table_predictors(self._annotator)
            return
        self._config = given
        answering, reading = swarm_predictors(self._signature, shard, primary, specialists, given.device)
        self.settings = ShardSettings(str(shard), list(reading), fusion, alignments or {})
        self.specialists, self.primary = reading, answering

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Annotate ``tables``, or answer the inputs of the signature."""
        return self._run(**inputs)

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """`forward` in a thread of its own."""
        return await asyncio.to_thread(self._run, **inputs)

    def _run(self, **inputs: Any) -> dspy.Prediction:
        return self._annotate(**inputs) if self._signature is None else self._answer(**inputs)

    def _answer(self, **inputs: Any) -> dspy.Prediction:
        """Read the shards, fuse, let the primary answer from the fused state."""
        began = time.monotonic()
        assert isinstance(self.settings, ShardSettings)
        assert isinstance(self.primary, Primary)
        shard, alignments = self.settings.shard, self.settings.alignments
        states = read_shards(self.specialists, self.primary, shard, inputs, alignments)
        answering = {n: inputs[n] for n in self.primary.signature.input_fields if n in inputs}
        prediction = self.primary(**answering, latent=fuse(states, self.settings.fusion))
        seconds = round(time.monotonic() - began, 3)
        tokens = sum(state.tokens for state in states)
        prediction.usage = Usage(len(states), 2, len(states) + 1, tokens, seconds)
        return prediction

    def _annotate(
        self, tables: Tables, on_table: Callable[[TableAnnotation], None] | None = None
    ) -> dspy.Prediction:
        """Annotate tables.

        Args:
            tables: what `read_tables` returns, tables, one table, or a path to read.
            on_table: called with each table's annotation as soon as there is one.
        """
        return self._shown(self.table_swarm(tables, on_table))

    def prediction(self, said: Said, failures: Sequence[FailureRecord] = ()) -> dspy.Prediction:
        """What the orchestrator made of some tables, and records of what could not be read before."""
        return self._shown(self.table_swarm.prediction(said, failures))

    def _shown(self, result: TableResult) -> dspy.Prediction:
        for annotation in result.annotations:
            self._record(annotation)
        return dspy.Prediction(**{one.name: getattr(result, one.name) for one in fields(result)})

    @property
    def config(self) -> SwarmConfig:
        """What this swarm was made with."""
        return self.settings.config if isinstance(self.settings, TableSettings) else self._config

    @property
    def table_swarm(self) -> TableSwarm:
        """The swarm without DSPy around it."""
        if not isinstance(self.settings, TableSettings):
            raise InputError("expected a swarm for tables, found one with a signature: make Swarm()")
        return self.settings.swarm

    @property
    def _annotator(self) -> ColumnTypeAnnotator:
        return self.table_swarm.annotator

    @property
    def orchestrator(self) -> SwarmOrchestrator:
        """What plans and runs the work on tables."""
        return self.table_swarm.orchestrator

    @property
    def graph(self) -> Any:
        """The work on tables as a compiled LangGraph graph, to run or to embed in another one.

        Its checkpointer is that of the graph it is embedded in; see `aegir_dspy.adapters.langgraph_app`.
        """
        # By name: the adapter sits above this module, and LangGraph is loaded for those who ask.
        return import_module("aegir_dspy.adapters.langgraph_app").swarm_graph(self)

    @property
    def relations(self) -> RelationAnnotator:
        """What says how columns are related to the subject column of their table."""
        return self.orchestrator.describer.relating

    @property
    def verifier(self) -> Verifier:
        """What scores the compositions; `verifier.metric` is a metric of DSPy."""
        return self.table_swarm.verifier

    @property
    def vocabulary(self) -> Vocabulary:
        """The types it answers with."""
        return self._annotator.vocabulary

    def identity(self, tables: Sequence[Table] = ()) -> dict[str, Any]:
        """See `TableSwarm.identity`."""
        return self.table_swarm.identity(tables)

    def load_state(self, state: dict[str, Any], *, allow_unsafe_lm_state: bool = False) -> None:
        """Inverse of `dump_state`, on the device of this swarm.

        Raises:
            CheckpointError: the weights are not the ones saved with.
            InputError: the state is not one of such a swarm.
        """
        if missing := [name for name, _ in self.named_parameters() if name not in state]:
            raise InputError(f"{FOREIGN}: it has no {', '.join(missing)}")
        super().load_state(state, allow_unsafe_lm_state=allow_unsafe_lm_state)

    def _record(self, annotation: TableAnnotation) -> None:
        """Show every column in DSPy's trace: what a predictor was given, and what the swarm made of it."""
        asked = [self.specialists[name] for name in self._annotator.members if name in self.specialists]
        for column in annotation.columns:
            inputs, answer = _evidence_fields(column), dspy.Prediction(type=column.type)
            for predictor in (*asked, self.primary):
                record_call(predictor, inputs, answer)


def annotator_roles(annotator: ColumnTypeAnnotator) -> list[tuple[str, str]]:
    """Name and instructions of every member that has a say in a column's type; the primary is the last.

    The instructions differ from each other: DSPy's optimizers tell predictors apart by them.
    """
    say = "Say which type the values of a column are of."
    members = [
        (m.name, f"{say} As the specialist {m.name}: {m.role}") for m in annotator.bundle.config.members
    ]
    return [*members, ("primary", f"{say} As the primary, from what the specialists hand over.")]


def _table_predictors(annotator: ColumnTypeAnnotator) -> tuple[dict[str, dspy.Predict], dspy.Predict]:
    """The members' predictors by name, and the primary's."""
    made = {
        name: dspy.Predict(dspy.Signature("column, context -> type", instructions))
        for name, instructions in annotator_roles(annotator)
    }
    primary = made.pop("primary")
    return made, primary


def _evidence_fields(column: ColumnAnnotation) -> dict[str, str]:
    """What decided about a column, as the inputs of its predictors."""
    found: dict[str, list[str]] = {}
    for evidence in column.evidence:
        found.setdefault("context" if evidence.kind == "context" else "column", []).append(evidence.text)
    return {name: ": ".join(found.get(name, ())) for name in ("column", "context")}
