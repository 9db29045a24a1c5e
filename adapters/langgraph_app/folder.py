"""The folder of a run: what was asked for, what it is made with, and everything that is kept of it.

::

    run.json            data, hashes of its files, settings, identity of weights and vocabulary
    checkpoint.sqlite   how far it is
    artifacts/          plan, what tasks made, the result
    trace.jsonl         what happened, see `aegir_dspy.orchestrator.trace`
    lock                held by the process that works on it
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aegir_dspy.errors import InputError, RunError
from aegir_dspy.tables.files import find_files

__all__ = ["ARTIFACTS", "RunFolder", "RunSettings"]

ARTIFACTS = "artifacts"
"""Name of the folder of artifacts in that of a run."""

_SCHEMA = "aegir.run/1"


@dataclass(frozen=True)
class RunSettings:
    """What decides the result of a run.

    Attributes:
        data: as the user named it. files: path → sha256 of the content, None for what cannot be read.
        settings: of the swarm. identity: of its weights, vocabulary and verifier.
        where: the folder the command was started in; paths are relative to it.
    """

    data: tuple[str, ...]
    files: Mapping[str, str | None]
    settings: Mapping[str, Any]
    identity: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, data: Sequence[str], settings: Mapping[str, Any], identity: Mapping[str, Any]) -> RunSettings:
        """The settings of a run over data as it is now. Raises InputError where it is not there."""
        files = {str(path): _sha256(path) for path, _ in find_files(data).files}
        return cls(tuple(data), files, settings, identity, str(Path.cwd()))


class RunFolder:
    """A folder that a run is kept in."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoint(self) -> Path:
        """The SQLite file of checkpoints."""
        return self.path / "checkpoint.sqlite"

    @property
    def artifacts(self) -> Path:
        """The folder of artifacts."""
        return self.path / ARTIFACTS

    def begin(self, settings: RunSettings) -> None:
        """Make the folder of a new run. Raises InputError where there is something in it already."""
        if self.path.is_dir() and any(self.path.iterdir()):
            found = "a run: go on with --resume" if self._file.exists() else "other things: name another one"
            raise InputError(f"expected an empty folder for the run, found {self.path} with {found}")
        content = json.dumps({"schema": _SCHEMA, **asdict(settings)}, indent=1) + "\n"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(".tmp")
            temporary.write_text(content, encoding="utf-8")
            temporary.replace(self._file)
        except OSError as error:
            raise RunError(f"expected to write the run in {self.path}, found: {error.strerror}") from error

    def settings(self) -> RunSettings:
        """What the run was begun with. Raises InputError where there is no run."""
        try:
            said = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"expected a run in {self.path}, found none: begin one with --run") from error
        except (OSError, ValueError) as error:
            raise InputError(f"expected the settings of a run in {self._file}, found: {error}") from error
        if not isinstance(said, dict) or said.pop("schema", None) != _SCHEMA:
            raise InputError(f"expected {_SCHEMA} in {self._file}, found another schema: begin a new run")
        try:
            return RunSettings(**{**said, "data": tuple(said["data"])})
        except (TypeError, KeyError) as error:
            raise InputError(f"expected the settings of a run in {self._file}, found: {error}") from error

    def check(self, now: RunSettings) -> None:
        """Raise InputError where the data, the settings or what the swarm is made of are not the run's."""
        begun = self.settings()
        pairs: list[tuple[str, Any, Any]] = [("data", list(begun.data), list(now.data))]
        for was, found, form in (
            (begun.settings, now.settings, "--{}"),
            (begun.identity, now.identity, "the same {}"),
            (begun.files, now.files, "the content of {}"),
        ):
            names = sorted(was.keys() | found.keys())
            pairs += [(form.format(name), was.get(name), found.get(name)) for name in names]
        for what, before, after in pairs:
            if before != after:
                raise InputError(
                    f"expected {what} as it was when the run began, {_short(before)}, found {_short(after)}: "
                    "resume with the same, or begin another run"
                )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else works on the run meanwhile. Raises InputError where somebody does."""
        with (self.path / "lock").open("w") as file:
            try:
                _lock(file.fileno())
            except OSError as error:
                raise InputError(f"expected nobody at work on {self.path}, found another process") from error
            yield

    def set_aside(self) -> Path:
        """Put a damaged checkpoint where it is not in the way; its new name."""
        aside = next(p for i in range(1, 1000) if not (p := self.path / f"damaged-{i}.sqlite").exists())
        for suffix in ("-wal", "-shm", ""):
            found = self.checkpoint.with_name(self.checkpoint.name + suffix)
            if found.exists():
                found.replace(aside.with_name(aside.name + suffix))
        return aside

    @property
    def _file(self) -> Path:
        return self.path / "run.json"


def _lock(file: int) -> None:
    """Until the file is closed, or the process ends in whatever way. Raises OSError where another has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _short(value: Any) -> str:
    said = json.dumps(value)
    return said if len(said) <= 80 else f"{said[:77]}..."
