"""A swarm for tables, without DSPy: what ``aegir annotate`` runs and `aegir_dspy.Swarm` shows to DSPy."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from aegir_dspy._version import __version__
from aegir_dspy.annotator.annotation import Relation, TableAnnotation
from aegir_dspy.annotator.bundle import Bundle, default_bundle, load_bundle
from aegir_dspy.annotator.elements import DataElement
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import FailureRecord, InputError
from aegir_dspy.latent.store import StateStore
from aegir_dspy.ontology.composition import Composition
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.orchestrator.agent import Agent
from aegir_dspy.orchestrator.artifacts import MemoryArtifacts
from aegir_dspy.orchestrator.decision import Replanner
from aegir_dspy.orchestrator.describe import Describer
from aegir_dspy.orchestrator.execution import Event, Limits
from aegir_dspy.orchestrator.failure import masked_record
from aegir_dspy.orchestrator.outcome import Usage
from aegir_dspy.orchestrator.roster import Preference
from aegir_dspy.orchestrator.swarm_orchestrator import OrchestratorConfig, Said, SwarmOrchestrator
from aegir_dspy.tables import Table, TableSet, read_tables
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.verifier import Score, Verifier

__all__ = ["SwarmConfig", "TableResult", "TableSwarm", "Tables", "Working", "bundle_of", "vocabulary_of"]

T = TypeVar("T")
Tables = TableSet | Sequence[Table] | Table | str | Path


@dataclass(frozen=True)
class SwarmConfig:
    """Everything that decides what a swarm answers, beside its weights.

    Attributes:
        vocabulary: a built-in name (``schema``, ``sotab82``, ``sotab32``, ``dbpedia``), a file, or a
            `Vocabulary`.
        relations: what the relation of a column to the subject column may be, likewise: ``sotab_cpa``, a file
            or a `Vocabulary`.
        checkpoint: weights written by ``aegir train``; None for those that ship in the package.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        context: how many context columns inform a target; 0 reads every column alone.
        abstain_below: confidence under which no type is given; None for the checkpoint's own threshold.
        max_agents: most columns read at once; bounds memory, does not change the result.
        deep: whether columns that stay unsure are judged once more, by how well their cells back each
            candidate, see `aegir_dspy.orchestrator.deep_search`.
        max_critical_steps: steps on the longest path after which nothing more is started; None for no limit.
        store: folder in which what was read is kept, see `aegir_dspy.latent.StateStore`; what is in there is
            not read again. None for no such folder. Does not change the result, and is not saved.
    """

    vocabulary: str | Vocabulary = "schema"
    relations: str | Vocabulary = "sotab_cpa"
    checkpoint: str | None = None
    device: str = "cpu"
    context: int = 8
    abstain_below: float | None = None
    max_agents: int = 512
    deep: bool = False
    max_critical_steps: int | None = None
    store: str | Path | None = None

    def __post_init__(self) -> None:
        if self.context < 0 or self.max_agents < 1:
            raise InputError(
                f"expected context >= 0 and max_agents >= 1, found {self.context} and {self.max_agents}"
            )


class Working(TypedDict, total=False):
    """How a swarm for tables works together, see `SwarmOrchestrator`; not saved."""

    agents: Sequence[Agent]
    replanner: Replanner | None
    prefer: Preference
    observe: Callable[[Event], None]


@dataclass(frozen=True)
class TableResult:
    """What a swarm says about some tables.

    Attributes:
        annotations: of every table, with relations.
        relations: of all tables.
        elements: columns that denote one entity.
        composition, score: None where they could not be made; `failures` says why.
        failures: what could not be read or done, columns without a type, gates that refuse.
        usage: what it cost. identity: what decides the result.
    """

    annotations: list[TableAnnotation]
    relations: list[Relation]
    elements: list[DataElement]
    composition: Composition | None
    score: Score | None
    failures: list[FailureRecord]
    usage: Usage
    identity: dict[str, Any]


class TableSwarm:
    """Annotates tables.

    >>> TableSwarm()("orders.csv").annotations[0].columns[0].type

    Args:
        config: what decides its answers.
        bundle: the weights, where they are loaded already.
        working: agents beside the local ones, replanner and preference.

    Raises:
        VocabularyError, CheckpointError: the vocabulary or the weights cannot be used.
        InputError: the store's folder cannot be.
    """

    def __init__(
        self, config: SwarmConfig | None = None, bundle: Bundle | None = None, **working: Unpack[Working]
    ) -> None:
        self.config = config = config or SwarmConfig()
        self.bundle = bundle or bundle_of(config)
        context = ContextConfig(columns=config.context)
        self.annotator = ColumnTypeAnnotator(
            self.bundle,
            vocabulary_of(config.vocabulary),
            AnnotatorConfig(context, config.abstain_below, columns_at_once=config.max_agents),
            None if config.store is None else StateStore(config.store),
        )
        self.orchestrator = SwarmOrchestrator(
            self.annotator,
            Describer(
                self.bundle,
                self.annotator.vocabulary,
                vocabulary_of(config.relations),
                self.annotator.threshold,
            ),
            OrchestratorConfig(deep=config.deep, limits=Limits(critical_steps=config.max_critical_steps)),
            **working,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The types it answers with."""
        return self.annotator.vocabulary

    @property
    def verifier(self) -> Verifier:
        """What scores the compositions."""
        return self.orchestrator.describer.verifier

    def __call__(
        self, tables: Tables, on_table: Callable[[TableAnnotation], None] | None = None
    ) -> TableResult:
        """Annotate tables.

        Args:
            tables: what `read_tables` returns, tables, one table, or a path to read.
            on_table: called with each table's annotation as soon as there is one.
        """
        given = _table_set(tables)
        plan, artifacts = self.orchestrator.plan(given), MemoryArtifacts()

        def ended(event: Event) -> None:
            if on_table and event.kind == "ended" and event.task.kind == "annotate":
                for annotation in _annotated(event, artifacts):
                    on_table(annotation)

        run = _in_a_loop(self.orchestrator.run(plan, artifacts, given, on_event=ended))
        return self.prediction(self.orchestrator.said(plan, run, artifacts), given.failures)

    def prediction(self, said: Said, failures: Sequence[FailureRecord] = ()) -> TableResult:
        """What the orchestrator made of some tables, and records of what could not be read before."""
        return TableResult(
            annotations=list(said.annotations),
            relations=[relation for table in said.annotations for relation in table.relations],
            elements=list(said.elements),
            composition=said.composition,
            score=said.score,
            failures=[
                *map(masked_record, failures),
                *_abstentions(said.annotations, self.annotator.threshold),
                *said.failures,
            ],
            usage=said.usage,
            identity=self.identity(said.tables),
        )

    def identity(self, tables: Sequence[Table] = ()) -> dict[str, Any]:
        """What decides a result: version, weights, vocabulary; `run` hashes these, settings and the input."""
        vocabulary = f"{self.vocabulary.name}@{self.vocabulary.sha256[:12]}"
        bundle, asked = self.annotator.bundle, self.annotator.members
        members = {m.name: m.sha256 for m in bundle.config.members if m.name in asked}
        router = {} if self.annotator.router is None else {"router": self.annotator.router.sha256}
        checkpoints = {"columns": bundle.sha256, **members, **router}
        deep = self.orchestrator.deep.config if self.config.deep else None
        settings = (
            self.config.context,
            self.annotator.threshold,
            self.orchestrator.describer.relations.sha256,
            deep,
        )
        said = (__version__, vocabulary, checkpoints, settings, self.verifier.identity)
        run = hashlib.sha256(repr(said).encode())
        for table in tables:
            run.update(repr((table.name, table.columns)).encode())
        return {
            "version": __version__,
            "checkpoints": checkpoints,
            "vocabulary": vocabulary,
            "verifier": self.verifier.identity,
            "run": run.hexdigest(),
        }


def bundle_of(config: SwarmConfig) -> Bundle:
    """The weights that a configuration names."""
    if config.checkpoint is None:
        return default_bundle(config.device)
    return load_bundle(Path(config.checkpoint), config.device)


def vocabulary_of(vocabulary: str | Vocabulary) -> Vocabulary:
    """A vocabulary, or the one of that name or in that file."""
    return vocabulary if isinstance(vocabulary, Vocabulary) else load_vocabulary(vocabulary)


def _in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, also where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, work).result()


def _annotated(event: Event, artifacts: MemoryArtifacts) -> tuple[TableAnnotation, ...]:
    """What a task that has ended said of its tables."""
    key = event.detail["outcome"].artifact
    found: tuple[TableAnnotation, ...] = () if key is None else artifacts.get(event.task.kind, key)
    return found


def _table_set(tables: Tables) -> TableSet:
    if isinstance(tables, TableSet):
        return tables
    if isinstance(tables, str | Path):
        return read_tables(tables)
    given = tuple(tables) if isinstance(tables, Sequence) else (tables,)
    found = tuple(table for table in given if isinstance(table, Table))
    if len(found) == len(given):
        return TableSet(found)
    raise InputError(
        f"expected tables, found {type(tables).__name__}: pass aegir_dspy.read_tables(path), or a path"
    )


def _abstentions(annotations: Sequence[TableAnnotation], threshold: float) -> Iterator[FailureRecord]:
    for table in annotations:
        for column in table.columns:
            if not column.abstained:
                continue
            task = f"annotate:{table.name}[{column.index}]"
            if not column.candidates:
                yield FailureRecord(
                    task, "primary", "low_confidence", "the column has neither values nor a header"
                )
                continue
            best = column.candidates[0]
            yield FailureRecord(
                task,
                "primary",
                "low_confidence",
                f"best type {best.type} at {best.probability:.2f} is below {threshold:.2f}",
                f"{table.source}: column {column.index + 1} {column.name or ''}".rstrip(),
            )
