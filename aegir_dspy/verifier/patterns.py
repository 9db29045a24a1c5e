"""Checks made of one pattern."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["Check", "found", "whole"]

Check = Callable[[str], bool]
"""Whether a text without spaces around it, of 256 characters at most, is what it should be."""


def whole(regex: str, flags: int = re.IGNORECASE) -> Check:
    """Whether the whole text matches."""
    match = re.compile(regex, flags).fullmatch
    return lambda text: match(text) is not None


def found(regex: str) -> Check:
    """Whether a pattern written in lower case is found, in letters of any case.

    Patterns that mind the case are looked for several times as fast: they are, where all letters are ASCII.
    """
    lower, any_case = re.compile(regex).search, re.compile(regex, re.IGNORECASE).search
    return lambda text: (lower(text.lower()) if text.isascii() else any_case(text)) is not None
