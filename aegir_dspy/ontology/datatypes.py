"""Value spaces of datatypes as bit sets, so that a conjunction of datatypes is one ``&``.

The values of all datatypes are cut into cells that no datatype splits; a datatype is a set of cells, and
a cell has a size. Within the OWL 2 datatype map (https://www.w3.org/TR/owl2-syntax/#Datatype_Maps) the
spaces are as that says: integers are decimals, float, double and decimal are disjoint, strings are no
URIs. XML Schema's other primitive types (date, time, gYear, duration, …) are disjoint from all of these,
as https://www.w3.org/TR/xmlschema11-2/ has it. Schema.org's own types are generous: its ``Text`` holds
URIs too, its ``Date`` any calendar value.
"""

from __future__ import annotations

import math
from itertools import pairwise

__all__ = ["LITERAL", "SPACES", "colours", "is_datatype", "size"]

LITERAL = "rdfs:Literal"

_INTEGERS: dict[str, tuple[float, float]] = {  # lowest and highest value, both included
    "integer": (-math.inf, math.inf),
    "nonNegativeInteger": (0, math.inf),
    "nonPositiveInteger": (-math.inf, 0),
    "positiveInteger": (1, math.inf),
    "negativeInteger": (-math.inf, -1),
    "long": (-(2**63), 2**63 - 1),
    "int": (-(2**31), 2**31 - 1),
    "short": (-(2**15), 2**15 - 1),
    "byte": (-(2**7), 2**7 - 1),
    "unsignedLong": (0, 2**64 - 1),
    "unsignedInt": (0, 2**32 - 1),
    "unsignedShort": (0, 2**16 - 1),
    "unsignedByte": (0, 2**8 - 1),
}
_CHAINS = (  # widest first, each within the one before
    ("owl:real", "owl:rational", "xsd:decimal", "xsd:integer"),
    (
        "rdf:PlainLiteral",
        "xsd:string",
        "xsd:normalizedString",
        "xsd:token",
        "xsd:NMTOKEN",
        "xsd:Name",
        "xsd:NCName",
        "xsd:language",
    ),
    ("xsd:dateTime", "xsd:dateTimeStamp"),
)
_ALONE = (
    *("xsd:double", "xsd:float", "xsd:anyURI", "xsd:hexBinary", "xsd:base64Binary", "rdf:XMLLiteral"),
    *("xsd:date", "xsd:time", "xsd:gYear", "xsd:gYearMonth", "xsd:gMonth", "xsd:gMonthDay", "xsd:gDay"),
)
_CALENDAR = ("xsd:date", "xsd:dateTime", "xsd:gYear", "xsd:gYearMonth")
_WIDE = {  # schema.org
    "schema:Boolean": ("xsd:boolean",),
    "schema:Number": ("owl:real", "xsd:double", "xsd:float"),
    "schema:Float": ("owl:real", "xsd:double", "xsd:float"),
    "schema:Integer": ("xsd:integer",),
    "schema:Text": ("rdf:PlainLiteral", "xsd:anyURI"),
    "schema:URL": ("rdf:PlainLiteral", "xsd:anyURI"),
    "schema:Date": _CALENDAR,
    "schema:DateTime": _CALENDAR,
    "schema:Time": ("xsd:time", "xsd:dateTime"),
}


def _spaces() -> tuple[dict[str, int], list[float]]:
    """Datatype → bit set of cells, and the sizes of the cells."""
    sizes: list[float] = []

    def cell(count: float = math.inf) -> int:
        sizes.append(count)
        return 1 << (len(sizes) - 1)

    spaces = dict.fromkeys((f"xsd:{name}" for name in _INTEGERS), 0)
    bounds = _INTEGERS.values()
    cuts = sorted({low for low, _ in bounds} | {high + 1 for _, high in bounds})
    for low, after in pairwise(cuts):
        bit = cell(after - low)
        for name, (lowest, highest) in _INTEGERS.items():
            if lowest <= low and after <= highest + 1:
                spaces[f"xsd:{name}"] |= bit
    for chain in _CHAINS:
        inner = 0
        for name in reversed(chain):
            inner = spaces[name] = spaces.get(name) or inner | cell()
    spaces["rdf:langString"] = spaces["rdf:PlainLiteral"] & ~spaces["xsd:string"]
    spaces |= {name: cell() for name in _ALONE}
    spaces["xsd:boolean"] = cell(2)
    zero = cell(1)  # the duration of no time is one of months and one of seconds
    spaces["xsd:yearMonthDuration"], spaces["xsd:dayTimeDuration"] = zero | cell(), zero | cell()
    spaces["xsd:duration"] = spaces["xsd:yearMonthDuration"] | spaces["xsd:dayTimeDuration"] | cell()
    for name, parts in _WIDE.items():
        spaces[name] = sum({spaces[part] for part in parts})
    spaces[LITERAL] = sum(1 << i for i in range(len(sizes))) | cell()  # the last: values of any other type
    return spaces, sizes


SPACES, _SIZES = _spaces()


def is_datatype(name: str) -> bool:
    """Whether the prefixed name is a datatype by itself, whatever an ontology says."""
    return name in SPACES or name.startswith("xsd:")


def size(space: int) -> float:
    """Values in a set of cells; infinity where it has no end."""
    total: float = 0
    while space:
        low = space & -space
        total += _SIZES[low.bit_length() - 1]
        space ^= low
    return total


def colours(spaces: list[int], apart: set[tuple[int, int]]) -> bool:
    """Whether each of the finite `spaces` can give a value so that those of each pair `apart` differ."""
    neighbours: list[set[int]] = [set() for _ in spaces]
    for one, other in apart:
        neighbours[one].add(other)
        neighbours[other].add(one)
    hard = set(range(len(spaces)))
    while easy := {i for i in hard if len(neighbours[i] & hard) < size(spaces[i])}:
        hard -= easy  # whatever the others take, a value is left for these
    order = sorted(hard)
    choices = [_values(spaces[i], len(order)) for i in order]
    chosen: list[int] = []  # position in choices
    while len(chosen) < len(order):
        place, at = len(chosen), 0
        while True:
            taken = {choices[k][c] for k, c in enumerate(chosen) if order[k] in neighbours[order[place]]}
            at = next((k for k in range(at, len(choices[place])) if choices[place][k] not in taken), -1)
            if at >= 0:
                chosen.append(at)
                break
            if not chosen:
                return False
            at = chosen.pop() + 1
            place -= 1
    return True


def _values(space: int, most: int) -> list[tuple[int, int]]:
    """At most `most` values of every cell of the space: more of one cell are never needed."""
    cells = [i for i in range(len(_SIZES)) if space >> i & 1]
    return [(i, k) for i in cells for k in range(int(min(_SIZES[i], most)))]
