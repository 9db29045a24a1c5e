"""DSPy modules on local models: a `Specialist` reads and hands over a state, a `Primary` answers from one.

Both are predictors, so `named_predictors()` shows them to DSPy's optimizers, and what an optimizer writes as
their instructions is read before the inputs. Weights are never copied or saved: a saved module keeps the
checkpoint's path and hash. States are no fields of a `Prediction`, they travel beside them, because
optimizers turn fields into demos and feedback, which are text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import dspy
import torch

from aegir_dspy.adapters.dspy_lm import Checkpoint, CompactAdapter, default_instructions
from aegir_dspy.errors import InputError
from aegir_dspy.latent import FusionMode, RWKVStateFusion
from aegir_dspy.latent import fuse as fuse_states
from aegir_dspy.latent.fusion import side_by_side
from aegir_dspy.rwkv import Engine, Identity, State

__all__ = ["LatentPrediction", "Primary", "Specialist", "fuse", "record_call", "state_of"]

Source: TypeAlias = str | Path | Engine | dspy.LM | Checkpoint
_OWN = "aegir"  # key of a saved predictor under which ours keep what DSPy's does not


class LatentPrediction(dspy.Prediction):  # type: ignore[misc]
    """A prediction with `latent`, the state it comes from, beside its fields.

    The state is None where nothing was read but the prompt. Copies keep it.
    """

    _latent: State | None = None

    def __init__(self, base: Any = None, *, latent: State | None = None, **fields: Any) -> None:
        super().__init__(base.toDict() if isinstance(base, dspy.Prediction) else base, **fields)
        self._latent = latent
        if isinstance(base, dspy.Prediction):
            self._completions, self._lm_usage = base._completions, base._lm_usage
        if isinstance(base, LatentPrediction):
            self._latent = latent or base._latent

    @property
    def latent(self) -> State | None:
        """The immutable state, of one stream."""
        return self._latent


class _LocalPredict(dspy.Predict):  # type: ignore[misc]
    """A predictor with a checkpoint of its own; `dspy.settings.lm` does not matter to it."""

    signature: Any

    def __init__(
        self, signature: str | type[dspy.Signature], checkpoint: Source, device: str | None, config: Any
    ) -> None:
        super().__init__(signature, **config)
        reserved = {"latent", "answer", "config"} & set(self.signature.input_fields)
        if reserved:
            raise InputError(f"expected other names of inputs than {sorted(reserved)}: rename the field")
        options = {} if device is None else {"device": device}
        self.checkpoint: Checkpoint = (
            checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint, **options)
        )

    @property
    def identity(self) -> Identity:
        """Of the states this module makes or takes; loads the weights."""
        return self.checkpoint.engine.identity

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """What DSPy keeps of a predictor, and the checkpoint's path, hash and options."""
        own = {"checkpoint": self.checkpoint.dump_state()}
        return {**super().dump_state(json_mode=json_mode), _OWN: own}

    def load_state(self, state: dict[str, Any], *, allow_unsafe_lm_state: bool = False) -> _LocalPredict:
        """Inverse of `dump_state`, on the device of this module.

        Raises:
            CheckpointError: the checkpoint it was saved with is neither here nor where it was.
            InputError: the state is that of another predictor.
        """
        state = dict(state)
        own = state.pop(_OWN, None)
        if own is None:
            kind = type(self).__name__
            raise InputError(f"expected a state that a {kind} saved, found none of a local predictor")
        self._restore(own)
        super().load_state(state, allow_unsafe_lm_state=allow_unsafe_lm_state)
        return self

    def _restore(self, own: dict[str, Any]) -> None:
        self.checkpoint = self.checkpoint.restored(own["checkpoint"])


class Primary(_LocalPredict):
    """Answers from what others have read.

    >>> primary = Primary("question -> answer", checkpoint="rwkv7.pth")
    >>> primary(question="Where?", latent=fuse([one, two])).answer

    ``latent`` is a `State` or a prediction that carries one; it is part of the key of DSPy's cache. The
    prediction's own `latent` is the state it answered from.

    Args:
        signature: inputs read after the state, and outputs.
        checkpoint: weights file, name of weights that ship, `Engine`, `aegir_dspy.lm` or `Checkpoint`.
        device: where to load it; None for the checkpoint's own, or the CPU.
        **config: what `dspy.Predict` takes, for example ``max_tokens``.

    Raises:
        CheckpointError: no such weights.
        StateError: when called with a state of another model.
    """

    def __init__(
        self,
        signature: str | type[dspy.Signature],
        *,
        checkpoint: Source,
        device: str | None = None,
        **config: Any,
    ) -> None:
        super().__init__(signature, checkpoint, device, config)

    def forward(self, *, latent: State | dspy.Prediction | None = None, **inputs: Any) -> LatentPrediction:
        """Answer from `latent`, or from the inputs alone."""
        with self._speaking(latent) as state:
            return LatentPrediction(super().forward(**inputs), latent=state)

    async def aforward(
        self, *, latent: State | dspy.Prediction | None = None, **inputs: Any
    ) -> LatentPrediction:
        """`forward`, awaited."""
        with self._speaking(latent) as state:
            return LatentPrediction(await super().aforward(**inputs), latent=state)

    @contextmanager
    def _speaking(self, latent: State | dspy.Prediction | None) -> Iterator[State | None]:
        """With our model and layout, unless somebody gave this predictor an LM of another kind."""
        state = None if latent is None else state_of(latent)
        if state is not None:
            self.identity.require(state.identity)
        elif not getattr(getattr(self.lm or self.checkpoint.lm, "engine", None), "reads_fields", False):
            yield None
            return
        with dspy.context(lm=self.lm or self.checkpoint.lm, adapter=CompactAdapter(state)):
            yield state


class Specialist(_LocalPredict):
    """Reads its inputs and hands over the state; frozen.

    >>> places = Specialist("document -> notes", checkpoint="rwkv7.pth", name="places")
    >>> read = places.read_many(["one text", "another"])
    >>> primary(question="Where?", latent=fuse(read))

    What it reads is ``[instructions GS] (name US value GS)*``. Instructions are read where somebody wrote
    some (here, in the signature, or an optimizer); those it has otherwise name its role, so that optimizers
    can tell specialists apart, and are not read: they would cost the same bytes for every part. Demos are
    read where there are some.

    Args:
        signature: the inputs to read, and outputs for ``answer=True``.
        checkpoint: weights file, name of weights that ship, `Engine`, `aegir_dspy.lm` or `Checkpoint`.
        name: unique among the specialists of a program.
        instructions: read before the inputs.
        device: where to load it; None for the checkpoint's own, or the CPU.
        **config: what `dspy.Predict` takes; matters for ``answer=True`` only.

    Raises:
        CheckpointError: no such weights.
    """

    def __init__(
        self,
        signature: str | type[dspy.Signature] = "document -> notes",
        *,
        checkpoint: Source = "columns",
        name: str = "specialist",
        instructions: str | None = None,
        device: str | None = None,
        **config: Any,
    ) -> None:
        super().__init__(signature, checkpoint, device, config)
        self.name = name
        fields = ", ".join(self.signature.input_fields)
        self.role = f"Read {fields} as the specialist {name}: others answer from the state after it."
        if instructions is None and self.signature.instructions == default_instructions(self.signature):
            instructions = self.role
        if instructions is not None:
            self.signature = self.signature.with_instructions(instructions)

    def forward(self, **inputs: Any) -> LatentPrediction:
        """Read the inputs; ``answer``, ``latent`` and ``config`` as in `read_many`."""
        return self._call(**inputs)

    async def aforward(self, **inputs: Any) -> LatentPrediction:
        """`forward` in a thread of its own."""
        return await asyncio.to_thread(partial(self._call, **inputs))

    def read_many(
        self,
        parts: Sequence[str | Mapping[str, Any]],
        *,
        answer: bool = False,
        latent: State | dspy.Prediction | None = None,
        config: dict[str, Any] | None = None,
    ) -> list[LatentPrediction]:
        """Read many parts in one batch of the engine: a prediction each, in order.

        Args:
            parts: the inputs of each, or the value where there is one input.
            answer: whether to generate the outputs, too; `latent` is the state before that all the same.
            latent: what every part is read after; nothing by default.
            config: what the answers are generated with, for example ``{"max_tokens": 8}``.

        Raises:
            InputError: other inputs than those of the signature.
            StateError: `latent` is a state of another model.
        """
        given = [self._inputs(part) for part in parts]
        if not given:
            return []
        starts = None if latent is None else [state_of(latent)] * len(given)
        states = self.checkpoint.engine.read([self.prompt(inputs) for inputs in given], starts)
        made = zip(given, states, strict=True)
        if answer:
            return [self._answered(inputs, state, config or {}) for inputs, state in made]
        return [self._read(inputs, state) for inputs, state in made]

    def _call(
        self,
        *,
        answer: bool = False,
        latent: State | dspy.Prediction | None = None,
        config: dict[str, Any] | None = None,
        **inputs: Any,
    ) -> LatentPrediction:
        return self.read_many([inputs], answer=answer, latent=latent, config=config)[0]

    def prompt(self, inputs: Mapping[str, Any]) -> str:
        """What is read for these inputs."""
        signature = self.signature
        if signature.instructions == self.role:
            signature = signature.with_instructions(default_instructions(signature))
        return CompactAdapter().prompt(signature, self.demos, dict(inputs))

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """What DSPy keeps of a predictor, the checkpoint, and which instructions are not read."""
        state = super().dump_state(json_mode=json_mode)
        return {**state, _OWN: {**state[_OWN], "role": self.role}}

    def _restore(self, own: dict[str, Any]) -> None:
        super()._restore(own)
        self.role = own["role"]

    def _inputs(self, part: str | Mapping[str, Any]) -> dict[str, Any]:
        names = list(self.signature.input_fields)
        inputs = {names[0]: part} if isinstance(part, str) else dict(part)
        if set(inputs) != set(names):
            raise InputError(f"expected the inputs {names} of {self.name}, found {list(inputs)}")
        return inputs

    def _read(self, inputs: dict[str, Any], state: State) -> LatentPrediction:
        prediction = LatentPrediction(latent=state)
        record_call(self, inputs, dspy.Prediction())
        return prediction

    def _answered(self, inputs: dict[str, Any], state: State, config: dict[str, Any]) -> LatentPrediction:
        """The outputs, from the state after the inputs: nothing is read again."""
        lm = self.checkpoint.lm
        with dspy.context(lm=lm, adapter=CompactAdapter(state, resume=True)):
            return LatentPrediction(super().forward(lm=lm, config=config, **inputs), latent=state)


def fuse(items: Sequence[State | dspy.Prediction], mode: FusionMode | RWKVStateFusion = "sqrt") -> State:
    """One state from several states, or from predictions that carry one; the order does not matter.

    Args:
        mode: a parameter-free mode, or a trained fusion.

    Raises:
        StateError: nothing to fuse, or states of different models.
        InputError: neither a state nor a prediction that carries one.
    """
    states = [state_of(item) for item in items]
    if isinstance(mode, str):
        return fuse_states(states, mode)
    plain = fuse_states(states)  # refuses what does not belong together
    ordered = sorted(states, key=lambda state: state.digest)
    members = torch.ones(1, len(ordered), dtype=torch.bool)
    with torch.no_grad():
        tensors = mode(side_by_side([state.tensors for state in ordered]), members)
    return State(tensors, plain.identity, plain.tokens)


def state_of(item: State | dspy.Prediction) -> State:
    """The state itself, or the one a prediction carries. Raises InputError when there is none."""
    state = item if isinstance(item, State) else getattr(item, "latent", None)
    if not isinstance(state, State):
        raise InputError(
            f"expected a State or a prediction with .latent, found {type(item).__name__}: "
            "call a Specialist, it hands one over"
        )
    return state


def record_call(predictor: dspy.Predict, inputs: dict[str, Any], prediction: dspy.Prediction) -> None:
    """Put a call that no LM answered in DSPy's trace, where optimizers look for it."""
    trace, most = dspy.settings.trace, dspy.settings.max_trace_size
    if trace is None or most < 1:
        return
    if len(trace) >= most:
        trace.pop(0)
    trace.append((predictor, dict(inputs), prediction))
