"""Training streams: several columns of one table, concatenated, each ending with the same delimiter.

Training on concatenated segments, with the label asked at every delimiter, is what makes states of
separately read columns fusable later.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aegir_dspy.tables.serialize import ANSWER_END, SerializeConfig, serialize_values

__all__ = ["NO_LABEL", "Batch", "Segment", "Stream", "collate", "length_batches", "make_stream"]

NO_LABEL = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """One column as the trainer sees it: a header to show or hide, cells, an answer, a label id."""

    header: str | None
    values: Sequence[str]
    answer: str | None = None
    label: int = NO_LABEL
    group: int = 0  # which label set the label belongs to


@dataclass(frozen=True, slots=True)
class Stream:
    """The bytes of one training stream and where its columns lie in them."""

    tokens: bytes
    spans: tuple[tuple[int, int], ...]  # [start, end) of each column, delimiter included
    labels: tuple[int, ...]
    groups: tuple[int, ...]
    answers: tuple[tuple[int, int], ...]  # [start, end) of the answers in the stream


@dataclass(frozen=True, slots=True)
class Batch:
    """B streams padded to T, and the C columns in them.

    tokens (B, T) int64; lengths (B,); stream, start, end, label, group (C,);
    weight (B, T) of the next-byte loss at each target position.
    """

    tokens: Tensor
    lengths: Tensor
    stream: Tensor
    start: Tensor
    end: Tensor
    label: Tensor
    group: Tensor
    weight: Tensor


def make_stream(
    segments: Sequence[Segment], config: SerializeConfig, *, headers: bool, answers: bool, limit: int
) -> Stream:
    """Lay segments one after the other until `limit` bytes are full; the first one is always kept."""
    tokens = bytearray()
    spans: list[tuple[int, int]] = []
    answer_spans: list[tuple[int, int]] = []
    kept: list[Segment] = []
    for segment in segments:
        piece = serialize_values(segment.header if headers else None, segment.values, config)
        answer = b""
        if answers and segment.answer:
            answer = segment.answer.encode()[: config.header_bytes] + ANSWER_END
        if kept and len(tokens) + len(piece) + len(answer) > limit:
            break
        spans.append((len(tokens), len(tokens) + len(piece)))
        tokens += piece
        if answer:
            answer_spans.append((len(tokens), len(tokens) + len(answer)))
            tokens += answer
        kept.append(segment)
    return Stream(
        bytes(tokens),
        tuple(spans),
        tuple(s.label for s in kept),
        tuple(s.group for s in kept),
        tuple(answer_spans),
    )


def collate(streams: Sequence[Stream], answer_weight: float = 3.0) -> Batch:
    """Pad streams into one batch; answers weigh more than values in the next-byte loss."""
    length = max(len(s.tokens) for s in streams)
    tokens = torch.zeros(len(streams), length, dtype=torch.int64)
    weight = torch.zeros(len(streams), length)
    columns: list[tuple[int, int, int, int, int]] = []
    for row, s in enumerate(streams):
        tokens[row, : len(s.tokens)] = torch.frombuffer(bytearray(s.tokens), dtype=torch.uint8)
        weight[row, 1 : len(s.tokens)] = 1.0
        for start, end in s.answers:
            weight[row, start:end] = answer_weight
        columns += [
            (row, *span, label, group) for span, label, group in zip(s.spans, s.labels, s.groups, strict=True)
        ]
    row_of, begin, finish, labels, groups = torch.tensor(columns).unbind(1)
    lengths = torch.tensor([len(s.tokens) for s in streams])
    return Batch(tokens, lengths, row_of, begin, finish, labels, groups, weight)


def length_batches(
    streams: Iterator[Stream], tokens: int, rng: random.Random, pool: int = 512
) -> Iterator[list[Stream]]:
    """Group streams of similar length into batches of about `tokens` bytes; batch order is random."""
    while waiting := [s for _, s in zip(range(pool), streams, strict=False)]:
        waiting.sort(key=lambda s: len(s.tokens))
        batches: list[list[Stream]] = [[]]
        for s in waiting:
            if batches[-1] and (len(batches[-1]) + 1) * _padded(len(s.tokens)) > tokens:
                batches.append([])
            batches[-1].append(s)
        rng.shuffle(batches)
        yield from batches


def _padded(length: int) -> int:
    """What a stream costs: the recurrence works in chunks of 16 tokens."""
    return -(-length // 16) * 16
