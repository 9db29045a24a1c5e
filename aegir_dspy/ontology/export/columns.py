"""What is said about tables, as RDF: CSVW tables and columns, linked to classes and properties.

https://www.w3.org/TR/tabular-metadata/. A column's class, its confidence and the reason of an abstention have
no place in CSVW and are of this project's vocabulary, ``ax:``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aegir_dspy.errors import VocabularyError
from aegir_dspy.ontology.composition import ColumnType, Composition, TableTypes
from aegir_dspy.ontology.export.names import Names
from aegir_dspy.ontology.export.owl import owl
from aegir_dspy.ontology.export.rdf import NAMESPACES, RDF_TYPE, Graph, Iri, Items, Literal
from aegir_dspy.ontology.names import name_of
from aegir_dspy.ontology.vocabulary import VOCABULARIES, Vocabulary, load_vocabulary
from aegir_dspy.tables.table import Column, Table

__all__ = ["ANNOTATIONS", "Columns", "add_tables", "ax", "csvw"]

_XSD = NAMESPACES["xsd"]
_TITLE = NAMESPACES["dcterms"] + "title"
_CSVW_TYPES = {"boolean": "boolean", "integer": "integer", "number": "decimal", "date": "date"}
_CSVW_TYPES |= {"datetime": "dateTime", "time": "time"}


def csvw(name: str) -> str:
    """IRI of a term of CSVW."""
    return NAMESPACES["csvw"] + name


def ax(name: str) -> str:
    """IRI of a term of this project's own vocabulary."""
    return NAMESPACES["ax"] + name


ANNOTATIONS: tuple[str, ...] = (
    *map(csvw, ("column", "datatype", "name", "propertyUrl", "tableSchema", "title", "url")),
    *map(
        ax,
        ("abstained", "confidence", "label", "member", "relatedTo", "relation", "rowClass", "subjectColumn"),
    ),
    *map(ax, ("type", "ontology", "vocabulary")),
    _TITLE,
)
"""IRIs of the properties used here: annotations for OWL."""


class Columns:
    """Which IRIs the columns of a composition have, and what their labels mean."""

    def __init__(
        self, names: Names, tables: Sequence[Table] = (), vocabulary: Vocabulary | None = None
    ) -> None:
        """`vocabulary` is by default the built-in one that the composition names, if there is one."""
        self.names = names
        self._tables = {table.name: table for table in tables}
        known = names.composition.vocabulary
        if vocabulary is None and known in VOCABULARIES:
            vocabulary = load_vocabulary(known)
        self._vocabulary = vocabulary

    def table(self, name: str) -> str:
        """IRI of a table."""
        return self.names.own("table", name)

    def column(self, table: str, index: int) -> str:
        """IRI of a column."""
        return self.names.own("table", table, str(index))

    def column_of(self, table: str, index: int) -> Column | None:
        """The column itself, where the tables are at hand."""
        found = self._tables.get(table)
        return next((c for c in found.columns if c.index == index), None) if found else None

    def source(self, table: str) -> str:
        """Where a table was read from, or its name."""
        found = self._tables.get(table)
        return found.source if found else table

    def meaning(self, label: str | None) -> str | None:
        """The IRI of a label, or None."""
        if label is None or self._vocabulary is None or label not in self._vocabulary:
            return None
        return self._vocabulary[label].iri

    def is_property(self, iri: str) -> bool:
        """Whether the IRI is a property's, by the ontology; without one, by its small first letter."""
        ontology = self.names.ontology
        name = name_of(iri, ontology)
        term = ontology.get(name) if ontology is not None and name is not None else None
        if term is not None:
            return term.kind.endswith("property")
        return iri.replace("#", "/").rpartition("/")[2][:1].islower()

    def property_of(self, table: TableTypes, column: ColumnType) -> str | None:
        """IRI of the property that a column holds values of: by its relation, else by its type."""
        for relation in table.relations:
            if relation.object == column.index:
                return self.iri(relation.property)
        meaning = self.meaning(column.type)
        return meaning if meaning is not None and self.is_property(meaning) else None

    def iri(self, name: str) -> str | None:
        """The IRI of a term, or None where its prefix is unknown."""
        try:
            return self.names.iri(name)
        except VocabularyError:
            return None


def add_tables(graph: Graph, columns: Columns) -> None:
    """Every table, column and data element of the composition."""
    composition = columns.names.composition
    for table in composition.tables:
        _add_table(graph, columns, table)
        for column in table.columns:
            _add_column(graph, columns, table, column)
    _add_elements(graph, columns, composition)
    for iri in ANNOTATIONS:
        graph.add(iri, RDF_TYPE, Iri(owl("AnnotationProperty")))


def _add_table(graph: Graph, columns: Columns, table: TableTypes) -> None:
    iri = columns.table(table.name)
    schema = f"{iri}/schema"
    cells = tuple(Iri(columns.column(table.name, i)) for i in sorted({c.index for c in table.columns}))
    graph.add(iri, RDF_TYPE, Iri(csvw("Table")))
    graph.add(iri, _TITLE, Literal(table.name))
    graph.add(iri, csvw("url"), Literal(columns.source(table.name), _XSD + "anyURI"))
    graph.add(iri, csvw("tableSchema"), Iri(schema))
    graph.add(schema, RDF_TYPE, Iri(csvw("Schema")))
    graph.add(schema, csvw("column"), Items(cells))
    if table.subject is not None:
        graph.add(iri, ax("subjectColumn"), Iri(columns.column(table.name, table.subject)))
    if table.term and (meaning := columns.iri(table.term)):
        graph.add(iri, ax("rowClass"), Iri(meaning))
    for relation in table.relations:
        if meaning := columns.iri(relation.property):
            held = columns.column(table.name, relation.object)
            graph.add(held, ax("relation"), Iri(meaning))
            graph.add(held, ax("relatedTo"), Iri(columns.column(table.name, relation.subject)))


def _add_column(graph: Graph, columns: Columns, table: TableTypes, column: ColumnType) -> None:
    iri = columns.column(table.name, column.index)
    graph.add(iri, RDF_TYPE, Iri(csvw("Column")))
    for prop, value in _about_column(columns, table, column):
        graph.add(iri, prop, value)


def _about_column(
    columns: Columns, table: TableTypes, column: ColumnType
) -> Iterator[tuple[str, Iri | Literal]]:
    found = columns.column_of(table.name, column.index)
    yield csvw("name"), Literal(f"_col.{column.index + 1}")  # CSVW's own name of an unnamed column
    if found is not None and found.name is not None:
        yield csvw("title"), Literal(found.name)
    if found is not None:
        yield csvw("datatype"), Iri(_XSD + _CSVW_TYPES.get(found.inferred_type, "string"))
    if column.type is None:
        yield ax("abstained"), Literal(column.reason or "no reason given")
        return
    yield ax("label"), Literal(column.type)
    yield ax("confidence"), Literal(_decimal(column.confidence), _XSD + "decimal")
    meaning = columns.meaning(column.type)
    if meaning is not None:
        yield ax("type"), Iri(meaning)
    prop = columns.property_of(table, column)
    if prop is not None:
        yield csvw("propertyUrl"), Literal(prop, csvw("uriTemplate"))


def _add_elements(graph: Graph, columns: Columns, composition: Composition) -> None:
    for element in composition.elements:
        iri = columns.names.own("element", element.name)
        graph.add(iri, RDF_TYPE, Iri(ax("DataElement")))
        graph.add(iri, ax("label"), Literal(element.name))
        for member in element.members:
            graph.add(iri, ax("member"), Iri(columns.column(member.table, member.column)))


def _decimal(number: float) -> str:
    """At most six digits behind the point: a rounding of the last bits changes no byte."""
    text = f"{number:.6f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text
