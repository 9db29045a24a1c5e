"""Checks of what computers write: addresses, paths, encodings, versions, codes of protocols."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from aegir_dspy.verifier.patterns import Check, whole

__all__ = ["NETWORK"]


# An address with a port: 10.0.0.1:80, [::1]:80.
_PORT = re.compile(r"((?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]{2,45}\]):\d{1,5}")


_IP_SIGNS = re.compile(r"[\da-fA-F:./\[\]]+")


def _ip(text: str) -> bool:
    if len(text) > 64 or not ("." in text or ":" in text):
        return False
    if "%" not in text and not _IP_SIGNS.fullmatch(text):  # behind that stands the name of an interface
        return False
    try:
        ipaddress.ip_interface(_PORT.sub(r"\1", text).strip("[]"))
    except ValueError:
        return False
    return True


# Both cases are written out: to ignore it, a wide range of characters would be gone through to compile it.
_LETTER = r"A-Za-z\u00a1-\uffff"
_EMAIL = re.compile(
    rf"(?i:mailto:)?[^\s@<>\"(),;:]{{1,64}}@(?:[{_LETTER}0-9-]{{1,63}}\.)+[{_LETTER}-]{{2,24}}"
)


def _email(text: str) -> bool:
    """Whether all parts, split at commas and semicolons, are addresses by our form and `validators`."""
    parts = [part.strip() for part in re.split(r"[,;]", text) if part.strip()]
    return bool(parts) and all(_EMAIL.fullmatch(part) and _domain(part.rpartition("@")[2]) for part in parts)


def _domain(text: str) -> bool:
    name = text.rstrip(".")
    if name.isascii() and not name[-1:].isalpha():
        return False
    import validators

    return validators.domain(name, rfc_2782=True) is True


_HOST = rf"(?:[{_LETTER}0-9_](?:[{_LETTER}0-9_-]{{0,61}}[{_LETTER}0-9])?)"
_URL = re.compile(
    rf"(?i:(?:https?|ftps?|s3|wss?)://|//|www\.)"
    rf"(?:[^\s/@]{{1,80}}@)?{_HOST}(?:\.{_HOST}){{0,8}}(?::\d{{1,5}})?(?:[/?#]\S*)?"
)
_IMAGE = re.compile(
    r"\S{1,256}?(?:\.(?:jpe?g|png|gif|webp|svg|bmp|tiff?|avif|ico)\b\S*|/(?:images?|img"
    r"|photos?|media|uploads?|thumbs?)/\S*)",
    re.IGNORECASE,
)


def _url(text: str) -> bool:
    return (
        _URL.fullmatch(text.split("; ", maxsplit=1)[0].strip().replace(" ", "%20")) is not None
        and text.count(" ") < 4
    )


def _hostname(text: str) -> bool:
    """Whether `validators` takes a dotted name for a domain, or a single label looks like a machine's."""
    if len(text) > 253 or not _HOST_NAME.fullmatch(text):
        return False
    return "." not in text or _domain(text)


_HOST_NAME = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9_-]{1,63}){1,8}\.?"
    r"|(?=.*[\d-])[a-z][a-z0-9]{0,14}(?:-[a-z0-9]{1,15}){0,4}|localhost",
    re.IGNORECASE,
)


def _json(text: str) -> bool:
    if text[:1] not in "[{" or len(text) < 2:
        return False
    if len(text) >= 250:  # it was cut: what can be seen is the beginning
        return '":' in text or '": ' in text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{4,256}={0,2})|[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")
_DATA = re.compile(r"data:[\w/+.-]{1,60};base64,")
_MIXED = re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[\d+/=]).{8,}", re.DOTALL)


def _base64(text: str) -> bool:
    text = _DATA.sub("", text)
    if not _BASE64.fullmatch(text) or not (_MIXED.fullmatch(text) or text.endswith("=")):
        return False
    if len(text) >= 250 or text.startswith("eyJ"):
        return True
    if len(text.rstrip("=")) % 4 == 1 or (text.endswith("=") and len(text) % 4):
        return False
    try:
        base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_")
    except (ValueError, binascii.Error):
        return False
    return True


def _port(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdecimal() and 0 < int(text) <= 65535


_EXTENSION = r"\.[a-z][a-z0-9]{0,7}(?:\.(?:gz|bz2|zip|xz))?"
_PATH = (
    r"(?:[a-z]:[\\/]|\\\\|(?:s3|gs|hdfs|file|abfss?|dbfs):/{1,3}|~?/"
    r"|\.{1,2}/)[^\n<>|\"*?]{0,250}|(?:[\w.-]{1,64}[\\/]){1,20}[\w.-]{1,80}"
)
_SEMVER = r"v?\d{1,6}(?:\.\d{1,8}){1,4}(?:[-+._]?[a-z][0-9a-z.+-]{0,40}|[-+][0-9a-z.+-]{1,40})?"
_AGENT = (
    r"(?:mozilla|opera|dalvik|curl|wget|python-requests|okhttp|postman\w*|go-http-client"
    r"|java|apache-httpclient|\w{2,30}bot|safari|chrome)/[\w.]+.{0,250}"
    r"|[\w.-]{2,40}/\d[\w.]{0,20}(?: \([^()]{1,120}\))?(?: [\w.-]{2,30}/[\w.]{1,20})*"
)
_MIME = (
    r"(?:application|audio|font|image|message|model|multipart|text"
    r"|video)/[\w.+-]{1,80}(?:; ?[\w-]{1,30}=[^\s;]{1,60})*"
)
_METHOD = r"GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PROPFIND"
_LEVEL = (
    r"\[?(?:trace|debug|fine|info|informational|notice|warn|warning|error|err|severe|fatal"
    r"|critical|crit|alert|emergency|emerg|[diwef])\]?"
)
_OS = (
    r"(?:windows|win\d|ubuntu|debian|linux|centos|red ?hat|rhel|fedora|mac ?os|os ?x|ios"
    r"|ipados|android|freebsd|solaris|aix|suse|sles|alpine|arch|chrome ?os|amazon linux"
    r"|rocky|alma|oracle linux|macintosh).{0,60}"
)
_SIZE = r"\d{1,12}(?:[.,]\d{1,6})?(?: ?(?:[kmgtp]i?)?(?:b|bytes?|o|octets?)| ?[kmgtp])|\d{1,15}"

_FILE_PATH = re.compile(_PATH, re.IGNORECASE)
_ZONE = re.compile(
    r"(?:UTC|GMT)?(?: ?[+-]\d{1,2}(?::?\d{2})?)|UTC|GMT|Z|[ECMPA][SD]?T|CES?T|WES?T|EES?T"
    r"|BST|IST|JST|KST|MSK|AES?[DT]T?|HKT|SGT|[A-Z][A-Za-z. ]{1,30} (?:Standard"
    r"|Daylight) Time|[A-Z][a-z]{3,12} Time \([^()]{2,30}\)"
)
_REGION = re.compile(
    r"(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific"
    r"|Etc|US)/[A-Za-z0-9_+/-]{2,40}"
)


def _timezone(text: str) -> bool:
    return _ZONE.fullmatch(text) is not None or _REGION.fullmatch(text) is not None


NETWORK: Mapping[str, Check] = MappingProxyType(
    {
        "ip": _ip,
        "mac": whole(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}|[0-9a-f]{12}"),
        "hostname": _hostname,
        "url": _url,
        "image_url": lambda text: _IMAGE.fullmatch(text) is not None,
        "email": _email,
        "json": _json,
        "base64": _base64,
        "port": _port,
        "file_name": whole(rf"[^\\/\n:*?\"<>|]{{1,200}}{_EXTENSION}"),
        "file_path": lambda text: _FILE_PATH.fullmatch(text) is not None,
        "file_size": whole(_SIZE),
        "mime": whole(_MIME),
        "semver": whole(_SEMVER),
        "user_agent": whole(_AGENT),
        "http_status": whole(r"[1-5]\d\d(?: [a-z][a-z '-]{1,40})?"),
        "http_method": whole(_METHOD),
        "log_level": whole(_LEVEL),
        "operating_system": whole(_OS),
        "username": whole(r"@?(?=.*[a-z])[a-z0-9][a-z0-9._-]{1,38}"),
        "timezone": _timezone,
        "epoch": whole(r"1[0-9]{9}(?:\d{3}|\d{6}|\d{9})?(?:\.\d{1,9})?"),
    }
)
"""Name → check."""
