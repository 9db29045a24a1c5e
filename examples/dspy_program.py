"""A DSPy program with two local parts: the swarm names the columns, a constrained predictor sorts values.

Run: python examples/dspy_program.py [FILE.csv]
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Literal

import dspy

import aegir_dspy as aegir


class Kind(dspy.Signature):
    """What kind of values a column holds."""

    values: list[str] = dspy.InputField()
    kind: Literal["name", "address", "city", "country", "date", "url", "phone"] = dspy.OutputField()


class Profile(dspy.Module):
    """Type of every column by the swarm, and a coarse kind by a predictor on the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.swarm = aegir.Swarm(abstain_below=0.5)
        self.kind = dspy.Predict(Kind)

    def forward(self, path: str) -> dspy.Prediction:
        tables = aegir.read_tables(path)
        types = self.swarm(tables=tables).annotations[0].columns
        kinds = [self.kind(values=list(column.values[:5])).kind for column in tables[0].columns]
        return dspy.Prediction(columns=[(c.name, c.type, kind) for c, kind in zip(types, kinds, strict=True)])


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parent / "data" / "stores.csv")
    weights = str(files("aegir_dspy.assets") / "columns.safetensors")
    with dspy.context(lm=aegir.lm(weights), adapter=aegir.CompactAdapter()):
        for name, kind, coarse in Profile()(path=path).columns:
            print(f"{name or '–':16} {kind or '?':24} {coarse}")


if __name__ == "__main__":
    main()
