"""Text from outside, fit for a log, a terminal, a trace: one line without control characters, masked."""

from __future__ import annotations

import unicodedata

from aegir_dspy.verifier.masking import masked

__all__ = ["shown"]

_LENGTH = 300


def shown(text: str, length: int = _LENGTH) -> str:
    """The text without what moves a terminal or hides in a line, masked, cut to `length` characters.

    Control characters (ANSI escapes among them), characters of direction and no width, surrogates and private
    use become spaces; e-mail addresses, account and long numbers are masked as cells are.
    """
    plain = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text[: 4 * length])
    return masked((plain,), length=length)[0]
