"""The n-gram specialist: bags that add up, features of length one, weights that survive a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aegir_dspy.annotator.bundle import load_bundle, save_bundle
from aegir_dspy.annotator.decision import DecisionConfig, Decisions
from aegir_dspy.annotator.ngrams import CONTEXT_BUCKETS, OWN_BUCKETS, bags_of, features, merge, shapes_of
from aegir_dspy.annotator.types import ColumnTypeAnnotator
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.tables import Column, Table
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.ngrams import train_ngrams

values = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6).map(tuple)


def column(*cells: str) -> Column:
    return Column(0, None, cells)


@given(values)
def test_a_bag_counts_every_window_once(cells):
    bag = bags_of(column(*cells)).grams
    shown = dict.fromkeys(c for c in cells if c.strip())
    length = len("\x1e".join(shown).lower().encode())
    assert bag.counts.sum() == sum(max(0, length - n) for n in range(4))
    assert (np.diff(bag.buckets) > 0).all()
    assert not len(bag.buckets) or 0 <= bag.buckets[0] <= bag.buckets[-1] < OWN_BUCKETS


@given(st.lists(values, max_size=4), st.randoms())
def test_bags_of_a_context_add_up_in_any_order(columns, random):
    bags = [bags_of(column(*cells)).grams for cells in columns]
    merged = merge(bags)
    assert merged.counts.sum() == sum(bag.counts.sum() for bag in bags)
    assert not len(merged.buckets) or merged.buckets[-1] < CONTEXT_BUCKETS
    random.shuffle(bags)
    again = merge(bags)
    assert np.array_equal(again.buckets, merged.buckets)
    assert np.array_equal(again.counts, merged.counts)


@given(values)
def test_features_have_length_one(cells):
    bag = bags_of(column(*cells)).grams
    if len(bag.buckets):
        assert np.linalg.norm(features(bag, np.ones(OWN_BUCKETS))) == pytest.approx(1)


@given(values)
def test_shapes_do_not_depend_on_the_order_of_values(cells):
    assert sorted(shapes_of(cells)) == sorted(shapes_of(cells[::-1]))


def test_shapes_tell_what_n_grams_cannot():
    same = [set(shapes_of(cells)) for cells in (("817.581.4335", "972.386.0090"), ("1.200.3", "9.9.12"))]
    assert "S9.9.9" in same[0] & same[1] and not {"L7"} <= same[1] <= same[0]
    assert {"M2", "D2", "R1"} <= set(shapes_of(["12.50", "9.25"]))
    assert "L10" in set(shapes_of(["x" * 40])) and "V" + "x" * 40 not in set(shapes_of(["x" * 40]))


@pytest.fixture(scope="module")
def trained():
    def table(label: str, cells: tuple[str, ...]) -> Example:
        return Example((cells,), ((),), (label,), "sotab82")

    emails = [table("email", (f"u{i}@example.com", f"w{i}@mail.org")) for i in range(12)]
    dates = [table("Date", (f"2021-0{1 + i % 9}-11", f"2019-0{1 + i % 9}-23")) for i in range(12)]
    uuids = [Example(((f"{i:08x}-aaaa-4bbb-8ccc-{i:012x}",),), ((),), ("UUID",), "schema") for i in range(12)]
    books = [replace(table, theme="Book") for table in emails]
    events = [replace(table, theme="Event") for table in dates]
    named = [
        Example((("a", "b"),), ((name,),), (name,), "freebase", caption="a page")
        for name in ("film", "song") * 6
    ]
    return train_ngrams(emails + dates, uuids, named, ("theme:Book", "theme:Event"), books + events)


def test_it_tells_what_it_was_taught(trained):
    cells = [("someone@web.de",), ("2020-03-17",), ("0000000f-aaaa-4bbb-8ccc-00000000000f",)]
    nothing = merge([])
    margins = trained.margins([bags_of(column(*c)) for c in cells], [nothing] * 3)
    assert [trained.labels[i] for i in margins.argmax(1).tolist()] == ["email", "Date", "UUID"]


def test_titles_tell_what_values_cannot(trained):
    bags = [bags_of(Column(0, name, ("a", "b"))) for name in ("film", "song")]
    margins = trained.margins(bags, [merge([])] * 2)
    film, song = (trained.labels.index(name) for name in ("film", "song"))
    assert margins[0, film] > margins[0, song] and margins[1, song] > margins[1, film]


def test_it_tells_what_the_rows_of_a_table_are(trained):
    tables = [merge([bags_of(column(*c)).grams]) for c in (("someone@web.de",), ("2020-03-17",))]
    assert [trained.themes[i] for i in trained.theme_margins(tables).argmax(1).tolist()] == [
        "theme:Book",
        "theme:Event",
    ]


def test_a_column_without_values_gets_no_opinion(trained):
    assert (trained.margins([bags_of(column("", " "))], [merge([])]) == 0).all()


def test_it_survives_the_file_and_counts_only_by_its_share(trained, bundle, tmp_path):
    path = tmp_path / "with.safetensors"
    table = Table("t", "t", (Column(0, None, ("a@b.org", "c@d.org")), Column(1, None, ("2020-01-01",))))
    scores = {}
    for share in (0.0, 50.0):
        decision = DecisionConfig({"primary": 1.0, "ngrams": share})
        config = replace(bundle.config, decisions={"sotab82": Decisions(decision, decision)})
        save_bundle(path, bundle.model, bundle.head, config, trained)
        loaded = load_bundle(path)
        assert loaded.ngrams is not None and torch.equal(loaded.ngrams.own, trained.own)
        annotator = ColumnTypeAnnotator(loaded, load_vocabulary("sotab82"))
        scores[share] = annotator.scores([table]).logits
        other = ColumnTypeAnnotator(loaded, load_vocabulary("dbpedia"))
        assert "ngrams" not in other.consult(other.sheet([table])).labels
    assert not torch.allclose(scores[0.0], scores[50.0])
    names = load_vocabulary("sotab82").names
    assert [names[i] for i in scores[50.0].argmax(1).tolist()] == ["email", "Date"]


def test_a_vocabulary_can_mean_its_labels_in_its_own_way():
    def table(label: str, cells: tuple[str, ...], group: str) -> Example:
        return Example((cells,), ((),), (label,), group)

    shared = [table("Date", (f"2021-0{1 + i % 9}-11",), "sotab82") for i in range(12)]
    shared += [table("Rating", (f"{i % 5}.5",), "sotab82") for i in range(12)]
    turned = [table("Rating", e.columns[0], "sotab32") for e in shared[:12]]
    turned += [table("Date", e.columns[0], "sotab32") for e in shared[12:]]
    ngrams = train_ngrams(shared, [], own={"sotab32": turned})
    bags, nothing = [bags_of(Column(0, None, ("2020-03-14",)))], [merge([])]
    said = []
    for vocabulary in ("sotab82", "sotab32"):
        rows = ngrams.rows(vocabulary, ["Date", "Rating"])
        assert rows is not None
        said.append(ngrams.only(rows).margins(bags, nothing))
        assert torch.equal(said[-1], ngrams.margins(bags, nothing)[:, rows])
    assert said[0].argmax() == 0 and said[1].argmax() == 1
    assert ngrams.rows("sotab82", ["Date", "of nobody"]) is None
