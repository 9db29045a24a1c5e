"""The dev split of the SOTAB types, made by web site: tables of one site look alike.

The dev hosts are the fifth of the hosts of ``sotabv2_cta`` whose seeded hash is smallest, so the choice
depends neither on the order of the tables nor on the Python version. They are committed as
``dev_hosts.json``, with a quarter of the hosts of ``sotab32_cta``, which no set is trained on either;
rewrite the file, and see what is in the two parts, with::

    python -m aegir_dspy.training.split DATASET_DIR

Two kinds of table can carry dev content into training under another name: the same site in another set,
and sets published without table names. `without_dev` drops both.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from aegir_dspy.errors import AegirError, InputError
from aegir_dspy.tables.table import Column
from aegir_dspy.training.datasets import LabelledTable, load_labelled

__all__ = [
    "Leakage",
    "Split",
    "choose_dev_hosts",
    "dev_hosts",
    "held_out_hosts",
    "leakage",
    "sotab32_split",
    "sotab82_split",
    "wikitables_split",
    "without_dev",
]

SOURCE = "sotabv2_cta"
SOURCE_32 = "sotab32_cta"
WIKITABLES = "wikitables_turl"
SEED = 0
FRACTION = 0.2
# Shorter columns ("EUR EUR EUR EUR EUR") are shared by sites that have nothing to do with each other.
MIN_CHARS = 25
_FILE = "dev_hosts.json"


@dataclass(frozen=True, slots=True)
class Split:
    """Tables to train on, and tables of other web sites to measure on."""

    train: list[LabelledTable]
    dev: list[LabelledTable]


@dataclass(frozen=True, slots=True)
class Leakage:
    """What the training part knows of the dev part; the first two must be 0.

    Attributes:
        hosts: web sites with tables in both parts.
        nameless: columns of training tables without a known host that have the content of a dev column
            of at least 25 characters: copies of dev tables under another name.
        named: the same for tables of a known, other host: constants that many sites use, such as
            ``https://schema.org/InStock`` or the days of the week.
    """

    hosts: int
    nameless: int
    named: int


def choose_dev_hosts(hosts: Iterable[str], seed: int = SEED, fraction: float = FRACTION) -> list[str]:
    """The ``fraction`` of the distinct hosts whose hash with ``seed`` is smallest, sorted by name."""
    distinct = sorted(set(hosts))
    ranked = sorted(distinct, key=lambda host: hashlib.sha256(f"{seed}:{host}".encode()).digest())
    return sorted(ranked[: round(fraction * len(distinct))])


@cache
def dev_hosts() -> frozenset[str]:
    """The committed dev hosts."""
    text = files("aegir_dspy.training").joinpath(_FILE).read_text(encoding="utf-8")
    return frozenset(json.loads(text)["hosts"])


@cache
def held_out_hosts() -> frozenset[str]:
    """The hosts no weights are trained on: the dev hosts and those that measure ``sotab32_cta``."""
    text = files("aegir_dspy.training").joinpath(_FILE).read_text(encoding="utf-8")
    return dev_hosts() | frozenset(json.loads(text)["hosts_32"])


def without_dev(tables: Iterable[LabelledTable], dev: Iterable[LabelledTable]) -> list[LabelledTable]:
    """The tables of sites that are not held out and share no column of 25 characters with ``dev``."""
    hosts, seen = held_out_hosts(), _contents(dev)
    return [t for t in tables if t.host not in hosts and seen.isdisjoint(_contents([t]))]


def leakage(split: Split) -> Leakage:
    """Count the hosts in both parts, and the training columns with the content of a dev column."""
    seen = _contents(split.dev)
    counts = {True: 0, False: 0}
    for table in split.train:
        counts[table.host is None] += sum(_content(column) in seen for column in table.table.columns)
    hosts = {t.host for t in split.train} & {t.host for t in split.dev} - {None}
    return Leakage(len(hosts), nameless=counts[True], named=counts[False])


def sotab82_split(folder: Path) -> Split:
    """The training and dev tables of the 82 SOTAB types.

    dev is every table of a dev host in ``sotabv2_cta``, whichever split it was published in. train is the
    rest, and the nameless ``sotabv2_cta_val82`` without the tables that share content with dev and
    without those that only repeat what is known already.

    Raises:
        InputError: the folder lacks the layout or one of the two sets.
    """
    tables, hosts = load_labelled(folder, SOURCE), dev_hosts()
    dev = [table for table in tables if table.host in hosts]
    # Named tables of other hosts stay: what they share with dev are constants, see `Leakage.named`.
    train = [table for table in tables if table.host not in held_out_hosts()]
    more = without_dev(load_labelled(folder, f"{SOURCE}_val82"), dev)
    return Split(train + _drop_repeated(more, tables), dev)


def sotab32_split(folder: Path) -> Split:
    """The 32 SOTAB types: dev is every table of a held out host. Raises InputError as `sotab82_split`."""
    tables = load_labelled(folder, SOURCE_32)
    dev = [table for table in tables if table.host in held_out_hosts()]
    return Split(without_dev(tables, dev), dev)


def wikitables_split(folder: Path) -> Split:
    """The Wikipedia tables: dev is a fifth of the pages, by seeded hash. Raises InputError likewise."""
    tables = load_labelled(folder, WIKITABLES)
    pages = {_page(table) for table in tables}
    chosen = set(choose_dev_hosts(pages))
    dev = [table for table in tables if _page(table) in chosen]
    seen = _contents(dev)
    train = [t for t in tables if _page(t) not in chosen and seen.isdisjoint(_contents([t]))]
    return Split(train, dev)


def _page(table: LabelledTable) -> str:
    """The Wikipedia page of a table: ``10083610-4`` is a table of page 10083610."""
    return table.table.name.rpartition("-")[0]


def _drop_repeated(tables: Iterable[LabelledTable], known: Iterable[LabelledTable]) -> list[LabelledTable]:
    """The tables that label some column otherwise than ``known`` does, or a column it does not have."""
    seen = {pair for table in known for pair in _gold(table)}
    return [table for table in tables if not _gold(table) <= seen]


def _gold(table: LabelledTable) -> set[tuple[str, str]]:
    columns = table.table.columns
    return {(_joined(columns[gold.column_index]), gold.label) for gold in table.labels}


def _contents(tables: Iterable[LabelledTable]) -> set[str]:
    found = {_content(column) for table in tables for column in table.table.columns}
    return {text for text in found if text is not None}


def _content(column: Column) -> str | None:
    """What identifies a column by its values, or None where they are too short to do so."""
    text = _joined(column)
    return text if len(text) >= MIN_CHARS else None


def _joined(column: Column) -> str:
    return " ".join(" ".join(column.values).split())


def _write(folder: Path) -> None:
    hosts = [table.host for table in load_labelled(folder, SOURCE) if table.host is not None]
    hosts_32 = choose_dev_hosts((t.host for t in load_labelled(folder, SOURCE_32) if t.host), fraction=0.25)
    content = {
        "seed": SEED,
        "fraction": FRACTION,
        "hosts": choose_dev_hosts(hosts),
        "hosts_32": hosts_32,
    }
    path = Path(__file__).with_name(_FILE)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    dev_hosts.cache_clear()
    held_out_hosts.cache_clear()


def _main(arguments: Sequence[str]) -> int:
    try:
        if len(arguments) != 1:
            raise InputError(
                f"expected one folder of labelled data; found {len(arguments)} arguments: "
                "python -m aegir_dspy.training.split DATASET_DIR"
            )
        _write(Path(arguments[0]))
        split = sotab82_split(Path(arguments[0]))
    except AegirError as error:
        print(error, file=sys.stderr)
        return 2
    for name, part in (("train", split.train), ("dev", split.dev)):
        print(f"{name}: {len(part)} tables, {sum(len(table.labels) for table in part)} labelled columns")
    found = leakage(split)
    print(f"in both parts: {found.hosts} hosts, {found.nameless} columns of tables without a known host")
    print(f"constants that other sites share with dev: {found.named} columns")
    return 1 if found.hosts or found.nameless else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
