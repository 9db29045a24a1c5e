"""The `rwkv` package (0.8.32) behind the interface of `RWKV7`: one stream at a time, no gradients.

What needs care: the package picks its RWKV-7 class at import, from an environment variable; it prints; it
switches TF32 on for the whole process; it reads `.pth` only; it keeps a state as (H, V, K), ours is
(H, K, V).
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from aegir_dspy.errors import CheckpointError, InputError, PrerequisiteError
from aegir_dspy.rwkv.checkpoint import Weights
from aegir_dspy.rwkv.scores import Scores, scores_of
from aegir_dspy.rwkv.state import StateTensors, zero_tensors

__all__ = ["PackageModel", "from_package_state", "package_class", "to_package_state"]

_STRATEGIES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def package_class() -> Any:
    """The package's RWKV-7 class, imported so that it is the right one.

    Raises:
        PrerequisiteError: the package is missing, or was imported before without RWKV-7.
    """
    before = os.environ.get("RWKV_V7_ON")
    os.environ["RWKV_V7_ON"] = "1"
    try:
        with _flags_kept(), redirect_stdout(io.StringIO()):
            module = import_module("rwkv.model")
    except ImportError as error:
        raise PrerequisiteError("backend 'rwkv' needs the package rwkv: pip install rwkv") from error
    finally:
        _restore("RWKV_V7_ON", before)
    found = getattr(module, "RWKV_x070", None)
    if found is None or module.RWKV is not found:
        raise PrerequisiteError(
            "expected rwkv.model with RWKV-7 on, found it imported earlier without: "
            "set RWKV_V7_ON=1 before the first import of rwkv.model, or use backend 'torch'"
        )
    return found


def to_package_state(state: StateTensors, stream: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """One stream as the package keeps it: per layer shift (D), matrices (H, V, K), shift (D)."""
    parts = []
    for shift, kv in zip(state.shift[:, :, stream], state.kv[:, stream], strict=True):
        parts += [shift[0].to(dtype), kv.transpose(-1, -2).float().contiguous(), shift[1].to(dtype)]
    return [part.clone() for part in parts]


def from_package_state(parts: list[Tensor]) -> StateTensors:
    """Inverse of `to_package_state`: one stream, float32."""
    shift = torch.stack([torch.stack([a, b]) for a, b in zip(parts[::3], parts[2::3], strict=True)])
    kv = torch.stack(parts[1::3]).transpose(-1, -2).contiguous()  # (L, H, K, V)
    tail = torch.zeros(1, 0, dtype=torch.int64, device=kv.device)
    return StateTensors(shift.float().unsqueeze(2), kv.float().unsqueeze(1), tail)


class PackageModel:
    """The package's model as a `Backend`.

    Its output matrix is replaced by the identity, so that it returns hidden vectors, and applied here.
    """

    def __init__(
        self, weights: Weights, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        if weights.geometry.ngram_buckets:
            raise CheckpointError(
                "expected a checkpoint without an n-gram memory, found one with it: use backend 'torch'"
            )
        if dtype not in _STRATEGIES:
            raise InputError(f"expected float32, bfloat16 or float16 for backend 'rwkv', found {dtype}")
        self.geometry, self.device, self.dtype = weights.geometry, torch.device(device), dtype
        self._head = weights.model["head.weight"].to(device, dtype)  # (V, D)
        self._model = _load(weights, f"{device} {_STRATEGIES[dtype]}")

    def forward(
        self, tokens: Tensor, state: StateTensors | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, StateTensors]:
        """See `RWKV7.forward`; streams are read one after the other."""
        batch, length = tokens.shape
        state = (state or zero_tensors(self.geometry, batch, self.device)).select(list(range(batch)))
        hidden = torch.zeros(batch, length, self.geometry.width, device=self.device)
        counts = [length] * batch if lengths is None else lengths.tolist()
        for row, count in enumerate(counts):
            if count:
                hidden[row, :count] = self._read(tokens[row, :count].tolist(), state, row)
        return hidden, state

    def step(self, tokens: Tensor, state: StateTensors) -> Tensor:
        """See `RWKV7.step`."""
        rows = [self._read([token], state, row) for row, token in enumerate(tokens.tolist())]
        return torch.cat(rows)

    def logits(self, hidden: Tensor) -> Tensor:
        """See `RWKV7.logits`."""
        return F.linear(hidden.to(self._head.dtype), self._head).float()

    def scores(self, hidden: Tensor, choices: int, room: Tensor | None = None) -> Scores:
        """See `RWKV7.scores`."""
        return scores_of(self.logits(hidden), choices)

    def _read(self, tokens: list[int], state: StateTensors, row: int) -> Tensor:
        """Read into one stream of `state`, in place: the hidden vectors (T, D)."""
        before = to_package_state(state, row, self.dtype)
        hidden, parts = self._model.forward(tokens, before, full_output=True)
        after = from_package_state(parts)
        state.shift[:, :, row], state.kv[:, row] = after.shift[:, :, 0], after.kv[:, 0]
        return cast(Tensor, hidden).float().reshape(len(tokens), -1)


def _load(weights: Weights, strategy: str) -> Any:
    loader = package_class()
    identity = torch.eye(weights.geometry.width)
    with tempfile.TemporaryDirectory() as folder:
        stem = str(Path(folder) / "model")
        torch.save({**weights.model, "head.weight": identity}, stem + ".pth")
        with redirect_stdout(io.StringIO()):
            return loader(model=stem, strategy=strategy)


@contextmanager
def _flags_kept() -> Iterator[None]:
    """Undo what the import does to matrix products of the whole process."""
    if "rwkv.model" in sys.modules:
        yield
        return
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    flags = [backend.allow_tf32 for backend in backends]
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        for backend, flag in zip(backends, flags, strict=True):
            backend.allow_tf32 = flag
        torch.backends.cudnn.benchmark = benchmark


def _restore(name: str, value: str | None) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value
