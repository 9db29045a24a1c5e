"""Named validators: whether a cell is what its name says, in bounded time, from the text alone.

Each has a kind, which says how much passing is worth: a *checksum* that random digits seldom pass, a
*format* with parts of its own, a *lexicon* of known words, and a *shape* that much text has. How often the
columns of the training tables pass is measured in ``assets/shapes.json`` and weighs in `instances`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Literal

from aegir_dspy.errors import InputError
from aegir_dspy.tables.infer import is_null
from aegir_dspy.verifier.checks_codes import CODES
from aegir_dspy.verifier.checks_network import NETWORK
from aegir_dspy.verifier.checks_numbers import NUMBERS
from aegir_dspy.verifier.checks_time import TIMES
from aegir_dspy.verifier.checks_words import WORDS
from aegir_dspy.verifier.forms import Sieve
from aegir_dspy.verifier.patterns import Check
from aegir_dspy.verifier.word_lists import LISTED, MEMBERS, listed, members

__all__ = [
    "LONGEST",
    "VALIDATORS",
    "EvidenceKind",
    "kind_of",
    "packages",
    "passes",
    "passing",
    "unknown",
    "validate",
]

LONGEST = 256
"""Characters of a cell that are looked at; what stands behind does not count."""

EvidenceKind = Literal["checksum", "format", "lexicon", "shape"]

VALIDATORS: Mapping[str, Check] = MappingProxyType({**CODES, **NETWORK, **TIMES, **NUMBERS, **WORDS})
"""Name → check of a text without spaces around it, not null, of `LONGEST` characters at most."""

_KINDS: dict[EvidenceKind, str] = {
    "checksum": "iban credit_card isin cusip lei vat isbn issn imei vin_digit orcid casrn luhn npi gtin figi"
    " tax_id national_id",
    "format": "bic uuid doi mac ip url image_url email json iso_date date datetime time iso_duration duration"
    " opening_hours formatted_phone coordinate crypto_address password_hash mime"
    " user_agent file_path vin money"
    " hash price_range base64 asin ssn epoch dimensions occupation_code phone address file_name",
    "lexicon": "country country_code region nationality language language_code currency currency_code boolean"
    " gender marital_status color status_word item_availability item_condition event_status attendance_mode"
    " delivery_method book_format restricted_diet payment_method day_of_week month"
    " timezone http_method log_level"
    " operating_system unit mass distance energy quantity education locale",
}
_KIND_OF: dict[str, EvidenceKind] = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_PACKAGES = ("phonenumbers", "pycountry", "python-dateutil", "python-stdnum", "validators")


def kind_of(name: str) -> EvidenceKind:
    """The kind of evidence that passing the validator `name` is."""
    return _KIND_OF.get(name, "shape")


def validate(name: str, value: str) -> bool | None:
    """Whether the cell is what the validator `name` wants; None for a null, which says nothing.

    Raises:
        InputError: there is no such validator.
    """
    return None if is_null(value) else passes(name, value[:LONGEST].strip())


def passes(name: str, value: str) -> bool:
    """`validate` of a text that is no null, has no spaces around it and at most `LONGEST` characters."""
    if name not in VALIDATORS:
        raise unknown(name)
    return name in passing(value)


def unknown(name: str) -> InputError:
    """The error that there is no such validator."""
    return InputError(f"expected a validator, found {name!r}; see VALIDATORS for the {len(VALIDATORS)} names")


@lru_cache(maxsize=1 << 15)
def passing(value: str) -> frozenset[str]:
    """The validators that such a text passes: of all, those are asked whose form it has."""
    if not value:
        return frozenset(name for name, check in VALIDATORS.items() if check(value))
    may_pass = _SIEVE.may_pass(value)
    passed = [name for name, check in _asked(may_pass) if check(value)]
    for some, together in _TOGETHER:
        if may_pass & some:
            passed += together(value)
    return frozenset(passed)


@lru_cache(maxsize=1 << 13)
def _asked(may_pass: int) -> tuple[tuple[str, Check], ...]:
    """The checks of those validators that are asked one by one."""
    return tuple(
        (name, check)
        for i, (name, check) in enumerate(VALIDATORS.items())
        if may_pass >> i & 1 and name not in LISTED and name not in MEMBERS
    )


_SIEVE = Sieve(tuple(VALIDATORS))
_TOGETHER = (
    (_SIEVE.bits(LISTED), listed),
    (_SIEVE.bits(MEMBERS), members),
)


def packages() -> dict[str, str]:
    """Packages whose data the validators read → their installed version, "" where one is missing."""
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
