"""What the verifier tells apart: good and spoilt compositions of real tables, component by component.

    python benchmarks/verifier_study.py [--quick] [--seed N] [--json FILE] [--data DIR]

Compositions of `sotab82` tables of held out sites (`_study`), good ones from gold types, bad ones of sixteen
kinds. Half of the sites are held out: weights were chosen on the other half, checks are of the held out one.
AUC: how often a good composition scores above a bad one, ties half. separation: mean good - mean bad. Three
draws of the bad ones; ± is their standard deviation. Rows: profiles beside ``aegir-0.3``, the original's
formula, and the plain count of axioms; each kind; each component alone, without gates, on the kinds it is
there to see; the profile without each gate and component; and what exchanging the types of two columns does.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from _harness import Bench, labelled_folder, main
from _study import KINDS, POOR, Specimen, composed, gold_types, study, swapped

from aegir_dspy.ontology.composition import Composition
from aegir_dspy.training.split import sotab82_split
from aegir_dspy.verifier import Profile, Verifier, load_profile

SEEDS, QUICK_SEEDS = 3, 1
SWAPS = 500
MEANT = {
    "R_B": ("thin",),
    "R_C": ("undefined",),
    "R_D": ("off topic", "generic"),
    "R_E": ("wrong types", "swapped columns", "off topic", "generic"),
}
"""The kinds that each component is there to see."""

Scorer = Callable[[Specimen], float]


def measure(bench: Bench) -> None:
    """good and spoilt compositions of real tables: AUC, separation, ablations"""
    folder, seed, quick = labelled_folder(bench), bench.options.seed, bench.options.quick
    draws = [study(folder, seed + n, 3 if quick else None) for n in range(QUICK_SEEDS if quick else SEEDS)]
    if quick:
        draws = [_some(draw) for draw in draws]
    base = Verifier("annotation")
    _profiles(bench, draws, base)
    _kinds(bench, draws[0], base)
    _components(bench, draws[0], base)
    if not quick:
        _ablations(bench, draws[0], base)
    _swaps(bench, base, 60 if quick else SWAPS)


def _some(draw: Sequence[Specimen]) -> list[Specimen]:
    good = [s for s in draw if not s.kind]
    return [s for s in draw if s.kind] + good[: len(good) // 4] + good[-len(good) // 4 :]


def _profiles(bench: Bench, draws: Sequence[Sequence[Specimen]], base: Verifier) -> None:
    scorers: dict[str, Scorer] = {
        name: _scorer(Verifier(name)) for name in ("annotation", "composition", "aegir-0.3")
    }
    scorers["count of axioms"] = _count
    for name, scorer in scorers.items():
        for held_out in (False, True):
            found = [_told_apart(_of(draw, KINDS, held_out), scorer) for draw in draws]
            auc, separation = ([f[i] for f in found] for i in (0, 1))
            half = [s for s in draws[0] if s.held_out is held_out and s.kind not in POOR]
            bench.row(
                what=name,
                half="held out" if held_out else "choose",
                good=sum(not s.kind for s in half),
                bad=sum(bool(s.kind) for s in half),
                auc=statistics.fmean(auc),
                auc_sd=statistics.stdev(auc) if len(auc) > 1 else None,
                separation=statistics.fmean(separation),
                separation_sd=statistics.stdev(separation) if len(auc) > 1 else None,
            )
            if name == "annotation" and held_out:
                bench.check("AUC, held out", statistics.fmean(auc), at_least=0.99)
                bench.check("separation, held out", statistics.fmean(separation), at_least=0.5)


def _kinds(bench: Bench, draw: Sequence[Specimen], base: Verifier) -> None:
    scorer = _scorer(base)
    for kind in KINDS:
        specimens = _of(draw, [kind], True)
        auc, separation = _told_apart(specimens, scorer)
        bad = [s for s in specimens if s.kind]
        refused = statistics.fmean(not base.score(s.composition, [s.table]).ok for s in bad)
        bench.row(what=f"kind: {kind}", bad=len(bad), auc=auc, separation=separation, refused=refused)
    stubs = [s for s in draw if s.kind == "stub fillers"]
    real = {s.table.name: scorer(s) for s in draw if not s.kind}
    below = statistics.fmean(scorer(s) < real[s.table.name] for s in stubs if s.table.name in real)
    bench.check("stub fillers score below real ones", below, at_least=1.0)


def _components(bench: Bench, draw: Sequence[Specimen], base: Verifier) -> None:
    for component, kinds in MEANT.items():
        alone = Verifier(Profile(f"{component} alone", ((component, 1.0),), ("parse",)))
        auc, separation = _told_apart(_of(draw, kinds, True), _scorer(alone))
        bench.row(
            what=f"{component} alone: {', '.join(kinds)}", half="held out", auc=auc, separation=separation
        )
        bench.check(f"AUC of {component} alone", auc, at_least=0.7)


def _ablations(bench: Bench, draw: Sequence[Specimen], base: Verifier) -> None:
    profile = load_profile("annotation")
    for part in (*(name for name, _ in profile.weights), *profile.gates[1:]):
        auc, separation = _told_apart(_of(draw, KINDS, True), _scorer(Verifier(profile.without(part))))
        bench.row(what=f"without {part}", half="held out", auc=auc, separation=separation)


def _swaps(bench: Bench, base: Verifier, cases: int) -> None:
    """How often R falls when two columns exchange their types, axioms made anew or left as they were."""
    rng = random.Random(bench.options.seed)
    tables = [t for t in sotab82_split(labelled_folder(bench)).dev if len({g.label for g in t.labels}) > 1]
    lower: list[bool] = []
    while len(lower) < cases:
        labelled = rng.choice(tables)
        types = gold_types(labelled)
        known = [c.index for c in types.columns if c.type is not None]
        i, j = rng.sample(known, 2)
        if types.columns[i].type == types.columns[j].type:
            continue
        before, after = (composed(t, labelled.table) for t in (types, swapped(types, i, j)))
        lower.append(base.score(after, [labelled.table]).R < base.score(before, [labelled.table]).R)
    share = statistics.fmean(lower)
    bench.row(what="two columns exchange their types", bad=len(lower), lower=share)
    bench.check("R falls when two columns exchange their types", share, at_least=0.95)


def _of(draw: Sequence[Specimen], kinds: Iterable[str], held_out: bool) -> list[Specimen]:
    """The good ones and those of some kinds, of one half."""
    wanted = {"", *kinds}
    return [s for s in draw if s.held_out is held_out and s.kind in wanted]


def _scorer(verifier: Verifier) -> Scorer:
    return lambda s: verifier.score(s.composition, [s.table]).R


def _count(specimen: Specimen) -> float:
    made = specimen.composition
    return float(len(made.axioms if isinstance(made, Composition) else made["axioms"]))


def _told_apart(specimens: Sequence[Specimen], scorer: Scorer) -> tuple[float, float]:
    """AUC and separation."""
    scores = [(not s.kind, scorer(s)) for s in specimens]
    good = np.array([x for is_good, x in scores if is_good])
    bad = np.array([x for is_good, x in scores if not is_good])
    above = good[:, None] - bad[None]
    return float((above > 0).mean() + (above == 0).mean() / 2), float(good.mean() - bad.mean())


if __name__ == "__main__":
    sys.exit(main("verifier_study", measure))
