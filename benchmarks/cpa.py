"""Relations of columns to the subject column: the shipped weights, what each part is worth, and baselines.

    python benchmarks/cpa.py [--quick] [--seed N] [--json FILE] [--data DIR]

Sets: `sotab_cpa` (108 relations, a seeded fifth of the sites; micro and macro F1), `subject` (which column the
relations start from, t2dv2 and sotabv2_cpa), `soccer` (gold semantic models, a class and a property a column and
the links between classes, each file by weights of the other files). _se: standard error over 1,000 resamples of
the sites. Arms that are trained here see one copy of every training column, without headers; the shipped weights
saw a second one with headers and other types. The recurrent readers behind the types were trained on relation
tables of all but the sites in `dev_hosts.json`: `unread` counts the dev columns of those sites only, where no
part has seen anything of the site.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _harness import Bench, labelled_folder, main
from _svm import f1
from cta import Resampler, sample
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from aegir_dspy.annotator.bundle import default_bundle
from aegir_dspy.annotator.decision import DecisionConfig
from aegir_dspy.annotator.relation_model import RelationModel, default_relation_model
from aegir_dspy.annotator.relation_ranges import Ranges
from aegir_dspy.annotator.relations import RelationAnnotator
from aegir_dspy.annotator.subject import detect_subject
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.vocabulary import Label, Vocabulary, load_vocabulary
from aegir_dspy.training.datasets import LabelledTable, load_labelled
from aegir_dspy.training.relations import (
    RelationsConfig,
    Told,
    Typed,
    cross_fitted,
    decided_by,
    fit_decision,
    fit_relations,
    relation_split,
    tell,
    typed_tables,
)
from aegir_dspy.training.split import held_out_hosts

SHIPPED, SVM = "shipped", "SVM, column + subject"
PUBLISHED = {"GPT-3.5 zero-shot (published)": 0.664, "GPT-4 zero-shot (published)": 0.804}
Answers = list[str]


def measure(bench: Bench) -> None:
    """relations to the subject column: sotab_cpa by site, subject columns, gold semantic models"""
    torch.set_num_threads(1)
    folder = labelled_folder(bench)
    _relations(bench, folder)
    _subjects(bench, folder)
    _semantic_models(bench, folder)


def _relations(bench: Bench, folder: Path) -> None:
    quick, seed = bench.options.quick, bench.options.seed
    split = relation_split(folder)
    dev_tables = sample(split.dev, 60, seed) if quick else split.dev
    train_tables = sample(split.train, 300, seed) if quick else split.train
    bundle = default_bundle()
    dev = typed_tables(dev_tables, bundle, ("sotab82",) if quick else ("sotab82", "schema"))
    common = Counter(g.label for t in train_tables for g in t.labels).most_common(1)[0][0]
    model = default_relation_model()
    arms: dict[str, Answers] = {
        "most common": [common for t in dev for _ in t.labels],
        SVM: _svm(train_tables, dev_tables, seed),
        SHIPPED: _shipped(model, dev, "sotab82"),
        "shipped, types not told": _shipped(model, dev, None),
        "shipped without company": _answers(model, tell(model, dev), replace(model.decision, company=0.0)),
    }
    if not quick:
        arms["shipped, types of schema"] = _shipped(model, dev, "schema")
        arms |= _trained_arms(typed_tables(train_tables, bundle, ("sotab82",)), dev, seed)
    found = _report(bench, dev, arms, seed)
    for name, micro in PUBLISHED.items():
        bench.row(set="sotab_cpa", arm=name, micro_f1=micro)
    slack = 0.12 if quick else 0.0
    bench.check("sotab_cpa micro F1", found[SHIPPED], at_least=0.74 - slack)
    bench.check("gain over the SVM", found[SHIPPED] - found[SVM], at_least=0.03)


def _trained_arms(train: Sequence[Typed], dev: Sequence[Typed], seed: int) -> dict[str, Answers]:
    """Arms trained here: types alone, ours, ours without each part, and with domain and range."""
    vocabulary = load_vocabulary("sotab_cpa")
    plain = RelationsConfig(seed=seed, varied=False)
    arms = {"most common relation of the type": _by_type(train, dev)}
    model = fit_relations(train, vocabulary, plain)
    told, held = cross_fitted(train, vocabulary, plain), tell(model, dev)
    decision = fit_decision(told)
    arms["ours"] = _answers(model, held, decision)
    arms["ours without company"] = _answers(model, held, replace(decision, company=0.0))
    ranges = Ranges.of(vocabulary, load_ontology("schema"))
    told, ranged = _with_ranges(told, _by_fold(train, plain.folds), ranges), _with_ranges(held, dev, ranges)
    soft = fit_decision(told, ("ngrams", "range"))
    arms["ours + domain and range, soft"] = _answers(model, ranged, soft)
    hard = DecisionConfig({**decision.opinions, "range": 5.0}, company=decision.company)
    arms["ours + domain and range, hard"] = _answers(model, ranged, hard)
    for kind in ("subject", "others", "shape", "place", "types"):
        left = (kind, "subject_shape") if kind == "subject" else (kind,)
        config = replace(plain, without=left)
        part = fit_relations(train, vocabulary, config)
        arms[f"ours without {kind}"] = _answers(part, tell(part, dev, without=left), decision)
    return arms


def _by_fold(tables: Sequence[Typed], folds: int) -> list[Typed]:
    """The tables in the order of `cross_fitted`."""
    return [table for fold in range(folds) for table in tables if table.fold(folds) == fold]


def _with_ranges(told: Sequence[Told], tables: Sequence[Typed], ranges: Ranges) -> list[Told]:
    """With the opinion of the ontology."""
    found = []
    for one, table in zip(told, tables, strict=True):
        said = ranges.opinion(table.table.table, table.types["sotab82"], table.subject, table.columns)
        labels = {**one.judged.labels, "range": said}
        found.append(Told(replace(one.judged, labels=labels), one.agreement))
    return found


def _answers(model: RelationModel, told: Sequence[Told], decision: DecisionConfig) -> Answers:
    log_p, _ = decided_by(told, decision)
    return [model.labels[row] for row in log_p.argmax(1).tolist()]


def _shipped(model: RelationModel, dev: Sequence[Typed], types: str | None) -> Answers:
    """What the annotator answers where the subject is given, every column of a table at once."""
    annotator, answers = RelationAnnotator(model=model), []
    for table in dev:
        told = table.types.get(types) if types else None
        scores = annotator.scores(table.table.table, told, table.subject)
        best = scores.logits.argmax(1).tolist() if scores else []
        said = dict(zip(scores.objects, best, strict=True)) if scores else {}
        answers += [model.labels[said[i]] if i in said else "" for i in table.columns]
    return answers


def _by_type(train: Sequence[Typed], dev: Sequence[Typed]) -> Answers:
    """The relation that columns of the same type most often have in training."""
    counts: dict[str, Counter[str]] = {}
    for table in train:
        for column, label in zip(table.columns, table.labels, strict=True):
            counts.setdefault(_type(table, column), Counter())[label] += 1
    whole = sum(counts.values(), Counter())
    return [counts.get(_type(t, c), whole).most_common(1)[0][0] for t in dev for c in t.columns]


def _type(table: Typed, column: int) -> str:
    candidates = table.types["sotab82"].columns[column].candidates
    return candidates[0].type if candidates else ""


def _svm(train: Sequence[LabelledTable], dev: Sequence[LabelledTable], seed: int) -> Answers:
    """A linear SVM on character n-grams of the column and of the subject column."""
    parts = []
    for which, longest, weight in (("own", 4, 1.0), ("subject", 3, 0.7)):
        settings: dict[str, Any] = {"analyzer": "char", "min_df": 2, "sublinear_tf": True}
        vectors = TfidfVectorizer(ngram_range=(1, longest), dtype=np.float32, **settings)
        fitted = vectors.fit_transform(_texts(train, which))
        parts.append((weight * fitted, weight * vectors.transform(_texts(dev, which))))
    rows, dev_rows = (hstack(side).tocsr() for side in zip(*parts, strict=True))
    labels = [g.label for t in train for g in t.labels]
    machine = LinearSVC(C=1.0, random_state=seed).fit(rows, labels)
    return [str(label) for label in machine.predict(dev_rows)]


def _texts(tables: Sequence[LabelledTable], which: str) -> list[str]:
    return [
        "\n".join(t.table.columns[g.column_index if which == "own" else t.subject or 0].values)
        for t in tables
        for g in t.labels
    ]


def _report(bench: Bench, dev: Sequence[Typed], arms: dict[str, Answers], seed: int) -> dict[str, float]:
    """Rows of all arms; the micro F1 of each."""
    gold = [label for table in dev for label in table.labels]
    hosts = [t.table.host or t.table.table.name for t in dev for _ in t.labels]
    unread = np.array([t.table.host in held_out_hosts() for t in dev for _ in t.labels])
    resampler = Resampler(hosts, gold, seed)
    found = {}
    for arm, answers in arms.items():
        scores = resampler.scores(answers)
        found[arm] = float(scores[0, 0])
        right = np.array([a == g for a, g in zip(answers, gold, strict=True)])
        bench.row(
            set="sotab_cpa",
            arm=arm,
            micro_f1=found[arm],
            micro_se=float(scores[0, 1:].std()),
            macro_f1=float(scores[1, 0]),
            macro_se=float(scores[1, 1:].std()),
            unread=float(right[unread].mean()) if unread.any() else None,
            columns=len(gold),
        )
    return found


def _subjects(bench: Bench, folder: Path) -> None:
    """Which column is the subject: with types, without, and always the first."""
    for source in ("t2dv2", "sotabv2_cpa"):
        tables = [t for t in load_labelled(folder, source, "CPA") if t.subject is not None]
        tables = sample(tables, 60 if bench.options.quick else 250, bench.options.seed)
        typed = typed_tables(tables, default_bundle(), ("schema",))
        arms: dict[str, Callable[[Typed], int | None]] = {
            "first column": lambda t: 0,
            "detected": lambda t: detect_subject(t.table.table),
            "detected, with types": lambda t: detect_subject(t.table.table, t.types["schema"]),
        }
        shares = {
            arm: float(np.mean([choose(t) == t.table.subject for t in typed])) for arm, choose in arms.items()
        }
        for arm, share in shares.items():
            bench.row(set=f"subject {source}", arm=arm, accuracy=share, tables=len(typed))
        if source == "t2dv2":
            gain = shares["detected"] - shares["first column"]
            bench.check("subject columns of t2dv2: gain over the first column", gain, at_least=0.1)


@dataclass(frozen=True)
class Model:
    """A gold semantic model: the links between classes, (class, property, class)."""

    links: frozenset[tuple[str, str, str]]


def _semantic_models(bench: Bench, folder: Path) -> None:
    """Class and property of every column, and links, of each soccer file by weights of the others."""
    tables = load_labelled(folder, "soccer_semantic", "SEM")
    if bench.options.quick:
        tables = tables[:4]
    models = _gold_models(folder)
    gold, answers, majority = [], [], []
    said_links: list[tuple[frozenset[tuple[str, str, str]], ...]] = []
    for left in tables:
        rest = [t for t in tables if t is not left]
        vocabulary = Vocabulary(
            "soccer", tuple(map(Label, sorted({g.label for t in rest for g in t.labels})))
        )
        config = RelationsConfig(seed=bench.options.seed, varied=False)
        fitted = fit_relations([_about(t) for t in rest], vocabulary, config)
        log_p = _soccer_scores(fitted, _about(left))
        predicted = [vocabulary.names[row] for row in log_p.argmax(1).tolist()]
        gold += [g.label for g in left.labels]
        answers += predicted
        most = Counter(g.label for t in rest for g in t.labels).most_common(1)[0][0]
        majority += [most for _ in left.labels]
        known = [models[t.table.name] for t in rest]
        common = frozenset(
            k for k, n in Counter(x for m in known for x in m.links).items() if 2 * n >= len(known)
        )
        classes = {label.split(" | ")[0] for label in predicted}
        told = frozenset(link for link in _ever(known) if {link[0], link[2]} <= classes)
        said_links.append((models[left.table.name].links, told, common))
    for arm, labels, position in (("majority", majority, 2), ("ours", answers, 1)):
        micro, macro = f1(gold, labels)
        bench.row(
            set="soccer, one file left out",
            arm=arm,
            micro_f1=micro,
            macro_f1=macro,
            link_f1=_set_f1([(links[0], links[position]) for links in said_links]),
            columns=len(gold),
        )
    gain = f1(gold, answers)[0] - f1(gold, majority)[0]
    bench.check("soccer: class and property F1 over the majority", gain, at_least=0.3)


def _about(table: LabelledTable) -> Typed:
    """The table with the subject column that is detected."""
    return Typed(replace(table, subject=detect_subject(table.table) or 0))


def _soccer_scores(model: RelationModel, table: Typed) -> torch.Tensor:
    """(labelled columns, labels) log-probabilities, company included."""
    blind = replace(
        table,
        table=replace(
            table.table, labels=tuple(replace(g, label=model.labels[0]) for g in table.table.labels)
        ),
    )
    log_p, _ = decided_by(tell(model, [blind], None), DecisionConfig({"ngrams": 5.0}, company=0.5))
    return log_p


def _gold_models(folder: Path) -> dict[str, Model]:
    import json

    path = folder / "semantic_models/soccer_models.json"
    found = {}
    for name, one in json.loads(path.read_text(encoding="utf-8")).items():
        links = ((k["source"], k["property"], k["target"]) for k in one["object_links"])
        found[name] = Model(
            frozenset((a.rstrip("0123456789"), p, b.rstrip("0123456789")) for a, p, b in links)
        )
    return found


def _ever(models: Sequence[Model]) -> frozenset[tuple[str, str, str]]:
    """The links that most models with both classes have: here, those that any has."""
    return frozenset(link for model in models for link in model.links)


def _set_f1(pairs: Sequence[tuple[frozenset[Any], frozenset[Any]]]) -> float:
    hit = sum(len(gold & said) for gold, said in pairs)
    total = sum(len(gold) + len(said) for gold, said in pairs)
    return 2 * hit / total if total else 0.0


if __name__ == "__main__":
    sys.exit(main("cpa", measure))
