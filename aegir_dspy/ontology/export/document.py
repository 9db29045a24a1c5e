"""Compositions in the formats of other tools: Turtle, JSON-LD, Manchester syntax, SHACL shapes.

All are deterministic: equal compositions give equal bytes. Each composition has a namespace of its own,
``https://w3id.org/aegir/composition/<hash of its content>#``.
"""

from __future__ import annotations

from collections.abc import Sequence

from aegir_dspy.ontology.composition import Composition
from aegir_dspy.ontology.export.columns import Columns, add_tables, ax
from aegir_dspy.ontology.export.names import Instantiates, Names
from aegir_dspy.ontology.export.omn import manchester_document
from aegir_dspy.ontology.export.owl import add_axioms, add_declarations, owl
from aegir_dspy.ontology.export.rdf import RDF_TYPE, Graph, Iri, Literal
from aegir_dspy.ontology.export.shapes import add_shapes
from aegir_dspy.ontology.terms import Ontology
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.tables.table import Table

__all__ = ["Instantiates", "to_jsonld", "to_manchester", "to_shacl", "to_turtle"]


def to_turtle(
    composition: Composition,
    catalog: Instantiates,
    *,
    tables: Sequence[Table] = (),
    ontology: Ontology | None = None,
    vocabulary: Vocabulary | None = None,
) -> str:
    """The composition as Turtle: its OWL ontology, its tables and columns in CSVW, its data elements.

    Args:
        composition: what to export.
        catalog: of its templates.
        tables: the tables it speaks of, for headers and sources of columns.
        ontology: of its terms: their labels and kinds.
        vocabulary: of its types: their IRIs; by default the built-in one that the composition names.

    Raises:
        VocabularyError: a template or the prefix of a term is unknown.
        InputError: the slots of an entry are not those of its template.
    """
    return _graph(composition, catalog, tables, ontology, vocabulary).turtle()


def to_jsonld(
    composition: Composition,
    catalog: Instantiates,
    *,
    tables: Sequence[Table] = (),
    ontology: Ontology | None = None,
    vocabulary: Vocabulary | None = None,
) -> str:
    """The same graph as `to_turtle`, as JSON-LD; arguments and errors are its."""
    return _graph(composition, catalog, tables, ontology, vocabulary).jsonld()


def to_manchester(
    composition: Composition, catalog: Instantiates, *, ontology: Ontology | None = None
) -> str:
    """The composition's ontology in Manchester syntax, for Protégé: terms and axioms, no tables.

    Raises:
        InputError: as `to_turtle`; and for expressions nested deeper than Manchester text may be.
    """
    return manchester_document(Names.of(composition, catalog, ontology))


def to_shacl(
    composition: Composition,
    *,
    tables: Sequence[Table] = (),
    ontology: Ontology | None = None,
    vocabulary: Vocabulary | None = None,
) -> str:
    """SHACL shapes in Turtle, one for each table of the composition; arguments as `to_turtle`."""
    names = Names(composition, (), ontology)
    graph = Graph(names.namespaces)
    add_shapes(graph, Columns(names, tables, vocabulary))
    return graph.turtle()


def _graph(
    composition: Composition,
    catalog: Instantiates,
    tables: Sequence[Table],
    ontology: Ontology | None,
    vocabulary: Vocabulary | None,
) -> Graph:
    """Everything about a composition."""
    names = Names.of(composition, catalog, ontology)
    graph = Graph(names.namespaces)
    graph.add(names.document, RDF_TYPE, Iri(owl("Ontology")))
    graph.add(names.document, ax("ontology"), Literal(composition.ontology))
    graph.add(names.document, ax("vocabulary"), Literal(composition.vocabulary))
    add_declarations(graph, names)
    add_axioms(graph, names)
    add_tables(graph, Columns(names, tables, vocabulary))
    return graph
