"""Gate vocabulary: every label, template, property and term is known, or declared by the composition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from aegir_dspy.ontology.composition import TableTypes
from aegir_dspy.ontology.composition_schema import OWN_NAME
from aegir_dspy.ontology.slots import KIND_OF
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["vocabulary"]

_OWN = re.compile(OWN_NAME)
_CUT = 80


def vocabulary(case: Case) -> Iterator[Diagnostic]:
    """Names that nothing knows."""
    yield from _sources(case)
    yield from _own_terms(case)
    for types in case.composition.tables:
        yield from _table(types, case)
    for i, entry in enumerate(case.composition.axioms):
        if entry.template not in case.standard.catalog:
            ids = case.standard.catalog.ids
            yield _unknown("template", f"axiom {i}", entry.template, "a template of the catalog", ids)
    for i, _, problem in case.slot_problems:
        if problem.code == "unknown":
            filler = dict(case.composition.axioms[i].slots)[problem.slot]
            yield _unknown_term(f"axiom {i}", filler, case)


def _sources(case: Case) -> Iterator[Diagnostic]:
    """The ontology and vocabulary that the composition was written for."""
    for what, said, judge in (
        ("ontology", case.composition.ontology, case.standard.ontology.name),
        ("vocabulary", case.composition.vocabulary, case.standard.vocabulary.name),
    ):
        if said != judge:
            yield Diagnostic(
                f"vocabulary.other_{what}",
                "composition",
                f"expected a composition over {what} {judge!r}, found one over {said[:_CUT]!r}",
                suggestion=f"judge it with that {what}",
            )


def _own_terms(case: Case) -> Iterator[Diagnostic]:
    for term in case.composition.terms:
        if not _OWN.fullmatch(term.name):
            yield Diagnostic(
                "vocabulary.own_name",
                f"term {term.name[:_CUT]}",
                f"expected a name of the composition's own, as ':Order', found {term.name[:_CUT]!r}",
                suggestion="a colon, then letters, digits, - and _",
            )
        if term.kind not in KIND_OF.values():
            kinds = ", ".join(KIND_OF.values())
            message = f"expected a kind of {kinds}, found {term.kind[:_CUT]!r}"
            yield Diagnostic("vocabulary.own_kind", f"term {term.name[:_CUT]}", message)


def _table(types: TableTypes, case: Case) -> Iterator[Diagnostic]:
    standard = case.standard
    for column in types.columns:
        if column.type is not None and column.type not in standard.vocabulary:
            labels = standard.vocabulary.names
            subject = f"{types.name}[{column.index}]"
            yield _unknown("type", subject, column.type, f"a label of {standard.vocabulary.name}", labels)
    if types.term is not None and not _known(types.term, case, ("class",)):
        yield _unknown_term(f"{types.name}.term", types.term, case)
    for i, relation in enumerate(types.relations):
        subject, name = f"{types.name}.relations[{i}]", relation.property
        allowed = standard.relation_names
        if not _known(name, case, ("object_property", "data_property")):
            yield _unknown("property", subject, name, "a property that is known", allowed or ())
        elif allowed is not None and name not in allowed and name not in case.own:
            yield _unknown("relation", subject, name, "a relation of the vocabulary", sorted(allowed))


def _known(name: str, case: Case, kinds: tuple[str, ...]) -> bool:
    """Whether a name is of the ontology or declared, and of one of the kinds."""
    return case.kind_of(name) in kinds


def _unknown_term(subject: str, name: str, case: Case) -> Diagnostic:
    if name.startswith(":"):
        return Diagnostic(
            "vocabulary.undeclared",
            subject,
            f"expected a term that the composition declares, found {name[:_CUT]!r}",
            suggestion="declare it in `terms`, with a label and a definition",
        )
    return _unknown("term", subject, name, f"a term of {case.standard.ontology.name}", ())


def _unknown(what: str, subject: str, found: str, expected: str, known: Iterable[str]) -> Diagnostic:
    near = get_close_matches(found, list(known), 1) if len(found) < _CUT else []
    return Diagnostic(
        f"vocabulary.unknown_{what}",
        subject,
        f"expected {expected}, found {found[:_CUT]!r}",
        suggestion=f"{near[0]} is near" if near else "",
    )
