"""The columns that `fusion.py` asks about, each with what may be told about it: three sets of real tables,
and one of generated tables whose columns can only be told apart by comparing them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from _reader import partners
from numpy.typing import NDArray

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.tables.context import ContextConfig, context_members
from aegir_dspy.tables.serialize import SerializeConfig, serialize_column, serialize_values
from aegir_dspy.tables.table import Table
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledTable, load_labelled
from aegir_dspy.training.examples import relational_examples, to_example
from aegir_dspy.training.generated import RELATIONAL, filler_values, relational_table
from aegir_dspy.training.split import sotab82_split, wikitables_split

__all__ = ["Cases", "relational", "sotab82", "t2dv2", "training_examples", "wikitables"]

CAPTION = "table"  # the header of the piece that holds page title and section
FILLERS = 16  # most columns beside those the annotator would choose
_TOLD_APART = frozenset(RELATIONAL) - {"venue", "country", "code", "quantity"}


@dataclass(frozen=True)
class Cases:
    """T target columns among the P pieces of some tables.

    Attributes:
        labels: the labels to choose from; empty where the head knows none of them.
        pieces: (P) bytes.
        tables: (T) the table of each target.
        targets: (T) its piece.
        context: (T) the pieces the annotator would choose as its context, in the order of the table.
        others: (T) more pieces of the same table.
        wrong: (T) as many pieces of another table as there are in `context`, where it has them.
        gold: (T) the labels that are right.
    """

    name: str
    labels: tuple[str, ...]
    pieces: list[bytes]
    tables: list[int]
    targets: list[int]
    context: list[list[int]]
    others: list[list[int]]
    wrong: list[list[int]]
    gold: list[frozenset[str]]

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, rows: Sequence[int]) -> Cases:
        """Some of the targets, and the pieces they need."""
        some = self._rows(rows)
        lists = [*some.context, *some.others, *some.wrong]
        used = sorted({*some.targets, *(i for one in lists for i in one)})
        place = {i: number for number, i in enumerate(used)}
        return replace(
            some,
            pieces=[self.pieces[i] for i in used],
            targets=[place[i] for i in some.targets],
            context=[[place[i] for i in one] for one in some.context],
            others=[[place[i] for i in one] for one in some.others],
            wrong=[[place[i] for i in one] for one in some.wrong],
        )

    def _rows(self, rows: Sequence[int]) -> Cases:
        return replace(
            self,
            tables=[self.tables[i] for i in rows],
            targets=[self.targets[i] for i in rows],
            context=[self.context[i] for i in rows],
            others=[self.others[i] for i in rows],
            wrong=[self.wrong[i] for i in rows],
            gold=[self.gold[i] for i in rows],
        )

    def at(self, agents: int, most: int, rng: random.Random) -> Cases:
        """Up to `most` targets by lot with exactly `agents` context columns by lot, chosen ones first."""
        able = [i for i in range(len(self)) if len(self.context[i]) + len(self.others[i]) >= agents]
        cases = self._rows(sorted(rng.sample(able, min(most, len(able)))))
        context = []
        for chosen, more in zip(cases.context, cases.others, strict=True):
            missing = agents - len(chosen)
            drawn = rng.sample(chosen, agents) if missing <= 0 else [*chosen, *rng.sample(more, missing)]
            context.append(sorted(drawn))
        return replace(cases, context=context)

    def right(self, answers: Sequence[str]) -> NDArray[np.float64]:
        """(T,) whether each answer is one of the right labels."""
        return np.array([a in gold for a, gold in zip(answers, self.gold, strict=True)], dtype=np.float64)

    def bytes_of(self, pieces: Sequence[int]) -> int:
        """Their length: bytes are tokens."""
        return sum(len(self.pieces[i]) for i in pieces)


split_sotab, split_wikitables = cache(sotab82_split), cache(wikitables_split)


def training_examples(bundle: Bundle, folder: Path, seed: int) -> dict[str, tuple[list[Example], float]]:
    """The training tables of the sets, to train fusions on; the tables of `relational` have other seeds."""
    common = Counter(x for t in split_wikitables(folder).train for gold in t.labels for x in gold.labels)
    sets = {
        "sotab82": ([to_example(t, "sotab82") for t in split_sotab(folder).train], 0.5),
        "wikitables": (
            [to_example(t, "freebase", common=common) for t in split_wikitables(folder).train],
            0.25,
        ),
        "relational": (relational_examples(400, seed), 0.25),
    }
    known = set(bundle.config.labels)
    return {name: one for name, one in sets.items() if any(known & set(e.labels) for e in one[0])}


def sotab82(bundle: Bundle, folder: Path, seed: int) -> Cases:
    """The 82 SOTAB types on held out web sites; no headers."""
    dev = split_sotab(folder).dev
    return _of("sotab82", dev, load_vocabulary("sotab82").names, [t.host for t in dev], bundle, seed)


def wikitables(bundle: Bundle, folder: Path, seed: int) -> Cases:
    """Wikipedia tables of held out pages; page title and section are a piece of their own."""
    split = split_wikitables(folder)
    labels = {name for t in (*split.train, *split.dev) for gold in t.labels for name in gold.labels}
    known = tuple(sorted(labels & set(bundle.config.labels)))
    hosts = [t.table.name.rpartition("-")[0] for t in split.dev]
    return _of("wikitables_turl", split.dev, known, hosts, bundle, seed)


def t2dv2(bundle: Bundle, folder: Path, seed: int) -> Cases:
    """Web tables with classes of DBpedia that no weights were taught; those of at least two tables."""
    tables = load_labelled(folder, "t2dv2")
    cases = _of("t2dv2", tables, (), [t.table.name for t in tables], bundle, seed)
    count = Counter(label for _, gold in {*zip(cases.tables, cases.gold, strict=True)} for label in gold)
    return cases.select([i for i, gold in enumerate(cases.gold) if all(count[x] > 1 for x in gold)])


def relational(bundle: Bundle, tables: int, seed: int) -> Cases:
    """Generated tables; `others` are generated columns of 16 kinds that say nothing of the matter."""
    rng, config = random.Random(f"relational-{seed}"), bundle.config.serialize
    pieces: list[bytes] = []
    spans: list[range] = []
    wanted: list[tuple[int, int, str]] = []
    for number in range(tables):
        columns = relational_table(rng, 5)
        values = [column.values for column in columns] + filler_values(rng, FILLERS, 5)
        first = len(pieces)
        pieces += [serialize_values(None, _distinct(v)[: config.max_values], config) for v in values]
        spans.append(range(first, first + len(columns)))
        wanted += [(number, first + i, c.label) for i, c in enumerate(columns) if c.label in _TOLD_APART]
    other = list(partners([len(s) for s in spans], [str(i) for i in range(tables)], seed))
    return Cases(
        "relational",
        tuple(name for name in RELATIONAL if name in bundle.config.labels),
        pieces,
        [number for number, _, _ in wanted],
        [piece for _, piece, _ in wanted],
        [[i for i in spans[number] if i != piece] for number, piece, _ in wanted],
        [list(range(spans[number].stop, spans[number].stop + FILLERS)) for number, _, _ in wanted],
        [list(spans[other[number]])[: len(spans[number]) - 1] for number, _, _ in wanted],
        [frozenset({label}) for _, _, label in wanted],
    )


def _of(
    name: str,
    tables: Sequence[LabelledTable],
    labels: Sequence[str],
    hosts: Sequence[str | None],
    bundle: Bundle,
    seed: int,
) -> Cases:
    """Labelled columns that have something beside them."""
    config = bundle.config.serialize
    own = [_pieces(t.table, config) for t in tables]
    first = np.cumsum([0, *map(len, own)]).tolist()
    said = [[a + i for i, piece in enumerate(p) if len(piece) > 1] for a, p in zip(first, own, strict=False)]
    other = list(partners([len(p) for p in own], hosts, seed))
    most = ContextConfig(columns=bundle.config.context)
    cases = Cases(name, tuple(labels), [p for t in own for p in t], [], [], [], [], [], [])
    for number, (labelled, pieces) in enumerate(zip(tables, own, strict=True)):
        members = context_members(pieces, most)
        for gold in labelled.labels:
            target = gold.column_index
            context = [i for i in said[number] if members[target, i - first[number]]]
            right = frozenset(gold.labels)
            if not context or (labels and right.isdisjoint(labels)):
                continue
            cases.tables.append(number)
            cases.targets.append(first[number] + target)
            cases.context.append(context)
            taken = {*context, first[number] + target}
            cases.others.append([i for i in said[number] if i not in taken][:FILLERS])
            cases.wrong.append(said[other[number]][: len(context)])
            cases.gold.append(right)
    return cases


def _pieces(table: Table, config: SerializeConfig) -> list[bytes]:
    """Its columns, and what is said about it as the last piece."""
    columns = [serialize_column(c, config) for c in table.columns]
    return columns + ([serialize_values(CAPTION, [table.comment], config)] if table.comment else [])


def _distinct(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value.strip()))
