"""From what a person writes to paths, and from a result to an answer."""

from __future__ import annotations

import glob
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage

from aegir_dspy.errors import InputError
from aegir_dspy.tables.files import READERS

__all__ = ["allowed", "paths_in", "summary", "told"]

_AROUND = ".,;:!?()[]{}<>"


def paths_in(messages: Sequence[AnyMessage]) -> list[str]:
    """The files, folders and globs that the last message of a person names.

    What other members of a swarm wrote is not looked at.

    Raises:
        InputError: it names none, or one that is not there.
    """
    last = next((one for one in reversed(messages) if isinstance(one, HumanMessage)), None)
    if last is None:
        raise InputError("expected data, or a message of a person that names it, found neither")
    found = [path for word in _words(last.text) if (path := _path(word)) is not None]
    if not found:
        raise InputError("expected a message that names files, folders or globs, found none of them in it")
    return list(dict.fromkeys(found))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, posix=True)
    except ValueError:  # an apostrophe
        return text.split()


def _path(word: str) -> str | None:
    for name in (word, word.strip(_AROUND)):
        if name and (os.path.lexists(name) or (glob.has_magic(name) and glob.glob(name, recursive=True))):  # noqa: PTH207
            return name
    name = word.strip(_AROUND)
    if Path(name).suffix.lower() in READERS and len(Path(name).stem):
        raise InputError(f"{name}: expected a file, folder or glob, found nothing there; check the path")
    return None


def allowed(paths: Sequence[str], roots: Sequence[Path]) -> list[str]:
    """The paths, all of them within the roots (anywhere, where there are none).

    Raises:
        InputError: one leads out of them, links followed.
    """
    for path in paths if roots else ():
        base = path.split("*", 1)[0].split("?", 1)[0].split("[", 1)[0]
        real = Path(base if glob.has_magic(path) else path).resolve()
        if ".." in Path(path).parts or not any(real.is_relative_to(root.resolve()) for root in roots):
            folders = ", ".join(str(root) for root in roots)
            raise InputError(f"expected data in {folders}, found {path}: it is not among what may be read")
    return list(paths)


def summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """The result without cell values: those are in the artifact only."""
    tables = [{**table, "columns": [_shown(c) for c in table["columns"]]} for table in document["tables"]]
    score = {name: value for name, value in (document["score"] or {}).items() if name != "diagnostics"}
    failures = [{**failure, "evidence": ""} for failure in document["failures"]]
    return {**document, "tables": tables, "score": score, "failures": failures}


def _shown(column: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in column.items() if name != "evidence"}


def told(result: Mapping[str, Any]) -> str:
    """The summary in words, for the members of a swarm that read messages."""
    lines = []
    for table in result["tables"]:
        types = ", ".join(f"{c['name'] or c['index']}: {c['type'] or 'unsure'}" for c in table["columns"])
        lines.append(f"{table['name']} ({types})")
    failed = len(result["failures"])
    score = result["score"].get("R")
    lines.append(f"R {score:.2f}, {failed} failures" if score is not None else f"{failed} failures")
    return "\n".join(json.dumps(line, ensure_ascii=False)[1:-1] for line in lines)
