"""Can there be anything of each class that a composition names? A decision procedure for its axioms.

The whole fragment of `aegir_dspy.ontology.axioms` is decided, with two limits: a key never makes two
individuals one (it bears on nothing else), and above a budget of work the answer is "unknown", which a
gate must treat as refused. Checked against HermiT by ``benchmarks/satisfiability.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aegir_dspy.ontology.axioms import Axiom
from aegir_dspy.ontology.background import statements_behind, used_names
from aegir_dspy.ontology.clauses import Clauses
from aegir_dspy.ontology.concepts import TOP, BudgetExceeded
from aegir_dspy.ontology.datatypes import is_datatype
from aegir_dspy.ontology.sorts import property_sorts
from aegir_dspy.ontology.tableau import Budget, Tableau
from aegir_dspy.ontology.terms import Ontology

__all__ = ["MOST_AXIOMS", "Verdict", "unsatisfiable_classes"]

MOST_AXIOMS = 1_000
"""More axioms than this are not looked at: the answer is "unknown"."""

_BUDGET = 40_000
_MOST_KNOWN = 1024  # verdicts that are remembered, of each ontology
_MOST_SPARED = 32  # axioms whose need is tested one by one
_BUILT_IN = ("owl:Thing", "owl:Nothing")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about the satisfiability of a set of axioms.

    Attributes:
        consistent: whether everything said can hold at once; None if the budget did not suffice to know.
        unsatisfiable: named classes of the axioms that can have no members, in order of first use; all of
            them where nothing is consistent.
        unknown: named classes for which the budget did not suffice, in order of first use.
        classes: the named classes of the axioms, in order of first use; empty where there was too much to
            look at.
        culprits: class → indices of axioms that together leave it no members; ``owl:Thing`` where nothing
            is consistent. Of the first few classes only. None of the axioms can be spared, unless there are
            more than 32 or the budget ran out.
        steps: work done.
    """

    consistent: bool | None
    unsatisfiable: tuple[str, ...]
    unknown: tuple[str, ...]
    classes: tuple[str, ...]
    culprits: Mapping[str, tuple[int, ...]]
    steps: int

    @property
    def ok(self) -> bool:
        """Whether every class is known to be satisfiable, and nothing contradicts."""
        return bool(self.consistent) and not self.unsatisfiable and not self.unknown

    @property
    def vacuous(self) -> bool:
        """Whether there was no class to check, so that passing says nothing."""
        return not self.classes


def unsatisfiable_classes(
    axioms: Sequence[Axiom],
    ontology: Ontology | None = None,
    *,
    domains: bool = True,
    explain: int = 3,
    budget: int = _BUDGET,
) -> Verdict:
    """The named classes of `axioms` that can have no members, with what `ontology` says of their names.

    Args:
        axioms: the composition's.
        ontology: adds parents, disjointness, domains and ranges of the names used and of those above them.
        domains: whether the ontology's domains and ranges count.
        explain: for how many unsatisfiable classes to find culprits.
        budget: steps of work, about a microsecond each, before giving up.
    """
    if len(axioms) > MOST_AXIOMS:
        return Verdict(None, (), (), (), {}, 0)
    known: dict[object, Verdict] = {} if ontology is None else ontology.derived.setdefault("verdicts", {})
    key = (tuple(axioms), domains, budget)
    try:
        found = known.get(key)
    except RecursionError:  # nested deeper than can be hashed
        return _verdict(axioms, ontology, domains, explain, budget)
    if found is None:
        found = _verdict(axioms, ontology, domains, explain, budget)
        if found.ok:  # then there is nothing to explain: composing and judging ask the same
            if len(known) >= _MOST_KNOWN:
                known.pop(next(iter(known)))
            known[key] = found
    return found


def _verdict(
    axioms: Sequence[Axiom], ontology: Ontology | None, domains: bool, explain: int, budget: int
) -> Verdict:
    try:
        problem = _Problem(axioms, ontology, domains, Budget(budget))
    except BudgetExceeded:
        return Verdict(None, (), (), (), {}, budget)
    return problem.verdict(explain, budget)


class _Problem:
    """Axioms with their background, ready to be tested, whole or in part."""

    def __init__(
        self, axioms: Sequence[Axiom], ontology: Ontology | None, domains: bool, budget: Budget
    ) -> None:
        self._budget = budget
        self._axioms = axioms
        names: dict[str, str] = {}
        for axiom in axioms:
            for kind, name in used_names(axiom):
                names.setdefault(name, kind)
                budget.spend()
        statements = [] if ontology is None else statements_behind(names, ontology, domains=domains)
        behind = [one.axiom for one in statements]
        self._behind = behind
        known = ontology or Ontology("", ())
        datatypes = {t.name for n in names if (t := known.get(n)) and t.kind == "datatype"}
        for one in statements:
            for kind, name in one.names:
                names.setdefault(name, f"behind {kind}")
                if (term := known.get(name)) and term.kind == "datatype":
                    datatypes.add(name)
        sorts = {
            name: "data" if term.kind == "data_property" else "object"
            for name in names
            if (term := known.get(name)) and term.kind.endswith("property")
        }
        self._sorts = property_sorts((*axioms, *behind), sorts, datatypes)
        plain = {n: k for n, k in names.items() if not is_datatype(n) and n not in datatypes}
        self.classes = tuple(n for n, k in plain.items() if k == "class" and n not in _BUILT_IN)
        self._all = tuple(n for n, k in plain.items() if k.endswith("class") and n not in _BUILT_IN)
        pairs = [*((axiom, 1 << i) for i, axiom in enumerate(axioms)), *((axiom, 0) for axiom in behind)]
        self._clauses = Clauses.of(pairs, self._sorts, self._all, max(budget.left, 0))
        budget.spend(self._clauses.concepts.size)

    def verdict(self, explain: int, budget: int) -> Verdict:
        """Test everything."""
        blamed, unknown, consistent = self._test_all()
        culprits: dict[str, tuple[int, ...]] = {}
        bad = self.classes if consistent is False else tuple(blamed)
        for name in list(blamed)[:explain]:
            culprits[name] = self._minimal(name, blamed[name])
        steps = budget - max(self._budget.left, 0)
        return Verdict(consistent, bad, unknown, self.classes, culprits, steps)

    def _test_all(self) -> tuple[dict[str, int], tuple[str, ...], bool | None]:
        """(unsatisfiable class → axioms to blame, undecided classes, whether all is consistent)."""
        number = self._clauses.concepts.atom
        try:
            blame, seen = self._test(TOP, everything=True)
        except BudgetExceeded:
            return {}, self.classes, None
        if blame is not None:
            return {"owl:Thing": blame}, (), False
        blamed: dict[str, int] = {}
        for i, name in enumerate(self.classes):
            if number(name) in seen:
                continue
            try:
                blame, more = self._test(number(name))
            except BudgetExceeded:
                undecided = tuple(n for n in self.classes[i:] if number(n) not in seen)
                return blamed, undecided, True
            seen |= more
            if blame is not None:
                blamed[name] = blame
        return blamed, (), True

    def _test(
        self, number: int, *, everything: bool = False, without: int = 0
    ) -> tuple[int | None, set[int]]:
        """(None or the axioms to blame, atoms seen to be satisfiable). Individuals only where they bear."""
        tableau = Tableau(self._clauses, len(self._axioms), self._budget, without)
        blame = tableau.run(number, individuals=everything or self._clauses.nominals)
        return blame, tableau.seen if blame is None else set()

    def _minimal(self, name: str, blame: int) -> tuple[int, ...]:
        """Indices of `blame` without those that can be spared, as far as the budget goes."""
        everything = (1 << len(self._axioms)) - 1
        number = self._clauses.concepts.atom(name)
        core = [i for i in range(len(self._axioms)) if blame >> i & 1]
        for i in list(core) if len(core) <= _MOST_SPARED else ():
            if i not in core:
                continue
            without = everything ^ sum(1 << j for j in core if j != i)
            try:
                less, _ = self._test(number, everything=name in _BUILT_IN, without=without)
            except BudgetExceeded:
                break
            if less is not None:
                core = [j for j in core if less >> j & 1]
        return tuple(core)
