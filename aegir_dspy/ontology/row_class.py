"""Classes for the rows of tables: what they are a kind of, how they are called and defined."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from aegir_dspy.ontology.composition import TableTypes
from aegir_dspy.ontology.names import name_of
from aegir_dspy.ontology.terms import Ontology, Term
from aegir_dspy.ontology.verbalise import plain_label
from aegir_dspy.ontology.vocabulary import Vocabulary
from aegir_dspy.ontology.wording import stub

__all__ = ["RowClasses"]

_LETTERS = re.compile(r"[A-Za-z]{2,}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_MOST_WORDS = 5
_MOST_SAID = 6  # properties that a definition names


class RowClasses:
    """Makes the names, genera and definitions of the own terms of one composition; each name once."""

    def __init__(self, ontology: Ontology, vocabulary: Vocabulary) -> None:
        self._ontology = ontology
        self._vocabulary = vocabulary
        self._taken: set[str] = set()
        self._subject = ""
        if "row classes" not in ontology.derived:
            ontology.derived["row classes"] = _Known.of(ontology)
        self._known: _Known = ontology.derived["row classes"]
        self._root: str = self._known.root

    # --- genus ------------------------------------------------------------------------------------

    def genus(self, types: TableTypes) -> str:
        """What the rows of a table are: the class given; of the subject column; of most columns; the root.

        A label ``X/name`` or ``X/description`` votes for X, a property for the classes of its domain.
        """
        if types.term is not None and self._is_class(types.term):
            return types.term
        subject = next((one.type for one in types.columns if one.index == types.subject), None)
        if (named := self._thing(subject)) is not None:
            return named
        votes: Counter[str] = Counter()
        for column in types.columns:
            votes.update(self._votes(column.type))
        best = max(votes.values(), default=0)
        if best < 2:
            return self._root
        # Of several with as many votes the narrowest, then the first by name.
        ranked = sorted(n for n, count in votes.items() if count == best)
        return max(ranked, key=lambda name: (len(self._ontology.ancestors(name)), -ranked.index(name)))

    def _thing(self, label: str | None) -> str | None:
        """The class that a column of names stands for: of ``Book/name`` and ``Brand``, but not of IBAN."""
        term = self._term(label)
        if term is None or term.kind != "class" or term.name.startswith("aegir:"):
            return None
        is_value = any(self._ontology.is_a(term.name, value) for value in _VALUES)
        return None if is_value else term.name

    def _votes(self, label: str | None) -> set[str]:
        term = self._term(label)
        whole, _, part = (label or "").partition("/")
        if term is None:
            return set()
        if part:
            found = self._term(f"{whole}/name") or term
            return {found.name} if found.kind == "class" else set()
        return {name for name in term.domain if self._is_class(name) and name != self._root}

    def _term(self, label: str | None) -> Term | None:
        if label is None or label not in self._vocabulary:
            return None
        return self._ontology.get(name_of(self._vocabulary[label].iri or "", self._ontology) or "")

    def _is_class(self, name: str) -> bool:
        term = self._ontology.get(name)
        return term is not None and term.kind == "class"

    # --- words ------------------------------------------------------------------------------------

    def a(self, name: str) -> str:
        """The label of a term with its article."""
        label = self._label(name)
        return f"{'an' if label[:1].lower() in 'aeiou' else 'a'} {label}"

    def _label(self, name: str) -> str:
        term = self._ontology.get(name)
        label = term.label if term and term.label else plain_label(name)
        return "thing" if name == "owl:Thing" else label

    def name(self, table: str, genus: str) -> tuple[str, str]:
        """A free name and a label for the rows of a table: ``:SpringOrders``, "spring orders"."""
        said = _words(table)
        self._subject = " ".join(said)
        if not _says(said, self._name(said)):
            self._subject = ""
            said = [*_words(self._label(genus)), "record"]
        return self._free(self._name(said)), " ".join(said)

    def own_property(self, header: str | None, term: Term) -> tuple[str, str]:
        """A free name and a label for a property: of the header, or of the type where that says nothing."""
        said = _words(header or "")
        if not _says(said, self._name(said)):
            said = ["has", *_words(self._label(term.name))]
        first, *rest = said
        return self._free(f":{first.lower()}{''.join(word.capitalize() for word in rest)}"), " ".join(said)

    def definition(self, genus: str, said: Sequence[str]) -> str:
        """A sentence with the genus and what the axioms say that its things have."""
        text = self.a(genus).capitalize() if self._label(genus).islower() else f"A {self._label(genus)}"
        if self._subject:
            text += f" of the table {self._subject}"
        parts = [f"{'an' if one[:1] in 'aeiou' else 'a'} {one}" for one in dict.fromkeys(filter(None, said))]
        if parts:
            few = parts[:_MOST_SAID]
            text += " that has " + (f"{', '.join(few[:-1])} and {few[-1]}" if few[1:] else few[0])
        else:
            text += " that a row is about; no column says more of it"
        return f"{text}."

    def _name(self, said: Sequence[str]) -> str:
        return ":" + "".join(word[:1].upper() + word[1:] for word in said)

    def _free(self, name: str) -> str:
        name, number = name[:100], 2
        free = name
        while free in self._taken:
            free, number = f"{name}_{number}", number + 1
        self._taken.add(free)
        return free

    # --- ways -------------------------------------------------------------------------------------

    def way(self, genus: str, term: Term) -> tuple[str, str] | None:
        """An object property of the genus, and a class in its range that has `term`; the narrowest."""
        found = []
        for leads in self._leading(genus):
            for name in leads.range:
                if self._is_class(name) and self._ontology.any_is_a(name, term.domain):
                    narrow = max(len(self._ontology.ancestors(d)) for d in leads.domain)
                    found.append((-narrow, len(leads.range), leads.name, name))
        return min(found)[2:] if found else None

    def link(self, genus: str, thing: str) -> str | None:
        """The one object property that leads from things of the genus to what is named in its range."""
        found = [leads.name for leads in self._leading(genus) if thing in leads.range]
        return found[0] if len(found) == 1 else None

    def _leading(self, genus: str) -> list[Term]:
        """The object properties whose domain names the genus or what is above it, the root excepted."""
        known = self._known
        if genus not in known.leading:
            above = self._ontology.ancestors(genus) - {self._root}
            known.leading[genus] = [term for term in known.links if not above.isdisjoint(term.domain)]
        return known.leading[genus]


@dataclass
class _Known:
    """What classes of rows are found by: the one root, the links, and those that lead from a class."""

    root: str
    links: list[Term]
    leading: dict[str, list[Term]] = field(default_factory=dict)

    @classmethod
    def of(cls, ontology: Ontology) -> _Known:
        roots = [term.name for term in ontology if term.kind == "class" and not term.parents]
        links = [term for term in ontology if term.kind == "object_property" and term.domain]
        return cls(roots[0] if len(roots) == 1 else "owl:Thing", links)


# Classes whose instances are values that describe something else.
_VALUES = ("schema:StructuredValue", "schema:Enumeration", "schema:Quantity", "schema:DataType")


def _says(said: Sequence[str], name: str) -> bool:
    """Whether words make a label, and a name even with the number that tells it from another."""
    return bool(said) and not any(map(stub, (" ".join(said), name, f"{' '.join(said)} 2")))


def _words(text: str) -> list[str]:
    """The first words of a name in plain letters: accents are dropped, other scripts give none."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return [word.lower() for word in _LETTERS.findall(_CAMEL.sub(" ", plain))][:_MOST_WORDS]
