"""Class expressions and axioms as immutable values: the fragment of OWL 2 DL of the template catalog.

Names are prefixed names (`aegir_dspy.ontology.terms.PREFIXES`); a composition's own begin with ``:``.
Source: OWL 2 structural specification, https://www.w3.org/TR/owl2-syntax/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "NOTHING",
    "THING",
    "And",
    "Axiom",
    "Cardinality",
    "Disjoint",
    "Domain",
    "Equivalent",
    "Expression",
    "Functional",
    "HasKey",
    "Instance",
    "Named",
    "Not",
    "Only",
    "Or",
    "Range",
    "Some",
    "SubClass",
    "SubProperty",
    "Value",
]


@dataclass(frozen=True, slots=True)
class Named:
    """A class, or a datatype where a data property's filler is meant (``xsd:decimal``)."""

    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """Everything that is not a `part`."""

    part: Expression


@dataclass(frozen=True, slots=True)
class And:
    """Everything that is all of the `parts` (at least two)."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Everything that is any of the `parts` (at least two)."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """``property some filler``."""

    property: str
    filler: Expression


@dataclass(frozen=True, slots=True)
class Only:
    """``property only filler``."""

    property: str
    filler: Expression


@dataclass(frozen=True, slots=True)
class Cardinality:
    """``property min|max|exactly count filler``; count ≥ 0."""

    bound: Literal["min", "max", "exactly"]
    property: str
    count: int
    filler: Expression


@dataclass(frozen=True, slots=True)
class Value:
    """``property value individual``."""

    property: str
    individual: str


Expression = Named | Not | And | Or | Some | Only | Cardinality | Value

THING = Named("owl:Thing")
NOTHING = Named("owl:Nothing")


@dataclass(frozen=True, slots=True)
class SubClass:
    """Every `sub` is a `super`."""

    sub: Expression
    super: Expression


@dataclass(frozen=True, slots=True)
class Equivalent:
    """`left` and `right` are the same things."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Disjoint:
    """Nothing is two of the `parts`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """Whatever has the property is a `domain`."""

    property: str
    domain: Expression


@dataclass(frozen=True, slots=True)
class Range:
    """Whatever is a value of the property is a `range`."""

    property: str
    range: Expression


@dataclass(frozen=True, slots=True)
class Functional:
    """The property has one value at most."""

    property: str


@dataclass(frozen=True, slots=True)
class SubProperty:
    """What has `sub` has the same value of `super`."""

    sub: str
    super: str


@dataclass(frozen=True, slots=True)
class HasKey:
    """Two named individuals of the class with the same values of the `properties` are one."""

    subject: str
    properties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """The individual is of the class."""

    individual: str
    type: Expression


Axiom = SubClass | Equivalent | Disjoint | Domain | Range | Functional | SubProperty | HasKey | Instance
