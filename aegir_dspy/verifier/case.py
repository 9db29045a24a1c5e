"""What a composition is judged by, and one composition together with the input it speaks about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from aegir_dspy.errors import AegirError
from aegir_dspy.ontology.axioms import (
    And,
    Axiom,
    Cardinality,
    Disjoint,
    Domain,
    Equivalent,
    Expression,
    Functional,
    HasKey,
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
from aegir_dspy.ontology.catalog import Catalog, Template
from aegir_dspy.ontology.composition import Composition, Entry, OwnTerm, TableTypes
from aegir_dspy.ontology.names import local_name, name_of
from aegir_dspy.ontology.names import words as spaced
from aegir_dspy.ontology.satisfiability import Verdict
from aegir_dspy.ontology.slots import SlotProblem, slot_problems
from aegir_dspy.ontology.terms import Ontology
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier.words import words

__all__ = ["Case", "Standard", "named_classes", "pairs", "parts", "properties", "tops"]


@dataclass(frozen=True)
class Standard:
    """What compositions are judged by; values only, so it travels to other processes.

    Attributes:
        ontology: the terms that fillers may name.
        vocabulary: the types that columns may be given.
        catalog: the templates that axioms are made of.
        relations: the properties that relations may name, or None for every property of the ontology.
    """

    ontology: Ontology
    vocabulary: Vocabulary
    catalog: Catalog
    relations: Vocabulary | None = None

    @cached_property
    def term_of(self) -> dict[str, str]:
        """Label of a column type → the term of the ontology it stands for; labels without one are absent."""
        names = ((label.label, self.name_of(label.iri)) for label in self.vocabulary)
        return {label: name for label, name in names if name is not None and name in self.ontology}

    @cached_property
    def relation_names(self) -> frozenset[str] | None:
        """Prefixed names and labels that relations may use; None where every property is allowed."""
        if self.relations is None:
            return None
        names = {self.name_of(label.iri) for label in self.relations}
        return frozenset(name for name in names if name) | frozenset(self.relations.names)

    def stems(self, name: str) -> frozenset[str]:
        """The words of a term's name and label."""
        if name not in self._stems:
            term = self.ontology.get(name)
            self._stems[name] = frozenset(words([spaced(local_name(name)), term.label if term else ""]))
        return self._stems[name]

    @cached_property
    def _stems(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def verdicts(self) -> dict[tuple[Axiom, ...], Verdict]:
        """Which axioms were found satisfiable, the latest: the same tables are judged again and again."""
        return {}

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("ontology", "vocabulary", "catalog", "relations")}

    def name_of(self, iri: str | None) -> str | None:
        """The prefixed name of an IRI; None without an IRI or a prefix for it."""
        return name_of(iri, self.ontology) if iri else None


@dataclass(frozen=True)
class Case:
    """A composition and its input, with what gates and components ask of them more than once."""

    standard: Standard
    composition: Composition
    tables: tuple[Table, ...]
    texts: tuple[str, ...] = ()

    @cached_property
    def own(self) -> dict[str, OwnTerm]:
        """The terms that the composition adds, by name; the first of several with one name."""
        return {term.name: term for term in reversed(self.composition.terms)}

    @cached_property
    def entries(self) -> tuple[tuple[Axiom, ...], ...]:
        """The axioms of each entry; none where its template or fillers are refused."""
        return tuple(_instantiated(self.standard.catalog, entry) for entry in self.composition.axioms)

    @cached_property
    def axioms(self) -> tuple[Axiom, ...]:
        """The axioms of all entries, in order."""
        return tuple(axiom for axioms in self.entries for axiom in axioms)

    @cached_property
    def mentioned(self) -> tuple[frozenset[str], ...]:
        """The classes, datatypes and properties that each of the `axioms` mentions."""
        return tuple(frozenset((*named_classes(axiom), *properties(axiom))) for axiom in self.axioms)

    @cached_property
    def said(self) -> dict[str, dict[str, int]]:
        """Class or property → what the axioms put it below → the first entry that does.

        ``A ≡ B and …`` puts A below B, as ``A ⊑ B and …`` does; two names for one class (``A ≡ B``) are no
        hierarchy.
        """
        edges: dict[str, dict[str, int]] = defaultdict(dict)
        for i, axioms in enumerate(self.entries):
            for below, above in (edge for axiom in axioms for edge in _edges(axiom)):
                edges[below].setdefault(above, i)
        return dict(edges)

    def kind_of(self, name: str) -> str | None:
        """What a term is, of the ontology or the composition's own; None where it is neither."""
        if name.startswith(":"):
            return self.own[name].kind if name in self.own else None
        term = self.standard.ontology.get(name)
        return term.kind if term else None

    def is_a(self, name: str, other: str) -> bool:
        """Whether a term is another or lies below it, by the ontology and, for own terms, by the axioms."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one == other or self.standard.ontology.is_a(one, other):
                return True
            if one not in seen:
                seen.add(one)
                waiting += self.said.get(one, ()) if one.startswith(":") else ()
        return False

    @cached_property
    def slot_problems(self) -> tuple[tuple[int, Template, SlotProblem], ...]:
        """What is wrong with the fillers: (entry, its template, problem); unknown templates left out."""
        catalog = self.standard.catalog
        return tuple(
            (i, template, problem)
            for i, entry in enumerate(self.composition.axioms)
            if (template := catalog.get(entry.template)) is not None
            for problem in slot_problems(template, entry, self.kind_of, self.is_a)
        )

    @cached_property
    def pairs(self) -> tuple[tuple[TableTypes, Table], ...]:
        """What is said of each table of the input."""
        return pairs(self.composition, self.tables)

    @cached_property
    def type_terms(self) -> frozenset[str]:
        """The terms of the ontology that the column types stand for."""
        term_of = self.standard.term_of
        return frozenset(
            term_of[column.type]
            for types in self.composition.tables
            for column in types.columns
            if column.type in term_of
        )

    @cached_property
    def row_classes(self) -> frozenset[str]:
        """The classes of the rows of the tables."""
        return frozenset(types.term for types in self.composition.tables if types.term)


def pairs(composition: Composition, tables: Iterable[Table]) -> tuple[tuple[TableTypes, Table], ...]:
    """What is said of each table that something is said of; several of one name are matched in order."""
    said: dict[str, list[TableTypes]] = defaultdict(list)
    for types in composition.tables:
        said[types.name].append(types)
    return tuple((said[table.name].pop(0), table) for table in tables if said[table.name])


def _instantiated(catalog: Catalog, entry: Entry) -> tuple[Axiom, ...]:
    try:
        return catalog.instantiate(entry)
    except AegirError:
        return ()


def _edges(axiom: Axiom) -> list[tuple[str, str]]:
    match axiom:
        case SubClass(Named(sub), above):
            return [(sub, name) for name in _conjuncts(above)]
        case Equivalent(Named(sub), And() as above) | Equivalent(And() as above, Named(sub)):
            return [(sub, name) for name in _conjuncts(above)]
        case SubProperty():
            return [(axiom.sub, axiom.super)]
        case _:
            return []


def _conjuncts(expression: Expression) -> list[str]:
    match expression:
        case Named():
            return [expression.name]
        case And():
            return [name for part in expression.parts for name in _conjuncts(part)]
        case _:
            return []


def tops(axiom: Axiom) -> tuple[Expression, ...]:
    """The class expressions an axiom is made of, as they stand in it."""
    if isinstance(axiom, HasKey):
        return (Named(axiom.subject),)
    if isinstance(axiom, Disjoint):
        return axiom.parts
    values = (getattr(axiom, name) for name in axiom.__slots__)
    return tuple(value for value in values if not isinstance(value, str))


def parts(expression: Expression) -> Iterator[Expression]:
    """An expression and all expressions in it."""
    waiting: list[Expression] = [expression]
    while waiting:
        one = waiting.pop()
        yield one
        match one:
            case Not():
                waiting.append(one.part)
            case And() | Or():
                waiting += one.parts
            case Some() | Only() | Cardinality():
                waiting.append(one.filler)
            case Named() | Value():
                pass


def named_classes(axiom: Axiom) -> Iterator[str]:
    """The names of the classes and datatypes in an axiom."""
    for top in tops(axiom):
        for part in parts(top):
            if isinstance(part, Named):
                yield part.name


def properties(axiom: Axiom) -> Iterator[str]:
    """The names of the properties in an axiom."""
    match axiom:
        case Domain() | Range() | Functional():
            yield axiom.property
        case SubProperty():
            yield axiom.sub
            yield axiom.super
        case HasKey():
            yield from axiom.properties
        case _:
            pass
    for top in tops(axiom):
        for part in parts(top):
            if isinstance(part, Some | Only | Cardinality | Value):
                yield part.property
