"""Self-supervised reading: streams from unlabelled tables, with headers as weak labels."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from aegir_dspy.errors import InputError
from aegir_dspy.tables.serialize import SerializeConfig
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.segments import NO_LABEL, Segment, Stream, make_stream

__all__ = ["ARTEFACTS", "header_classes", "normalise_header", "reading_streams"]

ARTEFACTS = frozenset({"fivetran synced", "fivetran deleted", "fivetran id", "unnamed", "index", "column"})

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER = re.compile(r"[^\w]+|_+|\d+")


def normalise_header(header: str) -> str:
    """``"customerID_2"`` → ``"customer id"``: words in lower case, no digits, no punctuation."""
    return " ".join(_OTHER.sub(" ", _CAMEL.sub(" ", header)).lower().split())


def header_classes(tables: Sequence[Table], count: int) -> list[str]:
    """The `count` most common normalised headers; many sources count for more than many tables."""
    sources: dict[str, set[str]] = defaultdict(set)
    total: Counter[str] = Counter()
    for table in tables:
        for name in {normalise_header(c.name) for c in table.columns if c.name}:
            sources[name].add(table.source)
            total[name] += 1
    names = [n for n in total if 1 < len(n) <= 40 and n not in ARTEFACTS]
    return sorted(names, key=lambda n: (-len(sources[n]), -total[n], n))[:count]


def reading_streams(
    tables: Sequence[Table], classes: Sequence[str], config: SerializeConfig, limit: int, rng: random.Random
) -> Iterator[Stream]:
    """Endless streams: tables in random order, rows sampled anew each time, columns shuffled.

    One stream in six shows headers (their columns then carry no label: the answer is in sight); three in
    ten ask for the header as text after each column.
    """
    ids = {name: index for index, name in enumerate(classes)}
    order = [i for i, table in enumerate(tables) if any(v.strip() for c in table.columns for v in c.values)]
    if not order:
        raise InputError("expected tables with values to read, found none: name the folder of the corpus")
    while True:
        rng.shuffle(order)
        for index in order:
            table = tables[index]
            headers = rng.random() < 1 / 6
            answers = not headers and rng.random() < 0.3
            columns = rng.sample(table.columns, len(table.columns))
            rows = _sample_rows(table, rng)
            found = (_segment(c, rows, ids, labelled=not headers) for c in columns)
            segments = [s for s in found if s is not None]
            if segments:
                yield make_stream(segments, config, headers=headers, answers=answers, limit=limit)


def _sample_rows(table: Table, rng: random.Random) -> list[int]:
    available = max((len(c.values) for c in table.columns), default=0)
    count = min(available, rng.choice((3, 5, 5, 5, 5, 8)))
    return rng.sample(range(available), count)


def _segment(column: Column, rows: Sequence[int], ids: dict[str, int], *, labelled: bool) -> Segment | None:
    values = [column.values[r] for r in rows if r < len(column.values)]
    distinct = list(dict.fromkeys(v for v in values if v.strip()))
    if not distinct:
        return None
    name = normalise_header(column.name) if column.name else ""
    answer = name if name and name not in ARTEFACTS else None
    label = ids.get(name, NO_LABEL) if labelled else NO_LABEL
    return Segment(column.name, distinct, answer, label)
