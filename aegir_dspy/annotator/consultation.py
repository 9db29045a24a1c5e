"""What was said of the columns of some tables, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from aegir_dspy.annotator.reader import Opinion

__all__ = ["NGRAMS", "PRIMARY", "Consultation"]

PRIMARY, NGRAMS = "primary", "ngrams"


@dataclass(frozen=True)
class Consultation:
    """Opinions on C columns.

    Attributes:
        labels: by member, (C, L) log-probabilities (the n-grams: margins); zero where it was not asked.
        themes: by member, (C, T).
        asked: (C,) bool: columns about which any member beside primary and n-grams was asked.
        read: (C,) bytes read for each column; a caption counts with the first column of its table.
        hidden: (C, F) what the primary made of each column alone.
    """

    labels: Mapping[str, Tensor]
    themes: Mapping[str, Tensor]
    asked: Tensor
    read: Tensor
    hidden: Tensor

    @classmethod
    def of(
        cls, primary: Opinion, ngram_labels: Tensor | None, ngram_themes: Tensor | None, asked: Tensor
    ) -> Consultation:
        """The opinions of the primary and, if there are any, of the n-grams."""
        labels, themes = {PRIMARY: primary.labels}, {PRIMARY: primary.themes}
        if ngram_labels is not None and ngram_themes is not None:
            labels[NGRAMS] = ngram_labels
            if ngram_themes.shape == primary.themes.shape:
                themes[NGRAMS] = ngram_themes
        return cls(labels, themes, asked, primary.read, primary.hidden)

    def joined(self, name: str, opinion: Opinion, asked: Tensor) -> Consultation:
        """With another member's opinion on the columns it was asked about."""
        labels = {**self.labels, name: opinion.labels}
        return replace(self, labels=labels, asked=self.asked | asked, read=self.read + opinion.read)

    def changed(self, before: Consultation) -> Tensor:
        """(C,) bool: columns about which something else is said than `before`, or somebody else was asked."""
        changed = self.asked ^ before.asked
        for now, then in ((self.labels, before.labels), (self.themes, before.themes)):
            for name in now.keys() & then.keys():
                changed = changed | (now[name] != then[name]).any(1)
        return changed

    def part(self, span: slice) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Labels and themes of the columns of one table."""
        return {n: x[span] for n, x in self.labels.items()}, {n: x[span] for n, x in self.themes.items()}
