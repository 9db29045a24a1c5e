"""What tasks make, kept by key: in memory, or in a folder from which a killed run goes on.

A graph that is checkpointed carries keys only. In a folder every value is a JSON file named after the hash of
its content; recurrent states are never among them, they are in `aegir_dspy.latent.StateStore`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from aegir_dspy.errors import InputError, RunError

__all__ = ["Artifacts", "FolderArtifacts", "MemoryArtifacts"]


class Artifacts(Protocol):
    """Values by key."""

    def put(self, kind: str, value: Any) -> str:
        """Keep the value of a task of that kind; its key."""
        ...

    def get(self, kind: str, key: str) -> Any:
        """The value under a key. Raises InputError where there is none, or it is damaged."""
        ...


class MemoryArtifacts:
    """Values of this process; nothing is copied."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._numbers = itertools.count()

    def put(self, kind: str, value: Any) -> str:
        """See `Artifacts`."""
        key = f"{kind}/{next(self._numbers)}"
        self._values[key] = value
        return key

    def get(self, kind: str, key: str) -> Any:
        """See `Artifacts`."""
        if key not in self._values:
            raise InputError(f"expected the artifact {key}, found none in this process")
        return self._values[key]


class FolderArtifacts:
    """Values as JSON files ``<sha256>.json``, written whole or not at all, checked when they are read.

    Args:
        folder: is made where it is missing.
        types: kind of task → type of its value, as pydantic understands types; JSON values for others.
    """

    def __init__(self, folder: Path, types: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._types = {kind: TypeAdapter(type_) for kind, type_ in types.items()}
        self._any: TypeAdapter[Any] = TypeAdapter(Any)

    def put(self, kind: str, value: Any) -> str:
        """See `Artifacts`. Raises RunError where it cannot be written; what is damaged is written again."""
        said = self._types.get(kind, self._any).dump_python(value, mode="json")
        content = json.dumps(said, separators=(",", ":")).encode()  # escapes what UTF-8 cannot encode
        key = hashlib.sha256(content).hexdigest()
        path = self.folder / f"{key}.json"
        try:
            if not path.exists() or path.read_bytes() != content:
                _write(path, content)
        except OSError as error:
            raise RunError(f"expected to write {path}, found: {error.strerror}; free some space") from error
        return key

    def get(self, kind: str, key: str) -> Any:
        """See `Artifacts`."""
        path = self.folder / f"{key}.json"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"expected the artifact {path}, found: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != key:
            raise InputError(f"expected the content {key[:12]} in {path}, found another: it is damaged")
        try:
            return self._types.get(kind, self._any).validate_python(json.loads(content))
        except (ValidationError, ValueError) as error:
            raise InputError(f"expected a value of the kind {kind} in {path}, found: {error}") from error


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
