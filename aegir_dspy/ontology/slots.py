"""Slots of templates: what may fill them, and what is wrong with a filler."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from aegir_dspy.ontology.composition import Entry
from aegir_dspy.ontology.terms import Kind

if TYPE_CHECKING:
    from aegir_dspy.ontology.catalog import Template

__all__ = ["DATATYPES", "KIND_OF", "NUMBER", "SPAN", "Slot", "SlotProblem", "SlotType", "slot_problems"]

SlotType = Literal["Class", "ObjectProperty", "DataProperty", "Datatype", "Individual", "Integer"]

KIND_OF: dict[str, Kind] = {
    "Class": "class",
    "ObjectProperty": "object_property",
    "DataProperty": "data_property",
    "Datatype": "datatype",
    "Individual": "individual",
}
"""Type of a slot → kind of the terms that fill it; ``Integer`` takes no term."""

_XSD = (
    "string normalizedString token language Name NCName NMTOKEN boolean decimal integer nonNegativeInteger "
    "nonPositiveInteger positiveInteger negativeInteger long int short byte unsignedLong unsignedInt "
    "unsignedShort unsignedByte float double dateTime dateTimeStamp date time duration gYear gYearMonth "
    "gMonth gMonthDay gDay hexBinary base64Binary anyURI"
)
DATATYPES: tuple[str, ...] = (*(f"xsd:{name}" for name in _XSD.split()), "rdfs:Literal", "rdf:langString")
"""The datatypes that every ontology has. Source: XML Schema 1.1 part 2 and the OWL 2 datatype map."""

_BUILT_IN: dict[str, Kind] = {
    "owl:Thing": "class",
    "owl:Nothing": "class",
    **dict.fromkeys(DATATYPES, "datatype"),
}
NUMBER = re.compile(r"[0-9]{1,9}")
SPAN = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a template.

    Attributes:
        name: unique in the template.
        type: what may fill it.
        bound: prefixed name of the class or property that the filler has to be or lie below; for a number,
            the lowest and highest allowed, ``1..10``; "" where anything of the type will do.
    """

    name: str
    type: SlotType
    bound: str = ""

    @property
    def span(self) -> tuple[int, int]:
        """The lowest and highest number allowed in a slot of type ``Integer``."""
        match = SPAN.fullmatch(self.bound)
        return (int(match[1]), int(match[2])) if match else (0, 10**9 - 1)


class SlotProblem(NamedTuple):
    """What is wrong with one slot of an entry.

    Attributes:
        slot: its name.
        code: ``missing`` (or filled twice), ``extra``, ``empty``, ``unknown`` (no such term), ``type``
            (a term of another kind, or no number) or ``bound`` (not below the bound, or beyond the span).
        message: what was expected and what was found, one line.
    """

    slot: str
    code: Literal["missing", "extra", "empty", "unknown", "type", "bound"]
    message: str


def slot_problems(
    template: Template,
    entry: Entry,
    kind_of: Callable[[str], str | None],
    is_a: Callable[[str, str], bool],
) -> list[SlotProblem]:
    """What is wrong with the fillers of `entry`, in the order of the slots, then of the extra ones.

    Args:
        template: the one that the entry names.
        entry: the entry.
        kind_of: prefixed name → `Kind`, or None for no such term. Datatypes of XML Schema, ``owl:Thing`` and
            ``owl:Nothing`` need not be known to it.
        is_a: whether the first name is the second or lies below it.
    """
    problems: list[SlotProblem] = []
    for slot in template.slots:
        fillers = [filler for name, filler in entry.slots if name == slot.name]
        if len(fillers) != 1:
            found = "none" if not fillers else str(len(fillers))
            message = f"expected one filler of slot {slot.name} ({slot.type}), found {found}"
            problems.append(SlotProblem(slot.name, "missing", message))
        else:
            problems += _wrong(slot, fillers[0], kind_of, is_a)
    extra = dict.fromkeys(name for name, _ in entry.slots if name not in template.slot_names)
    known = ", ".join(template.slot_names)
    return problems + [
        SlotProblem(name, "extra", f"expected only the slots {known} of {template.id}, found {name[:40]!r}")
        for name in extra
    ]


def _wrong(
    slot: Slot, filler: str, kind_of: Callable[[str], str | None], is_a: Callable[[str, str], bool]
) -> Iterator[SlotProblem]:
    """The problem of a filler, if it has one."""
    if not filler.strip():
        yield SlotProblem(
            slot.name, "empty", f"expected {slot.type} in slot {slot.name}, found an empty text"
        )
    elif slot.type == "Integer":
        yield from _wrong_number(slot, filler)
    elif (kind := kind_of(filler) or _BUILT_IN.get(filler)) is None:
        message = f"expected a known {slot.type} in slot {slot.name}, found {filler[:80]!r}"
        yield SlotProblem(slot.name, "unknown", message)
    elif kind != KIND_OF[slot.type]:
        message = f"expected {slot.type} in slot {slot.name}, found {filler[:80]!r}, which is a {kind}"
        yield SlotProblem(slot.name, "type", message)
    elif slot.bound and not is_a(filler, slot.bound):
        message = f"expected {slot.bound} or what is below it in slot {slot.name}, found {filler[:80]!r}"
        yield SlotProblem(slot.name, "bound", message)


def _wrong_number(slot: Slot, filler: str) -> Iterator[SlotProblem]:
    low, high = slot.span
    if not NUMBER.fullmatch(filler):
        message = f"expected a whole number in slot {slot.name}, found {filler[:80]!r}"
        yield SlotProblem(slot.name, "type", message)
    elif not low <= int(filler) <= high:
        message = f"expected a number from {low} to {high} in slot {slot.name}, found {filler}"
        yield SlotProblem(slot.name, "bound", message)
