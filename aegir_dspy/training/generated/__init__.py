"""Synthetic columns and tables, to train on what the labelled web tables lack."""

from aegir_dspy.training.generated.make import (
    GENERATED,
    NULLS,
    GeneratedColumn,
    generate_column,
    generate_table,
)

__all__ = ["GENERATED", "NULLS", "GeneratedColumn", "generate_column", "generate_table"]
