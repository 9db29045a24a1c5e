"""How well the cells of one column back one type: the log odds that component R_E is made of.

Two bodies of evidence are added up, natural logarithms throughout:

- *expectation* (`aegir_dspy.ontology.expectations`): of the validators a good cell may pass, the best of
  ``share · log(0.95 / background)``, where ``background`` is how often columns of any type pass; what fails
  counts ``-3 · (1 - share)``. Passing a check digit is worth 5.8, passing "any text" 0.3.
- *shape* (`aegir_dspy.verifier.shapes`): the log likelihood ratio of the label against all labels, where the
  label has a profile; then the expectation, which the profile knows already, counts a third.

Support is the logistic function of the sum, 0.5 where nothing is known. A contradiction (cells of another
datatype, numbers out of range) makes it 0.05 at most; a strict validator of *another* type that nearly all
cells pass takes 2 from the sum, so that `IdentifierAT` loses to `email` on a column of addresses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

from aegir_dspy.ontology.expectations import Expectation, expectation
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.verifier.column_profile import ColumnProfile, profile
from aegir_dspy.verifier.masking import masked
from aegir_dspy.verifier.score import quantised
from aegir_dspy.verifier.shapes import load_shapes, log_ratios
from aegir_dspy.verifier.validators import kind_of

__all__ = ["NEUTRAL", "Reason", "Support", "profile_of", "rival", "support"]

NEUTRAL = 0.5
"""Support where nothing is known."""

PASSING, FAILING = 0.95, -3.0
RARE = 0.003  # no validator counts as rarer than this
TEMPER = 0.8
BESIDE_SHAPE = 1 / 3
LEAST = -6.0  # of a log ratio of shapes: no more is said by cells of an odd form
CONTRADICTED = 0.05
RIVAL = -2.0
# Validators that another type's column passes only by being of that type.
_STRICT = (
    "email", "uuid", "iban", "isin", "doi", "ip", "url", "issn", "isbn", "iso_duration", "datetime",
    "iso_date", "mime", "user_agent", "json", "crypto_address", "day_of_week", "formatted_phone",
    "opening_hours",
)  # fmt: skip
# Validators whose cells pass several by nature.
_KIN = (
    frozenset({"url", "image_url", "file_path", "doi", "hostname", "item_availability"}),
    frozenset({"isbn", "gtin", "issn"}),
    frozenset({"uuid", "hash", "base64", "password_hash"}),
    frozenset({"iso_date", "date", "datetime", "time", "year", "epoch"}),
    frozenset({"duration", "iso_duration", "time"}),
    frozenset({"phone", "formatted_phone"}),
    frozenset({"opening_hours", "day_of_week", "work_hours", "time"}),
    frozenset({"json", "list", "text_sentence", "long_text"}),
    frozenset({"user_agent", "mime"}),
)
_KIN_OF = {name: frozenset({name}).union(*(group for group in _KIN if name in group)) for name in _STRICT}
# Types of the built-in vocabulary whose cells are cells of a broader one too.
_NARROWER = {
    "IdentifierAT": ("isbn", "issn", "gtin", "DOI", "UUID", "orderNumber", "SurrogateKey", "trackingNumber"),
    "CoordinateAT": ("latitude", "longitude"),
    "Date": ("birthDate",),
    "Number": ("Count", "Score", "Percentage", "Age", "SurrogateKey"),
    "MonetaryAmount": ("price",),
    "Language": ("Locale",),
    "Person/name": ("givenName", "familyName"),
    "URL": ("Photograph",),
    "telephone": ("faxNumber",),
    "faxNumber": ("telephone",),
}
NARROWED = 1.0
TRIED = 8  # labels whose shapes fit best, when a better one is looked for
_NUMERIC = frozenset(
    f"xsd:{n}" for n in ("decimal", "double", "float", "integer", "long", "int", "nonNegativeInteger")
) | {"xsd:positiveInteger", "xsd:short"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why support is low: the last part of a diagnostic's code, what was expected and found, cells."""

    code: str
    message: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Support:
    """Support of a type by a column's cells, 0 … 1, None where the column has no cell; reasons if low."""

    value: float | None
    reasons: tuple[Reason, ...] = ()


@lru_cache(maxsize=1 << 15)
def support(values: tuple[str, ...], label: str, iri: str | None = None) -> Support:
    """How well the cells back the label; `iri` finds what is known of a label of the user's own."""
    column = profile(values)
    if not column.sample:
        return Support(None)
    expected = _expected(label, iri)
    likely = _shape(values, label, iri)
    odds, reasons = _expectation_odds(column, expected, label)
    total = odds if likely is None else likely + BESIDE_SHAPE * odds
    if (other := rival(column, expected)) and (likely is None or likely < 1.0):
        total += RIVAL
        message = f"expected cells of {label}, found that {column.share(other):.0%} are valid as {other}"
        reasons.append(Reason("competing", message, masked(column.sample[:3], label)))
    value = 1 / (1 + math.exp(-TEMPER * max(total, -40.0)))
    if (likely is None or likely < 0.0) and (clash := _contradiction(column, expected, label)):
        value = min(value, CONTRADICTED)
        reasons = [clash, *(reason for reason in reasons if reason.code != clash.code)]
    if value < 0.35 and not reasons:
        message = f"expected cells that look like those of {label}, found cells of another shape"
        reasons.append(Reason("shape", message, masked(column.sample[:3], label)))
    return Support(quantised(value), tuple(reasons) if value < NEUTRAL else ())


@lru_cache(maxsize=1 << 12)
def _expected(label: str, iri: str | None) -> Expectation:
    found = expectation(label)
    return expectation(iri) if iri and found == Expectation() else found


@cache
def _by_iri() -> dict[str, str]:
    known = load_shapes().index
    pairs = [(entry.iri, entry.label) for entry in load_vocabulary("schema") if entry.label in known]
    return {iri: label for iri, label in reversed(pairs) if iri}


def profile_of(label: str, iri: str | None = None) -> str | None:
    """The label whose shape profile serves: itself, or the built-in one with its IRI, or None."""
    return label if label in load_shapes().index else _by_iri().get(iri or "")


def _shape(values: tuple[str, ...], label: str, iri: str | None) -> float | None:
    """The log ratio of the label, or of the best of the narrower ones, which cells of it are as well."""
    known = profile_of(label, iri)
    if known is None:
        return None
    ratios, index = log_ratios(values), load_shapes().index
    narrower = [ratios[index[name]] - NARROWED for name in _NARROWER.get(known, ()) if name in index]
    return max([ratios[index[known]], *narrower, LEAST])


# --- expectations ---------------------------------------------------------------------------------


def _expectation_odds(column: ColumnProfile, expected: Expectation, label: str) -> tuple[float, list[Reason]]:
    reasons: list[Reason] = []
    if not expected.validators:
        return 0.0, reasons
    shares = [column.share(name) for name in expected.validators]
    odds = max(s * _worth(n) for s, n in zip(shares, expected.validators, strict=True))
    odds += FAILING * (1 - max(shares))
    if max(shares) < 0.5:
        best = expected.validators[shares.index(max(shares))]
        message = (
            f"expected cells valid as {' or '.join(expected.validators)}, found {max(shares):.0%} of them"
        )
        reasons.append(Reason("validator", message, masked(column.failing(best), label)))
    if expected.length and (outside := _outside(column, *expected.length)) > 0.5:
        odds -= 1.0
        low, high = expected.length
        message = f"expected {low} to {high} characters a cell of {label}, found others in {outside:.0%}"
        reasons.append(Reason("length", message, masked(column.sample[:3], label)))
    if expected.unique and column.rows >= 5 and column.distinct == 1:
        odds -= 1.0
        message = f"expected cells of {label} to identify things, found the same in {column.rows} rows"
        reasons.append(Reason("uniqueness", message, masked(column.sample[:1], label)))
    return odds, reasons


def _worth(name: str) -> float:
    background = load_shapes().background.get(name, 1.0)
    return max(math.log(PASSING / max(background, RARE)), 0.0)


def _outside(column: ColumnProfile, low: int, high: int) -> float:
    pairs = zip(column.sample, column.weights, strict=True)
    return math.fsum(w for v, w in pairs if len(v) < low or len(v) > high)


def _contradiction(column: ColumnProfile, expected: Expectation, label: str) -> Reason | None:
    """What cannot be: no digit where numbers are due, numbers out of range, none of the known words."""
    if expected.datatype in _NUMERIC:
        without = [v for v in column.sample if not any(c.isdecimal() for c in v)]
        if len(without) > 0.8 * len(column.sample):
            message = f"expected {expected.datatype} in cells of {label}, found text"
            return Reason("datatype", message, masked(without[:3], label))
    low = -math.inf if expected.low is None else expected.low
    high = math.inf if expected.high is None else expected.high
    beyond = [n for n in column.numbers if not low <= n <= high]
    if beyond and len(beyond) > 0.5 * len(column.sample):
        message = f"expected numbers from {low:g} to {high:g} in cells of {label}, found others"
        return Reason("range", message, tuple(f"{n:g}" for n in beyond[:3]))
    strict = expected.validators and expected.kind != "shape"
    if strict and max(column.share(name) for name in expected.validators) < 0.1:
        best = expected.validators[0]
        message = f"expected cells valid as {' or '.join(expected.validators)}, found next to none"
        return Reason("validator", message, masked(column.failing(best), label))
    return None


# --- other types ----------------------------------------------------------------------------------


def rival(column: ColumnProfile, expected: Expectation) -> str | None:
    """The strict validator of other types that nearly all cells pass, where no expected one does."""
    if any(kind_of(n) != "shape" and column.share(n) >= 0.9 for n in expected.validators):
        return None
    passed = column.shares
    return next(
        (n for n in _STRICT if passed.get(n, 0.0) >= 0.9 and _KIN_OF[n].isdisjoint(expected.validators)), None
    )


def better(values: tuple[str, ...], vocabulary: Vocabulary, label: str) -> str | None:
    """The label of the vocabulary that the cells back best, when it is another one and well backed."""
    value, best = _best(values, _profiled(vocabulary))
    return best if best != label and value > 0.6 else None


Entry = tuple[str, str | None]  # label and IRI


@dataclass(frozen=True, slots=True, eq=False)
class _Profiled:
    """The labels of a vocabulary: those with a profile, each after its place, and those without."""

    known: tuple[tuple[int, Entry], ...]
    others: tuple[Entry, ...]


def _profiled(vocabulary: Vocabulary) -> _Profiled:
    found = _PROFILED.get(vocabulary.sha256)
    if found is None:
        index = load_shapes().index
        entries = [(entry.label, entry.iri) for entry in vocabulary]
        profiles = [(profile_of(*entry), entry) for entry in entries]
        known = tuple((index[name], entry) for name, entry in profiles if name is not None)
        found = _Profiled(known, tuple(entry for name, entry in profiles if name is None))
        if len(_PROFILED) >= _KEPT:
            _PROFILED.clear()
        _PROFILED[vocabulary.sha256] = found
    return found


_PROFILED: dict[str, _Profiled] = {}  # by the hash of the vocabulary
_KEPT = 16


@lru_cache(maxsize=1 << 12)
def _best(values: tuple[str, ...], entries: _Profiled) -> tuple[float, str]:
    """Support and label of the best of the entries: those whose shapes fit best, and those without one."""
    ratios = log_ratios(values)
    tried = [entry for _, entry in sorted(entries.known, key=lambda one: -ratios[one[0]])[:TRIED]]
    tried += entries.others
    scored = [(support(values, *entry).value or 0.0, entry[0]) for entry in tried]
    return max(scored, key=lambda pair: (pair[0], pair[1]), default=(0.0, ""))
