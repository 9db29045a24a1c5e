"""The dev split of the SOTAB types, made by web site: tables of one site look alike.

The dev hosts are the fifth of the hosts of ``sotabv2_cta`` whose seeded hash is smallest, so the choice
depends neither on the order of the tables nor on the Python version. They are committed as
``dev_hosts.json``; rewrite the file, and see what is in the two parts, with::

    python -m aegir_dspy.training.split DATASET_DIR

Two kinds of table can carry dev content into training under another name: the same site in another set
(`drop_dev_hosts`), and sets published without table names (`drop_shared`).
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
    "choose_dev_hosts",
    "dev_hosts",
    "drop_dev_hosts",
    "drop_shared",
    "leakage",
    "sotab82_training",
]

SOURCE = "sotabv2_cta"
SEED = 0
FRACTION = 0.2
# Shorter columns ("EUR EUR EUR EUR EUR") are shared by sites that have nothing to do with each other.
MIN_CHARS = 25
_FILE = "dev_hosts.json"


@dataclass(frozen=True, slots=True)
class Leakage:
    """Columns of the training part whose content is also in the dev part.

    Attributes:
        columns: training columns with the content of a dev column of at least 25 characters.
        varied: those among them with more than one distinct value; the others repeat one value, mostly
            a constant of a standard such as ``https://schema.org/InStock``.
    """

    columns: int
    varied: int


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


def drop_dev_hosts(tables: Iterable[LabelledTable]) -> list[LabelledTable]:
    """The tables that are not from a dev host; one without a known host stays (see `drop_shared`)."""
    return [table for table in tables if table.host not in dev_hosts()]


def drop_shared(tables: Iterable[LabelledTable], dev: Iterable[LabelledTable]) -> list[LabelledTable]:
    """The tables without any column whose content, of at least 25 characters, is also in ``dev``."""
    seen = _contents(dev)
    return [table for table in tables if seen.isdisjoint(_contents([table]))]


def leakage(train: Iterable[LabelledTable], dev: Iterable[LabelledTable]) -> Leakage:
    """How many columns of ``train`` have the content of a column of ``dev``."""
    seen = _contents(dev)
    shared = [column for table in train for column in table.table.columns if _content(column) in seen]
    return Leakage(len(shared), sum(len(set(column.values)) > 1 for column in shared))


def sotab82_training(folder: Path) -> tuple[list[LabelledTable], list[LabelledTable]]:
    """The (train, dev) tables of the 82 SOTAB types.

    dev is every table of a dev host in ``sotabv2_cta``, whichever split it was published in. train is the
    rest, and the nameless ``sotabv2_cta_val82`` without the tables that share content with dev and
    without those that only repeat a table of train.

    Raises:
        InputError: the folder lacks the layout or one of the two sets.
    """
    tables = load_labelled(folder, SOURCE)
    dev = [table for table in tables if table.host in dev_hosts()]
    train = drop_dev_hosts(tables)
    more = drop_shared(load_labelled(folder, f"{SOURCE}_val82"), dev)
    return train + _drop_repeated(more, train), dev


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
    content = {"source": SOURCE, "seed": SEED, "fraction": FRACTION, "hosts": choose_dev_hosts(hosts)}
    path = Path(__file__).with_name(_FILE)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    dev_hosts.cache_clear()


def _main(arguments: Sequence[str]) -> int:
    try:
        if len(arguments) != 1:
            raise InputError(
                f"expected one folder of labelled data; found {len(arguments)} arguments: "
                "python -m aegir_dspy.training.split DATASET_DIR"
            )
        _write(Path(arguments[0]))
        train, dev = sotab82_training(Path(arguments[0]))
    except AegirError as error:
        print(error, file=sys.stderr)
        return 2
    for name, part in (("train", train), ("dev", dev)):
        print(f"{name}: {len(part)} tables, {sum(len(table.labels) for table in part)} labelled columns")
    found = leakage(train, dev)
    print(f"shared by train and dev: {found.columns} columns, {found.varied} with more than one value")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
