"""Many continuations from one state against the plain way: each alone, token by token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.rwkv import RWKV7, StateTensors
from aegir_dspy.rwkv.scoring import ContinuationScorer

START = torch.tensor([[72, 105, 0x1D, 40, 41, 42], [1, 2, 3, 4, 5, 0x1D], [9, 9, 9, 9, 9, 9]])


def one_by_one(model: RWKV7, states: StateTensors, hidden: Tensor, continuations: list[list[int]]) -> Tensor:
    scores = torch.zeros(states.batch, len(continuations))
    for number, tokens in enumerate(continuations):
        for row in range(states.batch):
            with torch.no_grad():
                after = hidden[row : row + 1].unsqueeze(1)
                if tokens[:-1]:
                    read, _ = model(torch.tensor([tokens[:-1]]), states.select([row]))
                    after = torch.cat([after, read], 1)
                log_p = model.logits(after)[0].log_softmax(-1)
            scores[row, number] = sum(log_p[i, token] for i, token in enumerate(tokens))
    return scores


def read(model: RWKV7) -> tuple[StateTensors, Tensor]:
    with torch.no_grad():
        hidden, states = model(START)
    return states, hidden[:, -1]


@pytest.mark.parametrize(
    "labels",
    [
        [b"name"],
        [b"name", b"number", b"nam", b"date"],  # shared beginnings, and one that begins another
        [b"a", b"a", b"ab", b"ab", b"abc"],  # duplicates
        ["größe".encode(), "日本".encode(), b"\x1c", b"x" * 60],
    ],
    ids=lambda labels: f"{len(labels)}-{labels[0][:4]!r}",
)
@pytest.mark.parametrize("batch", [2048, 1])
def test_scores_are_those_of_each_alone(tiny_model: RWKV7, labels: list[bytes], batch: int) -> None:
    states, hidden = read(tiny_model)
    before = [t.clone() for t in states]
    found = ContinuationScorer(tiny_model, labels, batch=batch).score(states, hidden)
    expected = one_by_one(tiny_model, states, hidden, [list(label) for label in labels])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(before, states, strict=True))


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(97, 99), min_size=1, max_size=5), min_size=1, max_size=8))
def test_any_labels(tiny_model: RWKV7, labels: list[list[int]]) -> None:
    states, hidden = read(tiny_model)
    found = ContinuationScorer(tiny_model, labels).score(states, hidden)
    torch.testing.assert_close(found, one_by_one(tiny_model, states, hidden, labels), rtol=1e-4, atol=1e-4)


def test_probabilities_of_all_single_tokens_add_to_one(tiny_model: RWKV7) -> None:
    states, hidden = read(tiny_model)
    scores = ContinuationScorer(tiny_model, [[token] for token in range(256)]).score(states, hidden)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))


def test_no_streams(tiny_model: RWKV7) -> None:
    states, hidden = read(tiny_model)
    scores = ContinuationScorer(tiny_model, [b"a", b"bc"]).score(states.select(torch.arange(0)), hidden[:0])
    assert scores.shape == (0, 2)
