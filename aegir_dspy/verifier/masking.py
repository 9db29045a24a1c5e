"""Cells as evidence: cut, and without what looks like personal data."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aegir_dspy.verifier.checks_codes import CODES, compact

__all__ = ["LENGTH", "masked"]

LENGTH = 40
"""Characters of a cell that are shown at most."""

_LOOKED_AT = 400  # characters that are searched for personal data before the cell is cut, at least
_EMAIL = re.compile(
    r"\b([\w.+-])[\w.+-]{0,63}@([\w-])[\w-]{0,62}(?:\.[\w-]{1,63}){0,6}(\.[a-z]{2,24})\b", re.IGNORECASE
)
_IBAN = re.compile(r"\b([A-Z]{2}\d{2})(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?\b", re.IGNORECASE)
_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ().\-/]{0,2}\d){6,18}(?![\w])")
_DATE = re.compile(r"(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{4})(?:[ T].*)?")
_DECIMAL = re.compile(r"\d+\.\d+")
# Types whose cells name or locate a person: only the first sign of each word is shown.
_PERSONAL = frozenset(
    {
        "Person/name", "givenName", "familyName", "Username", "PassportNumber", "NationalID", "taxID",
        "SocialSecurityNumber", "birthDate", "LicensePlate", "streetAddress", "PostalAddress", "PasswordHash",
        "CreditCardNumber", "IBAN", "telephone", "faxNumber", "email", "GivenName", "Surname",
    }
)  # fmt: skip
_WORD = re.compile(r"(\w)\w+")


def masked(values: Iterable[str], label: str | None = None, length: int = LENGTH) -> tuple[str, ...]:
    """The cells, fit to be shown in a report: ``j***@e***.com``, ``**** **** **** 1234``.

    E-mail addresses, account and card numbers and other long numbers are masked wherever they stand; with
    the `label` of a type that is personal data, all words are: ``A*** L***``. Then the rest is cut to
    `length` characters. Numbers that dates and decimals are made of stay.
    """
    seen = max(_LOOKED_AT, 2 * length)
    return tuple(_cut(_masked(value[:seen], label in _PERSONAL), length) for value in values)


def _masked(text: str, personal: bool) -> str:
    text = " ".join(text.split())
    hidden = _EMAIL.sub(r"\1***@\2***\3", text)
    hidden = _IBAN.sub(_account, hidden)
    hidden = _DIGITS.sub(_number, hidden)
    return _WORD.sub(r"\1***", hidden) if personal and hidden == text else hidden


def _account(match: re.Match[str]) -> str:
    return f"{match[1]} **** {match[0][-4:]}" if CODES["iban"](match[0]) else match[0]


def _number(match: re.Match[str]) -> str:
    text = match[0]
    if _DATE.fullmatch(text) or _DECIMAL.fullmatch(text):
        return text
    digits = compact(text).strip("+()")
    if CODES["credit_card"](text.strip()):
        return f"**** **** **** {digits[-4:]}"
    return f"{'+' if text.startswith('+') else ''}***{digits[-2:]}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
