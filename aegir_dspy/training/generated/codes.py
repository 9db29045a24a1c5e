"""Generated codes of things: vehicles, devices, publications, goods, hashes and keys.

Algorithms: ISO 3779 and 49 CFR 565 (VIN), ISO/IEC 7812 (IMEI), ISO 2108 (ISBN), ISO 3297 (ISSN), GS1
General Specifications (GTIN) and UPU S10 (post).
"""

from __future__ import annotations

import base64
import string
import uuid
from collections.abc import Callable
from random import Random

from aegir_dspy.training.generated.checks import (
    digits,
    fill,
    group,
    gs1_digit,
    luhn_digit,
    template,
    weighted,
)
from aegir_dspy.training.generated.pools import Cell, Maker, Scene

__all__ = ["CODES"]

_BASE64 = string.ascii_letters + string.digits + "./"

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
        return group(imei, 2, 6, 6, 1, by="-") if dashes else imei

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
        area = rng.choice(("0", "1", "3", "2", "88", "84"))
        body = area + digits(rng, 9 - len(area))
        if style.startswith("13") or (style == "mixed" and rng.random() < 0.5):
            isbn = "978" + body + gs1_digit("978" + body)
            return group(isbn, 3, len(area), 4, 5 - len(area), 1, by="-") if style == "13-" else isbn
        check = -weighted(body, range(10, 1, -1)) % 11
        isbn = body + ("X" if check == 10 else str(check))
        return group(isbn, len(area), 4, 5 - len(area), 1, by="-") if style == "10-" else isbn

    return cell


def _issn(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(("{}-{}", "{}-{}", "{}-{}", "{}{}", "ISSN {}-{}"))

    def cell(row: int) -> str:
        body = digits(rng, 7)
        check = -weighted(body, range(8, 1, -1)) % 11
        return form.format(body[:4], body[4:] + ("X" if check == 10 else str(check)))

    return cell


def _gtin(scene: Scene) -> Cell:
    rng = scene.rng
    length = rng.choice((13, 13, 13, 12, 8, 14))
    prefix = {13: ("400", "500", "301", "690", "871"), 12: ("0", "7"), 8: ("4", "9"), 14: ("1", "0")}[length]

    def cell(row: int) -> str:
        start = rng.choice(prefix)
        body = start + digits(rng, length - 1 - len(start))
        return body + gs1_digit(body)

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
    check = 11 - weighted(body, (8, 6, 4, 2, 3, 5, 9, 7)) % 11
    check = {10: 0, 11: 5}.get(check, check)
    return f"{rng.choice(('RR', 'CP', 'EE', 'LX'))}{body}{check}{rng.choice(('DE', 'GB', 'CN', 'FR', 'US'))}"


def _tracking(scene: Scene) -> Cell:
    rng = scene.rng

    def usps() -> str:
        body = "94" + digits(rng, 19)
        return body + gs1_digit(body)

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


CODES: dict[str, Maker] = {
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
    "IdentifierAT": template("???-####-#", "?###", "??#####??", "###.###", "SKU-#####", "??-###", "####-??"),
}
"""Makers of the columns of codes by label."""
