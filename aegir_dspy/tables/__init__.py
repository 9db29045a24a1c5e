"""Tables: reading them, and laying them out for a model. Imports no torch."""

from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.read import read_tables
from aegir_dspy.tables.serialize import SerializeConfig, serialize_column
from aegir_dspy.tables.table import Column, ForeignKey, Table, TableSet

__all__ = [
    "Column",
    "ForeignKey",
    "ReadConfig",
    "SerializeConfig",
    "Table",
    "TableSet",
    "read_tables",
    "serialize_column",
]
