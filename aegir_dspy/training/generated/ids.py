"""Generated identifiers of money and of persons, with the check digits that real ones have.

Algorithms: ISO 13616 (IBAN), ISO/IEC 7812 (cards), ISO 6166 (ISIN), BIP 173 (Bitcoin bech32) and the
public descriptions of the national tax and personal numbers.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable
from random import Random

from aegir_dspy.training.generated.checks import (
    digits,
    fill,
    group,
    luhn_digit,
    mod11_10_digit,
    mod11_digit,
    mod97,
    template,
    weighted,
)
from aegir_dspy.training.generated.pools import Cell, Maker, Scene

__all__ = ["IDENTIFIERS"]

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

# --- money ----------------------------------------------------------------------------------------

_BBAN = {
    "DE": "#" * 18,
    "AT": "#" * 16,
    "CH": "#" * 17,
    "FR": "#" * 23,
    "ES": "#" * 20,
    "IT": "?" + "#" * 22,
    "NL": "????" + "#" * 10,
    "BE": "#" * 12,
    "GB": "????" + "#" * 14,
    "IE": "????" + "#" * 14,
    "PL": "#" * 24,
    "PT": "#" * 21,
    "SE": "#" * 20,
    "NO": "#" * 11,
    "DK": "#" * 14,
    "FI": "#" * 14,
    "CZ": "#" * 20,
    "HU": "#" * 24,
    "RO": "????" + "*" * 16,
    "LU": "###" + "*" * 13,
    "GR": "#" * 7 + "*" * 16,
    "TR": "#" * 22,
    "AE": "#" * 19,
}


def _iban(scene: Scene) -> Cell:
    rng = scene.rng
    home = scene.locale[-2:]
    countries = [home] if home in _BBAN and rng.random() < 0.6 else list(_BBAN)
    style = rng.choice(("plain", "plain", "spaced", "lower"))

    def cell(row: int) -> str:
        country = rng.choice(countries)
        bban = fill(rng, _BBAN[country])
        iban = f"{country}{98 - mod97(bban + country + '00'):02d}{bban}"
        return {"plain": iban, "spaced": group(iban, 4), "lower": iban.lower()}[style]

    return cell


def _bic(scene: Scene) -> Cell:
    rng = scene.rng
    branch = rng.choice((("",), ("XXX",), ("", "XXX", "###"), ("***",)))
    banks = ("DEUT", "COBA", "BNPA", "SOGE", "CHAS", "BARC", "HSBC", "INGB", "UBSW", "BCIT", "NDEA", "????")

    def cell(row: int) -> str:
        return fill(rng, rng.choice(banks) + rng.choice(list(_BBAN)) + "**" + rng.choice(branch))

    return cell


def _card(scene: Scene) -> Cell:
    rng = scene.rng
    style = rng.choice(("plain", "plain", "spaces", "dashes", "stars", "last4"))

    def cell(row: int) -> str:
        prefix, length = rng.choice((("4", 16), (f"{rng.randint(51, 55)}", 16), ("37", 15), ("6011", 16)))
        body = prefix + digits(rng, length - 1 - len(prefix))
        card = body + luhn_digit(body)
        sizes = (4, 6, 5) if length == 15 else (4,)
        if style in ("spaces", "dashes"):
            return group(card, *sizes, by=" " if style == "spaces" else "-")
        hidden = {"stars": "*" * (length - 4) + card[-4:], "last4": f"XXXX-XXXX-XXXX-{card[-4:]}"}
        return hidden.get(style, card)

    return cell


def _isin(scene: Scene) -> Cell:
    rng = scene.rng

    def cell(row: int) -> str:
        country = rng.choice(("US", "US", "DE", "GB", "FR", "IE", "LU", "JP", "CH", "NL"))
        body = country + fill(rng, "#########" if country in ("US", "DE", "JP") else "**######*")
        return body + luhn_digit("".join(str(int(c, 36)) for c in body))

    return cell


def _bech32(data: list[int]) -> str:
    """A Bitcoin address with prefix ``bc`` of these 5-bit values, with its checksum (BIP 173)."""
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    check = 1
    for value in [3, 3, 0, 2, 3, *data, *[0] * 6]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(generators):
            check ^= generator if top >> i & 1 else 0
    check ^= 1
    checksum = [check >> 5 * (5 - i) & 31 for i in range(6)]
    return "bc1" + "".join(_BECH32[v] for v in [*data, *checksum])


def _base58(rng: Random) -> str:
    payload = rng.choice((b"\0", b"\5")) + rng.randbytes(20)
    payload += hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(payload, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = _BASE58[rest] + text
    return "1" * (len(payload) - len(payload.lstrip(b"\0"))) + text


def _segwit(rng: Random) -> str:
    bits = int.from_bytes(rng.randbytes(20), "big")
    return _bech32([0, *((bits >> 5 * (31 - i)) & 31 for i in range(32))])


def _wallet(scene: Scene) -> Cell:
    rng = scene.rng
    bitcoin = (lambda: _base58(rng), lambda: _segwit(rng))
    ethereum = (lambda: "0x" + rng.randbytes(20).hex(),)
    kinds: tuple[Callable[[], str], ...] = rng.choice((bitcoin, bitcoin[1:], bitcoin[:1], ethereum))
    return lambda row: rng.choice(kinds)()


# --- tax and persons ------------------------------------------------------------------------------


def _vat_de(rng: Random) -> str:
    body = f"{rng.randint(1, 9)}{digits(rng, 7)}"
    return "DE" + body + mod11_10_digit(body)


def _vat_fr(rng: Random) -> str:
    body = digits(rng, 8)
    siren = body + luhn_digit(body)
    return f"FR{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}"


def _vat_it(rng: Random) -> str:
    body = digits(rng, 10)
    return "IT" + body + luhn_digit(body)


def _vat_be(rng: Random) -> str:
    body = "0" + digits(rng, 7)
    return f"BE{body}{97 - int(body) % 97:02d}"


def _vat_pl(rng: Random) -> str:
    while True:
        body = f"{rng.randint(1, 9)}{digits(rng, 8)}"
        rest = weighted(body, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11
        if rest < 10:
            return f"PL{body}{rest}"


def _vat_at(rng: Random) -> str:
    body = digits(rng, 7)
    total = sum((int(d) * 2 // 10 + int(d) * 2 % 10) if i % 2 else int(d) for i, d in enumerate(body))
    return f"ATU{body}{(96 - total) % 10}"


def _vat_se(rng: Random) -> str:
    body = "55" + digits(rng, 7)
    return f"SE{body}{luhn_digit(body)}01"


def _vat_lu(rng: Random) -> str:
    body = digits(rng, 6)
    return f"LU{body}{int(body) % 89:02d}"


_VAT: tuple[Callable[[Random], str], ...] = (
    *(_vat_de, _vat_fr, _vat_it, _vat_be, _vat_pl, _vat_at, _vat_se, _vat_lu),
)


def _vat(scene: Scene) -> Cell:
    rng = scene.rng
    kinds = _VAT if rng.random() < 0.6 else (rng.choice(_VAT),)
    spaced = rng.random() < 0.2

    def cell(row: int) -> str:
        vat = rng.choice(kinds)(rng)
        return f"{vat[:2]} {group(vat[2:], 3)}" if spaced else vat

    return cell


def _tax_de(rng: Random) -> str:
    """German tax identification number: of ten digits one occurs twice and one not at all."""
    body = rng.sample(string.digits, 9)
    body.insert(rng.randint(0, 9), rng.choice(body))
    if body[0] == "0":
        body.reverse()
    text = "".join(body)
    return text + mod11_10_digit(text)


def _cnpj(rng: Random) -> str:
    body = digits(rng, 8) + "0001"
    body += mod11_digit(body, (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
    body += mod11_digit(body, (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
    return f"{body[:2]}.{body[2:5]}.{body[5:8]}/{body[8:12]}-{body[12:]}"


def _abn(rng: Random) -> str:
    """Australian business number: the weighted sum, with the first digit less one, is a multiple of 89."""
    body = digits(rng, 9)
    lead = -weighted(body, (3, 5, 7, 9, 11, 13, 15, 17, 19)) % 89
    for first in range(1, 10):
        for second in range(10):
            if ((first - 1) * 10 + second) % 89 == lead:
                return group(f"{first}{second}{body}", 2, 3)
    return _abn(rng)


def _tax(scene: Scene) -> Cell:
    rng = scene.rng
    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"{rng.randint(10, 98)}-{digits(rng, 7)}",
        lambda: f"{rng.randint(10, 98)}{digits(rng, 7)}",
        lambda: _tax_de(rng),
        lambda: f"{digits(rng, 3)}/{digits(rng, 3)}/{digits(rng, 5)}",
        lambda: _cnpj(rng),
        lambda: _abn(rng),
        lambda: fill(rng, "???P?####?"),
        lambda: digits(rng, 10),
    )
    kind = rng.choice(kinds)
    return lambda row: kind()


def _ssn(scene: Scene) -> Cell:
    rng = scene.rng
    style = rng.choice(("dashes", "dashes", "plain", "hidden", "spaces"))

    def cell(row: int) -> str:
        area = rng.choice([n for n in (rng.randint(1, 899), rng.randint(1, 665)) if n != 666])
        group, serial = rng.randint(1, 99), rng.randint(1, 9999)
        if style == "hidden":
            return f"XXX-XX-{serial:04d}"
        return {"dashes": "-", "plain": "", "spaces": " "}[style].join(
            (f"{area:03d}", f"{group:02d}", f"{serial:04d}")
        )

    return cell


def _born(rng: Random) -> tuple[int, int, int]:
    return rng.randint(1940, 2006), rng.randint(1, 12), rng.randint(1, 28)


def _dni(rng: Random) -> str:
    number = rng.randrange(10**8)
    return f"{number:08d}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def _nir(rng: Random) -> str:
    year, month, _ = _born(rng)
    body = f"{rng.randint(1, 2)}{year % 100:02d}{month:02d}{rng.randint(1, 95):02d}{digits(rng, 6)}"
    return f"{body}{97 - int(body) % 97:02d}"


def _pesel(rng: Random) -> str:
    year, month, day = _born(rng)
    body = f"{year % 100:02d}{month + 20 * (year >= 2000):02d}{day:02d}{digits(rng, 4)}"
    return f"{body}{-weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10}"


def _personnummer(rng: Random) -> str:
    year, month, day = _born(rng)
    body = f"{year % 100:02d}{month:02d}{day:02d}{digits(rng, 3)}"
    return f"{body[:6]}-{body[6:]}{luhn_digit(body)}"


def _cpf(rng: Random) -> str:
    body = digits(rng, 9)
    body += mod11_digit(body, range(10, 1, -1))
    body += mod11_digit(body, range(11, 1, -1))
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


def _hetu(rng: Random) -> str:
    year, month, day = _born(rng)
    date, serial = f"{day:02d}{month:02d}{year % 100:02d}", f"{rng.randint(2, 899):03d}"
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(date + serial) % 31]
    return f"{date}{'-' if year < 2000 else 'A'}{serial}{check}"


def _bsn(rng: Random) -> str:
    while True:
        body = f"{rng.randint(1, 9)}{digits(rng, 7)}"
        check = weighted(body, range(9, 1, -1)) % 11
        if check < 10:
            return f"{body}{check}"


_NATIONAL = {"ES": _dni, "FR": _nir, "PL": _pesel, "SE": _personnummer, "BR": _cpf, "FI": _hetu, "NL": _bsn}


def _national_id(scene: Scene) -> Cell:
    rng = scene.rng
    home = _NATIONAL.get(scene.locale[-2:])
    kind = home if home and rng.random() < 0.7 else rng.choice(list(_NATIONAL.values()))
    plain = rng.random() < 0.3
    return lambda row: "".join(c for c in kind(rng) if c.isalnum()) if plain else kind(rng)


IDENTIFIERS: dict[str, Maker] = {
    "IBAN": _iban,
    "BIC": _bic,
    "CreditCardNumber": _card,
    "CryptocurrencyAddress": _wallet,
    "ISIN": _isin,
    "vatID": _vat,
    "taxID": _tax,
    "SocialSecurityNumber": _ssn,
    "NationalID": _national_id,
    "PassportNumber": template("#########", "C********", "##??#####", "?#######", "??#######", "???######"),
}
"""Makers of the columns of money and personal identifiers by label."""
