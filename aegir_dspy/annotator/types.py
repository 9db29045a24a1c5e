"""Column types: read every column alone, fuse the context's states, read the target again, answer.

The way of a column: its bytes are read once from the zero state (all columns of all tables in one batch);
the states of the columns chosen as its context are fused; the column is read again from the fused state;
the head scores the labels it knows, or the label texts are scored from the state. What the members of the
swarm say becomes one decision a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aegir_dspy.annotator.annotation import Candidate, ColumnAnnotation, Evidence, TableAnnotation
from aegir_dspy.annotator.bundle import Bundle, load_member
from aegir_dspy.annotator.consultation import Consultation
from aegir_dspy.annotator.decision import DecisionConfig, Decisions, decide
from aegir_dspy.annotator.ngrams import bags_of, merge
from aegir_dspy.annotator.reader import ColumnReader, Opinion
from aegir_dspy.annotator.router import CONTEXT
from aegir_dspy.annotator.sheet import Sheet
from aegir_dspy.annotator.text_scores import label_score
from aegir_dspy.latent.lens import LensCache
from aegir_dspy.latent.store import StateStore
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.tables.context import ContextConfig
from aegir_dspy.tables.serialize import sample_values
from aegir_dspy.tables.table import Column, Table

__all__ = ["AnnotatorConfig", "ColumnTypeAnnotator", "TypeScores"]


@dataclass(frozen=True, slots=True)
class AnnotatorConfig:
    """How column types are asked for.

    Attributes:
        context: how context columns are chosen; its `columns` = 0 reads every column alone.
        abstain_below: confidence under which no type is given; None takes the bundle's own.
        candidates: how many types are listed for a column.
        columns_at_once: columns whose states are held at once; bounds memory.
        routed: whether the bundle's router, if it has one, says who is asked about a column.
        sure: without a router, a column that has at least this confidence when read alone is not read again
            in its context.
        ask_below: without a router, the members of the swarm are asked about columns with less confidence.
    """

    context: ContextConfig = ContextConfig()
    abstain_below: float | None = None
    candidates: int = 5
    columns_at_once: int = 512
    routed: bool = True
    sure: float = 0.9
    ask_below: float = 0.5


class TypeScores(NamedTuple):
    """Scores of all columns of some tables.

    logits: (C, labels of the vocabulary) log-probabilities, float64.
    readable: (C,) bool: columns with a value or a header; the others say nothing.
    members: per table, (c, c) bool: which columns were context of which.
    tokens: (C,) bytes read for each column by all specialists.
    asked: (C,) bool: columns about which the members beside the primary were asked.
    """

    logits: Tensor
    readable: Tensor
    members: tuple[NDArray[np.bool_], ...]
    tokens: Tensor
    asked: Tensor


class ColumnTypeAnnotator:
    """Annotates tables with the types of one vocabulary.

    The primary reads every column, alone and, unless it is sure, again from the fused states of its context.
    What it says, with the n-gram specialist and what goes together in a table, is a first decision
    (`aegir_dspy.annotator.decision`). The members of the swarm are asked about the columns that leaves open.

    Args:
        store: where readings are kept; what was read before is not read again.
    """

    def __init__(
        self,
        bundle: Bundle,
        vocabulary: Vocabulary,
        config: AnnotatorConfig | None = None,
        store: StateStore | None = None,
    ) -> None:
        self.bundle, self.vocabulary = bundle, vocabulary
        self.config = config or AnnotatorConfig()
        labels = set(bundle.config.labels)
        self.known = all(name in labels for name in vocabulary.names)
        text = label_score(
            bundle, vocabulary, LensCache(store.folder / "lenses") if store is not None else None
        )
        names, at_once = vocabulary.names, self.config.columns_at_once
        self.primary = ColumnReader(bundle, names, at_once, text, store)
        meant = _decided_as(bundle, vocabulary)
        decisions = bundle.config.decision(meant)
        if not self.known:
            decisions = Decisions(*[DecisionConfig(temperature=bundle.config.text_temperature)] * 2)
        self.decisions = decisions
        wanted = [m for m in bundle.config.members if m.name in decisions.full.opinions]
        self.members = {
            m.name: ColumnReader(load_member(bundle, m), names, at_once, store=store)
            for m in wanted
            if self.known
        }
        # A confidence among other labels than the router was fitted on is another number.
        fitted = self.known and vocabulary.name in bundle.config.decisions
        self.router = bundle.router if fitted and self.config.routed else None
        self.ngrams = None
        if bundle.ngrams is not None and "ngrams" in decisions.first.opinions:
            rows = bundle.ngrams.rows(meant, names)
            self.ngrams = None if rows is None else bundle.ngrams.only(rows)
        self.agreement = None
        if bundle.agreement is not None and self.known and self.config.context.columns:
            self.agreement = bundle.agreement.on(names, self.primary.themes)

    @property
    def threshold(self) -> float:
        """Confidence under which no type is given."""
        own = self.config.abstain_below
        return self.bundle.config.abstain_below if own is None else own

    def steps(self, *, informed: bool = True) -> int:
        """Readings on the longest way of a column: by the primary, then by members side by side.

        Args:
            informed: whether any column has a context, and is read again from it.
        """
        return (1 + (informed and bool(self.config.context.columns))) * (1 + bool(self.members))

    def __deepcopy__(self, memo: object) -> ColumnTypeAnnotator:
        return self  # frozen: optimizers that copy a program share the weights

    def annotate(self, tables: Sequence[Table]) -> Iterator[tuple[TableAnnotation, int]]:
        """Every table's annotation with the number of bytes read for it, in order, batch by batch."""
        for batch in self._batches(tables):
            scores = self.scores(batch)
            best = self._best(scores.logits.exp())
            first = 0
            for table, members in zip(batch, scores.members, strict=True):
                last = first + len(table.columns)
                readable = scores.readable[first:last].tolist()
                columns = tuple(
                    self._column(column, best[first + i], table, members[i])
                    if readable[i]
                    else _unread(column)
                    for i, column in enumerate(table.columns)
                )
                tokens = int(scores.tokens[first:last].sum())
                yield TableAnnotation(table.name, table.source, columns), tokens
                first = last

    def scores(self, tables: Sequence[Table]) -> TypeScores:
        """Score every column of some tables."""
        sheet = self.sheet(tables)
        found, logits = self._consulted(sheet)
        return TypeScores(logits, sheet.readable, sheet.members, found.read, found.asked)

    def sheet(self, tables: Sequence[Table]) -> Sheet:
        """What there is to read."""
        most = min(self.config.context.columns, self.bundle.config.context)
        return Sheet.of(tables, replace(self.config.context, columns=most), self.bundle.config.serialize)

    def consult(self, sheet: Sheet) -> Consultation:
        """Ask the primary and the n-grams about every column, the members about those that stay open."""
        return self._consulted(sheet)[0]

    def _consulted(self, sheet: Sheet) -> tuple[Consultation, Tensor]:
        """What was said, and what it comes to, see `decide`."""
        everything = torch.ones(len(sheet.readable), dtype=torch.bool)
        none = torch.zeros_like(everything)
        labels, themes = self.ngram_opinion(sheet)
        decided: tuple[Consultation, Tensor] | None = None
        asked: dict[str, Tensor] = {}

        def again(alone: Opinion) -> Tensor:
            nonlocal decided
            first = Consultation.of(alone, labels, themes, none)
            decided = first, self.decide(sheet, first)
            asked.update(self._asked(sheet, *decided, [CONTEXT, *(self.members if self.router else ())]))
            return asked[CONTEXT]

        primary = self.primary.opine(sheet, everything, again if self.known else None)
        found = Consultation.of(primary, labels, themes, none)
        decided = found, self.decide(sheet, found, decided)
        if self.router is None:
            asked |= self._asked(sheet, *decided, list(self.members))
        for name, member in self.members.items():
            found = found.joined(name, member.opine(sheet, asked[name]), asked[name])
        return found, self.decide(sheet, found, decided)

    def decide(
        self, sheet: Sheet, found: Consultation, before: tuple[Consultation, Tensor] | None = None
    ) -> Tensor:
        """(C, L) calibrated log-probabilities.

        Args:
            before: an earlier decision; tables about whose columns nothing else is said now keep theirs.
        """
        changed = found.changed(before[0]) if before else torch.ones(len(sheet.readable), dtype=torch.bool)
        decided = [
            decide(*found.part(span), self.decisions, self.agreement, found.asked[span])
            if before is None or bool(changed[span].any())
            else before[1][span]
            for span in sheet.spans
        ]
        return torch.cat(decided) if decided else torch.zeros(0, len(self.vocabulary), dtype=torch.float64)

    def _asked(
        self, sheet: Sheet, found: Consultation, decided: Tensor, readers: Sequence[str]
    ) -> dict[str, Tensor]:
        """By reader, (C,) bool: readable columns it is asked about, by what was said and decided so far."""
        confidence = decided.exp().amax(1)
        if self.router is not None:
            routes = self.router.routes(readers, found.hidden, confidence)
            wanted = dict(zip(readers, routes.unbind(1), strict=True))
        else:
            enough = {CONTEXT: self.config.sure}
            wanted = {name: confidence < enough.get(name, self.config.ask_below) for name in readers}
        return {name: columns & sheet.readable for name, columns in wanted.items()}

    def ngram_opinion(self, sheet: Sheet) -> tuple[Tensor | None, Tensor | None]:
        """Margins of the labels (C, L) and of the themes (C, T), where the n-grams know all labels."""
        ngrams = self.ngrams
        if ngrams is None:
            return None, None
        bags, contexts, tables = [], [], []
        for table, chosen in zip(sheet.tables, sheet.members, strict=True):
            own = [bags_of(column, table.comment) for column in table.columns]
            bags += own
            contexts += [merge([own[i].grams for i in np.flatnonzero(line)]) for line in chosen]
            tables.append(merge([one.grams for one in own]))
        margins = ngrams.margins(bags, contexts).double()
        order = [ngrams.themes.index(name) for name in self.primary.themes if name in ngrams.themes]
        themes = ngrams.theme_margins(tables).double()[:, order]
        widths = torch.tensor([len(table.columns) for table in sheet.tables])
        return margins, themes.repeat_interleave(widths, 0)

    def _batches(self, tables: Sequence[Table]) -> Iterator[list[Table]]:
        batch: list[Table] = []
        columns = 0
        for table in tables:
            if batch and columns + len(table.columns) > self.config.columns_at_once:
                yield batch
                batch, columns = [], 0
            batch.append(table)
            columns += len(table.columns)
        if batch:
            yield batch

    def _best(self, probabilities: Tensor) -> list[tuple[Candidate, ...]]:
        """The likeliest types of every column; of equally likely ones the first of the vocabulary first."""
        ordered = probabilities.sort(dim=1, descending=True, stable=True)
        names = self.vocabulary.names
        return [
            tuple(Candidate(names[i], round(p, 4)) for p, i in zip(values, indices, strict=True))
            for values, indices in zip(
                ordered.values[:, : self.config.candidates].tolist(),
                ordered.indices[:, : self.config.candidates].tolist(),
                strict=True,
            )
        ]

    def _column(
        self, column: Column, candidates: tuple[Candidate, ...], table: Table, members: np.ndarray
    ) -> ColumnAnnotation:
        top = candidates[0]
        abstained = top.probability < self.threshold
        return ColumnAnnotation(
            column.index,
            column.name,
            None if abstained else top.type,
            None if abstained else self.vocabulary[top.type].iri,
            top.probability,
            abstained,
            candidates,
            tuple(_evidence(column, table, members)),
        )


def _decided_as(bundle: Bundle, vocabulary: Vocabulary) -> str:
    """The name of the vocabulary whose decisions fit: its own, or that of a vocabulary it is a part of."""
    if vocabulary.name in bundle.config.decisions or bundle.agreement is None:
        return vocabulary.name
    for name in ("sotab82", "sotab32"):
        if set(load_vocabulary(name).names).issuperset(vocabulary.names):
            return name
    return vocabulary.name


def _unread(column: Column) -> ColumnAnnotation:
    return ColumnAnnotation(column.index, column.name, None, None, 0.0, True)


def _evidence(column: Column, table: Table, members: np.ndarray) -> Iterator[Evidence]:
    if column.name:
        yield Evidence("header", column.name)
    if column.comment:
        yield Evidence("comment", column.comment)
    for value in sample_values(column.values, 3):
        yield Evidence("value", value[:80])
    others = [table.columns[i].name or f"column {i + 1}" for i in np.flatnonzero(members)]
    if others:
        yield Evidence("context", ", ".join(others))
