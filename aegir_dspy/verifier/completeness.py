"""R_C, definitional completeness: is what the composition names also defined, in words and in axioms?

It is a share of checks, each yes or no, of the *filled* composition; length counts for nothing:

- each own class: a label; a definition in words; a genus (a named superclass that is no ``owl:Thing``);
  a differentia (a restriction on it that no other own class of the same genus has); a definition that
  mentions the genus; one that mentions something of a differentia;
- each own property: a label; a definition; a domain or a range;
- each table: a row class; a row class that is defined (in the ontology, or an own class with a genus);
- each typed column: its type's term, or the property of its relation, is in an axiom on the row class;
- each relation: its property is in an axiom on the row class.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from aegir_dspy.ontology.axioms import (
    And,
    Axiom,
    Cardinality,
    Domain,
    Equivalent,
    Expression,
    HasKey,
    Named,
    Only,
    Range,
    Some,
    SubClass,
    Value,
)
from aegir_dspy.ontology.composition import OwnTerm, TableTypes
from aegir_dspy.ontology.names import local_name
from aegir_dspy.ontology.names import words as spaced
from aegir_dspy.verifier.case import Case, parts
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.gates.duplicates import ordered
from aegir_dspy.verifier.score import Finding, quantised
from aegir_dspy.verifier.words import words

__all__ = ["completeness"]

_Check = tuple[bool, str, str, str, str]  # holds, code, subject, message, suggestion


def completeness(case: Case) -> Finding:
    """R_C, and every check that does not hold."""
    checks = list(_checks(_Defined(case)))
    if not checks:
        message = "expected row classes and own terms, found neither"
        return Finding(0.0, (Diagnostic("completeness.nothing", "composition", message),))
    value = quantised(math.fsum(check[0] for check in checks) / len(checks))
    reasons = [
        Diagnostic(f"completeness.{code}", subject, message, (), suggestion)
        for holds, code, subject, message, suggestion in checks
        if not holds
    ]
    return Finding(value, tuple(reasons))


@dataclass(frozen=True)
class _Defined:
    """What the axioms say of each class."""

    case: Case

    @cached_property
    def above(self) -> dict[str, list[Expression]]:
        """Class → what it is put below or made equal to, conjunctions taken apart."""
        found: dict[str, list[Expression]] = defaultdict(list)
        for axiom in self.case.axioms:
            match ordered(axiom):
                case SubClass(Named(name), above):
                    found[name] += _conjuncts(above)
                case Equivalent(left, right):
                    for one, other in ((left, right), (right, left)):
                        if isinstance(one, Named):
                            found[one.name] += _conjuncts(other)
                case _:
                    pass
        return found

    @cached_property
    def on_rows(self) -> dict[str, set[str]]:
        """Class → the classes and properties in axioms on it, its supers' and those of keys included."""
        found: dict[str, set[str]] = defaultdict(set)
        for axiom, names in zip(self.case.axioms, self.case.mentioned, strict=True):
            for name in _about(axiom):
                found[name].update(names)
        return found

    def genera(self, name: str) -> list[str]:
        """The named superclasses of a class, `owl:Thing` and itself left out."""
        named = [one.name for one in self.above.get(name, ()) if isinstance(one, Named)]
        return [one for one in named if one not in ("owl:Thing", name)]

    @cached_property
    def siblings(self) -> dict[str, set[str]]:
        """Genus → the own classes below it."""
        found: dict[str, set[str]] = defaultdict(set)
        for name in self.case.own:
            for genus in self.genera(name):
                found[genus].add(name)
        return found

    def differentiae(self, name: str) -> list[Expression]:
        """The restrictions on a class that no other own class of the same genus has."""
        others = {other for genus in self.genera(name) for other in self.siblings[genus]} - {name}
        shared = {one for other in others for one in self.above.get(other, ())}
        return [one for one in self.above.get(name, ()) if not isinstance(one, Named) and one not in shared]

    def stems(self, name: str) -> frozenset[str]:
        """The words of a term's label and name."""
        if name not in self.case.own:
            return self.case.standard.stems(name)
        return frozenset(words([spaced(local_name(name)), self.case.own[name].label]))


def _conjuncts(expression: Expression) -> list[Expression]:
    if isinstance(expression, And):
        return [one for part in expression.parts for one in _conjuncts(part)]
    return [expression]


def _about(axiom: Axiom) -> list[str]:
    """The named classes that an axiom is on."""
    match axiom:
        case SubClass(Named(name), _):
            return [name]
        case Equivalent(left, right):
            return [one.name for one in (left, right) if isinstance(one, Named)]
        case HasKey():
            return [axiom.subject]
        case Domain(_, Named(name)):
            return [name]
        case _:
            return []


def _checks(defined: _Defined) -> Iterator[_Check]:
    for term in sorted(defined.case.own.values(), key=lambda term: term.name):
        yield from _words_of(term)
        if term.kind == "class":
            yield from _own_class(term, defined)
        elif term.kind in ("object_property", "data_property"):
            used = {a.property for a in defined.case.axioms if isinstance(a, Domain | Range)}
            message = "expected a domain or a range, found neither"
            yield term.name in used, "no_domain", f"term {term.name}", message, "add a domain/range template"
    for types in defined.case.composition.tables:
        yield from _table(types, defined)


def _words_of(term: OwnTerm) -> Iterator[_Check]:
    subject = f"term {term.name}"
    yield bool(term.label.strip()), "no_label", subject, "expected a label, found none", "add one"
    message = "expected a definition in words, found none"
    yield bool(term.definition.strip()), "no_definition", subject, message, "write 'a <genus> that …'"


def _own_class(term: OwnTerm, defined: _Defined) -> Iterator[_Check]:
    subject, said = f"term {term.name}", set(words([term.definition]))
    genera, differentiae = defined.genera(term.name), defined.differentiae(term.name)
    yield (
        bool(genera),
        "no_genus",
        subject,
        "expected a superclass, found none",
        "add a template of family subclass",
    )
    yield (
        bool(differentiae),
        "no_differentia",
        subject,
        "expected a restriction that sets it apart from its siblings, found none",
        "add a template of family some, only or cardinality",
    )
    to_mention = {stem for genus in genera for stem in defined.stems(genus)}
    message = f"expected the definition to mention {' or '.join(genera) or 'a genus'}, found no word of it"
    yield not said.isdisjoint(to_mention), "genus_unsaid", subject, message, "begin with 'a <genus> that …'"
    of_differentiae = {stem for one in differentiae for name in _names(one) for stem in defined.stems(name)}
    message = "expected the definition to mention what sets it apart, found no word of it"
    holds = not said.isdisjoint(of_differentiae)
    yield holds, "differentia_unsaid", subject, message, "say in words what its axioms say"


def _names(expression: Expression) -> Iterator[str]:
    for part in parts(expression):
        match part:
            case Named():
                yield part.name
            case Some() | Only() | Cardinality() | Value():
                yield part.property
            case _:
                pass


def _table(types: TableTypes, defined: _Defined) -> Iterator[_Check]:
    term_of, known = defined.case.standard.term_of, defined.case.standard.ontology
    row = types.term or ""
    message = "expected the class of the rows, found none"
    yield bool(row), "no_row_class", types.name, message, "name one in `term`"
    message = f"expected a class that is defined, found {row or 'none'}"
    is_defined = row in known or bool(defined.genera(row))
    yield is_defined, "row_class_undefined", types.name, message, "put it below a class of the ontology"
    said = defined.on_rows.get(row, set())
    related = {one.object for one in types.relations if one.property in said}
    for column in types.columns:
        term = term_of.get(column.type or "")
        if term is not None:
            message = f"expected {term} in an axiom on {row or 'the row class'}, found none"
            suggestion = "say what the rows have in it"
            holds = term in said or column.index in related
            yield holds, "column_unsaid", f"{types.name}[{column.index}]", message, suggestion
    for i, relation in enumerate(types.relations):
        message = f"expected {relation.property} in an axiom on {row or 'the row class'}, found none"
        holds = relation.property in said
        yield holds, "relation_unsaid", f"{types.name}.relations[{i}]", message, "add a template with it"
