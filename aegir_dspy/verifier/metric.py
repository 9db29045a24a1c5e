"""The verifier as a metric of DSPy, without importing DSPy.

`Judgement` is a float, so `dspy.Evaluate`, `dspy.GEPA` and the bootstrapping optimizers take it as the score;
it also has ``score``, ``feedback`` and ``objective_scores``, as attributes and by ``[...]``, which is how
GEPA 0.1 reads the feedback of a metric. GEPA keeps *objectives* only of a `dspy.Prediction`:
``dspy.Prediction(**judgement.fields())`` is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aegir_dspy.errors import InputError
from aegir_dspy.tables.read import read_tables
from aegir_dspy.tables.table import Table

__all__ = ["Judgement", "input_of"]


class Judgement(float):
    """A score with its reasons in words.

    Attributes:
        feedback: text for people and for a reflecting model.
        objective_scores: R, every component, and the share of gates passed, by name.
    """

    feedback: str
    objective_scores: dict[str, float]

    def __new__(
        cls, score: float, feedback: str = "", objectives: dict[str, float] | None = None
    ) -> Judgement:
        """A float of that value."""
        self = super().__new__(cls, score)
        self.feedback = feedback
        self.objective_scores = dict(objectives or {})
        return self

    @property
    def score(self) -> float:
        """The value as a plain float."""
        return float(self)

    def fields(self) -> dict[str, Any]:
        """``score``, ``feedback`` and ``objective_scores``."""
        return {"score": self.score, "feedback": self.feedback, "objective_scores": self.objective_scores}

    def __getitem__(self, name: str) -> Any:
        return self.fields()[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The field of that name."""
        return self.fields().get(name, default)

    def __getnewargs__(self) -> tuple[float, str, dict[str, float]]:  # type: ignore[override]
        return (float(self), self.feedback, self.objective_scores)


def input_of(example: Any, prediction: Any) -> tuple[Any, tuple[Table, ...], tuple[str, ...]]:
    """(composition, tables, texts) of a DSPy example and prediction.

    The composition is the prediction's. Tables and texts are the example's, or else the prediction's; tables
    may be `Table` values or paths.

    Raises:
        InputError: there is no composition, or there are no tables.
    """
    composition = _field(prediction, "composition")
    tables = _field(example, "tables")
    if tables is None:
        tables = _field(prediction, "tables")
    if composition is None or tables is None:
        missing = "a prediction with a composition" if composition is None else "an example with tables"
        raise InputError(f"expected {missing}, found none; give it that field")
    texts = _field(example, "texts") or _field(prediction, "texts") or ()
    return composition, _tables(tables), (texts,) if isinstance(texts, str) else tuple(map(str, texts))


def _field(thing: Any, name: str) -> Any:
    if isinstance(thing, dict):
        return thing.get(name)
    # Examples and predictions of DSPy raise AttributeError for a field they lack, as any object does.
    return getattr(thing, name, None)


def _tables(tables: Any) -> tuple[Table, ...]:
    if isinstance(tables, Table):
        return (tables,)
    if isinstance(tables, str | Path):
        return tuple(read_tables(tables))
    found = list(tables) if isinstance(tables, Iterable) else []
    if found and all(isinstance(one, Table) for one in found):
        return tuple(found)
    if found and all(isinstance(one, str | Path) for one in found):
        return tuple(read_tables(found))
    raise InputError(f"expected tables or paths of tables, found {type(tables).__name__}")
