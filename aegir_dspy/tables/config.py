"""The bounds within which sources are read."""

from __future__ import annotations

from dataclasses import dataclass, fields

from aegir_dspy.errors import InputError

__all__ = ["ReadConfig"]


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """How much of every source is read. Sampling is bounded and deterministic.

    Attributes:
        sample_rows: most rows of a table whose cells are kept.
        sample_bytes: most bytes of a text file that are looked at; a larger file is sampled in chunks.
        max_cell_chars: a longer cell is cut here, in characters.
        max_columns: a table with more columns than this is a failure, not a table.
        max_tables: most tables read from one database file.
    """

    sample_rows: int = 200
    sample_bytes: int = 2 << 20
    max_cell_chars: int = 4096
    max_columns: int = 20_000
    max_tables: int = 10_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"ReadConfig.{field.name}: expected an integer >= 1, found {value!r}")
