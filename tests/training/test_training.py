"""Training: the parts, and a few real steps from unlabelled tables to a swarm that loads the result."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aegir_dspy import Swarm, Table
from aegir_dspy.annotator.bundle import BundleConfig, load_bundle, save_bundle
from aegir_dspy.errors import CheckpointError, InputError
from aegir_dspy.rwkv import Geometry
from aegir_dspy.tables.serialize import ANSWER_END, COLUMN_END, SerializeConfig
from aegir_dspy.tables.table import Column
from aegir_dspy.training.average import average
from aegir_dspy.training.column_types import Example, TypesConfig, train_types
from aegir_dspy.training.corpus import header_classes, normalise_header, reading_streams
from aegir_dspy.training.datasets import load_corpus
from aegir_dspy.training.labels import LabelSpace, group_loss
from aegir_dspy.training.optimize import OptimizerConfig, ScheduledAdamW
from aegir_dspy.training.pretrain import PretrainConfig, pretrain
from aegir_dspy.training.segments import (
    NO_LABEL,
    Segment,
    Stream,
    collate,
    length_batches,
    make_stream,
)

TINY = Geometry(2, 32, 16, 256, 64, 8, 8, 8, 8, ngram_buckets=101, ngram_width=8)
WORDS = st.text("abcdefgh 0123456789", min_size=1, max_size=20).filter(lambda word: bool(word.strip()))
SEGMENTS = st.lists(
    st.builds(
        Segment,
        header=st.none() | WORDS,
        values=st.lists(WORDS, max_size=6),
        answer=st.none() | WORDS,
        label=st.integers(NO_LABEL, 5),
        group=st.integers(0, 2),
    ),
    min_size=1,
    max_size=8,
)


@given(SEGMENTS, st.booleans(), st.booleans(), st.integers(1, 400))
def test_streams_are_columns_one_after_the_other(
    segments: list[Segment], headers: bool, answers: bool, limit: int
) -> None:
    stream = make_stream(segments, SerializeConfig(), headers=headers, answers=answers, limit=limit)
    assert 1 <= len(stream.spans) <= len(segments)
    assert len(stream.tokens) <= limit or len(stream.spans) == 1
    assert stream.labels == tuple(s.label for s in segments[: len(stream.spans)])
    assert stream.tokens.count(COLUMN_END) == len(stream.spans)
    pieces = sorted([*stream.spans, *stream.answers])
    assert [start for start, _ in pieces] == [0, *(end for _, end in pieces[:-1])]
    assert pieces[-1][1] == len(stream.tokens)
    assert all(stream.tokens[end - 1 : end] == COLUMN_END for _, end in stream.spans)
    assert all(stream.tokens[end - 1 : end] == ANSWER_END for _, end in stream.answers)
    assert bool(stream.answers) == any(answers and s.answer for s in segments[: len(stream.spans)])


@given(st.lists(SEGMENTS, min_size=1, max_size=4))
def test_batches_keep_every_column_and_weigh_answers(lists: list[list[Segment]]) -> None:
    streams = [make_stream(s, SerializeConfig(), headers=True, answers=True, limit=300) for s in lists]
    batch = collate(streams, answer_weight=3.0)
    assert batch.lengths.tolist() == [len(s.tokens) for s in streams]
    assert batch.tokens.shape == batch.weight.shape == (len(streams), max(batch.lengths))
    for row, stream in enumerate(streams):
        assert bytes(batch.tokens[row, : len(stream.tokens)].tolist()) == stream.tokens
        answered = {i for start, end in stream.answers for i in range(start, end)}
        expected = [
            0.0 if i == 0 or i >= len(stream.tokens) else 3.0 if i in answered else 1.0
            for i in range(batch.weight.shape[1])
        ]
        assert batch.weight[row].tolist() == expected
    columns = [(row, *span) for row, s in enumerate(streams) for span in s.spans]
    found = zip(batch.stream.tolist(), batch.start.tolist(), batch.end.tolist(), strict=True)
    assert list(found) == columns


@given(st.lists(st.integers(1, 80), min_size=1, max_size=60), st.integers(16, 300))
def test_groups_of_similar_length_lose_nothing(lengths: list[int], tokens: int) -> None:
    streams = [Stream(bytes(n), (), (), (), ()) for n in lengths]
    groups = list(length_batches(iter(streams), tokens, random.Random(0), pool=20))
    assert sorted(len(s.tokens) for g in groups for s in g) == sorted(lengths)
    for group in groups:
        padded = -(-max(len(s.tokens) for s in group) // 16) * 16
        assert len(group) == 1 or len(group) * padded <= tokens


@pytest.mark.parametrize(
    ("header", "words"),
    [("customerID_2", "customer id"), ("Unit Price (€)", "unit price"), ("__x__", "x"), ("2020", "")],
)
def test_headers_in_words(header: str, words: str) -> None:
    assert normalise_header(header) == words


def test_headers_of_many_sources_come_first() -> None:
    def table(source: str, *names: str) -> Table:
        return Table("t", source, tuple(Column(i, n) for i, n in enumerate(names)))

    tables = [*(table("one", "often", "x") for _ in range(9)), table("one", "both"), table("two", "Both_1")]
    assert header_classes([*tables, table("two", "unnamed")], 10) == ["both", "often"]
    assert header_classes(tables, 1) == ["both"]


def corpus(count: int = 40) -> list[Table]:
    rng = random.Random(0)
    kinds: dict[str, Callable[[], str]] = {
        "price": lambda: f"{rng.random() * 100:.2f}",
        "name": lambda: rng.choice(["Ann", "Bob", "Cem", "Dora"]) + str(rng.randrange(9)),
        "email": lambda: f"u{rng.randrange(99)}@x.org",
        "year": lambda: str(rng.randrange(1900, 2030)),
    }
    tables = []
    for number in range(count):
        names = rng.sample(sorted(kinds), rng.randint(2, 4))
        columns = (Column(i, name, tuple(kinds[name]() for _ in range(6))) for i, name in enumerate(names))
        tables.append(Table(f"t{number}", f"source{number % 5}", tuple(columns)))
    return tables


def test_reading_streams_hide_the_answer_from_the_question() -> None:
    tables = corpus()
    classes = header_classes(tables, 10)
    streams = list(
        itertools.islice(reading_streams(tables, classes, SerializeConfig(), 300, random.Random(0)), 300)
    )
    with_headers = [s for s in streams if b"\x1f" in s.tokens]
    assert 20 < len(with_headers) < 100
    for stream in with_headers:  # headers in sight: nothing is asked
        assert set(stream.labels) == {NO_LABEL}
        assert not stream.answers
    others = [s for s in streams if b"\x1f" not in s.tokens]
    assert {label for s in others for label in s.labels} == set(range(len(classes)))
    assert 30 < sum(bool(s.answers) for s in others) < 150
    again = reading_streams(tables, classes, SerializeConfig(), 300, random.Random(0))
    assert list(itertools.islice(again, 300)) == streams


def test_a_corpus_without_values_is_refused() -> None:
    empty = Table("t", "s", (Column(0, "a", ("", " ")),))
    for tables in ([], [empty]):
        with pytest.raises(InputError, match="expected tables with values"):
            next(reading_streams(tables, [], SerializeConfig(), 300, random.Random(0)))


def test_labels_of_several_sets_share_their_rows() -> None:
    space = LabelSpace.of({"one": ["a", "b"], "two": ["c", "a"]})
    assert space.labels == ("a", "b", "c")
    assert space.groups == {"one": (0, 1), "two": (2, 0)}
    assert space.masks().tolist() == [[True, True, False], [True, False, True]]


def test_columns_compete_within_their_own_set() -> None:
    logits = torch.tensor([[1.0, 2.0, 50.0], [1.0, 50.0, 3.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, False, True]])
    label = torch.tensor([1, 0])
    within = torch.tensor([[1.0, 2.0], [1.0, 3.0]])
    expected = nn.functional.cross_entropy(
        within, torch.tensor([1, 0]), reduction="none", label_smoothing=0.1
    )
    losses = group_loss(logits, label, mask, 0.1)
    torch.testing.assert_close(losses, expected)
    losses.sum().backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[~mask], torch.zeros(2))


def test_the_learning_rate_warms_up_and_decays() -> None:
    layer = nn.Linear(2, 2)
    optimizer = ScheduledAdamW(layer.parameters(), OptimizerConfig(lr=1.0, warmup=0.1, floor=0.05))
    rates = []
    for progress in (0.0, 0.05, 0.1, 0.55, 1.0):
        optimizer.step(layer(torch.ones(1, 2)).sum(), progress)
        rates.append(optimizer.adam.param_groups[0]["lr"])
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.525, 0.05])
    assert [group["weight_decay"] for group in optimizer.adam.param_groups] == [0.01, 0.0]


def test_a_broken_batch_does_not_poison_the_weights() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    optimizer = ScheduledAdamW(layer.parameters(), OptimizerConfig(lr=1.0))
    assert optimizer.step(layer(torch.full((1, 2), torch.inf)).sum(), 0.5) != 0
    assert torch.equal(layer.weight, before)


def test_the_average_of_weights(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    paths = [make_bundle(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (0, 1)]
    bundles = [load_bundle(path, dtype=torch.float32) for path in paths]
    expected = (bundles[0].head.classify.weight + bundles[1].head.classify.weight) / 2
    embedding = (bundles[0].model.emb.weight + bundles[1].model.emb.weight) / 2
    mean = average(bundles)
    torch.testing.assert_close(mean.head.classify.weight, expected)
    torch.testing.assert_close(mean.model.emb.weight, embedding)
    other = replace(bundles[1], config=replace(bundles[1].config, labels=("else",)))
    with pytest.raises(CheckpointError, match="same geometry, labels and layout"):
        average([bundles[0], other])
    with pytest.raises(CheckpointError, match="at least one"):
        average([])


def write_corpus(folder: Path, tables: list[Table]) -> Path:
    folder.mkdir()
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t (source VARCHAR, path VARCHAR, licence VARCHAR, "
            '"columns" VARCHAR[], "rows" VARCHAR[][])'
        )
        for t in tables:
            rows = [list(row) for row in zip(*(c.values for c in t.columns), strict=True)]
            connection.execute(
                "INSERT INTO t VALUES (?, ?, ?, ?, ?)",
                [t.source, t.name, "CC0", [c.name for c in t.columns], rows],
            )
        connection.execute(f"COPY t TO '{folder}/shard.parquet' (FORMAT parquet)")
    return folder


def labelled(tables: list[Table]) -> list[Example]:
    return [
        Example(
            tuple(c.values for c in t.columns),
            tuple((str(c.name),) for c in t.columns),
            tuple("" if c.name == "year" else str(c.name) for c in t.columns),
            "toy",
        )
        for t in tables
    ]


@pytest.mark.slow
def test_from_unlabelled_tables_to_a_swarm(tmp_path: Path) -> None:
    tables = list(load_corpus(write_corpus(tmp_path / "corpus", corpus())))
    assert len(tables) == 40
    run = tmp_path / "run"
    config = PretrainConfig(TINY, max_steps=3, batch_tokens=1024, stream_bytes=200, classes=4)
    steps: list[dict[str, float]] = []
    path = pretrain(tables, config, run, steps.append)
    assert [s["step"] for s in steps] == [1, 2, 3]
    assert all(s["header_loss"] > 0 and s["text_loss"] > 0 for s in steps)

    pretrain(tables, replace(config, max_steps=5), run, steps.append)
    assert [s["step"] for s in steps] == [1, 2, 3, 4, 5]
    first = torch.load(path, weights_only=True)
    assert (first["step"], Geometry.from_json(first["geometry"])) == (5, TINY)

    losses: list[dict[str, float]] = []
    settings = TypesConfig(max_steps=24, columns=24, batch_tokens=1024, stream_bytes=200, minutes=5)
    examples = {"toy": (labelled(tables), 1.0)}
    trained = train_types(path, examples, tables, settings, run, losses.append)
    assert len(losses) == 24
    assert {"fused", "stream"} <= {key for numbers in losses for key in numbers}
    assert trained.space.groups["toy"] == (0, 1, 2)
    fused = [numbers["fused"] for numbers in losses if "fused" in numbers]
    assert sum(fused[-3:]) < sum(fused[:3])
    assert json.loads((run / "types.json").read_text())["max_steps"] == 24

    labels = trained.space.labels
    save_bundle(tmp_path / "w.safetensors", trained.model, trained.head, BundleConfig(labels))
    (tmp_path / "toy.json").write_text(json.dumps(["email", "name", "price"]))
    swarm = Swarm(
        checkpoint=str(tmp_path / "w.safetensors"), vocabulary=str(tmp_path / "toy.json"), abstain_below=0.0
    )
    out = swarm(tables=tables[:3])
    assert {c.type for t in out.annotations for c in t.columns} <= {"email", "name", "price"}
