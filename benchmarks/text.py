"""Do a vocabulary's words matter? Types told apart by their descriptions, and types never trained on.

    python benchmarks/text.py [--quick] [--checkpoint FILE] [--seed N] [--json FILE] [--data DIR]

*Confusable pairs.* On columns of the dev hosts and of generated tables of a seed that training has not used,
every column has a strongest rival: the wrong type of ``schema`` that the head finds likeliest. Pairs of types
are taken in the order of how often each is the other's rival, a type in one pair only, types with at least 8
columns only (``--quick``: 3). The answer is then the likelier of the two types of the pair, when the
vocabulary says of them what is true, when it says of each what is true of the other (the names stay), and
when it says nothing. With *neutral names* the head knows none of the labels, and the
descriptions have to do alone.

*Never trained on.* The dbpedia classes of ``t2dv2`` by their texts, beside chance, the most common class of
these very columns and an SVM with up to 5 examples a type, of other tables of the same set (to compare, no
goal: it has seen the set); and 16 types of ``sotab82`` under other names.

*Latent lens.* Columns of the dev hosts read from the fused states of their context, with the state of the
vocabulary's lens as one more member and without: it was not trained for, so no gain is promised.

The encoder of the labels' texts is trained anew with three seeds; ``--quick`` takes the one in the weights.
± is the standard deviation over the seeds.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from _harness import Bench, labelled_folder, main
from _svm import gold_labels, svm_predict
from calibration import HELD_OUT, PARAPHRASES, generated_tables, relabelled
from cta import Tables, bundle_of, checkpoint_option, sample
from torch import Tensor

from aegir_dspy import load_vocabulary
from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.annotator.label_text import label_parts
from aegir_dspy.annotator.sheet import Sheet
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.errors import InputError
from aegir_dspy.latent.fusion import fuse_tensors, side_by_side
from aegir_dspy.latent.lens import Lens
from aegir_dspy.latent.specialist import FrozenSpecialist
from aegir_dspy.ontology import Label, Vocabulary
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.training.datasets import LabelledTable, load_corpus, load_label_set, load_labelled
from aegir_dspy.training.label_material import gather_material, ontology_terms
from aegir_dspy.training.label_text import LabelTextConfig, fit_label_text
from aegir_dspy.training.split import sotab82_split

FEWEST = 8
PAIRS = 24
EXAMPLES = 5
ZERO_SHOT = ("t2dv2", "t2dv2_curated_cta")
Rewrite = Callable[[Label], Label]


def measure(bench: Bench) -> None:
    """confusable types by their descriptions; types never trained on"""
    bundle, folder = bundle_of(bench), labelled_folder(bench)
    bundles = _bundles(bench, bundle)
    quick, seed = bench.options.quick, bench.options.seed
    dev = list(sample(sotab82_split(folder).dev, 25 if quick else 160, seed))
    made = generated_tables(HELD_OUT + seed, 12 if quick else 80, headers=False)
    _pairs(bench, bundles, [*dev, *made])
    for source in ZERO_SHOT:
        _zero_shot(bench, bundles, source)
    _paraphrased(bench, bundles, dev)
    _lens(bench, bundles[0], dev)


def _bundles(bench: Bench, bundle: Bundle) -> list[Bundle]:
    """The weights with encoders of three seeds; with ``--quick`` as they are."""
    if bench.options.quick:
        if bundle.label_text is None:
            raise InputError("expected weights with an encoder of labels, found none: leave out --quick")
        return [bundle]
    corpus = list(load_corpus(bench.options.data / "corpus"))
    material = gather_material(bundle, labelled_folder(bench), corpus)
    seeds = (bench.options.seed + n for n in range(3))
    return [replace(bundle, label_text=fit_label_text(material, LabelTextConfig(seed=s))) for s in seeds]


def _row(bench: Bench, part: str, arm: str, columns: int, values: Sequence[float]) -> float:
    """A row of the share of right answers; ± over seeds where there are several."""
    mean = statistics.fmean(values)
    spread = statistics.stdev(values) if len(values) > 1 else None
    bench.row(part=part, arm=arm, columns=columns, right=mean, **{"±": spread})
    return mean


# --- confusable pairs -----------------------------------------------------------------------------


def _pairs(bench: Bench, bundles: Sequence[Bundle], tables: Tables) -> None:
    schema, gold = load_vocabulary("schema"), gold_labels(tables)
    row = torch.tensor([schema.names.index(label) for label in gold])
    names_only = _rewritten(schema, lambda label: Label(label.label))
    fewest = 3 if bench.options.quick else FEWEST
    pairs = _confusable(_logits(bundles[0], names_only, tables), row, fewest)
    if not pairs:
        raise InputError(f"expected types with at least {fewest} columns each, found none: leave out --quick")
    other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    asked = [i for i, a in enumerate(row.tolist()) if a in other]
    said = ", ".join(f"{schema.names[a]} - {schema.names[b]}" for a, b in pairs)
    print(f"{len(pairs)} pairs: {said}")

    def partner(label: Label) -> Label:
        place = schema.names.index(label.label)
        return schema.labels[other.get(place, place)]

    arms: dict[str, Rewrite] = {
        "no descriptions": lambda label: Label(label.label),
        "true descriptions": lambda label: Label(label.label, description=label.description),
        "swapped descriptions": lambda label: Label(label.label, description=partner(label).description),
        "neutral names, true descriptions": lambda label: Label(
            f"type {schema.names.index(label.label)}", description=label.description
        ),
    }
    found = {}
    for arm, rewrite in arms.items():
        values = []
        for bundle in bundles:
            logits = _logits(bundle, _rewritten(schema, rewrite), tables)
            values.append(_within(logits, row, other, asked))
        found[arm] = _row(bench, "confusable pairs", arm, len(asked), values)
    gain = found["true descriptions"] - found["swapped descriptions"]
    bench.check("true over swapped descriptions", gain, at_least=0.1)
    loss = found["no descriptions"] - found["true descriptions"]
    bench.check("lost by true descriptions", loss, at_most=0.01)


def _confusable(logits: Tensor, row: Tensor, fewest: int = FEWEST) -> list[tuple[int, int]]:
    """Pairs of types by how often each is the other's strongest rival."""
    rival = logits.scatter(1, row.unsqueeze(1), -torch.inf).argmax(1)
    there = Counter(row.tolist())
    met = Counter(tuple(sorted(pair)) for pair in zip(row.tolist(), rival.tolist(), strict=True))
    enough = [(a, b) for a, b in met if min(there[a], there[b]) >= fewest]
    pairs: list[tuple[int, int]] = []
    for a, b in sorted(enough, key=lambda pair: (-met[pair] / (there[pair[0]] + there[pair[1]]), pair)):
        if len(pairs) < PAIRS and not {a, b} & {one for pair in pairs for one in pair}:
            pairs.append((a, b))
    return pairs


def _within(logits: Tensor, row: Tensor, other: dict[int, int], asked: Sequence[int]) -> float:
    """Share of columns whose type is likelier than the other one of its pair; ties count half."""
    own = logits[asked, row[asked]]
    rival = logits[asked, [other[a] for a in row[asked].tolist()]]
    return float(((own > rival).double() + 0.5 * (own == rival)).mean())


# --- types never trained on -----------------------------------------------------------------------


def _zero_shot(bench: Bench, bundles: Sequence[Bundle], source: str) -> None:
    folder = labelled_folder(bench)
    tables = load_labelled(folder, source)
    gold = gold_labels(tables)
    vocabulary = _dbpedia(folder, source)
    row = torch.tensor([vocabulary.names.index(label) for label in gold])
    part = f"{source}, {len(vocabulary)} classes"
    _row(bench, part, "chance", len(gold), [1 / len(vocabulary)])
    common = _row(bench, part, "most common", len(gold), [max(Counter(gold).values()) / len(gold)])
    draws = [bench.options.seed + n for n in range(1 if bench.options.quick else 3)]
    few = [_few(tables, seed) for seed in draws]
    _row(bench, part, f"SVM, {EXAMPLES} examples a type", len(gold), few)
    arms: dict[str, Rewrite] = {
        "names": lambda label: Label(label.label),
        "descriptions": lambda label: Label(
            f"type {vocabulary.names.index(label.label)}", description=label.description
        ),
        "names + descriptions": lambda label: Label(label.label, description=label.description),
        "names + descriptions + headers + examples": lambda label: label,
    }
    best = 0.0
    for arm, rewrite in arms.items():
        words = _rewritten(vocabulary, rewrite)
        values = [_right(_ignorant(b), words, tables, row) for b in bundles]
        best = _row(bench, part, f"as text: {arm}", len(gold), values)
    bench.check(f"{source}: as text over the most common class", best - common, at_least=0.0)


def _dbpedia(folder: object, source: str) -> Vocabulary:
    """All dbpedia classes for ``t2dv2``; for the curated set its own labels with dbpedia's words."""
    dbpedia = load_vocabulary("dbpedia")
    if source == ZERO_SHOT[0]:
        return dbpedia
    own = []
    for name in load_label_set(folder, source):  # type: ignore[arg-type]
        known = name.removeprefix("dbo:")
        own.append(replace(dbpedia[known], label=name) if known in dbpedia else Label(name))
    return Vocabulary(source, tuple(own))


def _few(tables: Tables, seed: int) -> float:
    """The SVM's share of right answers; each table's columns from up to 5 examples a type of other tables."""
    right, total = 0, 0
    for table in tables:
        train = _examples([t for t in tables if t is not table], random.Random(seed))
        said = svm_predict(train, [table], context=False, seed=seed)
        right += sum(a == b for a, b in zip(said, gold_labels([table]), strict=True))
        total += len(said)
    return right / total


def _examples(tables: Tables, rng: random.Random) -> list[LabelledTable]:
    """Up to 5 labelled columns of each type, by lot."""
    seen = Counter[str]()
    chosen = []
    for table in rng.sample(list(tables), len(tables)):
        labels = []
        for gold in table.labels:
            seen[gold.label] += 1
            if seen[gold.label] <= EXAMPLES:
                labels.append(gold)
        chosen.append(replace(table, labels=tuple(labels)))
    return chosen


def _paraphrased(bench: Bench, bundles: Sequence[Bundle], dev: Tables) -> None:
    tables = [t for t in (relabelled(t, {name: name for name in PARAPHRASES}) for t in dev) if t.labels]
    gold = gold_labels(tables)
    names = list(PARAPHRASES)
    row = torch.tensor([names.index(label) for label in gold])
    terms = {term.iri: term.description for term in ontology_terms(bench.options.data)}
    schema = load_vocabulary("schema")
    known = Vocabulary("known", tuple(map(Label, names)))
    other = Vocabulary("other", tuple(map(Label, PARAPHRASES.values())))
    described = tuple(
        Label(said, description=terms.get(schema[name].iri or "", "")) for name, said in PARAPHRASES.items()
    )
    own = tuple(replace(schema[name], label=said) for name, said in PARAPHRASES.items())
    part = f"{len(names)} types of sotab82"
    _row(bench, part, "most common", len(gold), [max(Counter(gold).values()) / len(gold)])
    _row(bench, part, "known to the head", len(gold), [_right(bundles[0], known, tables, row)])
    arms = {
        "other names": other,
        "other names + schema.org's comments, never read": Vocabulary("described", described),
        "other names + our texts": Vocabulary("own", own),
    }
    for arm, words in arms.items():
        _row(bench, part, arm, len(gold), [_right(b, words, tables, row) for b in bundles])


# --- the lens -------------------------------------------------------------------------------------


def _lens(bench: Bench, bundle: Bundle, dev: Tables) -> None:
    """Does the vocabulary's fused state help as one more member of the context?"""
    vocabulary, serialize = load_vocabulary("sotab82"), bundle.config.serialize
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    texts = [[part.piece for part in label_parts(label, serialize)] for label in vocabulary]
    lens = Lens.read(specialist, texts, torch.zeros(len(texts), 1), "none")
    sheet = Sheet.of([t.table for t in dev], ContextConfig(), serialize)
    asked = [s.start + g.column_index for t, s in zip(dev, sheet.spans, strict=True) for g in t.labels]
    pieces = sheet.pieces(serialize)
    columns = [pieces[i] for i in asked]
    states = side_by_side([specialist.read(pieces).states, lens.state.tensors])
    joined = torch.nn.functional.pad(sheet.joined[asked], (0, 1))
    with_lens, only = joined.clone(), torch.zeros_like(joined)
    with_lens[:, -1], only[:, -1] = True, True
    rows = [bundle.config.labels.index(name) for name in vocabulary.names]
    gold = torch.tensor([vocabulary.names.index(label) for label in gold_labels(dev)])
    arms = {"alone": None, "lens": only, "context": joined, "context + lens": with_lens}
    for arm, members in arms.items():
        found = specialist.read(columns, None if members is None else fuse_tensors(states, members)).features
        said = bundle.head(found)[:, rows].argmax(1)
        _row(bench, "lens of sotab82", arm, len(gold), [float((said == gold).double().mean())])


def _ignorant(bundle: Bundle) -> Bundle:
    """The same weights with a head that knows no label."""
    return replace(bundle, config=replace(bundle.config, labels=("",) * len(bundle.config.labels)))


def _rewritten(vocabulary: Vocabulary, rewrite: Rewrite) -> Vocabulary:
    return Vocabulary("rewritten", tuple(rewrite(label) for label in vocabulary))


def _right(bundle: Bundle, vocabulary: Vocabulary, tables: Tables, row: Tensor) -> float:
    return float((_logits(bundle, vocabulary, tables).argmax(1) == row).double().mean())


def _logits(bundle: Bundle, vocabulary: Vocabulary, tables: Tables) -> Tensor:
    """(labelled columns, labels)"""
    annotator = ColumnTypeAnnotator(bundle, vocabulary)
    found = []
    for first in range(0, len(tables), 32):
        batch = tables[first : first + 32]
        logits, offset = annotator.scores([t.table for t in batch]).logits, 0
        for table in batch:
            found += [logits[offset + gold.column_index] for gold in table.labels]
            offset += len(table.table.columns)
    return torch.stack(found)


if __name__ == "__main__":
    sys.exit(main("text", measure, checkpoint_option))
