"""A checkpoint as DSPy modules hold it: loaded when it is used, shared by copies, saved without weights."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import dspy
import torch

from aegir_dspy.adapters.dspy_lm.engine import AegirAsyncEngine, AegirEngine, AegirLM, lm, weights_file
from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.rwkv import RWKV7, Engine
from aegir_dspy.rwkv.checkpoint import file_sha256

__all__ = ["Checkpoint"]

_LOADING = threading.RLock()


class Checkpoint:
    """One model for any number of modules.

    Copies of a module share it, so that DSPy's optimizers copy no weights; a saved module keeps path, hash
    and options. Nothing is read from the file before the first use.

    Args:
        source: a weights file, the name of weights that ship in the package, a loaded `Engine` (of which
            only the hash can be saved), or a `dspy.LM` that `aegir_dspy.lm` made.
        **options: what `aegir_dspy.lm` takes.

    Raises:
        CheckpointError: no such weights.
    """

    def __init__(self, source: str | Path | Engine | dspy.LM, **options: Any) -> None:
        self.path: Path | None = None
        self.options = options
        self._lm: dspy.LM | None = None
        self._sha256: str | None = None
        if isinstance(source, str | Path):
            self.path = weights_file(source).absolute()
        elif isinstance(source, Engine):
            self._lm = _lm_of(source, options)
        elif isinstance(getattr(source, "engine", None), AegirEngine):
            self._lm = source
            known = dict(source.engine.source)
            self.path = None if known["path"] is None else Path(known.pop("path")).absolute()
            self.options = {**known, "cache": source.cache, **_given(source.kwargs), **options}
        else:
            raise InputError(
                f"expected a weights file, an Engine or an aegir_dspy.lm as checkpoint, found {source!r}"
            )

    @property
    def lm(self) -> dspy.LM:
        """The model as DSPy calls it, loaded now if it is not.

        Raises CheckpointError when the file has changed since its hash was taken.
        """
        with _LOADING:
            if self._lm is None:
                assert self.path is not None
                found = lm(self.path, **self.options)
                _same(self._sha256 or found.engine.engine.identity.checkpoint, found, self.path)
                self._lm = found
            return self._lm

    @property
    def engine(self) -> Engine:
        """The model itself, loaded now if it is not."""
        engine: Engine = self.lm.engine.engine
        return engine

    @property
    def sha256(self) -> str:
        """Hash of the file; does not load the weights."""
        if self._lm is not None:
            return self.engine.identity.checkpoint
        if self._sha256 is None:
            assert self.path is not None
            self._sha256 = file_sha256(weights_file(self.path))
        return self._sha256

    def dump_state(self) -> dict[str, Any]:
        """What a saved module keeps: path, hash, options that decide about answers."""
        options = {name: value for name, value in self.options.items() if name != "device"}
        return {"path": str(self.path) if self.path else None, "sha256": self.sha256, "options": options}

    def restored(self, state: dict[str, Any]) -> Checkpoint:
        """The checkpoint of a saved module, on the device of this one.

        It is this one's own file where that is the one saved with, else the file it had then.

        Raises:
            CheckpointError: neither is.
        """
        expected, options = state["sha256"], dict(state["options"])
        if "device" in self.options:
            options["device"] = self.options["device"]
        if self.sha256 == expected:
            same = self.path is None or options == self.options
            return self if same else Checkpoint(self.path or "", **options)
        path = state["path"]
        found = file_sha256(path) if path is not None and Path(path).is_file() else None
        if found != expected:
            raise CheckpointError(
                f"expected the checkpoint {expected[:12]} this module was saved with, found "
                f"{self.sha256[:12]} here and {found[:12] if found else 'nothing'} at {path}: make the "
                "module with that checkpoint, or save it again"
            )
        return Checkpoint(path, **options)

    def __deepcopy__(self, memo: object) -> Checkpoint:
        return self

    def __getstate__(self) -> dict[str, Any]:
        if self.path is None:
            self.lm.engine.dump_state()  # raises: weights without a file
        return {**self.__dict__, "_lm": None, "_sha256": self.sha256}


def _lm_of(engine: Engine, options: dict[str, Any]) -> dspy.LM:
    """A `dspy.LM` on an engine that somebody has loaded."""
    kinds = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.int8: "int8"}
    model = engine.model
    parameters = model.parameters() if isinstance(model, RWKV7) else ()
    held = next((p.dtype for p in parameters if p.dim() == 2), torch.float32)
    dtype = getattr(model, "packing", None) or held
    source = {
        "path": None,
        "device": str(model.device),
        "dtype": kinds.get(dtype, "other"),
        "tokenizer": engine.identity.tokenizer,
        "backend": "torch" if isinstance(model, RWKV7) else "rwkv",
    }
    wrapped = AegirEngine("engine", source, engine)
    return AegirLM(wrapped.model, engine=wrapped, async_engine=AegirAsyncEngine(wrapped), **options)


def _given(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if value is not None}


def _same(expected: str, found: dspy.LM, path: Path) -> None:
    sha256 = found.engine.engine.identity.checkpoint
    if sha256 != expected:
        raise CheckpointError(
            f"expected checkpoint {expected[:12]} at {path}, found {sha256[:12]}: restore the file, or make "
            "the module again"
        )
