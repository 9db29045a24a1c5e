"""`rwkv7.c` as a loaded library: the one in the installed package, or compiled here once and kept.

No build step is needed: where the installed package has no compiled library, the first reading looks for a
C compiler, compiles (a few seconds) into the user's cache and loads that ever after. Without a compiler, or
with ``AEGIR_KERNELS=torch`` in the environment, torch does the same work, more slowly.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

__all__ = [
    "ARGUMENTS",
    "SOURCE",
    "Layer",
    "Matrix",
    "Net",
    "Reading",
    "Scoring",
    "library",
    "multiplies_bfloat16",
]

SOURCE = Path(__file__).with_name("rwkv7.c")
"""The kernels; it includes the other C files beside it."""
_FLAGS = (
    "-O3", "-fno-tree-vectorize", "-fno-math-errno", "-fno-trapping-math",
    "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-psabi",
)  # fmt: skip
_NATIVE = ("-march=native", "-DNATIVE")
_PATIENCE = 180  # seconds for the compiler: it takes five, on a machine that does nothing else
_REVISION = 3  # of what the functions take
_BEST = 3  # of the instructions matrix.c knows: all that this processor has
_COUNTS = ("aegir_level", "aegir_scratch")  # functions that return a number

_int, _pointer = ctypes.c_int64, ctypes.c_void_p


class Matrix(ctypes.Structure):
    """``matrix`` of `matrix.c`."""

    _fields_ = (
        ("weights", _pointer), ("scales", _pointer), ("kind", _int), ("depth", _int), ("width", _int),
    )  # fmt: skip


_MATRICES = "r k v o w1 w2 a1 a2 v1 v2 g1 g2 key value"
_PLACES = "offsets tokens x shift kv maps hidden scratch"
_VECTORS = "x_r x_w x_k x_v x_a x_g w0 a0 v0 k_k k_a r_k"


class Layer(ctypes.Structure):
    """``layer`` of `layers.c`."""

    _fields_ = (
        *((name, Matrix) for name in _MATRICES.split()),
        ("norm1", _pointer * 2), ("norm2", _pointer * 2),
        *((name, _pointer) for name in _VECTORS.split()),
        ("norm_head", _pointer * 2), ("x_ffn", _pointer),
    )  # fmt: skip


class Net(ctypes.Structure):
    """``network`` of `layers.c`."""

    _fields_ = (
        ("layers", _int), ("width", _int), ("heads", _int), ("ffn", _int), ("vocab", _int),
        ("layer", ctypes.POINTER(Layer)), ("embedding", _pointer), ("norm_out", _pointer * 2),
    )  # fmt: skip


class Reading(ctypes.Structure):
    """``reading`` of `layers.c`."""

    _fields_ = (
        ("net", ctypes.POINTER(Net)), ("rows", _int), ("streams", _int), ("threads", _int),
        *((name, _pointer) for name in _PLACES.split()),
        ("shift_stride", _int * 2), ("kv_stride", _int), ("wrong", _int), ("crew", _int * 2),
    )  # fmt: skip


class Scoring(ctypes.Structure):
    """``scoring`` of `scores.c`."""

    _fields_ = (
        ("m", ctypes.POINTER(Matrix)), ("in", _pointer), ("out", _pointer), ("scratch", _pointer),
        ("rows", _int), ("threads", _int), ("vocab", _int), ("choices", _int), ("best", _pointer),
        ("total", _pointer),
        ("crew", _int * 2),
    )  # fmt: skip


ARGUMENTS = {
    "aegir_wkv": (_int, _int, _int, _int, _pointer, _pointer * 6, _pointer, _pointer, _pointer, _pointer),
    "aegir_wkv_back": (
        _int,
        _int,
        _int,
        _int,
        _pointer,
        _pointer * 6,
        _pointer,
        _pointer,
        _pointer,
        _pointer,
        _pointer * 6,
    ),
    "aegir_level": (_int,),
    "aegir_scratch": (ctypes.POINTER(Net), _int, _int),
    "aegir_read": (ctypes.POINTER(Reading),),
    "aegir_score": (ctypes.POINTER(Scoring),),
}
"""The functions and what they take; see `rwkv7.c`."""


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where there are none."""
    if os.environ.get("AEGIR_KERNELS", "").lower() in {"torch", "none", "0", "off"}:
        return None
    for path in sorted(SOURCE.parent.glob("_rwkv7*")):
        if (found := _loaded(path)) is not None:
            return found
    compiled = _compiled()
    return None if compiled is None else _loaded(compiled)


def multiplies_bfloat16() -> bool:
    """Whether there are kernels, and a processor with instructions for products in bfloat16."""
    found = library()
    return found is not None and found.aegir_level(_BEST) == _BEST


def _loaded(path: Path) -> ctypes.CDLL | None:
    """The library at `path` with its functions typed; None when it is none, or of another version."""
    try:
        found = ctypes.CDLL(str(path))
        found.aegir_revision.restype = _int
        if found.aegir_revision() != _REVISION:
            return None
        for name, arguments in ARGUMENTS.items():
            function = getattr(found, name)
            function.argtypes = arguments
            function.restype = _int if name in _COUNTS else None
        found.aegir_level(_BEST)
    except (OSError, AttributeError):
        return None
    return found


def _compiled() -> Path | None:
    """Where the library compiled for this source and this processor lies, compiled now if need be."""
    target = _cache() / f"rwkv7-{_fingerprint()}.so"
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))), None)
    if target.exists() or compiler is None or sys.platform == "win32":
        return target if target.exists() else None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            command = [compiler, *_FLAGS, *_NATIVE, str(SOURCE), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)
            made.replace(target)  # whole or not at all, also when two processes do it
    except (OSError, subprocess.SubprocessError):
        return None
    return target


def _cache() -> Path:
    from platformdirs import user_cache_path

    return Path(os.environ.get("AEGIR_HOME") or user_cache_path("aegir")) / "kernels"


def _fingerprint() -> str:
    """What the compiled library depends on: source, flags, kind of processor."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(SOURCE.parent.glob("*.c"))))
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    for text in (*_FLAGS, *_NATIVE, platform.machine(), platform.processor(), features):
        digest.update(text.encode())
    return digest.hexdigest()[:16]
