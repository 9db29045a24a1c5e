"""Generated identifiers, with the check digits that real ones have.

Algorithms: ISO 13616 (IBAN), ISO/IEC 7812 (Luhn), ISO 6166 (ISIN), ISO 2108 (ISBN), ISO 3297 (ISSN),
GS1 General Specifications (GTIN), ISO 3779 and 49 CFR 565 (VIN), UPU S10 (post), ISO 7064 mod 11,10
(German tax numbers), BIP 173 (Bitcoin bech32) and the public descriptions of the national numbers.
"""

from __future__ import annotations

import base64
import hashlib
import string
import uuid
from collections.abc import Callable, Sequence
from random import Random

from aegir_dspy.training.generated_pools import Cell, Maker, Scene

__all__ = ["IDENTIFIERS", "digits", "fill", "luhn_digit", "mod97"]

_ALNUM = string.digits + string.ascii_uppercase
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BASE64 = string.ascii_letters + string.digits + "./"


def digits(rng: Random, count: int) -> str:
    """That many random decimal digits."""
    return f"{rng.randrange(10**count):0{count}d}"


def fill(rng: Random, template: str) -> str:
    """A text with ``#`` replaced by a digit, ``?`` by a letter and ``*`` by either, upper case."""
    sets = {"#": string.digits, "?": string.ascii_uppercase, "*": _ALNUM}
    return "".join(rng.choice(sets[c]) if c in sets else c for c in template)


def _group(text: str, *sizes: int, by: str = " ") -> str:
    """`text` cut into groups; the last size repeats."""
    parts, at, i = [], 0, 0
    while at < len(text):
        size = sizes[min(i, len(sizes) - 1)]
        parts.append(text[at : at + size])
        at, i = at + size, i + 1
    return by.join(parts)


def _weighted(number: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True))


def luhn_digit(number: str) -> str:
    """The Luhn check digit that belongs after these digits."""
    doubled = (int(d) * (2 - i % 2) for i, d in enumerate(reversed(number)))
    return str(-sum(n - 9 if n > 9 else n for n in doubled) % 10)


def mod97(text: str) -> int:
    """Remainder by 97 of digits and letters (A = 10 … Z = 35), as ISO 7064 reads them."""
    return int("".join(str(int(c, 36)) for c in text)) % 97


def _gs1_digit(number: str) -> str:
    return str(-sum(int(d) * (3 - 2 * (i % 2)) for i, d in enumerate(reversed(number))) % 10)


def _mod11_10_digit(number: str) -> str:
    """ISO 7064 mod 11,10, as in German tax and VAT numbers."""
    product = 10
    for digit in number:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return str((11 - product) % 10)


def _mod11_digit(number: str, weights: Sequence[int]) -> str:
    """Check digit of Brazilian numbers: 11 minus the remainder, 0 for 10 and 11."""
    rest = _weighted(number, weights) % 11
    return "0" if rest < 2 else str(11 - rest)


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
        return {"plain": iban, "spaced": _group(iban, 4), "lower": iban.lower()}[style]

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
            return _group(card, *sizes, by=" " if style == "spaces" else "-")
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
    return "DE" + body + _mod11_10_digit(body)


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
        rest = _weighted(body, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11
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
        return f"{vat[:2]} {_group(vat[2:], 3)}" if spaced else vat

    return cell


def _tax_de(rng: Random) -> str:
    """German tax identification number: of ten digits one occurs twice and one not at all."""
    body = rng.sample(string.digits, 9)
    body.insert(rng.randint(0, 9), rng.choice(body))
    if body[0] == "0":
        body.reverse()
    text = "".join(body)
    return text + _mod11_10_digit(text)


def _cnpj(rng: Random) -> str:
    body = digits(rng, 8) + "0001"
    body += _mod11_digit(body, (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
    body += _mod11_digit(body, (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
    return f"{body[:2]}.{body[2:5]}.{body[5:8]}/{body[8:12]}-{body[12:]}"


def _abn(rng: Random) -> str:
    """Australian business number: the weighted sum, with the first digit less one, is a multiple of 89."""
    body = digits(rng, 9)
    lead = -_weighted(body, (3, 5, 7, 9, 11, 13, 15, 17, 19)) % 89
    for first in range(1, 10):
        for second in range(10):
            if ((first - 1) * 10 + second) % 89 == lead:
                return _group(f"{first}{second}{body}", 2, 3)
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
    return f"{body}{-_weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10}"


def _personnummer(rng: Random) -> str:
    year, month, day = _born(rng)
    body = f"{year % 100:02d}{month:02d}{day:02d}{digits(rng, 3)}"
    return f"{body[:6]}-{body[6:]}{luhn_digit(body)}"


def _cpf(rng: Random) -> str:
    body = digits(rng, 9)
    body += _mod11_digit(body, range(10, 1, -1))
    body += _mod11_digit(body, range(11, 1, -1))
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


def _hetu(rng: Random) -> str:
    year, month, day = _born(rng)
    date, serial = f"{day:02d}{month:02d}{year % 100:02d}", f"{rng.randint(2, 899):03d}"
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(date + serial) % 31]
    return f"{date}{'-' if year < 2000 else 'A'}{serial}{check}"


def _bsn(rng: Random) -> str:
    while True:
        body = f"{rng.randint(1, 9)}{digits(rng, 7)}"
        check = _weighted(body, range(9, 1, -1)) % 11
        if check < 10:
            return f"{body}{check}"


_NATIONAL = {"ES": _dni, "FR": _nir, "PL": _pesel, "SE": _personnummer, "BR": _cpf, "FI": _hetu, "NL": _bsn}


def _national_id(scene: Scene) -> Cell:
    rng = scene.rng
    home = _NATIONAL.get(scene.locale[-2:])
    kind = home if home and rng.random() < 0.7 else rng.choice(list(_NATIONAL.values()))
    plain = rng.random() < 0.3
    return lambda row: "".join(c for c in kind(rng) if c.isalnum()) if plain else kind(rng)


def _template(*templates: str) -> Maker:
    """Columns of one template each, or of all of them mixed; see `fill`."""

    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        chosen = templates if rng.random() < 0.15 else (rng.choice(templates),)
        return lambda row: fill(rng, rng.choice(chosen))

    return maker


# --- vehicles and devices -------------------------------------------------------------------------

_VIN_SET = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
_VIN_VALUE = {c: int(c) for c in string.digits} | dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True)
)
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_MAKERS_OF_CARS = ("1HG", "1FT", "WVW", "WBA", "WDB", "JTD", "JH4", "KMH", "VF1", "ZFA", "5YJ", "3VW", "YV1")


def _vin(scene: Scene) -> Cell:
    rng = scene.rng
    lower = rng.random() < 0.05

    def cell(row: int) -> str:
        middle = "".join(rng.choices(_VIN_SET, k=5))
        text = rng.choice(_MAKERS_OF_CARS) + middle + "0" + "".join(rng.choices(_VIN_SET[1:], k=2))
        text += digits(rng, 6)
        check = sum(_VIN_VALUE[c] * w for c, w in zip(text, _VIN_WEIGHTS, strict=True)) % 11
        vin = text[:8] + ("X" if check == 10 else str(check)) + text[9:]
        return vin.lower() if lower else vin

    return cell


def _plate(scene: Scene) -> Cell:
    rng = scene.rng
    towns = ("B", "M", "HH", "DD", "KA", "S", "F", "LOS", "MTK", "OHV")
    us = rng.choice(("#???###", "???-####", "???####", "### ???", "??#-####"))
    by_country: dict[str, Callable[[], str]] = {
        "DE": lambda: f"{rng.choice(towns)}-{fill(rng, '??')} {rng.randint(1, 9999)}",
        "GB": lambda: fill(rng, "??## ???"),
        "FR": lambda: fill(rng, "??-###-??"),
        "ES": lambda: fill(rng, "#### ") + "".join(rng.choices("BCDFGHJKLMNPRSTVWXYZ", k=3)),
        "IT": lambda: fill(rng, "?? ###??"),
        "US": lambda: fill(rng, us),
        "IN": lambda: fill(rng, "MH ## ?? ####"),
        "NL": lambda: fill(rng, "??-##-??"),
    }
    home = by_country.get(scene.locale[-2:])
    kind = home if home and rng.random() < 0.7 else rng.choice(list(by_country.values()))
    return lambda row: kind()


def _imei(scene: Scene) -> Cell:
    rng = scene.rng
    dashes = rng.random() < 0.2

    def cell(row: int) -> str:
        body = rng.choice(("35", "86", "01", "49")) + digits(rng, 12)
        imei = body + luhn_digit(body)
        return _group(imei, 2, 6, 6, 1, by="-") if dashes else imei

    return cell


def _uuid(scene: Scene) -> Cell:
    rng = scene.rng
    version = rng.choice((4, 4, 4, 1, 7))
    style = rng.choice(("{}", "{}", "{}", "upper", "braces", "hex", "urn:uuid:{}"))

    def cell(row: int) -> str:
        value = uuid.UUID(int=rng.getrandbits(128), version=4)
        text = str(value)[:14] + str(version) + str(value)[15:]
        styles = {"upper": text.upper(), "braces": "{" + text.upper() + "}", "hex": text.replace("-", "")}
        return styles.get(style) or style.format(text)

    return cell


# --- publications and goods -----------------------------------------------------------------------


def _isbn(scene: Scene) -> Cell:
    rng = scene.rng
    style = rng.choice(("13", "13", "13-", "10", "10-", "mixed"))

    def cell(row: int) -> str:
        group = rng.choice(("0", "1", "3", "2", "88", "84"))
        body = group + digits(rng, 9 - len(group))
        if style.startswith("13") or (style == "mixed" and rng.random() < 0.5):
            isbn = "978" + body + _gs1_digit("978" + body)
            return _group(isbn, 3, len(group), 4, 9 - len(group) - 4, 1, by="-") if style == "13-" else isbn
        check = -_weighted(body, range(10, 1, -1)) % 11
        isbn = body + ("X" if check == 10 else str(check))
        return _group(isbn, len(group), 4, 9 - len(group) - 4, 1, by="-") if style == "10-" else isbn

    return cell


def _issn(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(("{}-{}", "{}-{}", "{}-{}", "{}{}", "ISSN {}-{}"))

    def cell(row: int) -> str:
        body = digits(rng, 7)
        check = -_weighted(body, range(8, 1, -1)) % 11
        return form.format(body[:4], body[4:] + ("X" if check == 10 else str(check)))

    return cell


def _gtin(scene: Scene) -> Cell:
    rng = scene.rng
    length = rng.choice((13, 13, 13, 12, 8, 14))
    prefix = {13: ("400", "500", "301", "690", "871"), 12: ("0", "7"), 8: ("4", "9"), 14: ("1", "0")}[length]

    def cell(row: int) -> str:
        start = rng.choice(prefix)
        body = start + digits(rng, length - 1 - len(start))
        return body + _gs1_digit(body)

    return cell


def _doi(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(("{}", "{}", "https://doi.org/{}", "doi:{}", "http://dx.doi.org/{}"))
    suffixes = (
        "s#####-###-####-#",
        "j.????.20##.0#.0##",
        "#######.#######",
        "journal.pone.#######",
        "20##.#####",
    )

    def cell(row: int) -> str:
        suffix = fill(rng, rng.choice(suffixes)).lower()
        return form.format(f"10.{rng.randint(1000, 9999)}/{suffix}")

    return cell


def _ups(rng: Random) -> str:
    body = fill(rng, "******") + "0" + rng.choice("123") + digits(rng, 7)
    values = [int(c) if c.isdigit() else (ord(c) - 63) % 10 for c in body]
    return f"1Z{body}{-sum(v * (1 + i % 2) for i, v in enumerate(values)) % 10}"


def _s10(rng: Random) -> str:
    body = digits(rng, 8)
    check = 11 - _weighted(body, (8, 6, 4, 2, 3, 5, 9, 7)) % 11
    check = {10: 0, 11: 5}.get(check, check)
    return f"{rng.choice(('RR', 'CP', 'EE', 'LX'))}{body}{check}{rng.choice(('DE', 'GB', 'CN', 'FR', 'US'))}"


def _tracking(scene: Scene) -> Cell:
    rng = scene.rng

    def usps() -> str:
        body = "94" + digits(rng, 19)
        return body + _gs1_digit(body)

    kinds: tuple[Callable[[], str], ...] = (
        lambda: _ups(rng),
        lambda: _s10(rng),
        usps,
        lambda: "0034" + digits(rng, 16),
        lambda: digits(rng, 12),
        lambda: "JJD" + digits(rng, 18),
    )
    chosen = kinds if rng.random() < 0.15 else (rng.choice(kinds),)
    return lambda row: rng.choice(chosen)()


def _order_number(scene: Scene) -> Cell:
    rng = scene.rng
    prefix = rng.choice(("ORD", "SO", "INV", "PO", "RE", "RG", "B", "CASE", "WO", "Q"))
    year = rng.randint(2012, 2025)
    form = rng.choice(
        ("{p}-{y}-{n:05d}", "{p}{n:06d}", "{p}/{y}/{n:04d}", "{y}{n:05d}", "#{n}", "45{n:08d}", "{p}-{n}")
    )
    number, step = rng.randint(1, 90000), rng.choice((1, 1, 7, 40))
    rows = [number]

    def cell(row: int) -> str:
        rows[0] += rng.randint(1, step)
        return form.format(p=prefix, y=year, n=rows[0])

    return cell


# --- hashes and keys ------------------------------------------------------------------------------


def _hash(scene: Scene) -> Cell:
    rng = scene.rng
    size = rng.choice((16, 16, 20, 20, 32, 32, 32, 64, 4))
    form = rng.choice(("{}", "{}", "{}", "upper", "sha256:{}" if size == 32 else "{}", "short"))

    def cell(row: int) -> str:
        text = rng.randbytes(size).hex()
        if form in ("upper", "short"):
            return text.upper() if form == "upper" else text[: 7 + (size == 32)]
        return form.format(text)

    return cell


def _b64(rng: Random, count: int) -> str:
    return base64.b64encode(rng.randbytes(count)).decode()


def _password_hash(scene: Scene) -> Cell:
    rng = scene.rng

    def crypt(length: int) -> str:
        return "".join(rng.choices(_BASE64, k=length))

    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"$2b$12${crypt(53)}",
        lambda: f"$2y$10${crypt(53)}",
        lambda: f"pbkdf2_sha256$260000${crypt(12)}${_b64(rng, 32)}",
        lambda: f"$argon2id$v=19$m=65536,t=3,p=4${_b64(rng, 16).rstrip('=')}${_b64(rng, 32).rstrip('=')}",
        lambda: f"$6${crypt(8)}${crypt(86)}",
        lambda: f"{{SSHA}}{_b64(rng, 24)}",
        lambda: rng.randbytes(32).hex(),
    )
    kind = rng.choice(kinds)
    return lambda row: kind()


def _base64_cell(scene: Scene) -> Cell:
    rng = scene.rng

    def jwt() -> str:
        parts = (b'{"alg":"HS256"}', b'{"sub":"%d"}' % rng.randrange(10**6), rng.randbytes(32))
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)

    length = rng.choice((9, 16, 18, 24, 32, 40, 64))
    kinds: tuple[Callable[[], str], ...] = (
        jwt,
        lambda: _b64(rng, length),
        lambda: _b64(rng, length),
        lambda: base64.urlsafe_b64encode(rng.randbytes(length)).decode().rstrip("="),
        lambda: "iVBORw0KGgoAAAANSUhEUgAA" + _b64(rng, length),
        lambda: "data:image/png;base64,iVBORw0KGgo" + _b64(rng, length),
    )
    kind = rng.choice(kinds)
    return lambda row: kind()


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
    "PassportNumber": _template("#########", "C********", "##??#####", "?#######", "??#######", "???######"),
    "LicensePlate": _plate,
    "vehicleIdentificationNumber": _vin,
    "PasswordHash": _password_hash,
    "UUID": _uuid,
    "IMEI": _imei,
    "HashDigest": _hash,
    "Base64": _base64_cell,
    "isbn": _isbn,
    "issn": _issn,
    "gtin": _gtin,
    "DOI": _doi,
    "trackingNumber": _tracking,
    "orderNumber": _order_number,
    "IdentifierAT": _template("???-####-#", "?###", "??#####??", "###.###", "SKU-#####", "??-###", "####-??"),
}
"""Makers of identifier columns by label."""
