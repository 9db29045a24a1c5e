"""What does a column gain from others, and what is kept when only their states are handed over?

    python benchmarks/fusion.py [--quick] [--checkpoint FILE] [--reader FILE ...] [--seed N] [--json FILE]

Every arm has the same frozen primary, head and serialization, no n-gram member, and answers for the same
columns: labelled ones with something beside them. They differ in what the target is read after. Sets:
`sotab82` (dev hosts), `wikitables_turl` (dev pages; headers, and title and section as a piece of its own),
`t2dv2` (classes nobody was taught: a linear probe on each arm's features, fitted crosswise by table) and
`relational` (generated with another seed than training; roles that only a comparison of columns tells).

Column `all`: every target with the context the annotator would choose, ± the standard deviation over three
seeds (column orders; trainings). N1 … N16: up to as many targets as `at_n`, with exactly that many context
columns, by lot (relational: with generated fillers). Trained arms learn on training tables, from the same
task; the primary is frozen. `path`: bytes read one after the other until the answer; `handed`: bytes handed
over, mean of a target. The rows `time` are 6 tables of 17 columns, all of them targets: cold from bytes, and
with what was read or said about the columns kept in memory.

*Aligned*: another checkpoint (a member of the swarm, or ``--reader`` of any size) reads the context, an
`AlignmentProjection` fitted by ridge on what both made of training columns maps its states, and they are
fused by sum/√N; *beside*: both readers' states are fused. *Text passing*: each context column's most probable
label, by the same primary alone, in words; a caption is handed on as it is. *Trained*: with a head of its
own, trained on such readings with the same two losses as the fusions.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cases import CAPTION, Cases, relational, sotab82, t2dv2, training_examples, wikitables
from _harness import Bench, labelled_folder, main
from _reader import Fuse, Reader
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from aegir_dspy.annotator.bundle import Bundle, default_bundle, load_bundle, load_member
from aegir_dspy.annotator.head import ColumnHead
from aegir_dspy.annotator.text_scores import verbalise
from aegir_dspy.latent.affine import MapsKind
from aegir_dspy.latent.alignment import AlignmentProjection
from aegir_dspy.latent.fusion import side_by_side
from aegir_dspy.latent.specialist import FrozenSpecialist, Reading
from aegir_dspy.latent.state_fusion import FusionConfig, RWKVStateFusion
from aegir_dspy.tables.serialize import ANSWER_END, COLUMN_END, HEADER_END, VALUE_END
from aegir_dspy.training.fusion import (
    FusionTask,
    FusionTrainingConfig,
    distillation_loss,
    read_fusion_task,
    train_fusion,
)
from aegir_dspy.training.labels import group_loss

SINGLE, SEQUENTIAL, TEXT = "single column", "sequential", "text passing, trained"
WRONG = "sum/√N of a wrong table"
DEFAULT, LEARNED = "sum/√N", "weighted_sum"  # the annotator's, and the learned one that is to equal it
FREE = {
    "mean": FusionConfig("mean"),
    "sum": FusionConfig("sum"),
    DEFAULT: FusionConfig("sqrt"),
    "compose, ordered": FusionConfig("compose", order="given"),
    "compose, cyclic": FusionConfig("compose"),
}
TRAINED = {
    LEARNED: FusionConfig("weighted_sum"),
    "gated, 8 slots": FusionConfig("gated", agents=8),
    "concat_project, 8 slots": FusionConfig("concat_project", agents=8),
}
POOLED = ("sotab82", "wikitables_turl", "relational")
AGENTS = (1, 2, 4, 8, 16)
DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    seeds: int = 3
    targets: int = 10_000
    relational: int = 100
    at_n: int = 60
    agents: tuple[int, ...] = AGENTS
    training: FusionTrainingConfig = FusionTrainingConfig(steps=60, columns=16, targets=500)


QUICK = Size(2, 16, 6, 8, (4,), FusionTrainingConfig(steps=2, columns=8, targets=16))
Right = NDArray[np.float64]  # (runs, T) 1 where the answer is right


@dataclass(slots=True)
class Arm:
    """One way to read the targets.

    features: of a sheet's cases with a run's number; None where it cannot. runs: how many differ.
    head: who answers; the primary's by default. cost: bytes on the way and bytes handed over, of a target.
    orders: whether runs are orders whose answers can be averaged. curve: whether it is asked at each N.
    """

    name: str
    features: Callable[[Sheet, Cases, int], Tensor | None]
    runs: int = 1
    head: ColumnHead | None = None
    cost: Callable[[Sheet, int], tuple[float, float]] = lambda sheet, row: (0.0, 0.0)
    orders: bool = False
    curve: bool = True


@dataclass(slots=True)
class Sheet:
    """The cases of a set and what the primary, and another reader, made of each piece alone."""

    cases: Cases
    reader: Reader
    first: Reading
    said: list[str] = field(default_factory=list)  # the label of each piece, in words; empty: no words
    aligned: dict[str, Reading] = field(default_factory=dict)  # what another reader's states become


def measure(bench: Bench) -> None:
    """accuracy of columns read after others, their labels or their fused states, and what it costs"""
    size = QUICK if bench.options.quick else Size()
    folder, seed = labelled_folder(bench), bench.options.seed
    bundle = load_bundle(bench.options.checkpoint) if bench.options.checkpoint else default_bundle()
    others = {member.name: load_member(bundle, member) for member in bundle.config.members}
    others |= {f"{path.parent.name}/{path.stem}": load_bundle(path) for path in bench.options.reader}
    examples = training_examples(bundle, folder, seed)
    training = replace(size.training, seed=seed)
    task = read_fusion_task(bundle, examples, training, [bundle, *others.values()])
    own = replace(task, states=task.states[:1])
    arms = [*_arms(bundle, own, size, seed), *_aligned(bundle, others, task)]
    sheets = [_sheet(cases, bundle) for cases in _sets(bundle, folder, size, seed)]
    found = {sheet.cases.name: _accuracy(sheet, arms, size, seed) for sheet in sheets}
    for sheet in sheets:
        _rows(bench, sheet, arms, found[sheet.cases.name], size)
    for name, cold, reuse in _times(bundle, arms, 1 if bench.options.quick else 6, seed):
        bench.row(set="time", arm=name, cold_ms=1000 * cold, reuse_ms=1000 * reuse)
    _checks(bench, {s.cases.name: s.cases for s in sheets}, found, size, seed)


def _sets(bundle: Bundle, folder: Path, size: Size, seed: int) -> Iterator[Cases]:
    for make in (sotab82, wikitables, t2dv2):
        cases = make(bundle, folder, seed)
        if cases.labels or cases.name == "t2dv2":
            rows = random.Random(seed).sample(range(len(cases)), min(size.targets, len(cases)))
            yield cases.select(sorted(rows))
    cases = relational(bundle, size.relational, seed)
    if cases.labels:
        yield cases


def _sheet(cases: Cases, bundle: Bundle) -> Sheet:
    reader = Reader(bundle, cases.labels)
    first = reader.specialist.read(cases.pieces, maps="full")
    answers = reader.best(reader.probabilities(first.features)) if cases.labels else cases.pieces
    said = [verbalise(str(a)) for a in answers] if cases.labels else []
    return Sheet(cases, reader, first, said)


# --- arms -----------------------------------------------------------------------------------------


def _arms(bundle: Bundle, task: FusionTask, size: Size, seed: int) -> Iterator[Arm]:
    state, full, diag = _state_bytes(bundle)
    yield Arm(SINGLE, _single, cost=lambda s, i: (s.cases.bytes_of([s.cases.targets[i]]), 0.0))
    yield Arm(
        "one pass, asked where it ends",
        partial(_in_a_row, seed, True),
        size.seeds,
        cost=_row_cost,
        orders=True,
    )
    yield Arm(SEQUENTIAL, partial(_in_a_row, seed, False), size.seeds, cost=_row_cost, orders=True)
    yield Arm("text passing", lambda sheet, cases, run: _texts(sheet, cases), cost=_text_cost)
    head = _text_head(bundle, task)
    yield Arm(TEXT, lambda sheet, cases, run: _texts(sheet, cases), head=head, cost=_text_cost)
    sqrt = RWKVStateFusion("sqrt").eval()
    yield Arm(
        WRONG,
        lambda sheet, cases, run: _fused(sheet, replace(cases, context=cases.wrong), sqrt),
        cost=partial(_fused_cost, state),
        curve=False,
    )
    for name, config in FREE.items():
        handed = state + (full if config.mode == "compose" else 0)
        yield Arm(name, partial(_free, config, False), cost=partial(_fused_cost, handed))
        if config.mode == "compose":
            cost = partial(_fused_cost, state + diag)
            yield Arm(f"{name}, diag(M)", partial(_free, config, True), cost=cost)
    for name, config in TRAINED.items():
        fusions = [_trained(bundle, task, config, size, seed + run) for run in range(size.seeds)]
        yield Arm(name, partial(_learned, fusions), size.seeds, cost=partial(_fused_cost, state))


def _aligned(bundle: Bundle, others: dict[str, Bundle], task: FusionTask) -> Iterator[Arm]:
    """Another reader's states instead of the primary's, and beside them."""
    for (name, other), states in zip(others.items(), task.states[1:], strict=True):
        align = AlignmentProjection(other.model.geometry, bundle.model.geometry)
        align.fit(states, task.states[0])
        read = partial(_other, name, other, align.requires_grad_(False))
        handed = _state_bytes(other)[0]
        yield Arm(f"aligned {name}", partial(read, False), cost=partial(_fused_cost, handed), curve=False)
        handed += _state_bytes(bundle)[0]
        yield Arm(
            f"aligned {name}, beside", partial(read, True), cost=partial(_fused_cost, handed), curve=False
        )


def _other(
    name: str,
    other: Bundle,
    align: AlignmentProjection,
    beside: bool,
    sheet: Sheet,
    cases: Cases,
    run: int,
) -> Tensor:
    used = sorted({i for context in cases.context for i in context})
    place = {i: row for row, i in enumerate(used)}
    context = [[place[i] for i in one] for one in cases.context]
    if name not in sheet.aligned:
        turn = other.config.serialize.direction != sheet.reader.direction
        pieces = [_turned(cases.pieces[i]) if turn else cases.pieces[i] for i in used]
        reading = FrozenSpecialist(other.model, other.identity).read(pieces)
        sheet.aligned[name] = reading._replace(states=align(reading.states))
    first = sheet.aligned[name]
    if beside:
        both = side_by_side([sheet.first.states.select(used), first.states])
        first = first._replace(states=both)
        context = [[*one, *(len(used) + row for row in one)] for one in context]
    return _fused(sheet, replace(cases, context=context), RWKVStateFusion("sqrt").eval(), first)


def _turned(piece: bytes) -> bytes:
    """A piece as a reader of the other direction reads it: every header and value reversed."""
    marks = b"([" + HEADER_END + VALUE_END + COLUMN_END + b"])"
    return b"".join(part[::-1] for part in re.split(marks, piece))


def _single(sheet: Sheet, cases: Cases, run: int) -> Tensor:
    return sheet.first.features[cases.targets]


def _in_a_row(seed: int, anywhere: bool, sheet: Sheet, cases: Cases, run: int) -> Tensor:
    """After its context in random order, or after what comes before it when it stands anywhere in there."""
    rng = random.Random(f"order-{seed}-{run}")
    streams = []
    for context, target in zip(cases.context, cases.targets, strict=True):
        order = rng.sample(context, len(context))
        order = order[: rng.randint(0, len(order))] if anywhere else order
        streams.append([*(cases.pieces[i] for i in order), cases.pieces[target]])
    features = _single(sheet, cases, run).clone()
    after = [row for row, stream in enumerate(streams) if len(stream) > 1]
    features[after] = sheet.reader.last([streams[row] for row in after])
    return features


def _texts(sheet: Sheet, cases: Cases) -> Tensor | None:
    """After what is said of its context columns, in words."""
    if not sheet.said:
        return None
    told = [[_told(cases.pieces[i], sheet.said[i]) for i in context] for context in cases.context]
    return sheet.reader.last([[*t, cases.pieces[i]] for t, i in zip(told, cases.targets, strict=True)])


def _told(piece: bytes, label: str) -> bytes:
    caption = piece.startswith(CAPTION.encode() + HEADER_END)
    return piece if caption else label.encode() + ANSWER_END


def _fused(sheet: Sheet, cases: Cases, fuse: Fuse, first: Reading | None = None) -> Tensor:
    pieces = [cases.pieces[i] for i in cases.targets]
    return sheet.reader.from_context(pieces, cases.context, first or sheet.first, fuse)


def _free(config: FusionConfig, diagonal: bool, sheet: Sheet, cases: Cases, run: int) -> Tensor:
    first = sheet.first if config.mode == "compose" else sheet.first._replace(maps=None)
    if diagonal and first.maps is not None:
        first = first._replace(maps=first.maps.diagonal())
    return _fused(sheet, cases, RWKVStateFusion(config).eval(), first)


def _learned(fusions: Sequence[RWKVStateFusion], sheet: Sheet, cases: Cases, run: int) -> Tensor | None:
    slots = fusions[run].config.agents
    if slots and any(len(context) > slots for context in cases.context):
        return None
    return _fused(sheet, cases, fusions[run], sheet.first._replace(maps=None))


def _trained(
    bundle: Bundle, task: FusionTask, config: FusionConfig, size: Size, seed: int
) -> RWKVStateFusion:
    fusion = RWKVStateFusion(replace(config, seed=seed), bundle.model.geometry)
    train_fusion(bundle, fusion, task, replace(size.training, seed=seed))
    return fusion.requires_grad_(False)


def _text_head(bundle: Bundle, task: FusionTask, steps: int = 60) -> ColumnHead:
    """The primary's head, trained further on training columns read after the labels of their context.

    With the losses of a fusion's training. Rate and steps were chosen on the dev part, in this arm's favour.
    """
    reader = Reader(bundle, ())
    alone = bundle.head(reader.specialist.read(task.context_pieces).features).detach()
    streams = []
    for context, piece, mask in zip(task.context, task.pieces, task.mask, strict=True):
        said = alone[list(context)].masked_fill(~mask, -torch.inf).argmax(1).tolist()
        labels = [verbalise(bundle.config.labels[row]) for row in said]
        told = [_told(task.context_pieces[i], x) for i, x in zip(context, labels, strict=True)]
        streams.append([*told, piece])
    features = reader.last(streams).clone()
    head = ColumnHead(bundle.model.geometry.width, len(bundle.config.labels))
    head.load_state_dict(bundle.head.state_dict())
    adam = torch.optim.AdamW(head.parameters(), lr=3e-4, weight_decay=0.01)
    for _ in range(steps):
        adam.zero_grad()
        logits = head(features)
        loss = group_loss(logits, task.label, task.mask, 0.0).mean()
        loss = loss + distillation_loss(task.teacher, logits, task.mask)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return head.requires_grad_(False).eval()


# --- what an arm costs ----------------------------------------------------------------------------


def _state_bytes(bundle: Bundle) -> tuple[int, int, int]:
    """Of a state in float32, of its maps, and of their diagonals."""
    g = bundle.model.geometry
    matrix = 4 * g.layers * g.heads * g.head_size
    return matrix * g.head_size + 8 * g.layers * g.width, matrix * g.head_size, matrix


def _row_cost(sheet: Sheet, row: int) -> tuple[float, float]:
    cases = sheet.cases
    context = cases.bytes_of(cases.context[row])
    return context + cases.bytes_of([cases.targets[row]]), context


def _text_cost(sheet: Sheet, row: int) -> tuple[float, float]:
    """Agents read at the same time, then the primary reads their words; their writing is not counted."""
    cases = sheet.cases
    words = sum(len(_told(cases.pieces[i], sheet.said[i])) for i in cases.context[row]) if sheet.said else 0
    return _longest(cases, row) + words + cases.bytes_of([cases.targets[row]]), words


def _fused_cost(state: int, sheet: Sheet, row: int) -> tuple[float, float]:
    cases = sheet.cases
    return _longest(cases, row) + cases.bytes_of([cases.targets[row]]), state * len(cases.context[row])


def _longest(cases: Cases, row: int) -> int:
    return max(len(cases.pieces[i]) for i in cases.context[row])


def _times(bundle: Bundle, arms: Sequence[Arm], tables: int, seed: int) -> Iterator[tuple[str, float, float]]:
    """Seconds for all columns of some tables of 17, from bytes, and with what was read alone kept."""
    made = relational(bundle, tables + 1, seed)  # one more: the wrong table of the last
    cases = _wide(made.select([i for i, number in enumerate(made.tables) if number < tables]))
    sheet = _sheet(cases, bundle)
    for arm in arms:
        if not arm.curve or arm.name == TEXT or arm.features(sheet, cases, 0) is None:
            continue  # and what a first call costs is nobody's speed
        if arm.name.startswith("one pass"):
            cold = reuse = _seconds(partial(sheet.reader.streams, _whole(cases)))
        else:
            reuse = _seconds(partial(arm.features, sheet, cases, 0))
            alone = partial(sheet.reader.specialist.read, cases.pieces, maps=_maps(arm))
            cold = reuse + (0.0 if arm.name == SEQUENTIAL else _seconds(alone))
        yield arm.name, cold, reuse


def _whole(cases: Cases) -> list[list[bytes]]:
    """The columns of each table."""
    tables: dict[int, list[bytes]] = {}
    for number, target in zip(cases.tables, cases.targets, strict=True):
        tables.setdefault(number, []).append(cases.pieces[target])
    return list(tables.values())


def _maps(arm: Arm) -> MapsKind:
    if not arm.name.startswith("compose"):
        return "none"
    return "diag" if "diag" in arm.name else "full"


def _wide(cases: Cases) -> Cases:
    """Every column of tables of 17 as a target, the other 16 its context."""
    spans = {
        n: sorted([*c, *o, t])[:17]
        for n, c, o, t in zip(cases.tables, cases.context, cases.others, cases.targets, strict=True)
    }
    pairs = [(number, target) for number, span in spans.items() for target in span]
    nothing: list[list[int]] = [[] for _ in pairs]
    used = {i: row for row, i in enumerate(i for span in spans.values() for i in span)}
    return replace(
        cases,
        pieces=[cases.pieces[i] for i in used],
        tables=[number for number, _ in pairs],
        targets=[used[target] for _, target in pairs],
        context=[[used[i] for i in spans[number] if i != target] for number, target in pairs],
        others=nothing,
        wrong=nothing,
        gold=[frozenset[str]() for _ in pairs],
    )


def _seconds(work: Callable[[], object]) -> float:
    """The lesser of two, in processor time: the machine may be shared."""
    spent = []
    for _ in range(2):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


# --- what comes out -------------------------------------------------------------------------------


def _accuracy(sheet: Sheet, arms: Sequence[Arm], size: Size, seed: int) -> dict[tuple[int, str], Right]:
    """(context columns, 0 for all there are; arm) → where it was right."""
    found: dict[tuple[int, str], Right] = {}
    for agents in (0, *size.agents):
        cases = sheet.cases
        if agents:
            cases = cases.at(agents, size.at_n, random.Random(f"{seed}-{agents}"))
        if len(cases) < (8 if agents else 1):
            continue
        for arm in arms:
            if agents and not arm.curve:
                continue
            features = [arm.features(sheet, cases, run) for run in range(arm.runs)]
            read = [f for f in features if f is not None]
            if len(read) < arm.runs:
                continue
            answers = [_probabilities(sheet, cases, f, arm) for f in read]
            found[agents, arm.name] = np.stack([_right(sheet, cases, a) for a in answers])
            if arm.orders and arm.runs > 1:
                name = f"{arm.name}, mean of {arm.runs} orders"
                found[agents, name] = _right(sheet, cases, torch.stack(answers).mean(0))[None]
    return found


def _probabilities(sheet: Sheet, cases: Cases, features: Tensor, arm: Arm) -> Tensor:
    return sheet.reader.probabilities(features, arm.head) if cases.labels else _probe(cases, features)


def _right(sheet: Sheet, cases: Cases, probabilities: Tensor) -> NDArray[np.float64]:
    names = cases.labels or sorted({label for gold in cases.gold for label in gold})
    return cases.right([names[i] for i in probabilities.argmax(1).tolist()])


def _probe(cases: Cases, features: Tensor) -> Tensor:
    """(T, classes) of a linear probe fitted on the other four fifths of the tables."""
    names = sorted({label for gold in cases.gold for label in gold})
    x = features.double().numpy()
    y = np.array([names.index(min(gold)) for gold in cases.gold])
    fold = np.array(cases.tables) % 5
    found = np.zeros((len(cases), len(names)))
    for held in range(5):
        train, test = fold != held, fold == held
        if test.any() and len(set(y[train])) > 1:
            mean, scale = x[train].mean(0), x[train].std(0) + 1e-6
            probe = LogisticRegression(C=0.1, max_iter=500).fit((x[train] - mean) / scale, y[train])
            found[np.ix_(test, probe.classes_)] = probe.predict_proba((x[test] - mean) / scale)
    return torch.from_numpy(found)


def _rows(
    bench: Bench, sheet: Sheet, arms: Sequence[Arm], found: dict[tuple[int, str], Right], size: Size
) -> None:
    cost = {arm.name: arm.cost for arm in arms}
    cases = sheet.cases
    for name in dict.fromkeys(name for _, name in found):
        base = cost[name.partition(", mean of")[0]]
        path, handed = np.mean([base(sheet, row) for row in range(len(cases))], 0)
        times = size.seeds if "mean of" in name else 1
        low = high = gap = None
        if (0, name) in found:
            gap, low, high = _gap([(cases, found)], name, SEQUENTIAL, 0, 0)
        bench.row(
            set=cases.name,
            arm=name,
            all=_mean(found, 0, name),
            sd=float(found[0, name].mean(1).std(ddof=1)) if len(found.get((0, name), ())) > 1 else None,
            **{f"N{n}": _mean(found, n, name) for n in size.agents},
            gap=gap,
            low=low,
            high=high,
            path=float(path) * times,
            handed=float(handed) * times,
        )
    counts = {f"N{n}": len(found[n, SINGLE][0]) for n in size.agents if (n, SINGLE) in found}
    bench.row(set=cases.name, arm="(targets)", all=len(cases), **counts)


def _mean(found: dict[tuple[int, str], Right], agents: int, name: str) -> float | str | None:
    if (agents, name) in found:
        return float(found[agents, name].mean())
    return "cannot" if "slots" in name and (agents, SINGLE) in found else None


Measured = tuple[Cases, dict[tuple[int, str], Right]]


def _gap(
    sets: Sequence[Measured], one: str, other: str, agents: int, seed: int
) -> tuple[float, float, float]:
    """Accuracy of one arm less another's, pooled, and its 95 % interval over tables and runs."""
    rng = np.random.default_rng(seed)
    gains, totals = np.zeros((2, 1 + DRAWS))
    for cases, found in sets:
        a, b = found[agents, one], found[agents, other]
        tables = np.unique(cases.tables, return_inverse=True)[1] if not agents else np.arange(a.shape[1])
        count = np.bincount(tables)
        times = _draws(rng, len(count)) * len(count)
        for sign, right in ((1, a), (-1, b)):
            sums = np.stack([np.bincount(tables, run) for run in right])  # (runs, tables)
            gains += sign * ((_draws(rng, len(right)) @ sums) * times).sum(1)
        totals += times @ count
    share = gains / totals
    low, high = np.quantile(share[1:], (0.025, 0.975))
    return float(share[0]), float(low), float(high)


def _draws(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """(1 + DRAWS, count) how often each is drawn, as a share: first each once, then with replacement."""
    drawn = rng.multinomial(count, np.full(count, 1 / count), DRAWS) / count
    return np.concatenate([np.full((1, count), 1 / count), drawn])


def _checks(
    bench: Bench,
    cases: dict[str, Cases],
    found: dict[str, dict[tuple[int, str], Right]],
    size: Size,
    seed: int,
) -> None:
    pooled: list[Measured] = [(cases[name], found[name]) for name in POOLED if name in cases]
    columns = [one for one in pooled if one[0].name != "wikitables_turl"]
    slack = 0.2 if bench.options.quick else 0.0  # a quick run shows that it runs
    for name in (DEFAULT, LEARNED):
        _, low, _ = _gap(pooled, name, SEQUENTIAL, 0, seed)
        bench.check(f"{name} - {SEQUENTIAL}, lower end of 95 %", low, at_least=-0.01 - slack)
    gain, *_ = _gap(pooled, DEFAULT, SINGLE, 0, seed)
    bench.check(f"{DEFAULT} - {SINGLE}", gain, at_least=0.05 - slack)
    gain = min(_gap(columns, DEFAULT, name, 0, seed)[0] for name in ("text passing", TEXT))
    bench.check(f"{DEFAULT} - the better text passing, where context is columns", gain, at_least=0.02 - slack)
    gain, *_ = _gap(pooled, DEFAULT, WRONG, 0, seed)
    bench.check(f"{DEFAULT} - a wrong table's context", gain, at_least=0.02 - slack)
    for agents in (0, *size.agents):
        there = [one for one in pooled if (agents, LEARNED) in one[1]]
        if there:
            gain, low, high = _gap(there, LEARNED, DEFAULT, agents, seed)
            name = f"{LEARNED} - {DEFAULT}, {agents or 'all'} agents (noise ±{(high - low) / 2:.3f})"
            bench.check(name, gain, at_least=-(high - low) / 2 - slack)
    if "relational" in found:
        own = found["relational"]
        for name in (DEFAULT, LEARNED):
            bench.check(f"relational, {name}", float(own[0, name].mean()), at_least=0.9 - 4 * slack)
        bench.check(f"relational, {TEXT}", float(own[0, TEXT].mean()), at_most=0.65 + 2 * slack)


def _options(parser: argparse.ArgumentParser) -> None:
    files: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument("--checkpoint", **files, help="the primary (default: the package's)")
    parser.add_argument(
        "--reader", **files, nargs="*", default=[], help="other checkpoints that read context"
    )


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # decayed states underflow, and denormal numbers are slow
    sys.exit(main("fusion", measure, _options))
