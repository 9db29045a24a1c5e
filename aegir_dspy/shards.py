"""A swarm with a signature of its own: which specialist reads which part, and what the primary gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import dspy

from aegir_dspy.adapters.dspy_lm import default_instructions
from aegir_dspy.annotator.bundle import DEFAULT_FILE
from aegir_dspy.errors import InputError, StateError
from aegir_dspy.latent import AlignmentProjection
from aegir_dspy.rwkv import State
from aegir_dspy.specialist import Primary, Source, Specialist

__all__ = ["Alignments", "read_shards", "swarm_predictors"]

Align: TypeAlias = Callable[[State], State]
Alignments: TypeAlias = Mapping[str, AlignmentProjection | Align]


def swarm_predictors(
    signature: type[dspy.Signature],
    shard: str | None,
    primary: Primary | Source | None,
    specialists: Sequence[Specialist | Source],
    device: str,
) -> tuple[Primary, dict[str, Specialist]]:
    """The primary and the specialists by name; those given as checkpoints are made.

    Raises:
        InputError: the shard is no input, or a given predictor does not fit the signature or is like another.
    """
    if shard is None or shard not in signature.input_fields:
        raise InputError(f"expected shard to be one of {list(signature.input_fields)}, found {shard!r}")
    if not isinstance(primary, Primary):
        source = Path(DEFAULT_FILE).stem if primary is None else primary
        primary = Primary(_without(signature, shard), checkpoint=source, device=_device(source, device))
    made = list(_made(shard, primary, specialists, device))
    _check(signature, shard, primary, made)
    return primary, {one.name: one for one in made}


def read_shards(
    specialists: Mapping[str, Specialist],
    primary: Primary,
    shard: str,
    inputs: Mapping[str, Any],
    alignments: Alignments,
) -> list[State]:
    """One state a part that the primary can take, in order; each specialist reads its share in one batch.

    Parts are dealt out in the order of their texts, so that it does not matter in which order they come.

    Raises:
        InputError: there is nothing to read.
        StateError: a specialist has another model than the primary and there is no alignment for it.
    """
    parts = [str(part) for part in inputs.get(shard) or ()]
    if not parts:
        raise InputError(f"expected at least one element in {shard}, found none")
    order = sorted(range(len(parts)), key=lambda i: parts[i])
    shares = {name: order[number :: len(specialists)] for number, name in enumerate(specialists)}
    maps = {n: _alignment(specialists[n], primary, alignments) for n, share in shares.items() if share}
    states: dict[int, State] = {}
    for name, align in maps.items():
        one = specialists[name]
        field, shared = _part_field(one, set(inputs) - {shard})
        given = [{**{n: inputs[n] for n in shared}, field: parts[i]} for i in shares[name]]
        for i, prediction in zip(shares[name], one.read_many(given), strict=True):
            assert prediction.latent is not None
            states[i] = align(prediction.latent)
            primary.identity.require(states[i].identity)
    return [states[i] for i in range(len(parts))]


def _made(
    shard: str, primary: Primary, specialists: Sequence[Specialist | Source], device: str
) -> Iterator[Specialist]:
    """The given specialists, and for every checkpoint one with a name of its own."""
    taken = {one.name for one in specialists if isinstance(one, Specialist)}
    notes = "notes" if shard != "notes" else "reading"
    for source in specialists or (primary.checkpoint,):
        if isinstance(source, Specialist):
            yield source
            continue
        stem = Path(source).stem if isinstance(source, str | Path) else "reader"
        name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)
        taken.add(name)
        yield Specialist(
            f"{shard}: str -> {notes}", checkpoint=source, name=name, device=_device(source, device)
        )


def _device(source: Source, device: str) -> str | None:
    """What is loaded already stays where it is."""
    return device if isinstance(source, str | Path) else None


def _without(signature: type[dspy.Signature], shard: str) -> Any:
    """The signature without the shard; instructions that nobody wrote do not speak of it either."""
    rest = signature.delete(shard)
    if signature.instructions == default_instructions(signature):
        rest = rest.with_instructions(default_instructions(rest))
    return rest


def _check(
    signature: type[dspy.Signature], shard: str, primary: Primary, specialists: Sequence[Specialist]
) -> None:
    others = set(signature.input_fields) - {shard}
    asked, answered = set(primary.signature.input_fields), set(primary.signature.output_fields)
    if not asked <= others or not set(signature.output_fields) <= answered:
        raise InputError(
            f"expected a primary from {sorted(others)} to {list(signature.output_fields)}, found one from "
            f"{sorted(asked)} to {sorted(answered)}: give it the signature without {shard}"
        )
    for i, one in enumerate(specialists):
        _part_field(one, others)
        for other in specialists[:i]:
            if one.name == other.name or one.signature.equals(other.signature):
                raise InputError(
                    f"expected specialists with names and instructions of their own, found {one.name} like "
                    f"{other.name}: optimizers tell them apart by these"
                )


def _part_field(specialist: Specialist, others: set[str]) -> tuple[str, list[str]]:
    """The specialist's input that takes the part, and those it shares with the swarm."""
    names = list(specialist.signature.input_fields)
    own = [name for name in names if name not in others]
    if len(own) != 1:
        raise InputError(
            f"expected specialist {specialist.name} to have one input for a part beside {sorted(others)}, "
            f"found {own}: name one input after what it reads"
        )
    return own[0], [name for name in names if name in others]


def _alignment(specialist: Specialist, primary: Primary, alignments: Alignments) -> Align:
    """What makes a specialist's states the primary's. Raises StateError, with the remedy, for nothing."""
    sha256 = specialist.checkpoint.sha256
    if specialist.identity == primary.identity:
        return lambda state: state
    if sha256 in alignments:
        found = alignments[sha256]
        return found.align if isinstance(found, AlignmentProjection) else found
    try:
        primary.identity.require(specialist.identity)
    except StateError as error:
        raise StateError(
            f"{error}; specialist {specialist.name} needs the primary's checkpoint, or "
            f"Swarm(alignments={{'{sha256}': AlignmentProjection}})"
        ) from error
    raise AssertionError("identities differ in nothing")
