"""A swarm of small local RWKV-7 specialists as a DSPy plugin.

>>> import aegir_dspy as aegir
>>> out = aegir.Swarm()(tables=aegir.read_tables("orders.csv"))

Names load on first use (PEP 562), so that the import itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aegir_dspy._version import __version__

if TYPE_CHECKING:
    from aegir_dspy.adapters.dspy_lm import CompactAdapter, lm
    from aegir_dspy.errors import AegirError, FailureRecord
    from aegir_dspy.ontology import Vocabulary, load_vocabulary
    from aegir_dspy.rwkv import Engine, State
    from aegir_dspy.specialist import Primary, Specialist, fuse
    from aegir_dspy.swarm import Swarm, SwarmConfig
    from aegir_dspy.tables import ReadConfig, Table, TableSet, read_tables
    from aegir_dspy.verifier import Verifier

_HOMES = {
    "AegirError": "aegir_dspy.errors",
    "CompactAdapter": "aegir_dspy.adapters.dspy_lm",
    "Engine": "aegir_dspy.rwkv",
    "FailureRecord": "aegir_dspy.errors",
    "Primary": "aegir_dspy.specialist",
    "ReadConfig": "aegir_dspy.tables",
    "Specialist": "aegir_dspy.specialist",
    "State": "aegir_dspy.rwkv",
    "Swarm": "aegir_dspy.swarm",
    "SwarmConfig": "aegir_dspy.swarm",
    "Table": "aegir_dspy.tables",
    "TableSet": "aegir_dspy.tables",
    "Verifier": "aegir_dspy.verifier",
    "Vocabulary": "aegir_dspy.ontology",
    "fuse": "aegir_dspy.specialist",
    "lm": "aegir_dspy.adapters.dspy_lm",
    "load_vocabulary": "aegir_dspy.ontology",
    "read_tables": "aegir_dspy.tables",
}

__all__ = [
    "AegirError",
    "CompactAdapter",
    "Engine",
    "FailureRecord",
    "Primary",
    "ReadConfig",
    "Specialist",
    "State",
    "Swarm",
    "SwarmConfig",
    "Table",
    "TableSet",
    "Verifier",
    "Vocabulary",
    "__version__",
    "fuse",
    "lm",
    "load_vocabulary",
    "read_tables",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aegir_dspy' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
