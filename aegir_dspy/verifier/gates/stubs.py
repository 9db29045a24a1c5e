"""Gate stubs: the texts that a composition adds say something (`aegir_dspy.ontology.wording`)."""

from __future__ import annotations

from collections.abc import Iterator

from aegir_dspy.ontology.names import local_name
from aegir_dspy.ontology.names import words as spaced
from aegir_dspy.ontology.wording import stub, tokens_of
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["stubs"]

_CUT = 80


def stubs(case: Case) -> Iterator[Diagnostic]:
    """Texts of the composition that say nothing."""
    for code, subject, text in _texts(case):
        if why := stub(text):
            yield Diagnostic(
                f"stubs.{code}",
                subject,
                f"expected words that say what it is, found {why}",
                (text[:_CUT],),
                "write what the things of this class have in common, in words of the table",
            )
    for term in case.composition.terms:
        if term.definition and tokens_of(term.definition) == tokens_of(term.label):
            yield Diagnostic(
                "stubs.definition",
                f"term {term.name}",
                "expected a definition that says more than the label, found the label",
                (term.definition[:_CUT],),
                "name a broader class and what sets it apart",
            )


def _texts(case: Case) -> Iterator[tuple[str, str, str]]:
    """(code, subject, text) of every text that the composition adds; empty ones are not for this gate."""
    for term in case.composition.terms:
        subject = f"term {term.name}"
        yield "name", subject, spaced(local_name(term.name))
        yield "label", subject, term.label
        yield "definition", subject, term.definition
    for element in case.composition.elements:
        yield "element", f"element {element.name}", element.name
    for types in case.composition.tables:
        for column in types.columns:
            if column.type is None:
                yield "reason", f"{types.name}[{column.index}]", column.reason
