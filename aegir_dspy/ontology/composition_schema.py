"""JSON Schema of ``aegir.composition/1``, for validators and for decoding under a constraint."""

from __future__ import annotations

import re
from typing import Any, get_args

from aegir_dspy.ontology.catalog import Catalog, Template
from aegir_dspy.ontology.json_reader import MAX_INDEX, MAX_TEXT
from aegir_dspy.ontology.slots import DATATYPES, KIND_OF, Slot
from aegir_dspy.ontology.terms import Kind, Ontology
from aegir_dspy.ontology.vocabulary import Vocabulary

__all__ = ["FORMAT", "MAX_AXIOMS", "OWN_NAME", "composition_schema"]

FORMAT = "aegir.composition/1"

MAX_AXIOMS = 2_000
"""Most entries of the list of axioms."""

OWN_NAME = r":[A-Za-z_][A-Za-z0-9_-]{0,127}"
"""Pattern of the names of a composition's own terms: ``:Order``."""

_NAME = r"[A-Za-z0-9]*:\S+"
_SPELLED_OUT = 1_000  # an enum lists no more numbers than this


def composition_schema(
    catalog: Catalog | None = None, vocabulary: Vocabulary | None = None, ontology: Ontology | None = None
) -> dict[str, Any]:
    """The schema (draft 2020-12) of the JSON form of compositions.

    With a catalog, an axiom is one of its templates with just its slots; with a vocabulary, a type is one of
    its labels; with an ontology, names are its terms of the right kind and below the bound of the slot, or a
    composition's own (whose kind and place a schema cannot tell). What such a schema admits can be parsed
    and has no unknown template, slot, type or term.
    """
    defs: dict[str, Any] = {}
    properties = {
        "schema": {"const": FORMAT},
        "ontology": _TEXT,
        "vocabulary": _TEXT,
        "comment": _TEXT,
        "tables": _array(_table(vocabulary, ontology, defs)),
        "elements": _array(_object({"name": _TEXT, "members": _array(_MEMBER)})),
        "terms": _array(_TERM),
        "axioms": _array(_axiom(catalog, ontology, defs), MAX_AXIOMS),
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A composition: what is said about the tables of an input",
        **_object(properties, optional=tuple(properties)[1:]),
    }
    return {**schema, "$defs": defs} if defs else schema


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [key for key in properties if key not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _array(items: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    return {"type": "array", "items": items} | ({"maxItems": most} if most else {})


_TEXT: dict[str, Any] = {"type": "string", "maxLength": MAX_TEXT}
_INDEX: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": MAX_INDEX}
_OWN: dict[str, Any] = {"type": "string", "pattern": f"^{OWN_NAME}$"}
_NULL: dict[str, Any] = {"type": "null"}
_MEMBER = _object({"table": _TEXT, "column": _INDEX})
_TERM = _object(
    {"name": _OWN, "kind": {"enum": list(get_args(Kind))}, "label": _TEXT, "definition": _TEXT},
    optional=("definition",),
)


def _table(vocabulary: Vocabulary | None, ontology: Ontology | None, defs: dict[str, Any]) -> dict[str, Any]:
    types: dict[str, Any] = {"anyOf": [_TEXT, _NULL]}
    if vocabulary is not None:
        defs["type"] = {"enum": [*vocabulary.names, None]}
        types = {"$ref": "#/$defs/type"}
    term, relation = _TEXT, _TEXT
    if ontology is not None:
        term = _names(Slot("", "Class"), ontology, defs)
        kinds: tuple[Slot, ...] = (Slot("", "ObjectProperty"), Slot("", "DataProperty"))
        relation = {"anyOf": [_names(kind, ontology, defs) for kind in kinds]}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    column = {"index": _INDEX, "type": types, "reason": _TEXT, "confidence": share}
    return _object(
        {
            "name": _TEXT,
            "subject": {"anyOf": [_INDEX, _NULL]},
            "term": {"anyOf": [term, _NULL]},
            "columns": _array(_object(column, optional=("reason", "confidence"))),
            "relations": _array(_object({"subject": _INDEX, "object": _INDEX, "property": relation})),
        },
        optional=("subject", "term", "relations"),
    )


def _axiom(catalog: Catalog | None, ontology: Ontology | None, defs: dict[str, Any]) -> dict[str, Any]:
    if catalog is None:
        slots = {"type": "object", "additionalProperties": _TEXT}
        return _object({"template": _TEXT, "slots": slots})
    return {"oneOf": [_entry(template, ontology, defs) for template in catalog]}


def _entry(template: Template, ontology: Ontology | None, defs: dict[str, Any]) -> dict[str, Any]:
    slots = {slot.name: _filler(slot, ontology, defs) for slot in template.slots}
    return _object({"template": {"const": template.id}, "slots": _object(slots)})


def _filler(slot: Slot, ontology: Ontology | None, defs: dict[str, Any]) -> dict[str, Any]:
    """What may fill a slot."""
    if slot.type == "Integer":
        low, high = slot.span
        if high - low < _SPELLED_OUT:
            return {"enum": [str(number) for number in range(low, high + 1)]}
        return {"type": "string", "pattern": "^[0-9]{1,9}$"}
    if ontology is None:
        return {"type": "string", "pattern": f"^{_NAME}$", "maxLength": MAX_TEXT}
    return _names(slot, ontology, defs)


def _names(slot: Slot, ontology: Ontology, defs: dict[str, Any]) -> dict[str, Any]:
    """A reference to the names that may fill a slot, which are put into `defs`."""
    key = re.sub(r"\W", "_", f"{slot.type}_{slot.bound}" if slot.bound else slot.type)
    if key not in defs:
        found = [term.name for term in ontology if term.kind == KIND_OF[slot.type]]
        if slot.type == "Datatype":
            found += [name for name in DATATYPES if name not in ontology]
        if slot.bound:
            found = [name for name in found if ontology.is_a(name, slot.bound)]
        defs[key] = {"anyOf": [{"enum": found}, _OWN]} if found else _OWN
    return {"$ref": f"#/$defs/{key}"}
