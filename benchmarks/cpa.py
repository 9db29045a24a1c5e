"""Relations of columns to the subject column: the shipped weights, what each part is worth, and baselines.

    python benchmarks/cpa.py [--quick] [--seed N] [--json FILE] [--data DIR]

Sets: `sotab_cpa` (108 relations, a seeded fifth of the sites; micro and macro F1), `subject` (which column
the relations start from, t2dv2 and sotabv2_cpa), `soccer` (gold semantic models, a class and a property a
column and the links between classes, each file by weights of the other files). _se: standard error over 1,000
resamples of the sites. Arms that are trained here see one copy of every training column, without headers; the
shipped weights saw a second one with headers and other types. The recurrent readers behind the types were
trained on relation tables of all but the sites in `dev_hosts.json`: `unread` counts the dev columns of those
sites only, where no part has seen anything of the site.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
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
Links = frozenset[tuple[str, str, str]]
_DIGITS = "0123456789"


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


def _semantic_models(bench: Bench, folder: Path) -> None:
    """Class and property of every column, and links, of each soccer file by weights of the others."""
    tables = load_labelled(folder, "soccer_semantic", "SEM")
    links, gold = _gold_links(folder), list[str]()
    said: dict[str, Answers] = {"majority": [], "ours": []}
    linked: dict[str, list[Links]] = {"gold": [], "majority": [], "ours": []}
    for left in tables[: 3 if bench.options.quick else None]:
        rest = [t for t in tables if t is not left]
        labels = Counter(g.label for t in rest for g in t.labels)
        answers = _soccer_answers(rest, left, sorted(labels), bench.options.seed)
        gold += [g.label for g in left.labels]
        said["ours"] += answers
        said["majority"] += [labels.most_common(1)[0][0] for _ in left.labels]
        counts = Counter(link for t in rest for link in links[t.table.name])
        classes = {answer.split(" | ")[0] for answer in answers}
        linked["gold"].append(links[left.table.name])
        linked["majority"].append(frozenset(k for k, n in counts.items() if 2 * n >= len(rest)))
        linked["ours"].append(frozenset(k for k in counts if {k[0], k[2]} <= classes))
    for arm, answers in said.items():
        micro, macro = f1(gold, answers)
        link_f1 = _set_f1(linked["gold"], linked[arm])
        row = {"micro_f1": micro, "macro_f1": macro, "link_f1": link_f1, "columns": len(gold)}
        bench.row(set="soccer, one file left out", arm=arm, **row)
    gain = f1(gold, said["ours"])[0] - f1(gold, said["majority"])[0]
    bench.check("soccer: class and property F1 over the majority", gain, at_least=0.3)


def _soccer_answers(
    train: Sequence[LabelledTable], left: LabelledTable, labels: Sequence[str], seed: int
) -> Answers:
    """Class and property of the labelled columns of a file, by machines of the others."""
    vocabulary = Vocabulary("soccer", tuple(map(Label, labels)))
    config = RelationsConfig(seed=seed, varied=False)
    model = fit_relations([_about(t) for t in train], vocabulary, config)
    hidden = tuple(replace(g, label=labels[0]) for g in left.labels)  # labels are not looked at
    told = tell(model, [_about(replace(left, labels=hidden))], None)
    return _answers(model, told, DecisionConfig({"ngrams": 5.0}, company=0.5))


def _about(table: LabelledTable) -> Typed:
    """The table with the subject column that is detected."""
    return Typed(replace(table, subject=detect_subject(table.table) or 0))


def _gold_links(folder: Path) -> dict[str, Links]:
    """By file: (class, property, class), the numbers of the classes' individuals left out."""
    path = folder / "semantic_models/soccer_models.json"
    found = {}
    for name, model in json.loads(path.read_text(encoding="utf-8")).items():
        ends = ((k["source"].rstrip(_DIGITS), k["target"].rstrip(_DIGITS)) for k in model["object_links"])
        named = zip(ends, model["object_links"], strict=True)
        found[name] = frozenset((a, link["property"], b) for (a, b), link in named)
    return found


def _set_f1(gold: Sequence[Links], said: Sequence[Links]) -> float:
    hit = sum(len(a & b) for a, b in zip(gold, said, strict=True))
    return 2 * hit / max(1, sum(map(len, [*gold, *said])))


if __name__ == "__main__":
    sys.exit(main("cpa", measure))
