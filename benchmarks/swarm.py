"""The shipped swarm on three labelled sets: what each member and each step of the decision is worth.

    python benchmarks/swarm.py [--quick] [--primary FILE ...] [--seed N] [--json FILE] [--data DIR]

Sets: `sotab82` (dev hosts, micro and macro F1), `sotab32` (held out hosts), `wikitables_turl` (dev pages; any
of the labels that apply is right). The weights of the decision are fitted crosswise: on one half of the hosts
(pages), measured on the other. Rows: a
support vector machine on the same tables; the primary alone, from its context, with the n-grams; the swarm;
the swarm without each member that is asked, and with each that is not. ``--primary`` names primaries trained
with other seeds: they take the shipped one's place, and rows show mean and standard deviation over all.
_se: standard error over 1,000 resamples of the hosts, for the shipped primary.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from _harness import Bench, labelled_folder, main
from _svm import svm_predict, titled_svm_predict
from cta import Resampler, Tables, sample

from aegir_dspy.annotator.bundle import Bundle, default_bundle, load_bundle
from aegir_dspy.annotator.decision import DecisionConfig, Decisions
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.ontology.vocabulary import Label, Vocabulary, load_vocabulary
from aegir_dspy.training.calibrate import Judged, crosswise_answers, judge, only
from aegir_dspy.training.datasets import load_label_set
from aegir_dspy.training.split import sotab32_split, sotab82_split, wikitables_split

Answers = list[str]
ALONE, SWARM, SVM, BEST_SVM = "primary alone", "swarm", "SVM", "SVM + other columns"


def measure(bench: Bench) -> None:
    """the shipped swarm on sotab82, sotab32 and wikitables_turl, member by member"""
    folder, seed = labelled_folder(bench), bench.options.seed
    bundles = [default_bundle(), *(_with_primary(Path(f)) for f in bench.options.primary or ())]
    quick = (lambda tables: sample(tables, 40, seed)) if bench.options.quick else (lambda tables: tables)
    split = sotab82_split(folder)
    dev, train = quick(split.dev), quick(split.train)
    arms = {
        SVM: [svm_predict(train, dev, context=False, seed=seed)],
        BEST_SVM: [svm_predict(train, dev, context=True, seed=seed)],
        **_crosswise_arms(bundles, load_vocabulary("sotab82"), dev),
    }
    found = _report(bench, "sotab82", dev, arms)
    slack = 0.15 if bench.options.quick else 0.0
    bench.check("sotab82 micro F1", found[SWARM][0], at_least=0.86 - slack)
    bench.check("sotab82 macro F1", found[SWARM][1], at_least=0.80 - slack)
    bench.check("gain over the SVM with context", found[SWARM][0] - found[BEST_SVM][0], at_least=0.04 - slack)
    bench.check("gain over the primary alone", found[SWARM][0] - found[ALONE][0], at_least=0.03 - slack)
    small = sotab32_split(folder)
    arms = {
        SVM: [svm_predict(small.train, small.dev, context=False, seed=seed)],
        BEST_SVM: [svm_predict(small.train, small.dev, context=True, seed=seed)],
        **_crosswise_arms(bundles, load_vocabulary("sotab32"), small.dev),
    }
    found = _report(bench, "sotab32", small.dev, arms)
    bench.check("sotab32 micro F1", found[SWARM][0], at_least=0.90 - slack)
    pages = wikitables_split(folder)
    labels = load_label_set(folder, "wikitables_turl")
    asked, taught = quick(pages.dev), quick(pages.train)
    arms = {
        "SVM + header and title": [titled_svm_predict(taught, asked, seed=seed)],
        **_crosswise_arms(bundles, Vocabulary("wikitables_turl", tuple(map(Label, labels))), asked),
    }
    found = _report(bench, "wikitables_turl", asked, arms)
    bench.check("wikitables_turl micro F1", found[SWARM][0], at_least=0.65 - slack)


def _with_primary(path: Path) -> Bundle:
    """The shipped swarm with another primary."""
    other, shipped = load_bundle(path), default_bundle()
    row = {label: i for i, label in enumerate(other.config.labels)}
    order = torch.tensor([row[label] for label in shipped.config.labels])
    head = ColumnHead(other.model.geometry.width, len(order)).requires_grad_(False).eval()
    head.load_state_dict({name: tensor[order] for name, tensor in other.head.state_dict().items()})
    return replace(shipped, model=other.model, head=head, sha256=other.sha256)


def _crosswise_arms(
    bundles: Sequence[Bundle], vocabulary: Vocabulary, dev: Tables
) -> dict[str, list[Answers]]:
    """Every arm's answers, one list a bundle; the members are left out one by one with the shipped one."""
    arms: dict[str, list[Answers]] = {}
    shipped = ColumnTypeAnnotator(bundles[0], vocabulary)
    known = shipped.agreement if shipped.decisions.first.theme else None
    domains = {member.name: member.themes for member in bundles[0].config.members if member.themes}
    whole, asked = judge(_everyone(bundles[0]), vocabulary, dev), _asked(bundles[0], vocabulary)
    for bundle in bundles:
        judged = whole if bundle is bundles[0] else _replaced(whole, judge(_lone(bundle), vocabulary, dev))
        alone = judge(_lone(bundle), vocabulary, dev, context=0)
        variants = {
            ALONE: (only(alone, ["primary"]), None),
            "primary from its context": (only(judged, ["primary"]), None),
            "primary + n-grams": (only(judged, ["primary", "ngrams"]), None),
            "primary + n-grams + agreement": (only(judged, ["primary", "ngrams"]), known),
            SWARM: (only(judged, asked), known),
        }
        if bundle is bundles[0]:
            rest = {f"swarm without {name}": [n for n in asked if n != name] for name in asked}
            rest |= {f"swarm with {name}": [*asked, name] for name in whole[0].labels if name not in asked}
            variants |= {arm: (only(judged, names), known) for arm, names in rest.items()}
            variants["swarm without agreement"] = (only(judged, asked), None)
        for name, (tables, together) in variants.items():
            answers = [_best(vocabulary, log_p) for log_p in crosswise_answers(tables, together, domains)]
            arms.setdefault(name, []).append([label for table in answers for label in table])
    return arms


def _everyone(bundle: Bundle) -> Bundle:
    """A swarm that asks all its members, also those that its decisions leave out."""
    names = ["primary", "ngrams", *(member.name for member in bundle.config.members)]
    decision = DecisionConfig(dict.fromkeys(names, 1.0))
    config = replace(bundle.config, decisions={"": Decisions(decision, decision)})
    return replace(bundle, config=config)


def _asked(bundle: Bundle, vocabulary: Vocabulary) -> list[str]:
    """The members that the shipped decisions ask."""
    return list(ColumnTypeAnnotator(bundle, vocabulary).decisions.full.opinions)


def _lone(bundle: Bundle) -> Bundle:
    """The primary without the others."""
    return replace(bundle, config=replace(bundle.config, members=()), ngrams=None, agreement=None)


def _replaced(judged: Sequence[Judged], primary: Sequence[Judged]) -> list[Judged]:
    """What the members say, with another primary's opinion."""
    return [
        replace(
            table,
            labels={**table.labels, "primary": other.labels["primary"]},
            themes={**table.themes, "primary": other.themes["primary"]},
        )
        for table, other in zip(judged, primary, strict=True)
    ]


def _best(vocabulary: Vocabulary, log_p: torch.Tensor) -> Answers:
    return [vocabulary.names[i] for i in log_p.argmax(1).tolist()]


def _report(
    bench: Bench, name: str, dev: Tables, arms: Mapping[str, Sequence[Answers]]
) -> dict[str, tuple[float, float]]:
    """One row an arm; returns the mean micro and macro F1 of each."""
    right = [gold.labels for table in dev for gold in table.labels]
    resampler: Callable[[Answers], Resampler] = lambda answers: Resampler(  # noqa: E731
        [t.host or t.table.name for t in dev for _ in t.labels],
        [a if a in labels else labels[0] for a, labels in zip(answers, right, strict=True)],
        bench.options.seed,
    )
    found: dict[str, tuple[float, float]] = {}
    for arm, answers in arms.items():
        scores = [resampler(one).scores(one) for one in answers]
        micro, macro = ([float(s[row, 0]) for s in scores] for row in (0, 1))
        found[arm] = statistics.fmean(micro), statistics.fmean(macro)
        bench.row(
            set=name,
            arm=arm,
            seeds=len(answers),
            micro_f1=found[arm][0],
            micro_sd=statistics.stdev(micro) if len(micro) > 1 else None,
            micro_se=float(scores[0][0, 1:].std()),
            macro_f1=found[arm][1],
            macro_sd=statistics.stdev(macro) if len(macro) > 1 else None,
            columns=len(right),
        )
    return found


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--primary", metavar="FILE", nargs="+", help="primaries of other seeds")


if __name__ == "__main__":
    sys.exit(main("swarm", measure, _options))
