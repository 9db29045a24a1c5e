"""Text from outside, fit for a log, a terminal, a trace: one line without control characters, masked."""

from __future__ import annotations

import unicodedata

from aegir_dspy.verifier.masking import masked

__all__ = ["plain", "shown"]

_LENGTH = 300


def shown(text: str, length: int = _LENGTH) -> str:
    """The text as `plain` has it, cut to `length` characters, without what looks like personal data.

    E-mail addresses, account numbers and long numbers are masked as cells are.
    """
    return masked((plain(text[: 4 * length]),), length=length)[0]


def plain(text: str) -> str:
    """The text in one line, without what moves a terminal or hides.

    Control characters (ANSI escapes among them), characters of direction and no width, surrogates and private
    use become spaces.
    """
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())
