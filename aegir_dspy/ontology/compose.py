"""From types of columns to a composition: classes of rows, and what the axioms say of their columns.

For every table a class of its own is made, below the class that its subject column names, with an axiom for
each column whose type is a term of the ontology:

- a data property: its datatype, and how many a row has (exactly one where no cell is empty);
- an object property: that there is one;
- a class: the relation of the column if one is given, else a property of the composition's own;
- a datatype: a property of the composition's own, named by the header;
- a property that is not of such rows but of something they lead to: the way there (a product has offers, an
  offer has a price);
- the first column without repetition of a type that identifies: a key.

What the columns of a data element are parts of is a class as well, and rows lead to it where the ontology has
one property for that.

What would leave a class without possible members is not said; neither is, of tables of hundreds of columns,
more than can be checked. The result passes the gates of the verifier if the types are labels of the
vocabulary, each column is there once, and the relations are known properties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from aegir_dspy.ontology.axioms import Axiom
from aegir_dspy.ontology.catalog import Catalog, load_catalog
from aegir_dspy.ontology.composition import ColumnType, Composition, Element, Entry, OwnTerm, TableTypes
from aegir_dspy.ontology.element_axioms import datatype_of, wholes
from aegir_dspy.ontology.expectations import expectation
from aegir_dspy.ontology.names import name_of
from aegir_dspy.ontology.row_class import RowClasses
from aegir_dspy.ontology.satisfiability import unsatisfiable_classes
from aegir_dspy.ontology.terms import Ontology, Term
from aegir_dspy.ontology.verbalise import plain_label
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.ontology.wording import stub
from aegir_dspy.tables.table import Column, Table

__all__ = ["compose"]

_KEY_ROWS = 5  # fewer different cells are no reason to call a column a key
_NO_REASON = "no type is probable enough"


def compose(
    tables: Sequence[TableTypes],
    vocabulary: Vocabulary,
    ontology: Ontology,
    catalog: Catalog | None = None,
    *,
    data: Sequence[Table] = (),
    elements: Iterable[Element] = (),
) -> Composition:
    """The composition that says what is known of these tables.

    Args:
        tables: types or abstentions of all columns; `term` is replaced by the class that is made.
        vocabulary: of the types.
        ontology: of the terms.
        catalog: of the templates; the built-in one by default.
        data: the tables themselves, in the same order or by name: headers name own properties, cells say
            what is always there and what never repeats.
        elements: columns that denote one entity, across tables.
    """
    catalog = catalog or load_catalog()
    rows = RowClasses(ontology, vocabulary)
    by_name = {table.name: table for table in data}
    elements = tuple(elements)
    composed, terms, entries = [], [], []
    fragments: dict[str, _Fragment] = {}
    for types in tables:
        made = _Fragment(types, by_name.get(types.name), vocabulary, ontology, catalog, rows)
        made.write()
        said = _possible(made.entries, ontology, catalog)
        composed.append(replace(types, columns=tuple(map(_reasoned, types.columns)), term=made.row))
        terms += [term for term in made.own if term.name == made.row or _mentions(said, term.name)]
        entries += said
        fragments[types.name] = replace(made, entries=said)
    columns = {
        (name, column.index): (cells.name if (cells := made._cells(column)) else None, column.type)
        for name, made in fragments.items()
        for column in made.types.columns
    }
    row_of = {name: (made.row, made.genus) for name, made in fragments.items()}
    for whole in wholes(elements, columns, ontology, catalog, rows, row_of):
        together = [*whole.entries, *(link for _, link in whole.links)]
        about = [entry for name, _ in whole.links for entry in fragments[name].entries]
        if len(_possible([*about, *together], ontology, catalog)) == len({*about, *together}):
            terms += whole.terms
            entries += together
    return Composition(
        tables=tuple(composed),
        elements=elements,
        terms=tuple(terms),
        axioms=tuple(dict.fromkeys(entries)),
        ontology=ontology.name,
        vocabulary=vocabulary.name,
    )


def _reasoned(column: ColumnType) -> ColumnType:
    """An abstention without a reason that says something is given one."""
    if column.type is None and (not column.reason.strip() or stub(column.reason)):
        return replace(column, reason=_NO_REASON)
    return column


def _mentions(entries: Iterable[Entry], name: str) -> bool:
    return any(name == filler for entry in entries for _, filler in entry.slots)


def _possible(entries: Sequence[Entry], ontology: Ontology, catalog: Catalog) -> list[Entry]:
    """The entries, without those that leave a class no possible members; the first, the genus, stays.

    Of so many that it cannot be known in time (a table of hundreds of columns) the first half is tried.
    """
    kept = list(dict.fromkeys(entries))
    while kept:
        axioms: list[Axiom] = []
        entry_of: list[int] = []
        for i, entry in enumerate(kept):
            found = catalog.instantiate(entry)
            axioms += found
            entry_of += [i] * len(found)
        verdict = unsatisfiable_classes(axioms, ontology, explain=1)
        if verdict.ok:
            break
        if verdict.unknown or verdict.consistent is None:
            kept = kept[: len(kept) // 2]
            continue
        blamed = [entry_of[at] for one in sorted(verdict.culprits) for at in verdict.culprits[one]]
        kept.pop(max(blamed, default=len(kept) - 1))
    return kept


@dataclass
class _Fragment:
    """What is said of one table, in the making."""

    types: TableTypes
    table: Table | None
    vocabulary: Vocabulary
    ontology: Ontology
    catalog: Catalog
    rows: RowClasses
    entries: list[Entry] = field(default_factory=list)
    own: list[OwnTerm] = field(default_factory=list)
    row: str = ""
    genus: str = ""
    _said: list[str] = field(default_factory=list)
    _key: bool = False

    def write(self) -> None:
        """Fill `entries`, `own` and `row`."""
        self.genus = self.rows.genus(self.types)
        self.row, label = self.rows.name(self.types.name, self.genus)
        self._say("subclass.named", A=self.row, B=self.genus)
        related = {one.object: one.property for one in reversed(self.types.relations)}
        times = Counter(column.type for column in self.types.columns)
        for column in sorted(self.types.columns, key=self._order):
            term = self._term(column)
            if term is not None:
                self._column(column, term, related.get(column.index), times[column.type] > 1)
        self.own.insert(0, OwnTerm(self.row, "class", label, self.rows.definition(self.genus, self._said)))

    def _order(self, column: ColumnType) -> tuple[bool, int]:
        return column.index != self.types.subject, column.index

    def _term(self, column: ColumnType) -> Term | None:
        """The term of the ontology that the type of a column stands for."""
        if column.type is None or column.type not in self.vocabulary:
            return None
        return self.ontology.get(name_of(self.vocabulary[column.type].iri or "", self.ontology) or "")

    def _say(self, template: str, **fillers: str) -> None:
        """Add an entry, if the catalog has the template."""
        found = self.catalog.get(template)
        if found is not None:
            self.entries.append(Entry(template, tuple((n, fillers[n]) for n in found.slot_names)))

    # --- columns ----------------------------------------------------------------------------------

    def _column(self, column: ColumnType, term: Term, relation: str | None, again: bool) -> None:
        related = self.ontology.get(relation) if relation else None
        if related is not None and related.name != term.name:
            self._related(column, term, related, again)
        if term.kind == "data_property":
            self._data(column, term, again)
        elif term.kind == "object_property":
            self._object(term)
        elif related is None and column.index != self.types.subject:
            self._own_property(column, term)

    def _related(self, column: ColumnType, term: Term, related: Term, again: bool) -> None:
        """The relation of a column, with its type as what stands in it where that fits."""
        if related.kind == "data_property":
            self._data(column, related, again)
        elif term.kind == "class" and self.ontology.any_is_a(term.name, related.range):
            self._say("some.object", A=self.row, p=related.name, B=term.name)
            self._said.append(related.label)
        else:
            self._object(related)

    def _data(self, column: ColumnType, term: Term, again: bool) -> None:
        datatype = datatype_of(column.type, term, self.ontology)
        if not self._fits(term):
            self._elsewhere(term, datatype)
            return
        cells = self._cells(column)
        if self._is_key(column, cells) and not again:
            self._key = True
            self._say("key.required", A=self.row, d=term.name, D=datatype)
        elif again or cells is None:
            self._say("some.data", A=self.row, d=term.name, D=datatype)
        elif all(cell.strip() for cell in cells.values) and cells.values:
            self._say("cardinality.one_data", A=self.row, d=term.name, D=datatype)
        else:
            self._say("cardinality.optional_data", A=self.row, d=term.name, D=datatype)
        self._said.append(term.label)

    def _object(self, term: Term) -> None:
        if not self._fits(term):
            return
        classes = [name for name in term.range if name in self.ontology and self._is_class(name)]
        if len(classes) == len(term.range) == 1:
            self._say("some.object", A=self.row, p=term.name, B=classes[0])
        else:
            self._say("some.any", A=self.row, p=term.name)
        self._said.append(term.label)

    def _elsewhere(self, term: Term, datatype: str) -> None:
        """A property of something that the rows lead to, by a property of the ontology."""
        way = self.rows.way(self.genus, term)
        if way is not None:
            leads, thing = way
            self._say("some.reference", A=self.row, p=leads, B=thing, key=term.name, D=datatype)
            self._said.append(term.label)

    def _own_property(self, column: ColumnType, term: Term) -> None:
        """A property named by the header, whose values are of the type."""
        cells = self._cells(column)
        name, label = self.rows.own_property(cells.name if cells else None, term)
        if term.kind == "datatype":
            self._say("domain_range.range_data", d=name, D=term.name)
            self._say("some.data", A=self.row, d=name, D=term.name)
        else:
            self._say("domain_range.range", p=name, B=term.name)
            self._say("some.object", A=self.row, p=name, B=term.name)
        kind = "data_property" if term.kind == "datatype" else "object_property"
        definition = (
            f"Leads from {self.rows.a(self.genus)} to {self.rows.a(term.name)} in its column {label}."
        )
        self.own.append(OwnTerm(name, kind, label, definition))
        self._said.append(plain_label(term.name))

    # --- what is known ----------------------------------------------------------------------------

    def _cells(self, column: ColumnType) -> Column | None:
        if self.table is None or not 0 <= column.index < len(self.table.columns):
            return None
        return self.table.columns[column.index]

    def _is_class(self, name: str) -> bool:
        return self.ontology[name].kind == "class"

    def _fits(self, term: Term) -> bool:
        """Whether things of the genus have the property, by its domain."""
        return self.ontology.any_is_a(self.genus, term.domain)

    def _is_key(self, column: ColumnType, cells: Column | None) -> bool:
        if self._key or cells is None or len(cells.values) < _KEY_ROWS:
            return False
        unique = len(set(cells.values)) == len(cells.values) and all(cell.strip() for cell in cells.values)
        return unique and expectation(column.type or "").unique is True
