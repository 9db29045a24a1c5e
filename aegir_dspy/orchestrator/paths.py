"""The files and folders that the user named: nothing else is read, whatever a plan or a document says."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from aegir_dspy.errors import InputError

__all__ = ["NamedPaths"]

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


class NamedPaths:
    """Guards access to files.

    Args:
        paths: files and folders; what is below a folder is named with it, hidden names and links excepted.

    Raises:
        InputError: a path does not exist.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.roots = tuple(Path(path) for path in paths)
        if missing := [str(root) for root in self.roots if not root.exists()]:
            raise InputError(f"expected files or folders, found nothing at {', '.join(missing)}")
        self._real = tuple(Path(os.path.realpath(root)) for root in self.roots)

    def resolve(self, path: str) -> Path:
        """An existing file or folder that was named, links followed; as it is, or relative to a named folder.

        Raises:
            InputError: there is none, or it is not under what the user named.
        """
        if "\0" in path:
            raise InputError("expected a path, found a null character in it")
        for place in (Path(path), *(root / path for root in self.roots if root.is_dir())):
            real = Path(os.path.realpath(place))
            if any(_is_below(real, root) for root in self._real) and real.exists():
                return real
        raise InputError(f"expected a path under what the user named, found {path!r}: name it, or drop it")

    def read_text(self, path: str, most: int = 1 << 20) -> str:
        """The first `most` bytes of a file as text; what is no UTF-8 is replaced."""
        real = self.resolve(path)
        if not real.is_file():
            raise InputError(f"expected a file to read, found {path!r}, which is none")
        with real.open("rb") as file:
            return file.read(most).decode("utf-8", errors="replace")

    def files(self, pattern: str = "**/*") -> list[str]:
        """Files whose names below a named folder match a glob; sorted, as `resolve` takes them.

        ``**`` stands for any folders, ``*`` for part of a name.
        """
        if pattern.startswith("/") or ".." in PurePosixPath(pattern).parts:
            raise InputError(f"expected a pattern below the named folders, found {pattern!r}")
        match = re.compile(_expression(pattern))
        return sorted({path for name, path in self._names() if match.fullmatch(name)})

    def suffixes(self) -> dict[str, int]:
        """How many files there are of each suffix: all that a planner is told about them."""
        found = Counter(Path(path).suffix for path in {path for _, path in self._names()})
        return {suffix: found[suffix] for suffix in sorted(found) if _SUFFIX.fullmatch(suffix)}

    def _names(self) -> Iterator[tuple[str, str]]:
        for root in self.roots:
            yield from _below(root)


def _is_below(real: Path, root: Path) -> bool:
    """Whether it is the root, or below it under names that are not hidden."""
    if real == root:
        return True
    return root in real.parents and not any(p.startswith(".") for p in real.relative_to(root).parts)


def _below(root: Path) -> Iterator[tuple[str, str]]:
    """Every file: its name relative to the root, its path."""
    if root.is_file():
        yield root.name, str(root)
        return
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix(), str(path)


def _expression(pattern: str) -> str:
    """A glob as a regular expression that takes linear time."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    said = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(said.get(part, re.escape(part)) for part in parts)
