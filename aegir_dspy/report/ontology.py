"""Compositions as the files other tools read."""

from __future__ import annotations

from collections.abc import Sequence

from aegir_dspy.ontology.composition import Composition
from aegir_dspy.ontology.composition_json import dump_composition
from aegir_dspy.ontology.export import to_jsonld, to_manchester, to_shacl, to_turtle
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier import Verifier

__all__ = ["written"]


def written(composition: Composition, tables: Sequence[Table], verifier: Verifier, format: str) -> str:
    """The composition in a format: ``composition`` (JSON), ``turtle``, ``jsonld``, ``manchester``, ``shacl``.

    Args:
        tables: the tables it speaks of.
        verifier: whose vocabulary, ontology and catalog it is written in.
    """
    catalog = verifier.standard.catalog
    ontology, vocabulary = verifier.standard.ontology, verifier.standard.vocabulary
    match format:
        case "composition":
            return dump_composition(composition, 1) + "\n"
        case "turtle":
            return to_turtle(composition, catalog, tables=tables, ontology=ontology, vocabulary=vocabulary)
        case "jsonld":
            return to_jsonld(composition, catalog, tables=tables, ontology=ontology, vocabulary=vocabulary)
        case "manchester":
            return to_manchester(composition, catalog, ontology=ontology)
        case _:
            return to_shacl(composition, tables=tables, ontology=ontology, vocabulary=vocabulary)
