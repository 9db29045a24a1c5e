"""`rwkv7.c` as a loaded library: the one in the installed package, or compiled here once and kept.

No build step is needed: where the installed package has no compiled library, the first reading looks for a
C compiler, compiles (about a second) into the user's cache and loads that ever after. Without a compiler, or
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

__all__ = ["ARGUMENTS", "SOURCE", "ShiftMix", "TimeMix", "library"]

SOURCE = Path(__file__).with_name("rwkv7.c")
"""The kernels."""
_FLAGS = (
    "-O3", "-fno-tree-vectorize", "-fno-math-errno", "-fno-trapping-math",
    "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-psabi",
)  # fmt: skip
_NATIVE = ("-march=native", "-DNATIVE")
_PATIENCE = 60  # seconds for the compiler
_REVISION = 2  # of what the functions take

_int, _pointer = ctypes.c_int64, ctypes.c_void_p

_TIME_MIX = (
    "r", "k", "v", "w", "a", "g", "blend", "v_first",
    "w0", "a0", "v0", "k_k", "k_a", "r_k", "norm_weight", "norm_bias", "state", "out",
)  # fmt: skip


class TimeMix(ctypes.Structure):
    """``time_mix`` of `rwkv7.c`."""

    _fields_ = tuple((name, _pointer) for name in _TIME_MIX)


class ShiftMix(ctypes.Structure):
    """``shift_mix`` of `rwkv7.c`."""

    _fields_ = (
        ("x", _pointer), ("add", _pointer), ("weight", _pointer), ("bias", _pointer),
        ("mix", _pointer * 6), ("out", _pointer * 6), ("past", _pointer),
        ("outputs", _int), ("width", _int),
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
    "aegir_time_mix": (_int, _int, _int, _int, _int, _pointer, ctypes.POINTER(TimeMix)),
    "aegir_shift_mix": (_int, _int, _int, _pointer, ctypes.POINTER(ShiftMix)),
    "aegir_square_relu": (_int, _int, _pointer),
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


def _loaded(path: Path) -> ctypes.CDLL | None:
    """The library at `path` with its functions typed; None when it is none, or of another version."""
    try:
        found = ctypes.CDLL(str(path))
        found.aegir_revision.restype = _int
        if found.aegir_revision() != _REVISION:
            return None
        for name, arguments in ARGUMENTS.items():
            function = getattr(found, name)
            function.argtypes, function.restype = arguments, None
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
    digest = hashlib.sha256(SOURCE.read_bytes())
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    for text in (*_FLAGS, *_NATIVE, platform.machine(), platform.processor(), features):
        digest.update(text.encode())
    return digest.hexdigest()[:16]
