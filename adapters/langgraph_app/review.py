"""A person looks at what is doubtful: what is asked, and what an answer may be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from aegir_dspy.adapters.langgraph_app.application import Doubt, Verdict

__all__ = ["question", "verdicts_of"]

_ANSWER = "by the ids of doubts: approve, reject or {'correct': <type>}; a word alone goes for all"


def question(doubts: Sequence[Doubt], complaint: str = "") -> dict[str, Any]:
    """What `interrupt` hands to a person; `complaint` says what was wrong with the answer before."""
    asked = {"kind": "review", "doubts": [asdict(doubt) for doubt in doubts], "answer": _ANSWER}
    return {**asked, "complaint": complaint} if complaint else asked


def verdicts_of(
    answer: Any, doubts: Sequence[Doubt], labels: Collection[str]
) -> tuple[dict[str, Verdict], str]:
    """The verdicts by the doubts' ids, and what is wrong with the answer, empty where nothing is.

    Args:
        answer: as `question` describes it; what it does not name stays as it is.
        labels: what a doubt that has choices may be corrected to.
    """
    if isinstance(answer, str):
        answer = {doubt.id: answer for doubt in doubts}
    if not isinstance(answer, Mapping):
        return {}, f"expected verdicts {_ANSWER}, found {type(answer).__name__}"
    known = {doubt.id: doubt for doubt in doubts}
    found = {}
    for name, said in answer.items():
        if name not in known:
            return {}, f"expected one of {', '.join(known)}, found {name!r}"
        verdict = _verdict(said, labels if known[name].choices else ())
        if verdict is None:
            return {}, f"expected approve, reject or {{'correct': <type>}} for {name}, found {said!r}"
        found[name] = verdict
    return found, ""


def _verdict(said: Any, labels: Collection[str]) -> Verdict | None:
    if isinstance(said, Mapping):
        value = str(said.get("correct"))
        return Verdict("correct", value) if len(said) == 1 and value in labels else None
    return Verdict(said) if said in ("approve", "reject") else None
