"""Checks of identifiers with check digits or a fixed form: accounts, cards, products, persons, trips.

Check digits are those of python-stdnum, which names the standard of each number. A check gets a text
without spaces around it, of 256 characters at most, and looks at it in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from aegir_dspy.verifier.lexicons import lexicon
from aegir_dspy.verifier.national_numbers import NATIONAL, TAX, one_of, stdnum
from aegir_dspy.verifier.patterns import Check, whole

__all__ = ["CODES", "compact", "luhn"]

_SEPARATORS = str.maketrans("", "", " -./\u00a0")


def compact(text: str) -> str:
    """The text without the separators that groups of digits are written with."""
    return text.translate(_SEPARATORS)


def luhn(digits: str) -> bool:
    """Whether decimal digits end in their Luhn digit (ISO/IEC 7812); False for a single digit repeated."""
    if not (digits.isascii() and digits.isdecimal()) or len(set(digits)) < 2:
        return False
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def _stdnum(*names: str, first: str = "", length: tuple[int, int] = (1, 64)) -> Check:
    """Whether any of the named modules of python-stdnum finds the number valid.

    `first` is a pattern that must match before: what stdnum takes more loosely than columns should.
    """
    fits = re.compile(first, re.IGNORECASE).fullmatch if first else None

    def check(text: str) -> bool:
        if not (length[0] <= len(text) <= length[1] and text.isascii()) or (fits and not fits(text)):
            return False
        return any(stdnum(name).is_valid(text) for name in names)

    return check


def _national(modules: Mapping[str, tuple[str, str]], first: str) -> Check:
    """Whether the text has the form `first` and any of the modules finds it valid."""
    fits, valid = re.compile(first, re.IGNORECASE).fullmatch, one_of(modules)
    return lambda text: text.isascii() and fits(text) is not None and valid(text)


_VAT = _stdnum("eu.vat", "ch.vat", "no.mva", "vatin", first=r"[A-Z]{2,3}.{6,17}", length=(8, 20))


@cache
def _vat_countries() -> frozenset[str]:
    """What VAT numbers begin with: codes of countries, Greece and Northern Ireland in the EU's way too."""
    return lexicon("country_codes") | {"el", "xi"}


def _iban(text: str) -> bool:
    """ISO 13616: the country's length and mod 97; the check digits of banks differ too much to be asked."""
    if not (15 <= len(text) <= 48 and _IBAN.fullmatch(text)):
        return False
    return bool(stdnum("iban").is_valid(text, check_country=False))


_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9 -]{11,40}", re.IGNORECASE)
_MASKED_CARD = re.compile(r"(?:[*x•]{4}[ -]?){3}\d{4}", re.IGNORECASE)
_CARD = re.compile(r"(?:3[0-9]|4\d|5[0-9]|6[0-9]|2[2-7])\d{11,17}")


def _credit_card(text: str) -> bool:
    """Prefixes and lengths of ISO/IEC 7812 issuers, then Luhn."""
    digits = compact(text) if len(text) <= 32 and "." not in text else ""
    if _MASKED_CARD.fullmatch(text):
        return True
    return _CARD.fullmatch(digits) is not None and luhn(digits)


def _imei(text: str) -> bool:
    digits = compact(text) if len(text) <= 24 and "." not in text else ""
    return len(digits) in (15, 16) and digits.isdecimal() and luhn(digits[:15])


def _gtin(text: str) -> bool:
    """GTIN-8, -12, -13, -14 with their check digit."""
    digits = text.replace(" ", "").replace("-", "") if len(text) <= 24 else ""
    if len(digits) not in (8, 12, 13, 14) or not digits.isdecimal() or not digits.strip("0"):
        return False
    return bool(stdnum("ean").is_valid(digits.zfill(14)))


_ISBN = re.compile(r"(?:isbn(?:-1[03])?:? ?)?([0-9][0-9 -]{8,16}[0-9X])(?: ?\([^()]{1,20}\))?", re.IGNORECASE)


def _isbn(text: str) -> bool:
    match = _ISBN.fullmatch(text[:60])
    return match is not None and bool(stdnum("isbn").is_valid(match[1]))


_ISSN = re.compile(r"(?:e?issn:? ?)?(\d{4}-?\d{3}[\dX])", re.IGNORECASE)


def _issn(text: str) -> bool:
    match = _ISSN.fullmatch(text)
    return match is not None and bool(stdnum("issn").is_valid(match[1]))


def _npi(text: str) -> bool:
    """National Provider Identifier of the USA: ten digits, Luhn over 80840 and the number."""
    return re.fullmatch(r"[12]\d{9}", text) is not None and luhn("80840" + text)


_VIN_VALUE = {
    c: v for v, cs in enumerate(("", "AJ", "BKS", "CLT", "DMU", "ENV", "FW", "GPX", "HY", "RZ")) for c in cs
}
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN = re.compile(r"(?=.*[A-Z])(?=.*\d)[A-HJ-NPR-Z0-9]{17}", re.IGNORECASE)


def _vin(text: str) -> bool:
    """ISO 3779: 17 characters without I, O and Q. The check digit is a North American rule only."""
    return _VIN.fullmatch(text) is not None and text[-4:].isdecimal()


def vin_digit(text: str) -> bool:
    """Whether the ninth character of a vehicle number is its check digit (49 CFR 565)."""
    if not _vin(text):
        return False
    values = (int(c) if c.isdecimal() else _VIN_VALUE[c] for c in text.upper())
    rest = sum(v * w for v, w in zip(values, _VIN_WEIGHTS, strict=True)) % 11
    return text[8].upper() == "0123456789X"[rest]


_BITCOIN = re.compile(
    r"(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71}|BC1[02-9AC-HJ-NP-Z]{11,71})"
)
_OTHER_COIN = re.compile(
    r"0x[0-9a-fA-F]{40}|[LMD][1-9A-HJ-NP-Za-km-z]{26,34}|[rT][1-9A-HJ-NP-Za-km-z]{24,34}"
)


def _crypto(text: str) -> bool:
    if _BITCOIN.fullmatch(text):
        return bool(stdnum("bitcoin").is_valid(text))
    return _OTHER_COIN.fullmatch(text) is not None


_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_HASH = re.compile(
    r"(?:0x)?(?=[0-9a-f]*\d)(?:(?=[0-9]*[a-f])[0-9a-f]{7,8}|[0-9a-f]{32}|[0-9a-f]{40}"
    r"|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})|(?:sha(?:1|256|512)"
    r"|md5)[:\-][0-9a-f]{7,128}",
    re.IGNORECASE,
)
_PASSWORD = re.compile(
    r"\$(?:2[abxy]?|5|6|1|y|argon2[a-z]{1,2}|scrypt|pbkdf2[a-z0-9-]*)\$[^\s]{16,200}"
    r"|(?:pbkdf2|bcrypt|argon2|scrypt|sha1|md5)[a-z0-9_]*\$[^\s]{10,220}"
    r"|\{S?SHA\d*\}[A-Za-z0-9+/=]{20,200}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}"
    r"|[0-9a-f]{128}",
    re.IGNORECASE,
)
_UUID = re.compile(
    r"(?:urn:uuid:|\{)?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?", re.IGNORECASE
)
_TRACKING = (
    r"1Z[0-9A-Z]{16}|[A-Z]{2}\d{9}[A-Z]{2}|JJ?D\d{16,20}|(?:00)?\d{18}|\d{10,15}|\d{20,34}"
    r"|[A-Z]{1,4}\d{8,20}[A-Z]{0,2}"
)
_ORDER = (
    r"#?[A-Z]{1,6}[-_/#. ]?(?:\d{2,4}[-_/])?\d{2,14}(?:[-_/][A-Z0-9]{1,6})?"
    r"|\d{3}-\d{7}-\d{7}|#?\d{4,14}|\d{2,4}[-/]\d{2,8}(?:[-/]\d{1,8})?"
)
_PLATE = r"(?=.*\d)(?=.*[A-Z])[A-ZÄÖÜ0-9]{1,4}[ -]?[A-Z0-9]{1,4}[ -]?[A-Z0-9]{1,4}[HE]?"

CODES: Mapping[str, Check] = MappingProxyType(
    {
        "iban": _iban,
        "bic": lambda text: (
            _BIC.fullmatch(text) is not None and text[4:6].lower() in lexicon("country_codes")
        ),
        "credit_card": _credit_card,
        "luhn": lambda text: 8 <= len(compact(text)) <= 24 and luhn(compact(text)),
        "isin": _stdnum("isin", length=(12, 12)),
        "cusip": _stdnum("cusip", length=(9, 9)),
        "figi": _stdnum("figi", length=(12, 12)),
        "lei": _stdnum("lei", length=(20, 20)),
        "vat": lambda text: text[:2].lower() in _vat_countries() and _VAT(text),
        "tax_id": _national(TAX, r"(?=(?:\D*\d){7})[A-Z0-9 ./-]{8,20}"),
        "national_id": _national(NATIONAL, r"(?=(?:\D*\d){7})[A-Z0-9 ./+-]{8,22}"),
        "ssn": whole(r"(?!000|666|9)(?:\d{3}([- ])\d{2}\1(?!0000)\d{4}|\d{9})|[X*]{3}-?[X*]{2}-?\d{4}"),
        "npi": _npi,
        "passport": whole(r"(?=(?:.*\d){5})[A-Z0-9]{7,9}|[A-Z]{1,2}[ -]?\d{6,8}"),
        "license_plate": whole(_PLATE),
        "isbn": _isbn,
        "issn": _issn,
        "gtin": _gtin,
        "asin": whole(r"B0[A-Z0-9]{8}"),
        "imei": _imei,
        "vin": _vin,
        "vin_digit": vin_digit,
        "doi": whole(r"(?:doi: ?|(?:https?://)?(?:dx\.)?doi\.org/)?10\.\d{4,9}/\S+"),
        "orcid": _stdnum("isni", first=r"(?:https?://orcid\.org/)?\d{4}-\d{4}-\d{4}-\d{3}[\dX]"),
        "casrn": _stdnum("casrn", first=r"\d{2,7}-\d\d-\d"),
        "uuid": lambda text: len(text) <= 45 and _UUID.fullmatch(text) is not None,
        "hash": lambda text: _HASH.fullmatch(text) is not None,
        "password_hash": lambda text: _PASSWORD.fullmatch(text) is not None,
        "crypto_address": _crypto,
        "flight_number": whole(r"(?!\d\d)[A-Z0-9]{2}[A-Z]?[ -]?\d{1,4}[A-Z]?"),
        "iata": whole(r"[A-Z]{2,4}", 0),
        "ticker": whole(
            r"(?:[$^]|[A-Z]{2,6}:)?[A-Z]{1,5}\d?(?:[.-][A-Z]{1,3})?(?:=X)?|\d{4,6}\.[A-Z]{1,2}", 0
        ),
        "tracking_number": whole(_TRACKING),
        "order_number": whole(_ORDER),
        "cvv": whole(r"\d{3,4}"),
        "product_code": whole(r"(?=.*\d)[A-Z0-9][A-Z0-9 ._/#+-]{2,29}"),
        "occupation_code": whole(r"(?:.{0,80}\D)?\d\d-\d{4}(?:\.\d\d)?(?:\D.{0,120})?"),
    }
)
"""Name → check."""
