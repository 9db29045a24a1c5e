"""Strict reading of JSON: checks that note problems with their places, bounded in time and never raising.

A check takes a value apart and returns what it stands for; what is wrong it notes in the `Reader`. Its result
means nothing once there is a problem.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = [
    "MAX_BYTES",
    "MAX_INDEX",
    "MAX_ITEMS",
    "MAX_TEXT",
    "Check",
    "Path",
    "Problem",
    "Reader",
    "StopReading",
    "index",
    "list_of",
    "loaded",
    "object_of",
    "one_of",
    "or_none",
    "share",
    "text",
    "texts",
]

MAX_BYTES = 2_000_000
"""Most bytes, or characters, of a JSON text."""

MAX_ITEMS = 12_000
"""Most entries of all lists and maps of one JSON text together."""

MAX_INDEX = 999_999
"""Highest index of a column."""

MAX_TEXT = 65_536
"""Most characters of any text."""

_MAX_PROBLEMS = 100
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_MARKS = 5 * MAX_ITEMS  # braces or commas; nothing within the other limits comes near

Path = tuple[Any, ...]  # (): the whole; (path, key or position): a part of it. Cheap, as most are never shown


class Problem(NamedTuple):
    """What is wrong and where.

    Attributes:
        path: ``$.tables[0].columns[3].type``; ``$`` is the whole.
        code: ``size``, ``encoding``, ``syntax``, ``depth``, ``type``, ``missing``, ``unknown_key``,
            ``duplicate_key``, ``value``, ``limit`` or ``more`` (further problems are not listed).
        message: what was expected and what was found, one line.
    """

    path: str
    code: str
    message: str


class StopReading(Exception):
    """Enough is known: what is read is refused."""


class Reader:
    """Collects problems, up to `_MAX_PROBLEMS`, and counts items, up to `MAX_ITEMS`."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._left = MAX_ITEMS

    def problem(self, path: Path, code: str, expected: str, found: str, stop: bool = False) -> None:
        """Note a problem; with `stop`, the last one."""
        self.problems.append(Problem(_place(path), code, f"expected {expected}, found {found}"))
        if len(self.problems) == _MAX_PROBLEMS:
            self.problems.append(Problem("$", "more", f"expected no problems, found {_MAX_PROBLEMS} or more"))
            stop = True
        if stop:
            raise StopReading

    def take(self, items: int, path: Path) -> None:
        """Count items about to be read."""
        self._left -= items
        if self._left < 0:
            self.problem(path, "limit", f"at most {MAX_ITEMS} entries in all lists", "more", stop=True)


class _Repeated(dict[str, Any]):
    """A JSON object that has a key twice."""

    twice: str = ""


def loaded(reader: Reader, content: object) -> Any:
    """The value of JSON text; `StopReading` once a problem is noted."""
    if not isinstance(content, str | bytes):
        reader.problem((), "type", "JSON text or an object", _kind(content), stop=True)
        return None
    if len(content) > MAX_BYTES:
        reader.problem((), "size", f"at most {MAX_BYTES} bytes", str(len(content)), stop=True)
    try:
        written = content if isinstance(content, str) else content.decode("utf-8-sig")
        if max(written.count("{"), written.count(",")) > _MAX_MARKS:
            reader.problem((), "limit", f"at most {MAX_ITEMS} entries in all lists", "more", stop=True)
        return json.loads(written, object_pairs_hook=_pairs, parse_int=_integer_of)
    except UnicodeDecodeError as error:
        reader.problem((), "encoding", "UTF-8", f"another byte at offset {error.start}", stop=True)
    except RecursionError:
        reader.problem((), "depth", "values a few levels deep", "deep nesting", stop=True)
    except ValueError as error:
        reader.problem((), "syntax", "JSON", str(error)[:100], stop=True)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) == len(pairs):
        return content
    seen: set[str] = set()
    repeated = _Repeated(content)
    repeated.twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return repeated


def _integer_of(text: str) -> int | float:
    return int(text) if len(text) < 20 else math.inf  # longer ones are beyond every limit, and slow


Check = Callable[[Reader, Any, Path], Any]
"""Reads a value: what it stands for, or anything at all once it has noted a problem."""


def text(reader: Reader, value: Any, path: Path) -> Any:
    """A text of Unicode characters, of at most `MAX_TEXT` of them."""
    if type(value) is not str:
        reader.problem(path, "type", "a text", _kind(value))
    elif len(value) > MAX_TEXT:
        reader.problem(path, "limit", f"a text of at most {MAX_TEXT} characters", str(len(value)))
    elif not _plain(value):
        reader.problem(path, "value", "a text of Unicode characters", "a NUL or half of a surrogate pair")
    return value


def _plain(value: str) -> bool:
    if "\0" in value:
        return False
    return value.isascii() or _SURROGATE.search(value) is None


def or_none(check: Check) -> Check:
    """Null, or what `check` reads."""
    return lambda reader, value, path: None if value is None else check(reader, value, path)


def index(reader: Reader, value: Any, path: Path) -> Any:
    """A whole number from 0 to `MAX_INDEX`."""
    if type(value) is not int or not 0 <= value <= MAX_INDEX:
        reader.problem(path, "value", f"a whole number from 0 to {MAX_INDEX}", _kind(value))
    return value


def share(reader: Reader, value: Any, path: Path) -> Any:
    """A number from 0 to 1, as float."""
    if type(value) not in (int, float) or not 0 <= value <= 1:
        reader.problem(path, "value", "a number from 0 to 1", _kind(value))
        return 0.0
    return float(value)


def one_of(*choices: str) -> Check:
    """One of these texts."""

    def check(reader: Reader, value: Any, path: Path) -> Any:
        if type(value) is not str or value not in choices:
            found = repr(value[:40]) if type(value) is str else _kind(value)
            reader.problem(path, "value", f"one of {', '.join(choices)}", found)
        return value

    return check


def texts(reader: Reader, value: Any, path: Path) -> Any:
    """An object whose values are texts, as pairs in its order."""
    if not _is_object(reader, value, path):
        return ()
    reader.take(len(value), path)
    for key in value:
        text(reader, key, (path, key))
    return tuple((name, text(reader, filler, (path, name))) for name, filler in value.items())


def list_of(item: Check, most: int = MAX_ITEMS) -> Check:
    """A list of what `item` reads, as tuple."""

    def check(reader: Reader, value: Any, path: Path) -> Any:
        if type(value) is not list:
            reader.problem(path, "type", "a list", _kind(value))
            return ()
        if len(value) > most:
            reader.problem(path, "limit", f"at most {most} entries", str(len(value)))
            return ()
        reader.take(len(value), path)
        return tuple([item(reader, one, (path, at)) for at, one in enumerate(value)])

    return check


def object_of(
    make: Callable[..., Any],
    required: Mapping[str, Check],
    optional: Mapping[str, Check] = MappingProxyType({}),
) -> Check:
    """An object with these keys and no others, as `make` makes it of them; it may lack the optional ones."""
    checks = {**required, **optional}

    def check(reader: Reader, value: Any, path: Path) -> Any:
        if not _is_object(reader, value, path):
            return None
        for key in required:
            if key not in value:
                reader.problem((path, key), "missing", f"the key {key!r}", "none")
        found: dict[str, Any] = {}
        for key, one in value.items():
            if item := checks.get(key):
                found[key] = item(reader, one, (path, key))
            else:
                reader.problem((path, key), "unknown_key", f"the keys {', '.join(checks)}", "another one")
        return None if reader.problems else make(**found)

    return check


def _is_object(reader: Reader, value: Any, path: Path) -> bool:
    """Whether a value is an object with keys that are text, each once; else the problem is noted."""
    if not isinstance(value, dict):
        reader.problem(path, "type", "an object", _kind(value))
        return False
    if isinstance(value, _Repeated):
        reader.problem((path, value.twice), "duplicate_key", "each key once", "it twice")
        return False
    if not set(map(type, value)) <= {str}:
        reader.problem(path, "type", "an object with texts as keys", "another key")
        return False
    return True


def _place(path: Path) -> str:
    parts: list[str] = []
    while path:
        path, part = path
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            parts.append(f".{part}" if re.fullmatch(r"\w{1,64}", part) else f"[{part[:64]!a}]")
    return "$" + "".join(reversed(parts))


def _kind(value: object) -> str:
    """A value in words; short, whatever it is."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return repr(value) if abs(value) < 1e18 else "no number, or one beyond every limit"
    for type_, name in ((str, "a text"), (list, "a list"), (dict, "an object")):
        if isinstance(value, type_):
            return name
    return f"a {type(value).__name__}"[:60]
