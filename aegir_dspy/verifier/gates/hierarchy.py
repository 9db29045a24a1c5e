"""Gates acyclic and rigidity: what the axioms do to the hierarchy of classes and properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aegir_dspy.ontology.terms import Ontology
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["acyclic", "rigidity"]


def acyclic(case: Case) -> Iterator[Diagnostic]:
    """Nothing is put below itself, through the axioms and the ontology together."""
    said = case.said
    above = _peeled(_graph(said, case.standard.ontology))
    for below, names in sorted(said.items()):
        for name, entry in sorted(names.items()):
            if below in _spread({name: name}, above):
                yield Diagnostic(
                    "acyclic.cycle",
                    f"axiom {entry}",
                    f"expected a hierarchy, found {below} below {name} and {name} below {below}",
                    (below, name),
                    "leave one of the two out",
                )


def rigidity(case: Case) -> Iterator[Diagnostic]:
    """No rigid class is put below an anti-rigid one: a person is no kind of customer (OntoClean)."""
    said, ontology = case.said, case.standard.ontology
    above = _graph(said, ontology)
    below_role = _spread(_of_kind(above, ontology, "anti-rigid"), _turned(above))
    above_rigid = _spread(_of_kind(above, ontology, "rigid"), {one: sorted(up) for one, up in said.items()})
    for below, names in sorted(said.items()):
        for name, entry in sorted(names.items()):
            if below in above_rigid and name in below_role:
                rigid, role = above_rigid[below], below_role[name]
                yield Diagnostic(
                    "rigidity.rigid_below_role",
                    f"axiom {entry}",
                    f"expected no rigid class below a role or phase, found {rigid} below {role}",
                    (rigid, role),
                    f"turn it round, or say what {below} has instead of what it is",
                )


def _graph(said: dict[str, dict[str, int]], ontology: Ontology) -> dict[str, list[str]]:
    """Every name in the axioms, and above them in the ontology, with what is directly above it."""
    above: dict[str, list[str]] = {}
    waiting = sorted(said.keys() | {name for names in said.values() for name in names})
    while waiting:
        one = waiting.pop()
        if one not in above:
            term = ontology.get(one)
            above[one] = sorted({*said.get(one, ()), *(term.parents if term else ())})
            waiting += above[one]
    return above


def _turned(above: dict[str, list[str]]) -> dict[str, list[str]]:
    below: dict[str, list[str]] = {}
    for one, names in sorted(above.items()):
        for name in names:
            below.setdefault(name, []).append(one)
    return below


def _peeled(above: dict[str, list[str]]) -> dict[str, list[str]]:
    """The graph without what lies on no cycle, nor between two: mostly nothing is left to search."""
    for graph, other in ((above, _turned(above)), (_turned(above), above)):
        degree = {one: len(graph.get(one, ())) for one in above}
        waiting = sorted(one for one, count in degree.items() if not count)
        gone = set(waiting)
        while waiting:
            for name in other.get(waiting.pop(), ()):
                degree[name] -= 1
                if not degree[name] and name not in gone:
                    gone.add(name)
                    waiting.append(name)
        above = {one: [n for n in names if n not in gone] for one, names in above.items() if one not in gone}
    return above


def _of_kind(names: Iterable[str], ontology: Ontology, rigidity: str) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        term = ontology.get(name)
        if term is not None and term.rigidity == rigidity:
            found[name] = name
    return found


def _spread(sources: dict[str, str], edges: dict[str, list[str]]) -> dict[str, str]:
    """What is reached from the sources → a source it is reached from; the sources themselves included."""
    reached = dict(sources)
    waiting = sorted(sources)
    for one in waiting:
        for name in edges.get(one, ()):
            if name not in reached:
                reached[name] = reached[one]
                waiting.append(name)
    return reached
