"""`Swarm`: the front door. A `dspy.Module` that says what the columns of tables mean.

Specialists read every column once, in parallel; the primary reads each column again from the fused states
of its context and answers within the vocabulary, with calibrated confidence or not at all.

With a signature of one's own the same happens to one of its inputs: specialists read the elements of that
input, their states are fused, the primary answers from the fused state.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import dspy

from aegir_dspy._version import __version__
from aegir_dspy.adapters import dspy_lm
from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.bundle import DEFAULT_FILE, Bundle, default_bundle, load_bundle
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import CheckpointError, FailureRecord, InputError
from aegir_dspy.ontology.vocabulary import VOCABULARIES, Label, Vocabulary, load_vocabulary
from aegir_dspy.specialist import fuse_shards
from aegir_dspy.tables import Table, TableSet, read_tables
from aegir_dspy.tables.context import ContextConfig

__all__ = ["Swarm", "SwarmConfig", "Usage"]

Tables = TableSet | Sequence[Table] | Table | str | Path


@dataclass(frozen=True)
class SwarmConfig:
    """Everything that decides what a swarm answers, beside its weights.

    Attributes:
        vocabulary: a built-in name (``schema``, ``sotab82``, ``sotab32``, ``dbpedia``), a file, or a
            `Vocabulary`.
        checkpoint: weights written by ``aegir train``; None for those that ship in the package.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        context: how many context columns inform a target; 0 reads every column alone.
        abstain_below: confidence under which no type is given; None for the checkpoint's own threshold.
        max_agents: most columns read at once; bounds memory, does not change the result.
    """

    vocabulary: str | Vocabulary = "schema"
    checkpoint: str | None = None
    device: str = "cpu"
    context: int = 8
    abstain_below: float | None = None
    max_agents: int = 512

    def __post_init__(self) -> None:
        if self.context < 0 or self.max_agents < 1:
            raise InputError(
                f"expected context >= 0 and max_agents >= 1, found {self.context} and {self.max_agents}"
            )


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost.

    agents: columns read by specialists. critical_steps: readings on the longest path (alone, then from the
    fused context). serial_steps: all readings one after the other, were no column sure of itself.
    tokens_read: bytes. seconds: wall time.
    """

    agents: int
    critical_steps: int
    serial_steps: int
    tokens_read: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The ``usage`` of ``aegir.result/1``."""
        return asdict(self)


class Swarm(dspy.Module):  # type: ignore[misc]
    """A swarm of small recurrent specialists, for tables or for a signature of one's own.

    >>> out = Swarm()(tables="orders.csv")
    >>> out.annotations[0].columns[0].type
    >>> qa = Swarm("documents: list[str], question -> answer", primary="rwkv7.pth", shard="documents")
    >>> qa(documents=[...], question="...").answer

    For tables the prediction has the fields annotations (list of `TableAnnotation`), relations, elements,
    composition, score, failures (list of `FailureRecord`), usage and identity; otherwise those of the
    signature and usage.

    Args:
        signature: None for tables.
        shard: the list-valued input that specialists read, one element each.
        primary: path of the checkpoint that answers; by default the weights that ship.
        specialists: paths of the checkpoints that read; by default the primary's.
        config: see `SwarmConfig`; keyword arguments replace single fields of it.

    Raises:
        VocabularyError, CheckpointError: the vocabulary or the weights cannot be used.
        InputError: the shard is no input of the signature.
    """

    def __init__(
        self,
        signature: str | type[dspy.Signature] | None = None,
        *,
        shard: str | None = None,
        primary: str | Path | None = None,
        specialists: Sequence[str | Path] = (),
        config: SwarmConfig | None = None,
        **fields: Any,
    ) -> None:
        super().__init__()
        self._signature = None if signature is None else dspy.ensure_signature(signature)
        self._shard = shard
        if self._signature is None:
            self._configure(replace(config or SwarmConfig(), **fields))
            return
        self._config = replace(config or SwarmConfig(), **fields)
        if shard not in self._signature.input_fields:
            raise InputError(
                f"expected shard to be one of {list(self._signature.input_fields)}, found {shard!r}"
            )
        path = primary or str(files("aegir_dspy.assets") / DEFAULT_FILE)
        self._lm = dspy_lm.lm(path, device=self._config.device)
        readers = [dspy_lm.lm(one, device=self._config.device) for one in specialists] or [self._lm]
        self._specialists = [reader.engine.engine for reader in readers]
        self.primary = dspy.Predict(self._signature.delete(shard))

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
        shard = str(self._shard)
        parts = [str(part) for part in inputs.pop(shard)]
        state = fuse_shards(self._specialists, shard, parts)
        with dspy.context(lm=self._lm, adapter=dspy_lm.CompactAdapter(latent=state)):
            prediction = self.primary(**inputs)
        seconds = round(time.monotonic() - began, 3)
        prediction.usage = Usage(len(parts), 2, len(parts) + 1, state.tokens, seconds)
        return prediction

    def _annotate(
        self, tables: Tables, on_table: Callable[[TableAnnotation], None] | None = None
    ) -> dspy.Prediction:
        """Annotate tables.

        Args:
            tables: what `read_tables` returns, tables, one table, or a path to read.
            on_table: called with each table's annotation as soon as there is one.
        """
        began = time.monotonic()
        given = _table_set(tables)
        annotations: list[TableAnnotation] = []
        tokens = 0
        for annotation, read in self._annotator.annotate(given.tables):
            annotations.append(annotation)
            tokens += read
            if on_table:
                on_table(annotation)
        return dspy.Prediction(
            annotations=annotations,
            relations=[relation for table in annotations for relation in table.relations],
            elements=[],
            composition=None,
            score=None,
            failures=[*given.failures, *_abstentions(annotations, self._annotator.threshold)],
            usage=self._usage(annotations, tokens, time.monotonic() - began),
            identity=self.identity(given.tables),
        )

    @property
    def config(self) -> SwarmConfig:
        """What this swarm was made with."""
        return self._config

    @property
    def vocabulary(self) -> Vocabulary:
        """The types it answers with."""
        return self._annotator.vocabulary

    def identity(self, tables: Sequence[Table] = ()) -> dict[str, Any]:
        """What decides a result: version, weights, vocabulary; `run` hashes these, settings and the input."""
        vocabulary = f"{self.vocabulary.name}@{self.vocabulary.sha256[:12]}"
        checkpoints = {"columns": self._annotator.bundle.sha256}
        settings = (self._config.context, self._annotator.threshold)
        run = hashlib.sha256(repr((__version__, vocabulary, checkpoints, settings)).encode())
        for table in tables:
            run.update(repr((table.name, table.columns)).encode())
        return {
            "version": __version__,
            "checkpoints": checkpoints,
            "vocabulary": vocabulary,
            "verifier": None,
            "run": run.hexdigest(),
        }

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Predictors' state as DSPy keeps it, and the swarm's configuration with its checkpoint's hash."""
        state: dict[str, Any] = super().dump_state(json_mode=json_mode)
        if self._signature is not None:
            return state
        own = {
            "config": _saved(self._config),
            "checkpoint_sha256": self._annotator.bundle.sha256,
        }
        return {**state, "aegir.swarm": own}

    def load_state(self, state: dict[str, Any], *, allow_unsafe_lm_state: bool = False) -> None:
        """Inverse of `dump_state`, on the device of this swarm.

        The checkpoint is this swarm's own where that is the one saved with, else the file it had then.

        Raises:
            CheckpointError: the weights are not the ones saved with.
            InputError: the state is not one of a swarm.
        """
        if self._signature is not None:
            super().load_state(state, allow_unsafe_lm_state=allow_unsafe_lm_state)
            return
        state = dict(state)
        config, expected = _restored_config(state.pop("aegir.swarm", None))
        if self._annotator.bundle.sha256 == expected:
            config = replace(config, checkpoint=self._config.checkpoint)
        config = replace(config, device=self._config.device)
        bundle = _bundle(config)
        if bundle.sha256 != expected:
            raise CheckpointError(
                f"expected the checkpoint {expected[:12]} this swarm was saved with, found "
                f"{bundle.sha256[:12]}: load into Swarm(checkpoint=...) of that file, or save the swarm again"
            )
        self._configure(config, bundle)
        super().load_state(state, allow_unsafe_lm_state=allow_unsafe_lm_state)

    def _configure(self, config: SwarmConfig, bundle: Bundle | None = None) -> None:
        self._config = config
        self._annotator = ColumnTypeAnnotator(
            bundle or _bundle(config),
            _vocabulary(config.vocabulary),
            AnnotatorConfig(
                ContextConfig(columns=config.context), config.abstain_below, columns_at_once=config.max_agents
            ),
        )

    def _usage(self, annotations: Sequence[TableAnnotation], tokens: int, seconds: float) -> Usage:
        columns = sum(len(table.columns) for table in annotations)
        informed = (
            sum(len(t.columns) for t in annotations if len(t.columns) > 1) if self._config.context else 0
        )
        return Usage(columns, 1 + bool(informed), columns + informed, tokens, round(seconds, 3))


def _bundle(config: SwarmConfig) -> Bundle:
    if config.checkpoint is None:
        return default_bundle(config.device)
    return load_bundle(Path(config.checkpoint), config.device)


def _vocabulary(vocabulary: str | Vocabulary) -> Vocabulary:
    return vocabulary if isinstance(vocabulary, Vocabulary) else load_vocabulary(vocabulary)


def _saved(config: SwarmConfig) -> dict[str, Any]:
    """JSON form: a built-in vocabulary by name, any other whole, so that no other file is needed."""
    vocabulary: Any = config.vocabulary
    if vocabulary not in VOCABULARIES:
        vocabulary = asdict(_vocabulary(vocabulary))
    checkpoint = None if config.checkpoint is None else str(Path(config.checkpoint).absolute())
    return {**asdict(config), "vocabulary": vocabulary, "checkpoint": checkpoint}


def _restored_config(saved: Any) -> tuple[SwarmConfig, str]:
    """Inverse of `_saved`, with the sha256 of the checkpoint."""
    try:
        fields = dict(saved["config"])
        if not isinstance(fields["vocabulary"], str):
            labels = (
                Label(**{**one, "examples": tuple(one["examples"]), "headers": tuple(one["headers"])})
                for one in fields["vocabulary"]["labels"]
            )
            fields["vocabulary"] = Vocabulary(fields["vocabulary"]["name"], tuple(labels))
        return SwarmConfig(**fields), str(saved["checkpoint_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected a state that Swarm.save of aegir-dspy {__version__} wrote, found another: {error!r}"
        ) from error


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
