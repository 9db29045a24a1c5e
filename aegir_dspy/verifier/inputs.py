"""The hash of what is scored: composition, tables and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from aegir_dspy.ontology.composition import Composition
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier.parse import Unread

__all__ = ["digest", "digest_of_input"]


def digest(composition: Composition | Unread, tables: Iterable[Table], texts: Sequence[str]) -> str:
    """SHA-256, in hex, over O and I.

    A composition counts by what it says, so its comment and how its JSON was written do not matter; what
    cannot be read counts by its text. Paths of tables do not count, as the same files may lie elsewhere.
    """
    # `ascii` of these values is the same text everywhere: names of fields, numbers, escaped strings.
    o = composition.text if isinstance(composition, Unread) else ascii(replace(composition, comment=""))
    told = hashlib.sha256(o.encode("utf-8", "surrogatepass"))
    told.update(digest_of_input(tables, texts).encode())
    return told.hexdigest()


def digest_of_input(tables: Iterable[Table], texts: Sequence[str]) -> str:
    """SHA-256, in hex, over I."""
    told = hashlib.sha256()
    for table in tables:
        told.update(ascii(replace(table, source="", columns=())).encode())
        for column in table.columns:
            told.update(ascii(replace(column, values=())).encode())
            told.update(_joined(column.values))
    told.update(_joined(texts))
    return told.hexdigest()


def _joined(texts: Sequence[str]) -> bytes:
    """The texts with their lengths, so that no two sequences give the same bytes."""
    lengths = ",".join(map(str, map(len, texts)))
    return f"{lengths};{''.join(texts)}".encode("utf-8", "surrogatepass")
