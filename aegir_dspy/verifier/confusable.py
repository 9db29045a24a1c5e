"""A second, deeper look at types whose cells look alike, by check digits, headers and neighbours.

The pairs: advertising id and GUID, bank account and payment card, telephone and fax, postal code and
department code, patient id and provider id. Each rule gives points to one of the two; the label with at
least `ENOUGH` points and `MARGIN` more than the other is the answer, otherwise there is none.

What this cannot see: a fax column without a header that names it or a telephone column beside it; random
(version 4) ids of advertising and of rows that have neither header nor device beside them; national bank
accounts of the length of cards; numbers of patients that happen to be valid provider numbers (one in ten is,
so three different cells at least are asked).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aegir_dspy.tables.table import Column
from aegir_dspy.verifier.checks_codes import compact
from aegir_dspy.verifier.column_profile import ColumnProfile, profile
from aegir_dspy.verifier.keys import distinctness

__all__ = ["PAIRS", "Neighbour", "role_of", "second_look"]

ENOUGH, MARGIN = 2.0, 1.5


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another column of the table: its header, the type it was given, its cells in the order of the rows."""

    header: str | None = None
    type: str | None = None
    values: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Header and type, in lower-case words."""
        return f"{_words(self.header)} {_words(self.type)}"


@dataclass(frozen=True, slots=True)
class _Case:
    """What the rules look at."""

    column: Column
    cells: ColumnProfile
    header: str
    neighbours: Sequence[Neighbour]

    def headed(self, pattern: str) -> bool:
        return re.search(pattern, self.header) is not None

    def beside(self, pattern: str) -> Neighbour | None:
        return next((n for n in self.neighbours if re.search(pattern, n.words)), None)

    def share(self, pattern: str) -> float:
        """The share of the cells that match all of the pattern."""
        match = re.compile(pattern, re.IGNORECASE).fullmatch
        pairs = zip(self.cells.sample, self.cells.weights, strict=True)
        return math.fsum(weight for value, weight in pairs if match(value))


Points = tuple[float, str]  # positive for the pair's first role, negative for its second; why
Rules = Callable[[_Case], list[Points]]


def second_look(
    column: Column,
    candidates: Sequence[tuple[str, float]],
    header: str | None = None,
    neighbours: Sequence[Neighbour] = (),
) -> tuple[str, str] | None:
    """The label to prefer and why, or None where the candidates are no confusable pair or nothing decides.

    Args:
        column: the column.
        candidates: labels with their probability, the likeliest first.
        header: of the column; its own name where None.
        neighbours: the other columns of the table, in order.
    """
    roles = [(role_of(label), label) for label, _ in candidates]
    case = _Case(column, profile(column.values), _words(header or column.name), neighbours)
    for (first, second), rules in PAIRS.items():
        labels = {role: label for role, label in reversed(roles) if role in (first, second)}
        if len(labels) == 2 and roles[0][0] in labels and case.cells.sample:
            return _decided(rules(case), labels[first], labels[second])
    return None


def _decided(points: list[Points], first: str, second: str) -> tuple[str, str] | None:
    for label, mine, other in (
        (first, [(p, why) for p, why in points if p > 0], [-p for p, _ in points if p < 0]),
        (second, [(-p, why) for p, why in points if p < 0], [p for p, _ in points if p > 0]),
    ):
        total = math.fsum(p for p, _ in mine)
        if total >= ENOUGH and total - math.fsum(other) >= MARGIN:
            return label, "; ".join(why for _, why in sorted(mine, key=lambda pair: (-pair[0], pair[1])))
    return None


# --- roles ----------------------------------------------------------------------------------------

_ROLES = {
    "advertising_id": r"advertis|\b(?:idfa|gaid|adid|maid|aaid)\b",
    "guid": r"\b(?:u|g)uid\b|unique identifier",
    "bank_account": r"\biban\b|bank ?account|account number",
    "payment_card": r"(?:credit|debit|payment|bank) ?card|card ?number",
    "fax": r"\bfax",
    "telephone": r"\b(?:tele)?phone\b|telephone|mobile",
    "postal_code": r"postal ?code|post ?code|zip",
    "department_code": r"department|departement",
    "patient_id": r"patient",
    "provider_id": r"provider|\bnpi\b|physician",
}


@lru_cache(maxsize=1 << 12)
def role_of(label: str) -> str | None:
    """The role a label plays in a confusable pair, by its name: ``CreditCardNumber`` is a payment card."""
    words = _words(label)
    return next((role for role, pattern in _ROLES.items() if re.search(pattern, words)), None)


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_LETTERS = re.compile(r"[\W_]+")


def _words(name: str | None) -> str:
    """A name in lower-case words: ``creditCardNumber``, ``credit_card-number`` → ``credit card number``."""
    return _NO_LETTERS.sub(" ", _CAMEL.sub(" ", (name or "")[:200])).strip().lower()


# --- rules ----------------------------------------------------------------------------------------


def _when(*rules: tuple[object, float, str]) -> list[Points]:
    return [(points, why) for holds, points, why in rules if holds]


_UUID_4 = r"\{?[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\}?"
_NIL = r"\{?0{8}-0{4}-0{4}-0{4}-0{12}\}?"


def _advertising(case: _Case) -> list[Points]:
    uuid, random = case.cells.share("uuid"), case.share(_UUID_4)
    repeated = distinctness(case.column.values) < 0.9 and case.cells.distinct > 1
    return _when(
        (case.headed(r"\b(?:idfa|gaid|adid|aaid|maid|rida|ad id|advertis)"), 3.0, "the header names it"),
        (uuid > 0.9 and case.share(_NIL) > 0, 2.0, "ids of zeros stand for people who opted out"),
        (
            case.beside(r"\b(?:device|platform|os|operating|campaign|install|app)\b"),
            1.0,
            "a device is beside",
        ),
        (repeated and uuid > 0.9, 0.5, "ids come back in other rows"),
        (uuid > 0.9 and random + case.share(_NIL) < 0.9, -2.5, "not all are random (version 4)"),
        (uuid < 0.5, -1.0, "they are not in the form of advertising ids"),
        (
            case.headed(r"\b(?:guid|uuid|row|record|object|correlation|session|request|entity)"),
            -2.0,
            "the header",
        ),
        (case.cells.unique and case.column.index == 0, -1.0, "it is the first column and never repeats"),
    )


def _bank(case: _Case) -> list[Points]:
    few = case.cells.distinct < 3
    card, iban = case.cells.share("credit_card"), case.cells.share("iban")
    lengths = [len(compact(value)) for value in case.cells.sample if compact(value).isdecimal()]
    short = bool(lengths) and max(lengths) <= 12
    return _when(
        (iban >= 0.8, 4.0, "mod 97 and lengths are those of IBANs"),
        (short and len(lengths) == len(case.cells.sample), 2.0, "they are too short for cards"),
        (case.headed(r"\b(?:iban|acc(?:oun)?t|konto|bank)\b"), 2.0, "the header"),
        (case.beside(r"\b(?:bic|swift|routing|sort code|bank)\b"), 1.0, "a bank is beside"),
        (lengths and not short and card < 0.5, 1.0, "Luhn digits are wrong"),
        (card >= 0.8 and not few, -4.0, "prefixes and Luhn digits are those of cards"),
        (card >= 0.8 and few, -1.5, "prefixes and Luhn digits may be those of cards"),
        (case.headed(r"\b(?:card|pan|cc|visa|mastercard)\b"), -2.0, "the header"),
        (case.beside(r"\b(?:expir\w*|exp|cvv|cvc|card ?holder)\b"), -1.5, "an expiry date is beside"),
    )


def _telephone(case: _Case) -> list[Points]:
    phone, fax = case.beside(r"\b(?:tele)?phone\b|\btel\b"), case.beside(r"\bfax")
    return _when(
        (case.headed(r"\b(?:tel|phone|telephone|telefon\w*|mobile|cell|handy|call)\b"), 3.0, "the header"),
        (case.share(r"(?:tel|phone|mobile|t)\b.*") > 0.5, 3.0, "the cells say so"),
        (fax, 2.0, "a fax number is beside"),
        (case.headed(r"fax"), -4.0, "the header"),
        (case.share(r".*fax.*") > 0.5, -4.0, "the cells say so"),
        (phone and _offices(case.column.values, phone.values), -2.0, "the telephone beside is next to it"),
    )


def _offices(values: Sequence[str], others: Sequence[str]) -> bool:
    """Whether most rows have two numbers that differ in their last four digits only: lines of one office."""
    pairs = [(re.sub(r"\D", "", a), re.sub(r"\D", "", b)) for a, b in zip(values, others, strict=False)]
    pairs = [(a, b) for a, b in pairs if len(a) >= 7 and len(b) >= 7]
    near = [a[:-4][-6:] == b[:-4][-6:] and a != b for a, b in pairs]
    return len(pairs) >= 2 and sum(near) >= 0.6 * len(pairs)


def _postal(case: _Case) -> list[Points]:
    city = case.beside(r"\b(?:city|town|locality|ort|ville|commune)\b")
    cities = profile(city.values).distinct if city else 0
    french = case.share(r"0[1-9]|[1-8]\d|9[0-5]|2[ab]|97[1-6]")
    return _when(
        (
            case.share(r"\d{5}(?:-\d{4})?|[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}|[a-z]\d[a-z] ?\d[a-z]\d") > 0.9,
            2.5,
            "form",
        ),
        (case.share(r"\d{4}|\d{6}|\d{3}-\d{4}|\d{2}-\d{3}|\d{4} ?[a-z]{2}") > 0.9, 1.5, "the form"),
        (case.headed(r"\b(?:zip|post\w*|plz|cap|cep)\b"), 2.5, "the header"),
        (cities > 3 and case.cells.distinct >= cities, 1.0, "as many codes as towns"),
        (french > 0.9, -2.0, "all are numbers of departments of France"),
        (case.share(r"[a-z&]{2,4}(?:-?\d{1,3})?") > 0.9, -2.0, "letters of a department"),
        (case.headed(r"\b(?:dept|dep|depart\w*|division|cost center|org)\b"), -2.5, "the header"),
        (cities > 3 and case.cells.distinct * 2 < cities, -1.0, "fewer codes than towns"),
        (case.beside(r"\b(?:employee|manager|salary|staff)\b"), -1.0, "staff is beside"),
    )


def _patient(case: _Case) -> list[Points]:
    npi = case.cells.share("npi") >= 0.95 and case.cells.distinct >= 3
    return _when(
        (case.headed(r"\b(?:patient|mrn|member|subject|pt)\b"), 2.5, "the header"),
        (
            case.beside(r"\b(?:birth|dob|gender|sex|admi\w+|discharge|diagnos\w+)\b"),
            1.0,
            "a person is beside",
        ),
        (not npi and case.share(r"\d{10}") > 0.9, 1.0, "check digits are not those of providers"),
        (npi, -4.0, "check digits are those of providers (NPI)"),
        (case.headed(r"\b(?:npi|provider|physician|doctor|prescriber|hcp|clinician)\b"), -2.5, "the header"),
        (case.beside(r"\b(?:special\w+|taxonomy|credential\w*|practice)\b"), -1.0, "a speciality is beside"),
    )


PAIRS: dict[tuple[str, str], Rules] = {
    ("advertising_id", "guid"): _advertising,
    ("bank_account", "payment_card"): _bank,
    ("telephone", "fax"): _telephone,
    ("postal_code", "department_code"): _postal,
    ("patient_id", "provider_id"): _patient,
}
"""Two roles → the rules that tell them apart."""
