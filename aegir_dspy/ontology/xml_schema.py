"""The datatypes of XML Schema and RDF that every ontology has, as terms.

Source: W3C XML Schema 1.1 part 2, https://www.w3.org/TR/xmlschema11-2/. Which of them share values is
said in `aegir_dspy.ontology.datatypes`.
"""

from __future__ import annotations

from aegir_dspy.ontology.names import words
from aegir_dspy.ontology.terms import Term

__all__ = ["DATATYPES"]

_PRIMITIVE = """string boolean decimal float double duration dateTime time date gYearMonth gYear gMonthDay
    gDay gMonth hexBinary base64Binary anyURI"""
_DERIVED = {
    "normalizedString": "string",
    "token": "normalizedString",
    "language": "token",
    "integer": "decimal",
    "nonPositiveInteger": "integer",
    "negativeInteger": "nonPositiveInteger",
    "nonNegativeInteger": "integer",
    "positiveInteger": "nonNegativeInteger",
    "long": "integer",
    "int": "long",
    "short": "int",
    "byte": "short",
    "unsignedLong": "nonNegativeInteger",
    "unsignedInt": "unsignedLong",
    "unsignedShort": "unsignedInt",
    "unsignedByte": "unsignedShort",
    "dateTimeStamp": "dateTime",
    "dayTimeDuration": "duration",
    "yearMonthDuration": "duration",
}


def _term(name: str) -> Term:
    parents = (f"xsd:{_DERIVED[name]}",) if name in _DERIVED else ()
    return Term(f"xsd:{name}", "datatype", words(name), parents=parents)


DATATYPES: tuple[Term, ...] = (
    Term("rdf:langString", "datatype", "text with a language"),
    Term("rdfs:Literal", "datatype", "literal", "Any value written as text, a number too."),
    *(_term(name) for name in sorted((*_PRIMITIVE.split(), *_DERIVED))),
)
"""Sorted by name."""
