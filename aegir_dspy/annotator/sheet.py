"""The columns of some tables as pieces to read, and which of them inform which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.tables.context import ContextConfig, context_members
from aegir_dspy.tables.serialize import (
    COLUMN_END,
    HEADER_END,
    VALUE_END,
    SerializeConfig,
    serialize_column,
    serialize_values,
)
from aegir_dspy.tables.table import Table

__all__ = ["CAPTION", "Sheet"]

CAPTION = "table"  # what stands as header over the text about a table


@dataclass(frozen=True)
class Sheet:
    """C columns of some tables, and after them the P - C captions of those tables that have one.

    Attributes:
        tables: in the order of their columns.
        members: per table, (c, c) bool, row = target: the columns that are its context.
        joined: (C, P) bool, the same for all tables together, captions included.
        readable: (C,) bool: columns with a value or a header; the others say nothing.
    """

    tables: tuple[Table, ...]
    members: tuple[NDArray[np.bool_], ...]
    joined: Tensor
    readable: Tensor
    _pieces: dict[SerializeConfig, list[bytes]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, tables: Sequence[Table], context: ContextConfig, serialize: SerializeConfig) -> Sheet:
        """Choose the context of every column; no context at all when `context.columns` is 0."""
        columns = [[serialize_column(column, serialize) for column in table.columns] for table in tables]
        said, members = [], []
        for pieces in columns:
            own = np.array([_says_something(piece) for piece in pieces], dtype=np.bool_)
            said.append(own)
            members.append(context_members(pieces, context) & own & bool(context.columns))
        readable = torch.from_numpy(np.concatenate(said)) if said else torch.zeros(0, dtype=torch.bool)
        captions = [bool(context.columns) and table.comment is not None for table in tables]
        sheet = cls(tuple(tables), tuple(members), _joined(members, captions), readable)
        sheet._pieces[serialize] = [*chain(*columns), *sheet._captions(serialize)]
        return sheet

    @cached_property
    def spans(self) -> list[slice]:
        """The columns of each table."""
        ends = np.cumsum([len(table.columns) for table in self.tables]).tolist()
        return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def pieces(self, serialize: SerializeConfig) -> list[bytes]:
        """(P) what a specialist reads."""
        if serialize not in self._pieces:
            columns = [serialize_column(c, serialize) for table in self.tables for c in table.columns]
            self._pieces[serialize] = columns + self._captions(serialize)
        return self._pieces[serialize]

    def _captions(self, serialize: SerializeConfig) -> list[bytes]:
        if self.joined.shape[0] == self.joined.shape[1]:
            return []
        shown = replace(serialize, value_bytes=serialize.column_bytes)
        texts = (table.comment for table in self.tables if table.comment is not None)
        return [serialize_values(CAPTION, [text], shown) for text in texts]

    def by_column(self, tokens: Tensor) -> Tensor:
        """(C,) what the pieces (P,) cost; a caption, read once a table, counts with its first column."""
        columns = len(self.readable)
        told = self.joined[:, columns:]
        first = told & (told.cumsum(0) == 1)  # (C, captions)
        return tokens[:columns] + (first * tokens[columns:]).sum(1)


def _says_something(piece: bytes) -> bool:
    return bool(piece.strip(HEADER_END + VALUE_END + COLUMN_END))


def _joined(members: Sequence[NDArray[np.bool_]], captions: Sequence[bool]) -> Tensor:
    total = sum(len(m) for m in members)
    joined = torch.zeros(total, total + sum(captions), dtype=torch.bool)
    first, caption = 0, total
    for m, captioned in zip(members, captions, strict=True):
        last = first + len(m)
        joined[first:last, first:last] = torch.from_numpy(m)
        if captioned:
            joined[first:last, caption] = True
            caption += 1
        first = last
    return joined
