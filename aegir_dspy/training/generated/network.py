"""Generated hosts, files, documents and goods."""

from __future__ import annotations

import json

from aegir_dspy.training.generated.checks import template
from aegir_dspy.training.generated.lists import BROWSERS, CHOICES, EXTENSIONS, GOODS, MIME_TYPES
from aegir_dspy.training.generated.people import login
from aegir_dspy.training.generated.pools import Cell, Maker, Scene, ascii_word, choice

__all__ = ["NETWORK"]

_HOST_WORDS = ("web", "db", "mail", "api", "app", "cache", "proxy", "node", "build", "auth", "files", "mx")
_ZONES = ("example.com", "example.org", "corp.local", "internal", "eu-west-1.compute.internal", "lan")
_NOUNS = (
    "report",
    "invoice",
    "data",
    "summary",
    "backup",
    "users",
    "index",
    "photo",
    "notes",
    "budget",
    "plan",
)


def _ip(scene: Scene) -> Cell:
    rng = scene.rng
    kind = rng.choice(("private", "private", "public", "public", "v6", "cidr", "port"))
    prefix = rng.choice(("10.0", "192.168", "172.16", "10.20"))

    def cell(row: int) -> str:
        if kind == "v6":
            groups = [f"{rng.randrange(1, 65536):x}" for _ in range(rng.choice((2, 4, 6)))]
            return f"{rng.choice(('2001:db8', 'fe80', '2a02:908'))}::{':'.join(groups[:5])}"
        if kind in ("private", "cidr"):
            address = f"{prefix}.{rng.randrange(256)}.{rng.randint(1, 254)}"
            return f"{address}/{rng.choice((8, 16, 24, 28, 32))}" if kind == "cidr" else address
        address = f"{rng.randint(1, 223)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randint(1, 254)}"
        return f"{address}:{rng.randint(1024, 65535)}" if kind == "port" else address

    return cell


def _mac(scene: Scene) -> Cell:
    rng = scene.rng
    by, upper = rng.choice(((":", True), (":", False), ("-", True), (".", False), ("", True)))
    size = 4 if by == "." else 2

    def cell(row: int) -> str:
        text = rng.randbytes(6).hex()
        text = by.join(text[i : i + size] for i in range(0, 12, size))
        return text.upper() if upper else text

    return cell


def _hostname(scene: Scene) -> Cell:
    rng = scene.rng
    zone, style = rng.choice(_ZONES), rng.choice(("fqdn", "short", "domain", "domain"))

    def cell(row: int) -> str:
        if style == "domain":
            word = ascii_word(scene.name("last_name")) or rng.choice(_NOUNS)
            top = rng.choice(("com", "org", "net", "de", "io", "fr"))
            return f"{word}{rng.choice(('', '-shop', 'online'))}.{top}"
        host = f"{rng.choice(_HOST_WORDS)}{rng.choice(('', '-'))}{rng.randint(1, 40):02d}"
        return f"{host}.{zone}" if style == "fqdn" else host

    return cell


def _url(scene: Scene) -> Cell:
    rng = scene.rng
    site = f"{rng.choice(('https://www.', 'https://', 'http://', 'www.'))}{_hostname_of(scene)}"
    form = rng.choice(("/{n}/{i}", "/{n}/{i}.html", "/?id={i}", "/{n}?page={i}", "/{n}-{i}", "", "/en/{n}/"))

    def cell(row: int) -> str:
        base = site if form else site.replace("www.", f"{rng.choice(_HOST_WORDS)}.{rng.choice(_NOUNS)}")
        return base + form.format(n=rng.choice(_NOUNS), i=rng.randint(1, 99999))

    return cell


def _hostname_of(scene: Scene) -> str:
    word = ascii_word(scene.name("last_name")) or "example"
    return f"{word}.{scene.rng.choice(('com', 'org', 'net', 'de', 'co.uk', 'it', 'example'))}"


def _image(scene: Scene) -> Cell:
    rng = scene.rng
    base = rng.choice(
        (f"https://cdn.{_hostname_of(scene)}/img", "/uploads", f"http://{_hostname_of(scene)}/media")
    )
    extension = rng.choice(("jpg", "png", "webp", "jpeg", "gif"))
    return lambda row: f"{base}/{rng.choice(_NOUNS)}_{rng.randint(1, 99999)}.{extension}"


def _user_agent(scene: Scene) -> Cell:
    rng = scene.rng

    def cell(row: int) -> str:
        return rng.choice(BROWSERS).format(
            v=rng.randint(70, 126), m=rng.randint(10, 17), p=rng.randint(0, 9), b=rng.randint(1000, 6000)
        )

    return cell


def _file_name(scene: Scene) -> Cell:
    rng = scene.rng
    extensions = rng.choice(
        (("pdf",), ("jpg", "png"), EXTENSIONS, EXTENSIONS, ("csv", "xlsx"), ("py", "js", "sql"))
    )
    form = rng.choice(
        ("{n}_{y}.{e}", "IMG_{i:04d}.{e}", "{n}-{i}.{e}", "{n}.{e}", "{N} {y}.{e}", "{y}-{i:03d}_{n}.{e}")
    )

    def cell(row: int) -> str:
        noun = rng.choice(_NOUNS)
        names = {"n": noun, "N": noun.title(), "e": rng.choice(extensions)}
        return form.format(**names, y=rng.randint(2012, 2025), i=rng.randrange(1000))

    return cell


def _file_path(scene: Scene) -> Cell:
    rng = scene.rng
    name = _file_name(scene)
    bases = (
        "/var/log/{h}",
        "/home/{u}/{n}",
        "C:\\Users\\{u}\\Documents",
        "s3://{n}-bucket/{h}",
        "/usr/share/{n}",
    )
    base = rng.choice((*bases, "src/{h}/{n}", "\\\\fs01\\{n}\\{h}", "./{n}/{h}"))

    def cell(row: int) -> str:
        folder = base.format(u=login(scene, row)[0], n=rng.choice(_NOUNS), h=rng.choice(_HOST_WORDS))
        return f"{folder}{chr(92) if chr(92) in base else '/'}{name(row)}"

    return cell


def _file_size(scene: Scene) -> Cell:
    rng = scene.rng
    style = rng.choice(
        ("bytes", "bytes", "bytes", "{:.1f} MB", "{:.1f}K", "{:.0f} KB", "{:.2f} GB", "{:.1f} MiB")
    )
    exponent = rng.randint(3, 9)
    if style == "bytes":
        return lambda row: str(rng.randint(10 ** (exponent - 2), 10**exponent))
    return lambda row: style.format(rng.uniform(1, 999))


def _version(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(
        ("{}.{}.{}", "{}.{}.{}", "v{}.{}.{}", "{}.{}", "{}.{}.{}-rc.1", "{}.{}.{}.{}", "{}.{}.{}+build.{}")
    )
    top = rng.choice((2, 5, 20))
    return lambda row: form.format(
        rng.randint(0, top), rng.randint(0, 30), rng.randint(0, 40), rng.randint(1, 9999)
    )


def _json_value(scene: Scene) -> Cell:
    rng = scene.rng
    keys = rng.sample(
        ("id", "name", "tags", "active", "score", "color", "size", "source", "lang", "retries"), 3
    )
    style = rng.choice(("object", "object", "array", "nested"))
    compact = (",", ":") if rng.random() < 0.4 else (", ", ": ")

    def value() -> object:
        return rng.choice((rng.randint(0, 500), rng.choice(_NOUNS), True, None, round(rng.random(), 3)))

    def cell(row: int) -> str:
        item: object = {key: value() for key in keys[: rng.randint(1, 3)]}
        if style == "array":
            item = [rng.choice(_NOUNS) for _ in range(rng.randint(0, 4))]
        if style == "nested":
            item = {keys[0]: item, keys[1]: [value(), value()]}
        return json.dumps(item, separators=compact)

    return cell


def _flight(scene: Scene) -> Cell:
    rng = scene.rng
    airlines = ("LH", "BA", "AF", "DL", "UA", "AA", "KL", "EK", "QF", "FR", "U2", "IB")
    chosen = (rng.choice(airlines),) if rng.random() < 0.3 else airlines
    form = rng.choice(("{}{}", "{} {}", "{}-{}", "{}{:04d}"))
    return lambda row: form.format(rng.choice(chosen), rng.randint(1, 9999))


def _color(scene: Scene) -> Cell:
    rng = scene.rng
    style = rng.choice(("name", "name", "#", "#upper", "rgb"))
    names = rng.choice(CHOICES["color"])

    def cell(row: int) -> str:
        if style == "name":
            return rng.choice(names)
        if style == "rgb":
            return f"rgb({rng.randrange(256)}, {rng.randrange(256)}, {rng.randrange(256)})"
        text = f"#{rng.randrange(1 << 24):06x}"
        return text.upper() if style == "#upper" else text

    return cell


def _product(scene: Scene) -> Cell:
    rng = scene.rng
    adjectives, materials, nouns = GOODS
    form = rng.choice(("{a} {m} {n}", "{a} {n}", "{m} {n} {i}", "{n}, {a}", "{a} {n} {i} cm"))
    return lambda row: form.format(
        a=rng.choice(adjectives), m=rng.choice(materials), n=rng.choice(nouns), i=rng.randint(2, 90) * 10
    )


_WITH_CHARSET = tuple(f"{mime}; charset=utf-8" for mime in ("text/html", "text/plain", "application/json"))

NETWORK: dict[str, Maker] = {
    "IPAddress": _ip,
    "MACAddress": _mac,
    "Hostname": _hostname,
    "URL": _url,
    "Photograph": _image,
    "UserAgent": _user_agent,
    "FileName": _file_name,
    "FilePath": _file_path,
    "fileSize": _file_size,
    "encodingFormat": choice((MIME_TYPES, MIME_TYPES[:6], MIME_TYPES[6:12], _WITH_CHARSET)),
    "softwareVersion": _version,
    "JSONValue": _json_value,
    "flightNumber": _flight,
    "color": _color,
    "Product/name": _product,
    "ProductModel": template("??-####", "?##", "??###?-##?", "####", "??##-###-?", "?#### Pro", "?####?##?"),
}
"""Makers of the columns of networks, files and goods by label."""
