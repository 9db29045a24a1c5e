"""Paths the user named to the files that are read."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aegir_dspy.errors import FailureRecord, InputError
from aegir_dspy.tables.failure import Unreadable, failure

__all__ = ["Found", "find_files", "table_name"]

# Suffix to the reader of such files.
READERS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv", ".ssv"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "columnar"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonlines"),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), "sqlite"),
    ".sql": "ddl",
}
_PACKABLE = ("csv", "jsonlines")
_MAGIC = {b"PAR1": "columnar", b"SQLi": "sqlite"}


@dataclass
class Found:
    """The files to read with their readers, in order; unknown files of folders; what failed."""

    files: list[tuple[Path, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[FailureRecord] = field(default_factory=list)


def table_name(path: Path) -> str:
    """The file name without its extension, and without ``.gz`` before that."""
    return Path(path.name[:-3] if path.name.lower().endswith(".gz") else path.name).stem


def find_files(paths: str | Path | Sequence[str | Path]) -> Found:
    """Files, folders (recursively, by suffix) and globs to files, each once, folders in sorted order.

    Raises:
        InputError: a path does not exist, a glob matches nothing, a folder holds no table file.
    """
    found = Found()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for match in _matches(path):
            if match.is_dir():
                _scan(match, found)
            else:
                found.files.append((match, reader_of(match) or _reader_by_content(match)))
    first: dict[str, tuple[Path, str]] = {}
    for path, reader in found.files:
        first.setdefault(os.path.realpath(path), (path, reader))
    found.files = list(first.values())
    return found


def reader_of(path: Path) -> str | None:
    """The reader of a file by its suffix; None where the suffix is unknown."""
    name = path.name.lower()
    reader = READERS.get(Path(name.removesuffix(".gz")).suffix)
    return None if name.endswith(".gz") and reader not in _PACKABLE else reader


def _matches(path: str | Path) -> list[Path]:
    if os.path.lexists(path):
        return [Path(path)]
    if not glob.has_magic(str(path)):
        raise InputError(f"{path}: expected a file, folder or glob, found nothing there; check the path")
    matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
    if not matches:
        raise InputError(f"{path}: expected files that match, found none; check the pattern")
    return [Path(match) for match in matches]


def _scan(folder: Path, found: Found) -> None:
    """Add the files of a folder. Hidden folders and links to folders are skipped."""
    before = len(found.files) + len(found.failures)

    def unreadable(error: OSError) -> None:
        found.failures.append(failure(error.filename, "files", error))

    for root, folders, names in os.walk(folder, onerror=unreadable):
        left_out = [n for n in folders if n.startswith(".") or (Path(root) / n).is_symlink()]
        found.skipped += [str(Path(root, name)) for name in sorted(left_out)]
        folders[:] = sorted(set(folders) - set(left_out))
        for path in (Path(root, name) for name in sorted(names)):
            reader = None if path.name.startswith(".") else reader_of(path)
            if reader:
                found.files.append((path, reader))
            else:
                found.skipped.append(str(path))
    if len(found.files) + len(found.failures) == before:
        known = " ".join(READERS)
        raise InputError(f"{folder}: expected table files ({known}), found none; name another folder")


def _reader_by_content(path: Path) -> str:
    """The reader of a file that was named explicitly: delimited text unless its first bytes say otherwise."""
    try:
        if not path.is_file():
            return "csv"
        with path.open("rb") as file:
            return _MAGIC.get(file.read(4), "csv")
    except OSError:
        return "csv"


def check_regular(path: Path) -> None:
    """Raise for pipes, sockets and devices, which could be waited for without end."""
    if path.exists() and not path.is_file():
        reason = "expected a regular file, found a pipe or device; copy its content to a file"
        raise Unreadable(reason, failure_class="resource")
    path.stat()
