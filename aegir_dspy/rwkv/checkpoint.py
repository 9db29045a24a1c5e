"""Weights files: official names, dimensions read from shapes, wrong files refused in one line.

`.safetensors` and `.pth` are read; `.pth` only with ``weights_only=True``, so a pickle with code in it is
refused before any of it runs. What was read is copied (0.6 s a GB, its hash takes 0.7 s): a model stays
as it is when its file is written over while it runs.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from aegir_dspy.errors import CheckpointError
from aegir_dspy.rwkv.geometry import Geometry
from aegir_dspy.rwkv.model import RWKV7

__all__ = [
    "SHARED",
    "Weights",
    "build_model",
    "file_sha256",
    "geometry_of",
    "read_weights",
    "save_weights",
]

_EXPECTED = "an RWKV-7 (x070) checkpoint, .safetensors or .pth"
# Left over in published files, used by none of the layers.
_UNUSED = ("blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2")
_SCALE = ".int8_scale"
SHARED = "shared"
"""Metadata entry of a file: how the names of parameters begin that it lacks because its model shares them."""


@dataclass(frozen=True)
class Weights:
    """The contents of a checkpoint file.

    Attributes:
        model: parameters of `RWKV7` under their official names.
        extra: every other tensor (heads of a task), by name.
        metadata: text entries of a safetensors file.
        geometry: dimensions read from the shapes.
        sha256: hash of the file.
    """

    model: dict[str, Tensor]
    extra: dict[str, Tensor]
    metadata: dict[str, str]
    geometry: Geometry
    sha256: str


def read_weights(path: str | Path, base: Mapping[str, Tensor] | None = None) -> Weights:
    """Read a checkpoint file.

    Args:
        base: parameters that stand in for those the file lacks because its model shares them.

    Raises:
        CheckpointError: the file is missing, truncated, a pickle with code, of another RWKV version or no
            checkpoint at all, only a part of one, or was written to meanwhile; the message says what was
            expected and what was found.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"expected {_EXPECTED}; found no file at {path}")
    version = _version(path)
    tensors, metadata = _read_safetensors(path) if _is_safetensors(path) else (_read_pth(path), {})
    if base is None:
        _check_whole(tensors, metadata, path)
    tensors = {**{n: t for n, t in (base or {}).items() if n not in tensors}, **tensors}
    geometry = geometry_of(tensors, str(path))
    names = _parameter_shapes(geometry)
    for name, shape in names.items():
        if name not in tensors:
            raise CheckpointError(f"expected {_EXPECTED} with {name}; found none in {path}: is it complete?")
        if tensors[name].shape != shape and tensors[name].numel() != shape.numel():
            raise CheckpointError(
                f"expected {name} {tuple(shape)}, found {tuple(tensors[name].shape)} in {path}"
            )
    model = {name: tensors[name].reshape(shape) for name, shape in names.items()}
    extra = {n: t for n, t in tensors.items() if n not in model and n not in _UNUSED}
    sha256 = file_sha256(path)
    if _version(path) != version:
        raise CheckpointError(f"expected {_EXPECTED}; found {path} changed while it was read: read it again")
    return Weights(model, extra, metadata, geometry, sha256)


def build_model(
    weights: Weights, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> RWKV7:
    """A model for inference with its matrices in `dtype`.

    Norms, decays and the other vectors stay in at least float32, and so do states: they are small, and
    rounding them is what costs accuracy.
    """
    with torch.device("meta"):
        model = RWKV7(weights.geometry)
    fine = torch.promote_types(dtype, torch.float32)
    placed = {n: t.to(device, dtype if _is_matrix(n, t) else fine) for n, t in weights.model.items()}
    model.load_state_dict(placed, assign=True)
    return model.requires_grad_(False).eval()


def _is_matrix(name: str, tensor: Tensor) -> bool:
    return tensor.dim() == 2 and not name.endswith("r_k")


def save_weights(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    dtype: torch.dtype,
    packed: Sequence[str] = (),
) -> str:
    """Write tensors as safetensors in `dtype` under a temporary name, then rename. Returns the sha256.

    The same tensors and metadata give the same bytes.

    Args:
        packed: matrices to write as int8, each row with a scale of its own in ``<name>.int8_scale``.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    whole = {n: t.detach().to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}
    for name in packed:
        whole |= _pack(name, tensors[name].detach().float())
    save_file({n: t.contiguous() for n, t in whole.items()}, temporary, dict(metadata))
    _order_metadata(temporary)
    temporary.replace(path)
    return file_sha256(path)


def _order_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file, which the library writes in an order of chance."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        ordered = {"__metadata__": dict(sorted(header.pop("__metadata__", {}).items())), **header}
        text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)
        if len(text) == size:  # only the order has changed
            file.seek(8)
            file.write(text)


def _pack(name: str, matrix: Tensor) -> dict[str, Tensor]:
    """(R, C) float → int8, and what each row has to be multiplied by.

    A power of two: the products are exact in bfloat16, so packing what was unpacked changes nothing.
    """
    scale = torch.exp2((matrix.abs().amax(1) / 127).clamp(min=2.0**-120).log2().ceil()).bfloat16()
    rows = (matrix / scale.float().unsqueeze(1)).round().clamp(-127, 127).to(torch.int8)
    return {name: rows, name + _SCALE: scale}


def _unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rows written as int8 as bfloat16 again."""
    for name in [n.removesuffix(_SCALE) for n in tensors if n.endswith(_SCALE)]:
        scale = tensors.pop(name + _SCALE)
        if name in tensors and tensors[name].dtype == torch.int8:
            tensors[name] = tensors[name].to(torch.bfloat16) * scale.unsqueeze(1)
    return tensors


def geometry_of(tensors: Mapping[str, Tensor], where: str = "the checkpoint") -> Geometry:
    """Dimensions of the model these parameters belong to. Raises CheckpointError for another model's."""
    if "blocks.0.att.r_k" not in tensors or "emb.weight" not in tensors:
        raise CheckpointError(f"expected {_EXPECTED}; found {_guess(tensors)} in {where}")
    vocab, width = _sides(tensors, "emb.weight", where)
    layers = 1 + max(int(found[1]) for n in tensors if (found := re.match(r"blocks\.(\d+)\.", n)))
    w, a, v, g = (_rank(tensors, f"{name}1", layers, where) for name in ("w", "a", "v", "g"))
    buckets, ngram_width = _sides(tensors, "ngram.weight", where) if "ngram.weight" in tensors else (0, 0)
    _, head_size = _sides(tensors, "blocks.0.att.r_k", where)
    ffn, _ = _sides(tensors, "blocks.0.ffn.key.weight", where)
    return Geometry(layers, width, head_size, vocab, ffn, w, a, v, g, buckets, ngram_width)


def _check_whole(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Raise CheckpointError for a file that is only a part: without the rest it would be another model.

    Annotators written before the entry `SHARED` always had an n-gram memory, unless they shared it.
    """
    shared = metadata.get(SHARED, "ngram." if "aegir" in metadata else "").split()
    missing = [prefix for prefix in shared if not any(n.startswith(prefix) for n in tensors)]
    if missing:
        names = ", ".join(f"{prefix}*" for prefix in missing)
        raise CheckpointError(
            f"expected {_EXPECTED} that is whole; found {path} without {names}, "
            "which it shares with the primary of its swarm: load the primary's file (columns.safetensors), "
            "which asks this member, or pass its model as base"
        )


def _sides(tensors: Mapping[str, Tensor], name: str, where: str) -> tuple[int, int]:
    """Rows and columns of a matrix that has to be there."""
    shape = tuple(tensors[name].shape) if name in tensors else None
    if shape is None or len(shape) != 2:
        raise CheckpointError(f"expected {_EXPECTED} with a matrix {name}; found {shape} in {where}")
    return shape


def file_sha256(path: str | Path) -> str:
    """sha256 of a file's contents, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rank(tensors: Mapping[str, Tensor], name: str, layers: int, where: str) -> int:
    """The low rank of w, a, v or g; the value mix of the first layer is unused, so look at the last one."""
    for layer in (layers - 1, 0):
        if f"blocks.{layer}.att.{name}" in tensors:
            return _sides(tensors, f"blocks.{layer}.att.{name}", where)[1]
    if layers == 1 and name == "v1":
        return 0  # a single layer has no value to mix in
    raise CheckpointError(f"expected {_EXPECTED} with att.{name}; found none in {where}")


@lru_cache(maxsize=8)
def _parameter_shapes(geometry: Geometry) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in RWKV7(geometry).state_dict().items()}


def _version(path: Path) -> tuple[int, int, int]:
    """What differs when a file has been written to or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_safetensors(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return _unpack(tensors), file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"expected {_EXPECTED}; found a broken safetensors file, {path}: {error}"
        ) from error


def _read_pth(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = (
            "a pickle that holds code or foreign objects" if "weights_only" in str(error) else "no tensors"
        )
        raise CheckpointError(f"expected {_EXPECTED}; found {found} in {path}") from error
    except Exception as error:  # an unpickler fails on garbage in any way it likes
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"expected {_EXPECTED}; found a broken file, {path}: {first}") from error
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise CheckpointError(
            f"expected {_EXPECTED}; found a {type(content).__name__} without tensors in {path}"
        )
    return content


def _guess(tensors: Mapping[str, Tensor]) -> str:
    """Which model the parameter names look like."""
    names = set(tensors)
    if any(n.endswith("att.time_maa_x") or n.endswith("att.time_maa_w1") for n in names):
        return "an RWKV-6 checkpoint"
    if "blocks.0.att.time_decay" in names:
        return "an RWKV-5 checkpoint" if "blocks.0.att.ln_x.weight" in names else "an RWKV-4 checkpoint"
    return f"{len(names)} tensors such as {min(names)}" if names else "no tensors"
