"""What the cells of a column of some type look like: datatype, validators, bounds, lengths, repetition.

There is an expectation for every label of the vocabularies ``schema``, ``sotab82`` and ``sotab32``, for the
datatypes of XML Schema that properties range over, and for some classes of ``dbpedia``; it is data, in
``assets/expectations.json``, one label a line, with a `reason` where it is not evident. Lengths are generous:
of each SOTAB label at least 95 % of the cells of its columns in the labelled tables lie within.

An expectation is soft: cells that break it are evidence against the type, more so the stricter its `kind`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

from aegir_dspy.ontology.curation import SCHEMA_DATATYPES
from aegir_dspy.ontology.names import local_name, name_of

__all__ = ["NEUTRAL", "EvidenceKind", "Expectation", "expectation", "expectations"]

EvidenceKind = Literal["checksum", "format", "lexicon", "shape"]
"""How telling it is that a cell passes, strongest first: random digits fail a checksum; a format has parts of
its own; a lexicon is a list of words that never is complete; much text has the shape."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of the cells of a column.

    Attributes:
        datatype: of the values once freed of units, signs and separators: ``xsd:decimal`` for ``2.9 oz``.
        validators: names in `aegir_dspy.verifier.validators`; a good cell passes any of them.
        kind: how telling that is, by the strictest of the validators.
        unique: True where a value identifies a thing and seldom repeats, False where values come from a
            small set and repeat, None where neither is expected.
        low: the least number, or None; for numbers read from the cells.
        high: the greatest number, or None.
        length: characters of the shortest and the longest usual cell, or None.
        lexicon: the usual values, where there are few and schema.org names them; IRIs of them, and words
            in other languages, are usual too.
        reason: one line on what is not evident.
    """

    datatype: str = "xsd:string"
    validators: tuple[str, ...] = ()
    kind: EvidenceKind = "shape"
    unique: bool | None = None
    low: float | None = None
    high: float | None = None
    length: tuple[int, int] | None = None
    lexicon: tuple[str, ...] = ()
    reason: str = ""


NEUTRAL = Expectation()
"""Of a label about which nothing is known: any text."""


_LISTS = ("validators", "lexicon", "length")
_ENDINGS = {"description": "Product/description", "name": "Product/name"}


def expectation(label: str) -> Expectation:
    """What is expected of a column of that type, `NEUTRAL` where nothing is known.

    Args:
        label: of a vocabulary (``Book/name``), a datatype or term (``xsd:date``, ``schema:isbn``) or an IRI.
            Of an unknown ``X/description`` or ``X/name`` the ending counts.
    """
    known = expectations()
    local = local_name(label) if ":" in label else label
    datatype = f"xsd:{SCHEMA_DATATYPES.get(local, '')}"
    ending = _ENDINGS.get(label.rpartition("/")[2] if local == label else local, "")
    places = (label, name_of(label) or "", local, datatype, ending)
    return next((known[place] for place in places if place in known), NEUTRAL)


@cache
def expectations() -> Mapping[str, Expectation]:
    """Every label with an expectation."""
    text = (resources.files("aegir_dspy.assets") / "expectations.json").read_text("utf-8")
    return MappingProxyType({label: _expectation(entry) for label, entry in json.loads(text).items()})


def _expectation(entry: dict[str, Any]) -> Expectation:
    lists: dict[str, Any] = {key: tuple(entry[key]) for key in _LISTS if key in entry}
    return Expectation(**(entry | lists))
