"""What decides the answers of a swarm beside its predictors' texts, as DSPy saves and loads it.

The settings of a swarm are a `Parameter`: DSPy visits parameters wherever they are nested, so a swarm inside
another module keeps its settings when that module is saved. They are attributes that come before the
predictors, hence they are loaded first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self, Unpack, get_args

from dspy.predict.parameter import Parameter

from aegir_dspy._version import __version__
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.latent import FusionMode, RWKVStateFusion
from aegir_dspy.ontology.vocabulary import RELATION_VOCABULARIES, VOCABULARIES, Label, Vocabulary
from aegir_dspy.orchestrator.table_swarm import SwarmConfig, TableSwarm, Working, bundle_of, vocabulary_of

__all__ = ["FOREIGN", "ShardSettings", "TableSettings"]

FOREIGN = f"expected a state that Swarm.save of aegir-dspy {__version__} wrote, found another"


class _Settings(Parameter):  # type: ignore[misc]
    """Attributes are replaced and never changed, so copies may share them."""

    def __deepcopy__(self, memo: object) -> Self:
        return copy(self)

    def reset(self) -> None:
        """Nothing that is learned."""


class TableSettings(_Settings):
    """What annotates tables, as DSPy saves and loads it.

    Args:
        config: what decides its answers.
        working: agents beside the local ones, replanner and preference.

    Raises:
        VocabularyError, CheckpointError: the vocabulary or the weights cannot be used.
        InputError: the store's folder cannot be.
    """

    def __init__(self, config: SwarmConfig, **working: Unpack[Working]) -> None:
        self._working = working
        self.swarm = TableSwarm(config, bundle_of(config), **working)

    @property
    def config(self) -> SwarmConfig:
        """What the swarm was made with."""
        return self.swarm.config

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """The configuration, the checkpoint's hash and the names of its specialists; never weights."""
        bundle = self.swarm.bundle
        return {
            "config": _saved(self.config),
            "checkpoint_sha256": bundle.sha256,
            "specialists": _members(bundle),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of `dump_state`, on the device of this swarm.

        The checkpoint is this swarm's own where that is the one saved with, else the file it had then.

        Raises:
            CheckpointError: the weights are not the ones saved with.
            InputError: the state is not one of a swarm for tables, or of one with other specialists.
        """
        config, expected = _restored_config(state)
        found, known = state.get("specialists", []), _members(self.swarm.bundle)
        if found != known:
            raise InputError(
                f"expected the state of a swarm with the specialists {known}, found one with {found}: "
                f"make Swarm(checkpoint={config.checkpoint!r}) and load into that"
            )
        bundle, own = self.swarm.bundle, self.swarm.bundle.sha256 == expected
        config = replace(
            config,
            device=self.config.device,
            store=self.config.store,
            checkpoint=self.config.checkpoint if own else config.checkpoint,
        )
        if not own:
            bundle = bundle_of(config)
        if bundle.sha256 != expected:
            raise CheckpointError(
                f"expected the checkpoint {expected[:12]} this swarm was saved with, found "
                f"{bundle.sha256[:12]}: load into Swarm(checkpoint=...) of that file, or save the swarm again"
            )
        self.swarm = TableSwarm(config, bundle, **self._working)


class ShardSettings(_Settings):
    """How a swarm with a signature of its own shares out and fuses.

    Args:
        shard: the input whose elements specialists read.
        specialists: their names.
        fusion: how their states become one. Of a trained fusion the hash is saved.
        alignments: hash of a checkpoint → what maps its states to those of the primary. Not saved.
    """

    def __init__(
        self,
        shard: str,
        specialists: Sequence[str],
        fusion: FusionMode | RWKVStateFusion,
        alignments: Mapping[str, Any],
    ) -> None:
        self.shard, self.specialists = shard, list(specialists)
        self.fusion: FusionMode | RWKVStateFusion = fusion
        self.alignments = dict(alignments)

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """All but the alignments, of which the hashes are named."""
        return {
            "shard": self.shard,
            "specialists": self.specialists,
            "fusion": _fusion_name(self.fusion),
            "alignments": sorted(self.alignments),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of `dump_state`. Raises InputError when this swarm is made otherwise than that one."""
        try:
            found = {name: state[name] for name in ("shard", "specialists")}
            fusion, alignments = state["fusion"], set(state["alignments"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{FOREIGN}: {error!r}") from error
        own = {"shard": self.shard, "specialists": self.specialists}
        if found != own:
            raise InputError(f"expected the state of a swarm with {own}, found one with {found}")
        if missing := sorted(sha256[:12] for sha256 in alignments - set(self.alignments)):
            raise InputError(
                f"expected alignments of the checkpoints {missing}, found none: pass Swarm(alignments=...)"
            )
        if fusion in get_args(FusionMode):
            self.fusion = fusion
        elif fusion != _fusion_name(self.fusion):
            raise InputError(
                f"expected the fusion {fusion} this swarm was saved with, found {_fusion_name(self.fusion)}: "
                "pass Swarm(fusion=...) that one"
            )


def _fusion_name(fusion: FusionMode | RWKVStateFusion) -> str:
    """The mode; of a module with its configuration and what it has learned."""
    if isinstance(fusion, str):
        return fusion
    sha256 = hashlib.sha256(repr(fusion.config).encode())
    for name, tensor in sorted(fusion.state_dict().items()):
        sha256.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"{fusion.config.mode}@{sha256.hexdigest()}"


def _members(bundle: Bundle) -> list[str]:
    return [member.name for member in bundle.config.members]


def _saved(config: SwarmConfig) -> dict[str, Any]:
    """JSON form: a built-in vocabulary by name, any other whole, so that no other file is needed."""
    vocabularies = {
        name: given if given in (*VOCABULARIES, *RELATION_VOCABULARIES) else asdict(vocabulary_of(given))
        for name, given in (("vocabulary", config.vocabulary), ("relations", config.relations))
    }
    checkpoint = None if config.checkpoint is None else str(Path(config.checkpoint).absolute())
    saved = {**asdict(config), **vocabularies, "checkpoint": checkpoint}
    del saved["store"]  # a folder of this machine
    return saved


def _restored_config(saved: Any) -> tuple[SwarmConfig, str]:
    """Inverse of `_saved`, with the sha256 of the checkpoint."""
    try:
        fields = dict(saved["config"])
        for name in ("vocabulary", "relations"):
            if not isinstance(fields[name], str):
                labels = (
                    Label(**{**one, "examples": tuple(one["examples"]), "headers": tuple(one["headers"])})
                    for one in fields[name]["labels"]
                )
                fields[name] = Vocabulary(fields[name]["name"], tuple(labels))
        return SwarmConfig(**fields), str(saved["checkpoint_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{FOREIGN}: {error!r}") from error
