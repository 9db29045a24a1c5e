"""Null distributions of R_B: how complex random compositions of each size are.

``python -m aegir_dspy.verifier.nulls`` writes `assets/nulls.json` for the built-in catalog: 200 compositions
a size, each of that many different entries; template and fillers are drawn evenly, fillers among the terms
of schema.org that the slot's type and bound allow. The same numbers come out everywhere: only `random()` of
Python's Mersenne twister is used, which is the same in every version.

A catalog of the user's own has its nulls made when it is first used.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from bisect import bisect_left
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

from aegir_dspy.ontology.catalog import Catalog, load_catalog
from aegir_dspy.ontology.composition import Entry
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.slots import KIND_OF, Slot

__all__ = ["DRAWS", "SIZES", "Nulls", "made", "random_entry", "text_of"]

SIZES: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""The numbers of entries that compositions were drawn for; between them is interpolated."""
DRAWS = 200
_FILE = "nulls.json"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Nulls:
    """95th percentiles of complexity a size, for every size of `SIZES`.

    Attributes:
        catalog: SHA-256 of the templates they were drawn from, by their Manchester text.
        high: complexity / size at the 95th percentile, in the order of `SIZES`.
    """

    catalog: str
    high: tuple[float, ...]

    @classmethod
    def of(cls, catalog: Catalog) -> Nulls:
        """Those shipped if they are the catalog's, otherwise made now (about three seconds)."""
        shipped = _shipped()
        return shipped if shipped and shipped.catalog == _hash(catalog) else made(catalog)

    def density(self, size: int) -> float:
        """The 95th percentile at a size, interpolated between sizes, constant beyond them."""
        at = bisect_left(SIZES, size)
        if at == 0 or at == len(SIZES):
            return self.high[min(at, len(SIZES) - 1)]
        share = (size - SIZES[at - 1]) / (SIZES[at] - SIZES[at - 1])
        return self.high[at - 1] + share * (self.high[at] - self.high[at - 1])

    @cached_property
    def sha256(self) -> str:
        """SHA-256, in hex, of the values."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1)
def _shipped() -> Nulls | None:
    file = resources.files("aegir_dspy.assets") / _FILE
    if not file.is_file():
        return None
    content = json.loads(file.read_text("utf-8"))
    return Nulls(content["catalog"], tuple(content["high"]))


def _hash(catalog: Catalog) -> str:
    """Of what the nulls depend on: how templates are worded does not matter."""
    content = [(template.id, template.manchester) for template in catalog]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def made(catalog: Catalog) -> Nulls:
    """The nulls of a catalog."""
    from aegir_dspy.verifier.density import complexity

    rng = random.Random(0)
    high = []
    for size in SIZES:
        drawn = []
        for _ in range(DRAWS):
            entries = {random_entry(catalog, rng): None for _ in range(size)}
            axioms = [axiom for entry in entries for axiom in catalog.instantiate(entry)]
            drawn.append(complexity(axioms) / size)
        high.append(sorted(drawn)[math.ceil(0.95 * DRAWS) - 1])
    return Nulls(_hash(catalog), tuple(round(value, 9) for value in high))


def random_entry(catalog: Catalog, rng: random.Random) -> Entry:
    """An entry with a random template and random fillers of the right types and bounds."""
    template = _pick(catalog.templates, rng)
    return Entry(template.id, tuple((slot.name, _filler(slot, rng)) for slot in template.slots))


def _filler(slot: Slot, rng: random.Random) -> str:
    if slot.type == "Integer":
        low, high = slot.span
        return str(low + int(rng.random() * (min(high, low + 9) - low + 1)))
    return _pick(_candidates(slot.type, slot.bound), rng)


@lru_cache(maxsize=256)
def _candidates(type_: str, bound: str) -> tuple[str, ...]:
    """The terms of schema.org that may fill a slot, in the order of the ontology."""
    ontology = load_ontology("schema")
    kind = KIND_OF[type_]
    found = [term.name for term in ontology if term.kind == kind]
    return tuple(name for name in found if not bound or ontology.is_a(name, bound)) or (bound,)


def _pick(things: tuple[_T, ...], rng: random.Random) -> _T:
    return things[int(rng.random() * len(things))]


def text_of(nulls: Nulls) -> str:
    """The text of the file."""
    told = {"what": "95th percentiles of complexity / size of random compositions, by size"}
    return json.dumps({**told, "draws": DRAWS, "sizes": SIZES, **asdict(nulls)}, indent=1) + "\n"


if __name__ == "__main__":
    path = Path(__file__).parents[1] / "assets" / _FILE
    path.write_text(text_of(made(load_catalog())), "utf-8")
    print(path)
