"""Our satisfiability test beside HermiT: does it agree, what does it cost, does it always answer in time.

Random axioms, then random fillings of the template catalog with what the built-in ontologies say of their
terms. HermiT needs Java and the extra ``hermit``; without them only the times are measured.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence

from _axioms import random_axioms, random_entries
from _harness import Bench, main

from aegir_dspy.errors import PrerequisiteError
from aegir_dspy.ontology.axioms import And, Axiom, Cardinality, Disjoint, Named, Or, Some, SubClass
from aegir_dspy.ontology.background import background, used_names
from aegir_dspy.ontology.catalog import load_catalog
from aegir_dspy.ontology.datatypes import is_datatype
from aegir_dspy.ontology.hermit import HermitOracle
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.satisfiability import Verdict, unsatisfiable_classes
from aegir_dspy.ontology.sorts import property_sorts
from aegir_dspy.ontology.terms import Ontology

Case = tuple[Sequence[Axiom], Ontology | None]

_NO_HERMIT = (
    "date",
    "time",
    "gYear",
    "gYearMonth",
    "gMonth",
    "gMonthDay",
    "gDay",
    "duration",
    "yearMonthDuration",
    "dayTimeDuration",
)
_UNKNOWN_TO_HERMIT = frozenset((*(f"xsd:{name}" for name in _NO_HERMIT), "rdf:langString"))


def measure(bench: Bench) -> None:
    """Agreement with HermiT, time a composition, time of compositions made to be hard."""
    rng = random.Random(bench.options.seed)
    count = 40 if bench.options.quick else 1_400
    groups: dict[str, list[Case]] = {"random axioms": [(random_axioms(rng), None) for _ in range(count)]}
    for name in ("schema", "dbpedia", "cco"):
        groups[name] = catalog_cases(rng, name, count // 6)
    oracle = _oracle()
    checked = agreed = 0
    for name, cases in groups.items():
        same = compare_group(bench, name, cases, oracle)
        checked, agreed = checked + same[0], agreed + same[1]
    if oracle is not None:
        bench.check("disagreements with HermiT", checked - agreed, at_most=0)
        bench.check("compositions compared", checked, at_least=50 if bench.options.quick else 2_000)
    _hard(bench)


def _oracle() -> HermitOracle | None:
    try:
        return HermitOracle()
    except PrerequisiteError as error:
        print(f"satisfiability: {error}; agreement is not measured", file=sys.stderr)
        return None


def catalog_cases(rng: random.Random, name: str, count: int) -> list[Case]:
    catalog, ontology = load_catalog(), load_ontology(name)
    cases: list[Case] = []
    while len(cases) < count:
        entries = random_entries(rng, catalog, ontology, most=4)
        axioms = [axiom for entry in entries for axiom in catalog.instantiate(entry)]
        if axioms and not _beyond_hermit(_whole(axioms, ontology), ontology):
            cases.append((axioms, ontology))
    return cases


def _whole(axioms: Sequence[Axiom], ontology: Ontology | None) -> list[Axiom]:
    """The axioms with what the ontology says of their names."""
    if ontology is None:
        return list(axioms)
    return [*axioms, *background((name for axiom in axioms for _, name in used_names(axiom)), ontology)]


def _beyond_hermit(axioms: Sequence[Axiom], ontology: Ontology) -> bool:
    """Whether OWL 2 DL does not allow them: types outside its map, properties of things and of values."""
    names = {name for axiom in axioms for _, name in used_names(axiom)}
    terms = [term for name in names if (term := ontology.get(name))]
    types = {term.name for term in terms if term.kind == "datatype"}
    known = {t.name: "data" if t.kind == "data_property" else "object" for t in terms if "prop" in t.kind}
    sorts = property_sorts(axioms, known, types)
    inferred = property_sorts(axioms, {}, ())
    unknown = names & _UNKNOWN_TO_HERMIT or any(
        not name.startswith(("xsd:", "rdfs:")) for name in (*types, *filter(is_datatype, names))
    )
    return bool(unknown) or "mixed" in sorts.values() or sorts != inferred


def compare_group(
    bench: Bench, name: str, cases: Sequence[Case], oracle: HermitOracle | None
) -> tuple[int, int]:
    """Measure one kind of composition: (compared with HermiT, agreed)."""
    verdicts: list[Verdict] = []
    times: list[float] = []
    for axioms, ontology in cases:
        start = time.process_time()
        verdicts.append(unsatisfiable_classes(axioms, ontology))
        times.append(1e3 * (time.process_time() - start))
    times.sort()
    known = [i for i, v in enumerate(verdicts) if v.consistent is not None and not v.unknown]
    started = time.perf_counter()
    answers = [] if oracle is None else oracle.check([_whole(*cases[i]) for i in known])
    seconds = time.perf_counter() - started
    agreed = sum(_same(verdicts[i], answer) for i, answer in zip(known, answers, strict=bool(answers)))
    bench.row(
        compositions=name,
        count=len(cases),
        contradictory=sum(bool(v.unsatisfiable) or v.consistent is False for v in verdicts),
        unknown=len(cases) - len(known),
        agreed=agreed if answers else None,
        ms_median=times[len(times) // 2],
        ms_95th=times[int(0.95 * len(times))],
        ms_most=times[-1],
        hermit_ms=1e3 * seconds / max(len(answers), 1) if answers else None,
    )
    return len(answers), agreed


def _same(verdict: Verdict, answer: Sequence[str] | None) -> bool:
    if verdict.consistent is False or answer is None:
        return verdict.consistent is False and answer is None
    checked = set(answer) & set(verdict.classes)
    return set(verdict.unsatisfiable) == checked


def _hard(bench: Bench) -> None:
    """Sets of axioms made to take long: an answer or "unknown", soon."""
    worst = 0.0
    for name, make in _HARD.items():
        axioms = make()
        start = time.process_time()
        verdict = unsatisfiable_classes(axioms)
        spent = 1e3 * (time.process_time() - start)
        worst = max(worst, spent)
        bench.row(
            compositions=name,
            count=len(axioms),
            unknown=int(verdict.consistent is None or bool(verdict.unknown)),
            ms_most=spent,
        )
    bench.check("ms of the slowest hard one", worst, at_most=100.0)


def _c(i: int) -> Named:
    return Named(f":C{i}")


def _counting() -> list[Axiom]:
    """A hundred of one kind and a hundred of another, of 150 in all."""
    return [
        SubClass(_c(0), Cardinality("min", ":p", 100, _c(1))),
        SubClass(_c(0), Cardinality("min", ":p", 100, _c(2))),
        SubClass(_c(0), Cardinality("max", ":p", 150, Named("owl:Thing"))),
    ]


def _pigeons() -> list[Axiom]:
    """Nine kinds in eight holes."""
    holes = Or(tuple(_c(100 + k) for k in range(8)))
    things = [SubClass(_c(0), Some(":p", And((_c(i), holes)))) for i in range(1, 10)]
    apart: list[Axiom] = [Disjoint(tuple(_c(i) for i in range(1, 10)))]
    return [*things, *apart, SubClass(_c(0), Cardinality("max", ":p", 8, Named("owl:Thing")))]


_HARD: dict[str, Callable[[], list[Axiom]]] = {
    "10,000 in a chain": lambda: [SubClass(_c(i), _c(i + 1)) for i in range(10_000)],
    "1,000 in a chain": lambda: [SubClass(_c(i), _c(i + 1)) for i in range(1_000)],
    "1,000 in a circle of some": lambda: [SubClass(_c(i), Some(":p", _c(i * 7 % 999))) for i in range(1_000)],
    "3,000 disjoint": lambda: [Disjoint(tuple(_c(i) for i in range(3_000)))],
    "counting": _counting,
    "pigeons": _pigeons,
}

if __name__ == "__main__":
    sys.exit(main("satisfiability", measure))
