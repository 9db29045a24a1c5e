"""A SHACL shape a table: what its rows must be like; https://www.w3.org/TR/shacl/.

What is expected of a column's type is asked for (`aegir_dspy.ontology.expectations`), and of the cells at
hand only that none is missing where none is; SHACL itself cannot say that values identify things, so
``ax:unique`` does.
"""

from __future__ import annotations

import re
from collections import Counter

from aegir_dspy.ontology.composition import ColumnType, TableTypes
from aegir_dspy.ontology.expectations import Expectation, expectation
from aegir_dspy.ontology.export.columns import Columns, ax
from aegir_dspy.ontology.export.rdf import NAMESPACES, RDF_TYPE, Graph, Iri, Items, Literal

__all__ = ["add_shapes"]

_XSD = NAMESPACES["xsd"]
_MOST_LISTED = 200  # values that a shape may list
_NUMERIC = frozenset(("decimal", "integer", "double", "float", "nonNegativeInteger", "positiveInteger"))


def _sh(name: str) -> str:
    return NAMESPACES["sh"] + name


def add_shapes(graph: Graph, columns: Columns) -> None:
    """A node shape for every table of the composition, a property shape for every column with a type."""
    for table in columns.names.composition.tables:
        shape = columns.names.own("shape", table.name)
        graph.add(shape, RDF_TYPE, Iri(_sh("NodeShape")))
        graph.add(shape, _sh("name"), Literal(table.name))
        if table.term and (meaning := columns.iri(table.term)):
            graph.add(shape, _sh("targetClass"), Iri(meaning))
        paths = Counter(columns.property_of(table, column) for column in table.columns)
        for column in table.columns:
            if column.type is not None:
                held = columns.property_of(table, column)
                path = held if held is not None and paths[held] == 1 else None
                _add_column(graph, columns, table, column, path)


def _add_column(
    graph: Graph, columns: Columns, table: TableTypes, column: ColumnType, path: str | None
) -> None:
    """`path` is the property of the column; None where several have it: then the column stands for itself."""
    own = columns.column(table.name, column.index)
    shape = columns.names.own("shape", table.name, str(column.index))
    graph.add(columns.names.own("shape", table.name), _sh("property"), Iri(shape))
    graph.add(shape, RDF_TYPE, Iri(_sh("PropertyShape")))
    graph.add(shape, _sh("path"), Iri(path or own))
    graph.add(shape, _sh("order"), Literal(str(column.index), _XSD + "integer"))
    graph.add(shape, _sh("maxCount"), Literal("1", _XSD + "integer"))
    found = columns.column_of(table.name, column.index)
    if found is not None and found.name:
        graph.add(shape, _sh("name"), Literal(found.name))
    if found is not None and found.values and all(found.values):
        graph.add(shape, _sh("minCount"), Literal("1", _XSD + "integer"))
    if column.type is not None:
        _add_expected(graph, shape, expectation(column.type))


def _add_expected(graph: Graph, shape: str, expected: Expectation) -> None:
    kind = expected.datatype.partition(":")[2]
    graph.add(shape, _sh("datatype"), Iri(_XSD + (kind or "string")))
    if kind in _NUMERIC:
        for prop, bound in (("minInclusive", expected.low), ("maxInclusive", expected.high)):
            if bound is not None:
                graph.add(shape, _sh(prop), Literal(_number(bound), _XSD + "decimal"))
    if expected.unique is not None:
        value = "true" if expected.unique else "false"
        graph.add(shape, ax("unique"), Literal(value, _XSD + "boolean"))
    if 0 < len(expected.lexicon) <= _MOST_LISTED:
        values = tuple(Literal(text) for text in expected.lexicon)
        graph.add(shape, ax("usualValues"), Items(values))
    for name in expected.validators:
        graph.add(shape, ax("validator"), Literal(name))


def _number(bound: float) -> str:
    """A decimal without exponent."""
    return re.sub(r"\.?0+$", "", f"{bound:.9f}")
