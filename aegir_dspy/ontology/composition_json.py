"""The JSON form of a composition, ``aegir.composition/1``: written canonically, read strictly.

Reading never raises and never mends: whatever is wrong becomes a problem with its place, and then there is no
composition. Its time is bounded by the limits below, which hold before anything is looked at in detail.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, get_args

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.composition import (
    ColumnType,
    Composition,
    Element,
    Entry,
    Member,
    OwnTerm,
    Related,
    TableTypes,
)
from aegir_dspy.ontology.composition_schema import FORMAT, MAX_AXIOMS, OWN_NAME, composition_schema
from aegir_dspy.ontology.json_reader import (
    MAX_BYTES,
    MAX_ITEMS,
    MAX_TEXT,
    Path,
    Problem,
    Reader,
    StopReading,
    index,
    list_of,
    loaded,
    object_of,
    one_of,
    or_none,
    share,
    text,
    texts,
)
from aegir_dspy.ontology.terms import Kind

__all__ = [
    "FORMAT",
    "MAX_AXIOMS",
    "MAX_BYTES",
    "MAX_ITEMS",
    "MAX_TEXT",
    "Parsed",
    "Problem",
    "composition_schema",
    "composition_to_json",
    "dump_composition",
    "parse_composition",
]


class Parsed(NamedTuple):
    """A composition, or else the problems that stand in its way."""

    composition: Composition | None
    problems: tuple[Problem, ...]


def composition_to_json(composition: Composition) -> dict[str, Any]:
    """The JSON form, every key written, keys in the order of the attributes.

    Raises:
        InputError: an entry fills a slot twice, which this form cannot say.
    """
    return {
        "schema": FORMAT,
        "ontology": composition.ontology,
        "vocabulary": composition.vocabulary,
        "comment": composition.comment,
        "tables": [_table_to_json(table) for table in composition.tables],
        "elements": [
            {"name": e.name, "members": [{"table": m.table, "column": m.column} for m in e.members]}
            for e in composition.elements
        ],
        "terms": [
            {"name": t.name, "kind": t.kind, "label": t.label, "definition": t.definition}
            for t in composition.terms
        ],
        "axioms": [_entry_to_json(entry, at) for at, entry in enumerate(composition.axioms)],
    }


def _table_to_json(table: TableTypes) -> dict[str, Any]:
    return {
        "name": table.name,
        "subject": table.subject,
        "term": table.term,
        "columns": [
            {"index": c.index, "type": c.type, "reason": c.reason, "confidence": c.confidence + 0.0}
            for c in table.columns
        ],
        "relations": [
            {"subject": r.subject, "object": r.object, "property": r.property} for r in table.relations
        ],
    }


def _entry_to_json(entry: Entry, at: int) -> dict[str, Any]:
    slots = dict(entry.slots)
    if len(slots) != len(entry.slots):
        raise InputError(f"expected each slot once in axiom {at} ({entry.template}), found one twice")
    return {"template": entry.template, "slots": slots}


def dump_composition(composition: Composition, indent: int | None = None) -> str:
    """The canonical text of a composition: equal compositions, equal text. With `indent`, one for people.

    Raises:
        InputError: as `composition_to_json`; and for a confidence that is no finite number.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        return json.dumps(
            composition_to_json(composition),
            ensure_ascii=False,
            allow_nan=False,
            indent=indent,
            separators=separators,
        )
    except ValueError as error:
        raise InputError(f"expected finite confidences in the composition: {error}") from error


def parse_composition(content: str | bytes | dict[str, Any]) -> Parsed:
    """The composition that JSON text, or what was read from such, states.

    Keys with a default may be left out; an entry that is not as it must be is never dropped.
    """
    reader = Reader()
    try:
        value = content if isinstance(content, dict) else loaded(reader, content)
        composition = _COMPOSITION(reader, value, ())
    except StopReading:
        composition = None
    return Parsed(None if reader.problems else composition, tuple(reader.problems))


def _own_name(reader: Reader, value: Any, path: Path) -> Any:
    if type(value) is str and not re.fullmatch(OWN_NAME, value):
        reader.problem(path, "value", "a name of its own such as ':Order'", repr(value[:40]))
    return text(reader, value, path)


def _made(schema: str, **found: Any) -> Composition:
    return Composition(**found)


_COLUMN = object_of(
    ColumnType, {"index": index, "type": or_none(text)}, {"reason": text, "confidence": share}
)
_RELATION = object_of(Related, {"subject": index, "object": index, "property": text})
_TABLE = object_of(
    TableTypes,
    {"name": text, "columns": list_of(_COLUMN)},
    {"subject": or_none(index), "term": or_none(text), "relations": list_of(_RELATION)},
)
_MEMBER = object_of(Member, {"table": text, "column": index})
_ELEMENT = object_of(Element, {"name": text, "members": list_of(_MEMBER)})
_TERM = object_of(
    OwnTerm, {"name": _own_name, "kind": one_of(*get_args(Kind)), "label": text}, {"definition": text}
)
_AXIOM = object_of(Entry, {"template": text, "slots": texts})
_COMPOSITION = object_of(
    _made,
    {"schema": one_of(FORMAT)},
    {
        **{"ontology": text, "vocabulary": text, "comment": text},
        **{"tables": list_of(_TABLE), "elements": list_of(_ELEMENT), "terms": list_of(_TERM)},
        "axioms": list_of(_AXIOM, MAX_AXIOMS),
    },
)
