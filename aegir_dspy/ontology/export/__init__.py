"""Compositions in the formats of other tools: Turtle, JSON-LD, Manchester syntax, SHACL shapes."""

from aegir_dspy.ontology.export.document import Instantiates, to_jsonld, to_manchester, to_shacl, to_turtle

__all__ = ["Instantiates", "to_jsonld", "to_manchester", "to_shacl", "to_turtle"]
