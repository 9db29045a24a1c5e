"""Synthetic columns and tables, to train on what the labelled web tables lack."""

from aegir_dspy.training.generated.make import (
    GENERATED,
    NULLS,
    GeneratedColumn,
    generate_column,
    generate_table,
)
from aegir_dspy.training.generated.relational import (
    RELATIONAL,
    filler_values,
    match_table,
    relational_table,
)

__all__ = [
    "GENERATED",
    "NULLS",
    "RELATIONAL",
    "GeneratedColumn",
    "filler_values",
    "generate_column",
    "generate_table",
    "match_table",
    "relational_table",
]
