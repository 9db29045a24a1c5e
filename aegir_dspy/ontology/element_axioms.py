"""From data elements to axioms: what some columns are parts of is a class of the composition's own.

A form names a template of the family ``data_element`` and tells by types and headers which columns fill its
slots. It is said of an element that fills them in every one of its tables: with the properties of the
template's example, or with one of the composition's own, and with the datatype of the columns. Rows lead to
the class by the one property that the ontology has for that, or by one of the composition's own. An element
of columns that are one and the same thing has no parts, so nothing more is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aegir_dspy.ontology.catalog import Catalog, Template
from aegir_dspy.ontology.composition import Element, Entry, OwnTerm
from aegir_dspy.ontology.element_forms import FORMS, Column, Form, Part, parts_of
from aegir_dspy.ontology.expectations import expectation
from aegir_dspy.ontology.row_class import RowClasses
from aegir_dspy.ontology.slots import slot_problems
from aegir_dspy.ontology.terms import Ontology, Term

__all__ = ["Whole", "datatype_of", "wholes"]

Columns = Mapping[tuple[str, int], Column]  # by table and index
_ALSO = ("subclass.named", "some.object", "domain_range.range", "domain_range.range_data")  # templates


@dataclass(frozen=True, slots=True)
class Whole:
    """What the columns of an element are parts of.

    Attributes:
        terms: its class, and own properties.
        entries: what is said of it.
        links: what leads to it from the rows of tables, by table.
    """

    terms: tuple[OwnTerm, ...]
    entries: tuple[Entry, ...]
    links: tuple[tuple[str, Entry], ...]


@dataclass(frozen=True, slots=True)
class _Filled:
    """A template whose slots but ``A`` have fillers, and the columns that are its parts."""

    form: Form
    template: Template
    slots: Mapping[str, str]
    columns: Mapping[Part, Column]

    @property
    def genus(self) -> str:
        """What the class is a kind of."""
        return self.slots.get("Kind", self.template.anchor_class)


def wholes(
    elements: Sequence[Element],
    columns: Columns,
    ontology: Ontology,
    catalog: Catalog,
    rows: RowClasses,
    row_of: Mapping[str, tuple[str, str]],
) -> list[Whole]:
    """One for each element that has a form the ontology has the terms for.

    Args:
        columns: those whose types are known, by table and index.
        row_of: the class of the rows of a table and its genus, by table.
    """
    found = []
    for element in elements:
        tables = dict.fromkeys(member.table for member in element.members)
        made = [one for form in FORMS if (one := _filled(form, element, columns, ontology, catalog))]
        if made and len({one.genus for one in made}) == 1 and row_of.keys() >= tables.keys():
            found.append(
                _Maker(ontology, catalog, rows).whole(element.name, made, {n: row_of[n] for n in tables})
            )
    return found


@dataclass(frozen=True, slots=True)
class _Maker:
    ontology: Ontology
    catalog: Catalog
    rows: RowClasses

    def whole(self, called: str, made: Sequence[_Filled], row_of: Mapping[str, tuple[str, str]]) -> Whole:
        genus, tables = made[0].genus, list(row_of)
        name, label = self.rows.name(f"{called} of {tables[0]}", genus)
        own = {part: self._property(genus, one, part) for one in made for part in one.columns if part.own}
        filled = [
            {**one.slots, **{part.slot: own[part].name for part in one.columns if part.own}} for one in made
        ]
        entries = [
            _entry(one.template, {**slots, "A": name}) for one, slots in zip(made, filled, strict=True)
        ]
        if "Kind" not in filled[0]:
            entries.insert(0, self._said("subclass.named", A=name, B=genus))
        labels = {term.name: term.label for term in own.values()}
        parts = [
            labels.get(slots[part.slot]) or self.ontology[slots[part.slot]].label
            for one, slots in zip(made, filled, strict=True)
            for part in one.columns
        ]
        text = self.rows.a(genus)
        text = f"{text[:1].upper()}{text[1:]} whose {_listed(parts)} are columns of {_listed(tables[:3])}."
        for one, slots in zip(made, filled, strict=True):
            for part in filter(own.get, one.columns):
                datatype = slots["D"] if part.slot in one.form.written else "xsd:string"
                entries.append(self._said("domain_range.range_data", d=own[part].name, D=datatype))
        leads, term = self._link(called, genus, row_of)
        if term is not None:
            entries.append(self._said("domain_range.range", p=leads, B=name))
        links = [
            (table, self._said("some.object", A=row, p=leads, B=name)) for table, (row, _) in row_of.items()
        ]
        terms = (OwnTerm(name, "class", label, text), *own.values(), *([term] if term else []))
        return Whole(terms, tuple(entries), tuple(links))

    def _said(self, template: str, **fillers: str) -> Entry:
        return _entry(self.catalog[template], fillers)

    def _property(self, genus: str, one: _Filled, part: Part) -> OwnTerm:
        header, _ = one.columns[part]
        name, label = self.rows.own_property(header, self.ontology[one.slots[part.slot]])
        definition = f"Leads from {self.rows.a(genus)} to the cell in its column {label}."
        return OwnTerm(name, "data_property", label, definition)

    def _link(
        self, called: str, genus: str, row_of: Mapping[str, tuple[str, str]]
    ) -> tuple[str, OwnTerm | None]:
        """What leads from all these rows to the class: a property of the ontology, or an own one."""
        known = {self.rows.link(above, genus) for _, above in row_of.values()}
        if len(known) == 1 and (leads := known.pop()):
            return leads, None
        name, label = self.rows.own_property(called, self.ontology[genus])
        definition = f"Leads from a row to {self.rows.a(genus)} that several of its columns make up."
        return name, OwnTerm(name, "object_property", label, definition)


def datatype_of(label: str | None, term: Term, ontology: Ontology) -> str:
    """The datatype of a column of this type among those of a property's range, nearest to its cells'."""
    expected = expectation(label or term.name).datatype
    allowed = [
        name
        for name in term.range
        if name.startswith("xsd:") or (name in ontology and ontology[name].kind == "datatype")
    ]
    if not allowed or expected in allowed:
        return expected
    return next((name for name in allowed if ontology.is_a(expected, name)), allowed[0])


def _filled(
    form: Form, element: Element, columns: Columns, ontology: Ontology, catalog: Catalog
) -> _Filled | None:
    """The form with fillers, if all tables of the element have columns that are its parts."""
    template = catalog.get(form.template)
    if template is None or not all(name in catalog for name in _ALSO):
        return None
    slots = dict(template.example)
    found: dict[Part, Column] = {}
    written = set()
    for table in dict.fromkeys(member.table for member in element.members):
        left = [m.column for m in element.members if m.table == table and (table, m.column) in columns]
        parts = parts_of(form, {i: columns[table, i] for i in left})
        if parts is None:
            return None
        found = found or parts
        for part, (_, type_) in parts.items():
            term = ontology.get(slots[part.slot])
            if part.slot in form.written and part.own:
                written.add(expectation(type_).datatype if type_ else "xsd:string")
            elif part.slot in form.written and term is not None:
                written.add(datatype_of(type_, term, ontology))
    if form.written:
        if len(written) != 1:
            return None
        [slots["D"]] = written
    kind_of = {term: ontology[term].kind for term in slots.values() if term in ontology}
    filled = _Filled(form, template, slots, found)
    entry = _entry(template, {**slots, "A": filled.genus})
    return None if slot_problems(template, entry, kind_of.get, ontology.is_a) else filled


def _entry(template: Template, fillers: Mapping[str, str]) -> Entry:
    return Entry(template.id, tuple((name, fillers[name]) for name in template.slot_names))


def _listed(parts: Sequence[str]) -> str:
    *first, last = dict.fromkeys(parts)
    return f"{', '.join(first)} and {last}" if first else last
