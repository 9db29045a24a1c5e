"""Compositions to tell apart: those that say what web tables hold, and those spoilt in many ways.

The good ones are made (`aegir_dspy.ontology.compose`) from the gold types of `sotab82` tables of web sites
that no training has seen, each bad one from a good one. A site is in one half or the other by the hash of its
name: weights are chosen on the half ``choose``, figures are those of the half ``held out``.

`KINDS` are wrong; those of `POOR` are right and say too little, which one component each is there to see.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aegir_dspy.ontology.compose import compose
from aegir_dspy.ontology.composition import ColumnType, Composition, Entry, OwnTerm, TableTypes
from aegir_dspy.ontology.composition_json import composition_to_json
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.tables.table import Table
from aegir_dspy.training.datasets import LabelledTable, theme_of
from aegir_dspy.training.split import sotab82_split

__all__ = ["KINDS", "POOR", "Specimen", "composed", "gold_types", "spoilt", "study", "swapped"]

UNKNOWN = "no label of the set was given to this column"
_WORDS = ("price", "best", "official", "quality", "online", "free", "new", "world", "guide", "top")


@dataclass(frozen=True)
class Specimen:
    """A composition (or its JSON), the table it is about, what was done to it ("" for a good one)."""

    composition: Composition | dict[str, Any]
    table: Table
    kind: str
    held_out: bool


def study(folder: Path, seed: int, per_kind: int | None = None) -> list[Specimen]:
    """Good and bad compositions of all tables with at least two labelled columns.

    Args:
        per_kind: most bad ones of a kind in each half; by default as many as make one bad a good one.
    """
    tables = [t for t in sotab82_split(folder).dev if len(t.labels) > 1]
    specimens = []
    for held_out in (False, True):
        half = [t for t in tables if _held_out(t) is held_out]
        rng = random.Random(f"{seed}-{held_out}")
        specimens += [Specimen(composed(gold_types(t), t.table), t.table, "", held_out) for t in half]
        many = per_kind or -(-len(half) // len(KINDS))
        for kind in (*KINDS, *POOR):
            for labelled in rng.sample(half, min(many, len(half))):
                bad = spoilt(kind, labelled, half, rng)
                specimens.append(Specimen(bad, labelled.table, kind, held_out))
    return specimens


def gold_types(labelled: LabelledTable) -> TableTypes:
    """The gold types of a table; the class of its rows is what its name says (Book, Event, …)."""
    gold = {g.column_index: g.label for g in labelled.labels}
    columns = tuple(
        ColumnType(c.index, gold.get(c.index), "" if c.index in gold else UNKNOWN)
        for c in labelled.table.columns
    )
    theme = theme_of(labelled.table.name)
    term = f"schema:{theme}" if theme and f"schema:{theme}" in load_ontology("schema") else None
    subject = next((i for i, label in sorted(gold.items()) if label == f"{theme}/name"), None)
    return TableTypes(labelled.table.name, columns, (), subject, term)


def composed(types: TableTypes, table: Table) -> Composition:
    """The composition of one table."""
    return compose([types], load_vocabulary("schema"), load_ontology("schema"), data=[table])


def swapped(types: TableTypes, i: int, j: int) -> TableTypes:
    """The same with the types of two columns exchanged."""
    columns = list(types.columns)
    columns[i], columns[j] = (
        replace(columns[i], type=columns[j].type, reason=columns[j].reason),
        replace(columns[j], type=columns[i].type, reason=columns[i].reason),
    )
    return replace(types, columns=tuple(columns))


def spoilt(
    kind: str, labelled: LabelledTable, others: Sequence[LabelledTable], rng: random.Random
) -> Composition | dict[str, Any]:
    """A bad composition of that kind for a table."""
    return {**KINDS, **POOR}[kind](labelled, others, rng)


def _held_out(labelled: LabelledTable) -> bool:
    return hashlib.sha256((labelled.host or labelled.table.name).encode()).digest()[1] % 2 == 1


# --- what is wrong with the types ------------------------------------------------------------------


def _wrong_types(labelled: LabelledTable, others: Sequence[LabelledTable], rng: random.Random) -> Composition:
    types, names = gold_types(labelled), load_vocabulary("sotab82").names
    columns = tuple(
        c if c.type is None else replace(c, type=rng.choice([n for n in names if n != c.type]))
        for c in types.columns
    )
    return composed(replace(types, columns=columns, subject=None), labelled.table)


def _swapped(labelled: LabelledTable, others: Sequence[LabelledTable], rng: random.Random) -> Composition:
    """Every labelled column has the type of the next one."""
    types = gold_types(labelled)
    known = [i for i, c in enumerate(types.columns) if c.type is not None]
    columns = list(types.columns)
    for i, j in zip(known, known[1:] + known[:1], strict=True):
        columns[i] = replace(columns[i], type=types.columns[j].type)
    return composed(replace(types, columns=tuple(columns), subject=None), labelled.table)


def _off_topic(labelled: LabelledTable, others: Sequence[LabelledTable], rng: random.Random) -> Composition:
    """The types of a table about something else."""
    theme = theme_of(labelled.table.name)
    other = rng.choice([t for t in others if theme_of(t.table.name) != theme])
    told, types = gold_types(other), gold_types(labelled)
    labels = [c.type for c in told.columns if c.type is not None]
    columns = tuple(replace(c, type=labels[i % len(labels)], reason="") for i, c in enumerate(types.columns))
    return composed(TableTypes(types.name, columns, (), None, told.term), labelled.table)


def _generic(labelled: LabelledTable, others: Sequence[LabelledTable], rng: random.Random) -> Composition:
    """Every column is an identifier."""
    types = gold_types(labelled)
    columns = tuple(replace(c, type="IdentifierAT", reason="") for c in types.columns)
    return composed(TableTypes(types.name, columns), labelled.table)


def _silent(labelled: LabelledTable, others: Sequence[LabelledTable], rng: random.Random) -> Composition:
    """Every column is abstained from."""
    types = gold_types(labelled)
    columns = tuple(replace(c, type=None, reason=UNKNOWN) for c in types.columns)
    return composed(TableTypes(types.name, columns), labelled.table)


def _stuffed(labelled: LabelledTable, others: Sequence[LabelledTable], rng: random.Random) -> Composition:
    """Wrong types, the words of the table as definitions, and many axioms about anything."""
    bad = _wrong_types(labelled, others, rng)
    cells = [v for c in labelled.table.columns for v in c.values if v.strip()]
    words = " ".join(rng.sample(cells, min(6, len(cells))) + list(_WORDS))[:300]
    terms = tuple(replace(t, definition=words) for t in bad.terms)
    known = [t.name for t in load_ontology("schema") if t.kind == "class" and t.name.startswith("schema:")]
    row = bad.tables[0].term or "schema:Thing"
    more = tuple(
        Entry("some.object", (("A", row), ("p", "schema:about"), ("B", rng.choice(known)))) for _ in range(20)
    )
    return replace(bad, terms=terms, axioms=tuple(dict.fromkeys(bad.axioms + more)))


# --- what is wrong with axioms and terms ------------------------------------------------------------


def _good(labelled: LabelledTable) -> tuple[Composition, str]:
    made = composed(gold_types(labelled), labelled.table)
    return made, made.tables[0].term or "schema:Thing"


def _with(made: Composition, *entries: tuple[str, dict[str, str]]) -> Composition:
    return replace(made, axioms=made.axioms + tuple(Entry(n, tuple(s.items())) for n, s in entries))


def _contradiction(labelled: LabelledTable, *_: object) -> Composition:
    made, row = _good(labelled)
    genus = next(dict(e.slots)["B"] for e in made.axioms if e.template == "subclass.named")
    return _with(made, ("negation.disjoint", {"A": row, "B": genus}))


def _cycle(labelled: LabelledTable, *_: object) -> Composition:
    made, row = _good(labelled)
    other = OwnTerm(":Kindred", "class", "Kindred", "A thing of the same kind as the rows of this table.")
    made = replace(made, terms=(*made.terms, other))
    back = ("subclass.named", {"A": ":Kindred", "B": row})
    return _with(made, ("subclass.named", {"A": row, "B": ":Kindred"}), back)


def _rigid_role(labelled: LabelledTable, *_: object) -> Composition:
    made, _row = _good(labelled)
    return _with(made, ("subclass.named", {"A": "schema:Person", "B": "schema:Patient"}))


def _stubs(labelled: LabelledTable, others: object, rng: random.Random) -> Composition:
    made, _ = _good(labelled)
    said = rng.choice(("TODO", "foo", "Thing", "tbd", "lorem ipsum", "class1"))
    return replace(made, terms=tuple(replace(t, label=said, definition=said) for t in made.terms))


def _gibberish(labelled: LabelledTable, others: object, rng: random.Random) -> Composition:
    made, _ = _good(labelled)

    def noise(words: int) -> str:
        letters = "bcdfghjklmnpqrstvwxzaeiouy"
        return " ".join("".join(rng.choices(letters, k=rng.randint(5, 11))) for _ in range(words))

    return replace(
        made,
        terms=tuple(replace(t, label=noise(2), definition=noise(rng.randint(6, 12))) for t in made.terms),
    )


def _again(labelled: LabelledTable, *_: object) -> Composition:
    made, _row = _good(labelled)
    return replace(made, axioms=made.axioms + made.axioms[:1])


def _uncovered(labelled: LabelledTable, *_: object) -> Composition:
    made, _row = _good(labelled)
    table = made.tables[0]
    return replace(made, tables=(replace(table, columns=table.columns[:-1]),))


def _unknown_type(labelled: LabelledTable, *_: object) -> Composition:
    made, _row = _good(labelled)
    table = made.tables[0]
    columns = tuple(c if c.type is None else replace(c, type="Wombat/name") for c in table.columns)
    return replace(made, tables=(replace(table, columns=columns),))


def _malformed(labelled: LabelledTable, others: object, rng: random.Random) -> dict[str, Any]:
    made, _row = _good(labelled)
    content = composition_to_json(made)
    match rng.randrange(3):
        case 0:
            content["axioms"] = [*content["axioms"], {"template": "no.such_template", "slots": {}}]
        case 1:
            content["axioms"] = [{**e, "slots": {}} for e in content["axioms"]]
        case _:
            content["tables"] = [{**t, "columns": "all of them"} for t in content["tables"]]
    return content


def _wrong_slot(labelled: LabelledTable, others: object, rng: random.Random) -> Composition:
    """A property where a class belongs, a class out of bounds, or a number out of range."""
    made, row = _good(labelled)
    wrong = rng.choice(
        (
            ("some.object", {"A": row, "p": "schema:Person", "B": "schema:Place"}),
            ("some.object", {"A": row, "p": "schema:location", "B": "schema:price"}),
            ("cardinality.exactly", {"A": row, "p": "schema:author", "n": "1000", "B": "schema:Person"}),
            (
                "data_element.geo_coordinates",
                {"A": "schema:Person", "latitude": "schema:latitude", "D": "xsd:decimal"}
                | {"longitude": "schema:longitude"},
            ),
        )
    )
    return _with(made, wrong)


def _undefined(labelled: LabelledTable, *_: object) -> Composition:
    """Terms without a definition in words, and without a genus."""
    made, _row = _good(labelled)
    axioms = tuple(e for e in made.axioms if e.template != "subclass.named")
    return replace(made, axioms=axioms, terms=tuple(replace(t, definition="") for t in made.terms))


def _thin(labelled: LabelledTable, *_: object) -> Composition:
    """Nothing but what the rows are a kind of."""
    made, row = _good(labelled)
    return replace(made, axioms=made.axioms[:1], terms=tuple(t for t in made.terms if t.name == row))


KINDS: dict[str, Callable[..., Composition | dict[str, Any]]] = {
    "wrong types": _wrong_types,
    "swapped columns": _swapped,
    "off topic": _off_topic,
    "generic": _generic,
    "silent": _silent,
    "keyword stuffing": _stuffed,
    "contradiction": _contradiction,
    "cycle": _cycle,
    "rigid role": _rigid_role,
    "stub fillers": _stubs,
    "gibberish": _gibberish,
    "duplicate": _again,
    "uncovered column": _uncovered,
    "unknown type": _unknown_type,
    "malformed": _malformed,
    "wrong slot": _wrong_slot,
}
"""How compositions are spoilt, by name."""

POOR: dict[str, Callable[..., Composition]] = {"undefined": _undefined, "thin": _thin}
"""How compositions are made poor, by name."""
