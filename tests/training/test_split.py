from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training import split
from aegir_dspy.training.datasets import LabelledColumn, LabelledTable, load_labelled
from aegir_dspy.training.split import (
    Leakage,
    Split,
    choose_dev_hosts,
    dev_hosts,
    held_out_hosts,
    leakage,
    sotab32_split,
    sotab82_split,
    wikitables_split,
    without_dev,
)

REAL = Path(__file__).parents[2] / "../shared/data/train_dev"
DEV, OTHER = min(dev_hosts()), "not-a-dev-host.example"
needs_data = pytest.mark.skipif(not REAL.exists(), reason="the labelled data is not beside the checkout")


def labelled(name: str, host: str | None, *columns: Sequence[str], label: str = "Book/name") -> LabelledTable:
    table = Table(name, "memory", tuple(Column(i, None, tuple(v)) for i, v in enumerate(columns)))
    return LabelledTable(table, (LabelledColumn(0, label, (label,)),), "s", "train", host)


def publish(
    monkeypatch: pytest.MonkeyPatch,
    named: Sequence[LabelledTable],
    nameless: Sequence[LabelledTable],
    small: Sequence[LabelledTable] = (),
) -> None:
    sets = {"sotabv2_cta": named, "sotabv2_cta_val82": nameless, "sotab32_cta": small}
    monkeypatch.setattr(split, "load_labelled", lambda folder, source: list(sets[source]))


def names(tables: Sequence[LabelledTable]) -> list[str]:
    return [table.table.name for table in tables]


def test_dev_hosts_are_chosen_by_seed_not_by_order() -> None:
    hosts = [f"site{i}.example" for i in range(200)]
    chosen = choose_dev_hosts(hosts)
    assert len(chosen) == 40
    assert chosen == choose_dev_hosts(reversed(hosts + hosts))
    assert chosen != choose_dev_hosts(hosts, seed=1)
    # A host keeps its part when others come or go, up to the few at the threshold.
    assert len(set(chosen) - set(choose_dev_hosts(hosts[:-10]))) <= 10


def test_all_tables_of_a_dev_host_are_in_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [
        labelled("a", DEV, ["first page of the site"]),
        labelled("b", OTHER, ["something else"]),
        labelled("c", DEV, ["second page of the site"]),
    ]
    publish(monkeypatch, named, [labelled("n", None, ["a table from nobody knows where"])])
    parts = sotab82_split(Path("anywhere"))
    assert names(parts.dev) == ["a", "c"]
    assert names(parts.train) == ["b", "n"]


def test_nameless_copies_do_not_train(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [
        labelled("dev", DEV, ["The Long Way to a Small,  Angry Planet", "x"], ["EUR", "EUR"]),
        labelled("short dev", DEV, ["1999", "2001"]),
        labelled("other", OTHER, ["Another title that is long enough"]),
    ]
    nameless = [
        labelled("dev, other spaces", None, ["EUR"], [" The Long Way to a Small, Angry\tPlanet", "x"]),
        labelled("short dev again", None, ["1999", "2001"]),
        labelled("other again", None, ["Another title that is long enough"]),
        labelled("other label", None, ["Another title that is long enough"], label="Event/name"),
        labelled("short column of dev", None, ["EUR", "EUR"]),
    ]
    publish(monkeypatch, named, nameless)
    parts = sotab82_split(Path("anywhere"))
    assert names(parts.train) == ["other", "other label", "short column of dev"]
    assert leakage(parts) == Leakage(hosts=0, nameless=0, named=0)


def test_other_sets_lose_dev_hosts_and_dev_content() -> None:
    dev = [labelled("dev", DEV, ["the content of a dev column"])]
    tables = [
        labelled("same host", DEV, ["nothing shared"]),
        labelled("same content", OTHER, ["x"], ["the content of a dev  column"]),
        labelled("kept", OTHER, ["the content of another column"]),
        labelled("nameless", None, ["the content of a third column"]),
    ]
    assert names(without_dev(tables, dev)) == ["kept", "nameless"]
    assert names(without_dev(tables, [])) == ["same content", "kept", "nameless"]


def test_leakage_tells_copies_from_constants() -> None:
    constant = ["https://schema.org/InStock"] * 2
    dev = [labelled("dev", DEV, constant, ["EUR"])]
    train = [
        labelled("other", OTHER, constant, constant, ["EUR"]),
        labelled("copy", None, ["only here, in the training part"], constant),
        labelled("same host", DEV, ["only here, in the training part"]),
    ]
    assert leakage(Split(train, dev)) == Leakage(hosts=1, nameless=1, named=2)


def test_hosts_that_measure_the_32_types_train_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = min(held_out_hosts() - dev_hosts())
    tables = [
        labelled("first", measured, ["a page of the measured site"]),
        labelled("second", OTHER, ["a page of another site"]),
        labelled("third", DEV, ["a page of a dev site"]),
        labelled("copy", OTHER, ["a page of the measured  site"]),
    ]
    publish(monkeypatch, tables, [], tables)
    small = sotab32_split(Path("anywhere"))
    assert (names(small.dev), names(small.train)) == (["first", "third"], ["second"])
    large = sotab82_split(Path("anywhere"))
    assert (names(large.dev), names(large.train)) == (["third"], ["second", "copy"])


def test_all_tables_of_a_wikipedia_page_are_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [
        labelled(f"{page}-{i}", None, [f"table number {i} of the page number {page}"])
        for page in range(10)
        for i in "ab"
    ]
    tables.append(labelled("99-a", None, ["the same again and again"]))
    monkeypatch.setattr(split, "load_labelled", lambda folder, source: tables)
    parts = wikitables_split(Path("anywhere"))
    chosen = choose_dev_hosts([*map(str, range(10)), "99"])
    assert {name.rpartition("-")[0] for name in names(parts.dev)} == set(chosen)
    assert len(parts.dev) + len(parts.train) == len(tables)
    tables.append(
        replace(parts.dev[0], table=replace(parts.dev[0].table, name=f"{parts.train[0].table.name}z"))
    )
    assert names(wikitables_split(Path("anywhere")).train) == names(parts.train)


def test_command_rewrites_the_hosts_and_reports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hosts = [f"site{number}.example" for number in range(10)]
    named = [labelled(host, host, [f"the long content of {host}"]) for host in hosts]
    small = [f"small{number}.example" for number in range(8)]
    publish(monkeypatch, named, [], [labelled(host, host, ["x"]) for host in (*small, None)])
    monkeypatch.setattr(split, "__file__", str(tmp_path / "split.py"))
    assert split._main([str(tmp_path)]) == 0
    written = json.loads((tmp_path / "dev_hosts.json").read_text(encoding="utf-8"))
    assert written == {
        "seed": 0,
        "fraction": 0.2,
        "hosts": choose_dev_hosts(hosts),
        "hosts_32": choose_dev_hosts(small, fraction=0.25),
    }
    assert len(written["hosts_32"]) == 2
    assert "train: 10 tables, 10 labelled columns" in capsys.readouterr().out


def test_command_wants_one_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert split._main([]) == 2
    assert "expected one folder" in capsys.readouterr().err
    assert split._main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


@needs_data
def test_committed_hosts_are_a_fifth_of_the_set() -> None:
    hosts = [table.host for table in load_labelled(REAL, "sotabv2_cta") if table.host]
    assert choose_dev_hosts(hosts) == sorted(dev_hosts())
    small = choose_dev_hosts((t.host for t in load_labelled(REAL, "sotab32_cta") if t.host), fraction=0.25)
    assert dev_hosts() | set(small) == held_out_hosts()


@needs_data
def test_nothing_leaks_on_the_real_sets() -> None:
    parts = sotab82_split(REAL)
    found = leakage(parts)
    assert (found.hosts, found.nameless) == (0, 0)
    assert len(parts.train) > 1200
    for source, task in (("sotabv2_cpa", "CPA"), ("sotabv2_cpa_val", "CPA"), ("sotab32_cta", "CTA")):
        kept = without_dev(load_labelled(REAL, source, task), parts.dev)
        assert kept
        assert leakage(Split(kept, parts.dev)) == Leakage(0, 0, 0)
