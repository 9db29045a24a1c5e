"""HermiT as the oracle that our own satisfiability test is checked against (extra ``hermit``, and Java).

Glimm, Horrocks, Motik, Stoilos and Wang, "HermiT: an OWL 2 reasoner", 2014. It comes with owlready2;
one Java process reads many sets of axioms, each as a file in functional syntax with plain names.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from aegir_dspy.errors import AegirError, PrerequisiteError
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
    Instance,
    Named,
    Not,
    Or,
    Range,
    Some,
    SubClass,
    SubProperty,
    Value,
)
from aegir_dspy.ontology.background import used_names
from aegir_dspy.ontology.datatypes import is_datatype
from aegir_dspy.ontology.sorts import property_sorts
from aegir_dspy.ontology.terms import PREFIXES

__all__ = ["HermitOracle"]

_MAIN = "org.semanticweb.HermiT.cli.CommandLine"
_HEADER = "Classes equivalent to 'owl:Nothing':"
_INCONSISTENT = "InconsistentOntologyException"
_BOUNDS = {"min": "MinCardinality", "max": "MaxCardinality", "exactly": "ExactCardinality"}


class HermitOracle:
    """`HermitOracle().check(sets)`: which named classes of each set of axioms HermiT finds unsatisfiable."""

    def __init__(self, seconds: float = 600.0) -> None:
        """Find Java and HermiT; a run of the process may take `seconds`.

        Raises:
            PrerequisiteError: owlready2 or Java is missing.
        """
        found = importlib.util.find_spec("owlready2")
        java = shutil.which("java")
        if found is None or found.origin is None:
            raise PrerequisiteError(
                "expected owlready2 for HermiT, found none; pip install 'aegir-dspy[hermit]'"
            )
        if java is None:
            raise PrerequisiteError("expected Java 11 or later for HermiT, found none; install it")
        folder = Path(found.origin).parent / "hermit"
        path = os.pathsep.join((str(folder), str(folder / "HermiT.jar")))
        self._command = [
            java,
            "-Xmx1g",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            path,
            _MAIN,
            "-k",
            "-U",
        ]
        self._seconds = seconds

    def check(self, sets: Sequence[Sequence[Axiom]]) -> list[tuple[str, ...] | None]:
        """Per set: its unsatisfiable named classes in order of first use, or None if it is inconsistent.

        Names that begin with a prefix of `PREFIXES` for datatypes have their meaning; all other names are
        only told apart. Every property must be of one sort.

        Raises:
            AegirError: HermiT refused a set; the message has its index and what HermiT said.
        """
        answers: list[tuple[str, ...] | None] = []
        with tempfile.TemporaryDirectory() as folder:
            files: list[str] = []
            names: list[dict[str, str]] = []
            for i, axioms in enumerate(sets):
                text, known = _document(axioms)
                files.append(f"{i}.ofn")
                names.append(known)
                (Path(folder) / files[-1]).write_text(text, encoding="utf-8")
            while len(answers) < len(sets):
                start = len(answers)
                lines, error = self._run(files[start:], folder)
                answers += _answers(lines, names[start:])
                if len(answers) == len(sets):
                    break
                if _INCONSISTENT not in error:
                    lines = error.split("\tat ")[0].split()
                    reason = " ".join(lines)[:300] or "no answer"
                    raise AegirError(f"expected HermiT to read set {len(answers)}, found: {reason}")
                answers.append(None)  # it stops at an inconsistent one: go on behind it
        return answers

    def _run(self, files: Sequence[str], folder: str) -> tuple[list[str], str]:
        try:
            done = subprocess.run(
                [*self._command, *files],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AegirError(
                f"expected HermiT to answer within {self._seconds:g} s, it did not; ask about fewer sets"
            ) from None
        return done.stdout.splitlines(), done.stderr


def _answers(lines: Sequence[str], names: Sequence[dict[str, str]]) -> list[tuple[str, ...]]:
    """What HermiT printed, a set at a time."""
    groups: list[list[str]] = []
    for line in lines:
        if line.strip() == _HEADER:
            groups.append([])
        elif line.startswith(("\t", " ")) and groups:
            groups[-1].append(line.strip().removeprefix(":"))
    found: list[tuple[str, ...]] = []
    for group, known in zip(groups, names, strict=False):
        found.append(tuple(name for name, short in known.items() if short in group))
    return found


def _document(axioms: Sequence[Axiom]) -> tuple[str, dict[str, str]]:
    """The axioms in functional syntax, and class → the name it has there."""
    writer = _Writer(axioms)
    body = "\n".join(writer.axiom(axiom) for axiom in axioms)
    prefixes = [f"Prefix({p}:=<{PREFIXES[p]}>)" for p in ("xsd", "rdf", "rdfs", "owl")]
    head = "\n".join(("Prefix(:=<urn:aegir:hermit#>)", *prefixes, "Ontology(<urn:aegir:hermit>"))
    return f"{head}\n{writer.declarations}\n{body}\n)\n", writer.classes


class _Writer:
    """Functional syntax of one set of axioms; https://www.w3.org/TR/owl2-syntax/."""

    def __init__(self, axioms: Sequence[Axiom]) -> None:
        self._sorts = property_sorts(axioms, {}, ())
        self._names: dict[tuple[str, str], str] = {}
        self.classes: dict[str, str] = {}
        for axiom in axioms:
            for kind, name in used_names(axiom):
                self._short(kind, name)

    def _short(self, kind: str, name: str) -> str:
        if kind == "class" and (is_datatype(name) or name in ("owl:Thing", "owl:Nothing")):
            return name
        known = self._names.get((kind, name))
        if known is None:
            known = self._names[kind, name] = f"{kind[0]}{len(self._names)}"
            if kind == "class":
                self.classes[name] = known
        return f":{known}"

    @property
    def declarations(self) -> str:
        """One declaration a name."""
        return "\n".join(self._declarations())

    def _declarations(self) -> Iterator[str]:
        for (kind, name), short in self._names.items():
            sort = "DataProperty" if self._data(name) else "ObjectProperty"
            word = {"class": "Class", "individual": "NamedIndividual"}.get(kind, sort)
            yield f"Declaration({word}(:{short}))"

    def _data(self, prop: str) -> bool:
        return self._sorts.get(prop) == "data"

    def _prefix(self, prop: str) -> str:
        return "Data" if self._data(prop) else "Object"

    def axiom(self, one: Axiom) -> str:
        """One axiom."""
        match one:
            case SubClass():
                return f"SubClassOf({self.expression(one.sub)} {self.expression(one.super)})"
            case Equivalent():
                left, right = self.expression(one.left), self.expression(one.right)
                return f"SubClassOf({left} {right})\nSubClassOf({right} {left})"
            case Disjoint():
                pairs = combinations(map(self.expression, one.parts), 2)  # its lists drop what is there twice
                return "\n".join(f"SubClassOf({a} ObjectComplementOf({b}))" for a, b in pairs)
            case Instance():
                individual = self._short("individual", one.individual)
                return f"ClassAssertion({self.expression(one.type)} {individual})"
            case HasKey():
                return self._key(one)
            case _:
                return self._about_property(one)

    def _about_property(self, one: Domain | Range | Functional | SubProperty) -> str:
        prop = one.sub if isinstance(one, SubProperty) else one.property
        sort, name = self._prefix(prop), self._short("property", prop)
        match one:
            case Domain():
                return f"{sort}PropertyDomain({name} {self.expression(one.domain)})"
            case Range():
                return f"{sort}PropertyRange({name} {self.expression(one.range, data=self._data(prop))})"
            case Functional():
                return f"Functional{sort}Property({name})"
            case SubProperty():
                return f"Sub{sort}PropertyOf({name} {self._short('property', one.super)})"

    def _key(self, one: HasKey) -> str:
        things = " ".join(self._short("property", p) for p in one.properties if not self._data(p))
        values = " ".join(self._short("property", p) for p in one.properties if self._data(p))
        return f"HasKey({self._short('class', one.subject)} ({things}) ({values}))"

    def expression(self, one: Expression, *, data: bool = False) -> str:
        """A class expression or, of `data`, a data range."""
        match one:
            case Named():
                return "rdfs:Literal" if data and one.name == "owl:Thing" else self._short("class", one.name)
            case Not():
                return f"{'Data' if data else 'Object'}ComplementOf({self.expression(one.part, data=data)})"
            case And() | Or():
                word = "IntersectionOf" if isinstance(one, And) else "UnionOf"
                parts = " ".join(self.expression(part, data=data) for part in one.parts)
                return f"{'Data' if data else 'Object'}{word}({parts})"
            case Value():
                name = self._short("property", one.property)
                return f"ObjectHasValue({name} {self._short('individual', one.individual)})"
        sort, name = self._prefix(one.property), self._short("property", one.property)
        filler = self.expression(one.filler, data=sort == "Data")
        if isinstance(one, Cardinality):
            return f"{sort}{_BOUNDS[one.bound]}({one.count} {name} {filler})"
        return f"{sort}{'SomeValuesFrom' if isinstance(one, Some) else 'AllValuesFrom'}({name} {filler})"
