"""The annotator on a tiny random model: what it answers is noise, how it answers is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from aegir_dspy.annotator import types
from aegir_dspy.annotator.annotation import TableAnnotation
from aegir_dspy.annotator.bundle import Bundle, load_bundle
from aegir_dspy.annotator.decision import DecisionConfig, Decisions, decide
from aegir_dspy.annotator.text_scores import TextScorer
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.ontology import Label, Vocabulary, load_vocabulary
from aegir_dspy.tables import Table
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.tables.serialize import serialize_column
from aegir_dspy.tables.table import Column

MINE = Vocabulary("mine", tuple(Label(x) for x in ("shoe size", "colour", "Colour", "größe", "size")))
MIXED = Vocabulary(
    "mixed", (Label("shoe size"), Label("Person/name", "https://example.org/n"), Label("email"))
)
VOCABULARIES = {"known": load_vocabulary("sotab32"), "text": MINE, "mixed": MIXED}


def annotate(
    bundle: Bundle, vocabulary: Vocabulary, tables: Sequence[Table], **config: Any
) -> list[TableAnnotation]:
    annotator = ColumnTypeAnnotator(bundle, vocabulary, AnnotatorConfig(**config))
    return [annotation for annotation, _ in annotator.annotate(tables)]


def as_json(annotations: Sequence[TableAnnotation]) -> dict[str, str]:
    return {a.name: json.dumps(a.to_json()) for a in annotations}


def confidences(annotations: Sequence[TableAnnotation]) -> dict[tuple[str, int], dict[str, float]]:
    return {
        (a.name, c.index): {k.type: k.probability for k in c.candidates}
        for a in annotations
        for c in a.columns
    }


def test_neither_batch_size_nor_order_of_tables_matters(bundle: Bundle, tables: list[Table]) -> None:
    whole = as_json(annotate(bundle, VOCABULARIES["known"], tables))
    for size in (1, 7, 100):
        assert as_json(annotate(bundle, VOCABULARIES["known"], tables, columns_at_once=size)) == whole
    assert as_json(annotate(bundle, VOCABULARIES["known"], tables[::-1])) == whole
    for table in tables:
        assert as_json(annotate(bundle, VOCABULARIES["known"], [table])) == {table.name: whole[table.name]}


@pytest.mark.parametrize("name", ["text", "mixed"])
def test_labels_scored_as_text_do_not_depend_on_the_batch(
    bundle: Bundle, tables: list[Table], name: str
) -> None:
    whole = confidences(annotate(bundle, VOCABULARIES[name], tables))
    small = confidences(annotate(bundle, VOCABULARIES[name], tables[::-1], columns_at_once=5))
    assert whole.keys() == small.keys()
    for column, candidates in whole.items():
        assert small[column] == pytest.approx(candidates, abs=2e-3)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_candidates_are_sorted_probabilities(bundle: Bundle, tables: list[Table], name: str) -> None:
    vocabulary = VOCABULARIES[name]
    for annotation in annotate(bundle, vocabulary, tables, abstain_below=0.5):
        for column in annotation.columns:
            found = [c.probability for c in column.candidates]
            assert len(found) == min(5, len(vocabulary))
            assert found == sorted(found, reverse=True)
            assert 0 <= sum(found) <= 1 + 1e-3
            assert column.confidence == found[0]
            assert column.abstained == (column.confidence < 0.5)
            best = column.candidates[0].type
            assert column.type == (None if column.abstained else best)
            assert column.iri == (None if column.abstained else vocabulary[best].iri)


def test_all_probabilities_add_to_one(bundle: Bundle, tables: list[Table]) -> None:
    annotator = ColumnTypeAnnotator(bundle, MIXED)
    probabilities = annotator.scores(tables).logits.exp()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(probabilities), dtype=torch.float64))


@pytest.mark.parametrize(("threshold", "abstained"), [(0.0, False), (1.1, True)])
def test_the_threshold_decides(
    bundle: Bundle, tables: list[Table], threshold: float, abstained: bool
) -> None:
    found = annotate(bundle, VOCABULARIES["known"], tables, abstain_below=threshold)
    assert {c.abstained for t in found for c in t.columns} == {abstained}


def test_the_bundles_own_threshold_and_context_hold_by_default(bundle: Bundle, tables: list[Table]) -> None:
    sure = replace(bundle, config=replace(bundle.config, abstain_below=1.1))
    assert all(c.abstained for t in annotate(sure, MIXED, tables) for c in t.columns)
    alone = replace(bundle, config=replace(bundle.config, context=0))
    assert as_json(annotate(alone, MIXED, tables)) == as_json(
        annotate(bundle, MIXED, tables, context=ContextConfig(columns=0))
    )


def test_context_informs_a_column(bundle: Bundle, make_table: Callable[..., Table]) -> None:
    one = make_table("t", a=["x", "y"], b=["1", "2"])
    two = make_table("t", a=["x", "y"], b=["Ulm", "Bonn"])
    vocabulary = VOCABULARIES["known"]
    first, second = (annotate(bundle, vocabulary, [t])[0].columns[0] for t in (one, two))
    assert first.candidates != second.candidates
    assert [e.text for e in first.evidence if e.kind == "context"] == ["b"]
    config = {"context": ContextConfig(columns=0)}
    first, second = (annotate(bundle, vocabulary, [t], **config)[0].columns[0] for t in (one, two))
    assert first == second
    assert not [e for e in first.evidence if e.kind == "context"]


def test_what_says_nothing_is_no_context_and_gets_no_type(bundle: Bundle) -> None:
    columns = (
        Column(0, "a", ("x", "y")),
        Column(1, None, ("", "  ")),
        Column(2, None, ()),
        Column(3, "\x07", ("\x00",)),
        Column(4, "b", ()),
    )
    with_empty = annotate(bundle, VOCABULARIES["known"], [Table("t", "s", columns)], abstain_below=0.0)[0]
    for index in (1, 2, 3):
        column = with_empty.columns[index]
        assert (column.type, column.candidates, column.confidence, column.abstained) == (None, (), 0.0, True)
    assert [c.type is None for c in with_empty.columns] == [False, True, True, True, False]
    without = annotate(
        bundle, VOCABULARIES["known"], [Table("t", "s", (columns[0], columns[4]))], abstain_below=0.0
    )[0]
    assert with_empty.columns[0] == without.columns[0]
    assert with_empty.columns[4] == without.columns[1]


def test_tables_without_columns_are_annotated_in_their_place(bundle: Bundle, tables: list[Table]) -> None:
    empty = [Table("none", "s", ()), Table("void", "s", (Column(0, None, ()),))]
    given = [empty[0], tables[0], *empty, tables[1]]
    for vocabulary in VOCABULARIES.values():
        for size in (512, 1):
            found = annotate(bundle, vocabulary, given, columns_at_once=size)
            assert [(t.name, len(t.columns)) for t in found] == [
                ("none", 0), ("shop", 4), ("none", 0), ("void", 1), ("one", 1)
            ]  # fmt: skip
        assert annotate(bundle, vocabulary, []) == []
        assert [t.name for t in annotate(bundle, vocabulary, [empty[0]])] == ["none"]


def test_a_header_alone_is_read(bundle: Bundle) -> None:
    table = Table("schema_only", "s", tuple(Column(i, name) for i, name in enumerate(("id", "email"))))
    found = annotate(bundle, VOCABULARIES["known"], [table])[0]
    assert [len(c.candidates) for c in found.columns] == [5, 5]
    assert [(e.kind, e.text) for e in found.columns[0].evidence] == [("header", "id"), ("context", "email")]


def test_the_bytes_read_are_counted_exactly(bundle: Bundle, tables: list[Table]) -> None:
    config = AnnotatorConfig(columns_at_once=9, sure=2.0)
    annotator = ColumnTypeAnnotator(bundle, VOCABULARIES["known"], config)
    for table, (_, read) in zip(tables, annotator.annotate(tables), strict=True):
        once = sum(len(serialize_column(c, bundle.config.serialize)) for c in table.columns)
        assert read == once * (1 + (len(table.columns) > 1))


def test_a_column_that_is_sure_alone_is_read_once(bundle: Bundle, tables: list[Table]) -> None:
    wide = [table for table in tables if len(table.columns) > 1]
    alone = ContextConfig(columns=0)
    config = {"columns_at_once": 100, "abstain_below": 0.0}
    once = annotate(bundle, VOCABULARIES["known"], wide, sure=0.0, **config)
    by_itself = annotate(bundle, VOCABULARIES["known"], wide, context=alone, **config)
    again = annotate(bundle, VOCABULARIES["known"], wide, sure=2.0, **config)
    assert confidences(once) == confidences(by_itself)
    assert confidences(again) != confidences(by_itself)
    reader = ColumnTypeAnnotator(bundle, VOCABULARIES["known"], AnnotatorConfig(sure=0.0))
    for table, (_, read) in zip(wide, reader.annotate(wide), strict=True):
        assert read == sum(len(serialize_column(c, bundle.config.serialize)) for c in table.columns)


def test_a_wide_table_is_all_annotated(bundle: Bundle, make_table: Callable[..., Table]) -> None:
    wide = make_table("wide", **{f"c{i}": [str(i), str(i * i)] for i in range(1200)})
    (found,) = annotate(bundle, VOCABULARIES["known"], [wide], columns_at_once=500)
    assert [c.index for c in found.columns] == list(range(1200))
    assert all(sum(e.kind == "context" for e in c.evidence) == 1 for c in found.columns)


def test_copies_share_the_weights(bundle: Bundle) -> None:
    from copy import deepcopy

    annotator = ColumnTypeAnnotator(bundle, MIXED)
    assert deepcopy(annotator).bundle.model is bundle.model


def test_labels_with_one_text_share_a_score(bundle: Bundle, tables: list[Table]) -> None:
    logits = ColumnTypeAnnotator(bundle, MINE).scores(tables).logits
    assert torch.equal(logits[:, 1], logits[:, 2])
    assert not torch.equal(logits[:, 0], logits[:, 4])


def test_gain_is_nothing_after_no_particular_column(bundle: Bundle) -> None:
    scorer = TextScorer(bundle.model, ["a", "b c", "\ud800"])
    with torch.inference_mode():
        hidden, states = bundle.model(torch.tensor([[0x1D]]))
    torch.testing.assert_close(scorer.gain(states, hidden[:, -1]), torch.zeros(1, 3))


def test_what_the_head_knows_moves_the_text_scores(bundle: Bundle, tables: list[Table]) -> None:
    known, unknown = (
        ColumnTypeAnnotator(bundle, MIXED),
        ColumnTypeAnnotator(
            replace(bundle, config=replace(bundle.config, labels=("else",) * len(bundle.config.labels))),
            MIXED,
        ),
    )
    one, two = known.scores(tables).logits, unknown.scores(tables).logits
    moved = (one - one[:, :1]) - (two - two[:, :1])  # against a label that neither head knows
    assert moved[:, 1].abs().max() > 0.01


def test_every_vocabulary_is_decided_in_its_own_way(
    make_bundle: Callable[..., Path], tmp_path: Path, tables: list[Table]
) -> None:
    config = {"": DecisionConfig({"primary": 1.0}), "sotab32": DecisionConfig({"primary": 0.5})}
    decisions = {name: Decisions(one, one) for name, one in config.items()}
    bundle = load_bundle(make_bundle(tmp_path / "w.safetensors", decisions=decisions))
    for name, share in (("sotab32", 0.5), ("dbpedia", 1.0)):
        annotator = ColumnTypeAnnotator(bundle, load_vocabulary(name), AnnotatorConfig(sure=2.0))
        said = annotator.consult(annotator.sheet(tables)).labels["primary"]
        found = annotator.scores(tables).logits
        torch.testing.assert_close(found, (share * said).log_softmax(1))


def test_every_byte_read_is_counted_captions_too(bundle: Bundle, tables: list[Table]) -> None:
    told = [tables[0], replace(tables[3], comment="Powers of small numbers")]
    annotator = ColumnTypeAnnotator(bundle, load_vocabulary("sotab32"), AnnotatorConfig(sure=2.0))
    pieces = [len(piece) for piece in annotator.sheet(told).pieces(bundle.config.serialize)]
    found = annotator.scores(told).tokens
    assert len(pieces) == len(found) + 1
    assert int(found.sum()) == 2 * sum(pieces[:-1]) + pieces[-1]  # alone, then from the context
    assert [tokens for _, tokens in annotator.annotate(told)] == [int(found[:4].sum()), int(found[4:].sum())]


def test_a_table_is_decided_again_only_where_something_else_is_said(
    bundle: Bundle, tables: list[Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    annotator, decided = ColumnTypeAnnotator(bundle, load_vocabulary("sotab32")), []
    sheet = annotator.sheet(tables[:3])
    before = annotator.consult(sheet)
    logits = annotator.decide(sheet, before)
    labels = before.labels["primary"].clone()
    labels[sheet.spans[1].start] = labels[sheet.spans[1].start].flip(0)
    now = replace(before, labels={**before.labels, "primary": labels})
    expected = annotator.decide(sheet, now)
    assert not torch.equal(expected, logits)
    monkeypatch.setattr(types, "decide", lambda *said: decided.append(said) or decide(*said))
    assert torch.equal(annotator.decide(sheet, now, (before, logits)), expected)
    assert len(decided) == 1
    assert torch.equal(annotator.decide(sheet, before, (before, logits)), logits)
    assert len(decided) == 1
