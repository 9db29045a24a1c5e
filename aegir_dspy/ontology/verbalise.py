"""Axioms and entries in English, for reports and for what compares a composition with texts."""

from __future__ import annotations

import re
from collections.abc import Callable

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.axioms import (
    THING,
    And,
    Axiom,
    Cardinality,
    Disjoint,
    Domain,
    Equivalent,
    Expression,
    Functional,
    HasKey,
    Instance,
    Named,
    Not,
    Only,
    Or,
    Range,
    Some,
    SubClass,
    SubProperty,
    Value,
)
from aegir_dspy.ontology.catalog import Template
from aegir_dspy.ontology.composition import Entry
from aegir_dspy.ontology.manchester_render import MAX_DEPTH
from aegir_dspy.ontology.names import local_name, words

__all__ = ["plain_label", "verbalise", "verbalise_entry"]

LabelOf = Callable[[str], str]

_BUILT_IN = {
    "owl:Thing": "thing",
    "owl:Nothing": "impossible thing",
    "rdfs:Literal": "value",
    "xsd:string": "text",
    "xsd:boolean": "true or false",
    "xsd:integer": "whole number",
    "xsd:int": "whole number",
    "xsd:long": "whole number",
    "xsd:nonNegativeInteger": "whole number from 0",
    "xsd:positiveInteger": "whole number from 1",
    "xsd:decimal": "decimal number",
    "xsd:float": "number",
    "xsd:double": "number",
    "xsd:dateTime": "date and time",
    "xsd:gYear": "year",
    "xsd:gYearMonth": "year and month",
    "xsd:gMonth": "month",
    "xsd:gMonthDay": "month and day",
    "xsd:gDay": "day of the month",
    "xsd:anyURI": "web address",
    "xsd:language": "language code",
}
_BOUNDS = {"min": "at least", "max": "at most", "exactly": "exactly"}
_ARTICLE = re.compile(r"(?:^|(?<=[\s(]))([Aa])(?= $)")
_VOWEL = re.compile(r"[aeio]|u(?!ni[^nm]|r[il]|s[aeu]|ti)", re.IGNORECASE)


def plain_label(name: str) -> str:
    """A name in words: ``schema:PaymentCard`` → ``payment card``, ``xsd:decimal`` → ``decimal number``."""
    return _BUILT_IN.get(name) or words(local_name(name)) or name


def verbalise_entry(template: Template, entry: Entry, label_of: LabelOf = plain_label) -> str:
    """The sentence of `template` with what fills its slots in `entry`, names by `label_of`.

    A slot that the entry does not fill stays ``{name}``; articles agree with what follows them.
    """
    fillers = dict(entry.slots)
    numbers = {slot.name for slot in template.slots if slot.type == "Integer"}
    texts = [template.sentence[0]]
    for name, text in zip(template.sentence[1::2], template.sentence[2::2], strict=True):
        filler = fillers.get(name, f"{{{name}}}")
        label = filler if name in numbers or name not in fillers else label_of(filler)
        texts[-1] = _agreeing(texts[-1], label)
        texts += [label, text]
    return _sentence("".join(texts))


def verbalise(axiom: Axiom, label_of: LabelOf = plain_label) -> str:
    """A sentence that says what `axiom` says, names by `label_of`.

    Raises:
        InputError: an expression is nested deeper than `MAX_DEPTH`.
    """
    return _sentence(_Speaker(label_of).axiom(axiom))


class _Speaker:
    """Makes noun phrases of names, and verb phrases of expressions: ``is a book``, ``has an author``."""

    def __init__(self, label_of: LabelOf) -> None:
        self._label = label_of

    def axiom(self, axiom: Axiom) -> str:
        match axiom:
            case SubClass() | Equivalent() | Disjoint():
                return self._classes(axiom)
            case HasKey(subject, properties):
                names = " and ".join(self._label(name) for name in properties)
                return f"no two of the class {self._label(subject)} share the same {names}"
            case Instance(individual, type_):
                return f"{self._label(individual)} {self._does(type_)}"
            case _:
                return self._property(axiom)

    def _property(self, axiom: Domain | Range | Functional | SubProperty) -> str:
        match axiom:
            case Domain(name, domain):
                return f"whatever has {self._a(name)} {self._does(domain)}"
            case Range(name, range_):
                return f"whatever is {self._a(name)} of something {self._does(range_)}"
            case Functional(name):
                return f"nothing has more than one {self._label(name)}"
            case SubProperty(sub, other):
                return f"whatever is {self._a(sub)} of something is also its {self._label(other)}"

    def _classes(self, axiom: SubClass | Equivalent | Disjoint) -> str:
        match axiom:
            case SubClass(Named(name), other):
                return f"every {self._label(name)} {self._does(other)}"
            case SubClass(sub, other):
                return f"whatever {self._does(sub)} also {self._does(other)}"
            case Equivalent(Named(name), right):
                return f"{self._a(name)} is precisely what {self._does(right)}"
            case Equivalent(left, right):
                return f"whatever {self._does(left)} also {self._does(right)}, and the other way round"
            case Disjoint((Named(one), Named(other))):
                return f"no {self._label(one)} is {self._a(other)}"
            case Disjoint(parts):
                return "nothing does two of these: " + "; ".join(self._does(part) for part in parts)

    def _does(self, expression: Expression, depth: int = 1) -> str:
        """The verb phrase of an expression."""
        if depth > MAX_DEPTH:
            raise InputError(f"expected expressions at most {MAX_DEPTH} deep, found a deeper one")
        match expression:
            case Named(name):
                return f"is {self._a(name)}"
            case Not(Named(name)):
                return f"is not {self._a(name)}"
            case Not(part):
                return f"is nothing that {self._nested(part, depth)}"
            case And(parts):
                return " and ".join(self._nested(part, depth) for part in parts)
            case Or(parts):
                return " or ".join(self._nested(part, depth) for part in parts)
            case _:
                return self._has(expression, depth)

    def _has(self, expression: Some | Only | Cardinality | Value, depth: int) -> str:
        name = self._label(expression.property)
        if isinstance(expression, Value):
            return f"has {self._label(expression.individual)} as {name}"
        that = "" if expression.filler == THING else f" that {self._nested(expression.filler, depth)}"
        if isinstance(expression, Some):
            return f"has {self._a(expression.property)}{that}"
        if isinstance(expression, Only):
            return f"has no {name} but one{that or ' that is a thing'}"
        return f"has {_BOUNDS[expression.bound]} {expression.count} {name}{that}"

    def _nested(self, part: Expression, depth: int) -> str:
        """The phrase of a part; in brackets if it is a conjunction of its own."""
        phrase = self._does(part, depth + 1)
        return f"({phrase})" if isinstance(part, And | Or) else phrase

    def _a(self, name: str) -> str:
        label = self._label(name)
        return _agreeing("a ", label) + label


def _agreeing(text: str, label: str) -> str:
    """`text`, its article at the end turned to ``an`` before a vowel."""
    return _ARTICLE.sub(r"\1n", text) if _VOWEL.match(label) else text


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."
