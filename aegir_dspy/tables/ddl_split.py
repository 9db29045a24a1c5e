"""Text work on SQL scripts before any grammar: statements, the items of a column list, comments.

A script is cut by one regular expression that only knows quotes, comments and ends of statements, so
a statement no grammar understands cannot swallow its neighbours, and the cost is linear.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = [
    "CREATE_TABLE",
    "Body",
    "Item",
    "Statement",
    "Tail",
    "blank",
    "fill_placeholders",
    "read_body",
    "read_path",
    "split",
    "tokens",
    "unquote",
]

_CREATE = r"[ \t]*CREATE[ \t]+(?:\w+[ \t]+){0,4}TABLE\b"
_STOP = rf"(?!\n{_CREATE})"
_COMMENT = r"--[^\n]*|^[ \t]*\#[^\n]*"
# The modifiers that stand before TABLE in one dialect or another; none changes the columns.
_KINDS = (
    "GLOBAL|LOCAL|TEMPORARY|TEMP|UNLOGGED|EXTERNAL|FOREIGN|TRANSIENT|VOLATILE|COLUMN|ROW|MULTISET|DYNAMIC"
)
CREATE_TABLE = re.compile(rf"CREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:{_KINDS})\s+)*TABLE\b", re.I)
_ROUTINE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*\S+\s+)?"
    r"(?:FUNCTION|PROCEDURE|TRIGGER|PACKAGE|EVENT|TYPE)\b",
    re.I,
)
_LEADING = re.compile(r"(?:\s++|--[^\n]*|\#[^\n]*|/\*.*?\*/)*+", re.S)
_PLACEHOLDER = re.compile(
    r"""(?P<keep>'(?:[^']|'')*+'|"[^"]*+"|`[^`]*+`|--[^\n]*)"""
    r"|@(?:\w+)\.|\$\{(?P<shell>[\w.]+)\}|\{\{\s*(?P<jinja>\w+)[^{}]*\}\}"
)
_OPENERS = frozenset({"ROW", "STRUCT", "ARRAY", "MAP", "MULTISET"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script: its text from the first word on, and the 1-based line of that word."""

    line: int
    text: str


@dataclass(slots=True)
class Item:
    """One entry of a column list: its words as tokens, its text, and the comment behind it on its line."""

    tokens: list[str] = field(default_factory=list)
    start: int = -1
    end: int = -1
    comment: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """What stands between a pair of brackets, cut at the top-level commas; ``end`` is just behind it."""

    items: list[Item]
    end: int


def _quoted(quote: str, escape: bool, resync: bool) -> str:
    slash = r"|\\." if escape else ""
    plain = f"[^{quote}\\n\\\\]" if escape else f"[^{quote}\\n]"
    newline = rf"\n{'' if not resync else f'(?!{_CREATE})'}"
    return rf"{quote}(?:{plain}{slash}|{newline}|{quote}{quote})*+(?:{quote}|(?P<open_{ord(quote)}>))"


def _cutter(escape: bool, resync: bool) -> re.Pattern[str]:
    """The expression that finds quotes, comments and ends of statements in a script.

    A quoted name never, and with `resync` no quote or comment at all, runs past a line that begins with
    CREATE TABLE: that is how a script with a quote left open is still read.
    """
    stop = _STOP if resync else ""
    return re.compile(
        rf"(?P<comment>{_COMMENT})"
        rf"|(?P<block>/\*(?:{stop}(?!\*/).)*+(?:\*/|(?P<open_block>)))"
        rf"|(?P<string>{_quoted(chr(39), escape, resync)})"
        rf"|(?P<name>{_quoted(chr(34), False, True)}|{_quoted('`', False, True)})"
        rf"|(?P<dollar>\$(?P<tag>[A-Za-z_]*)\$(?:{stop}(?!\$(?P=tag)\$).)*+(?:\$(?P=tag)\$|(?P<open_dollar>)))"
        r"|(?P<rows>^COPY\b[^;\n]*\bFROM\s+stdin\b[^;\n]*;[^\n]*\n(?:(?!\\\.)[^\n]*\n)*+\\\.[^\n]*)"
        r"|(?P<end>;|^[ \t]*(?:GO|/)[ \t]*$|^\\[^\n]*)"
        rf"|(?P<create>^{_CREATE})"
        r"|(?P<plain>[^\n'\"`;$/-]++)",  # only to step over it at once
        re.I | re.S | re.M,
    )


def split(script: str) -> list[Statement]:
    """The statements of a script in order, each with the line it starts on.

    A quote, comment or dollar quote that is never closed makes the script be cut again so that such a
    token ends before the next CREATE TABLE line.
    """
    escape = bool(re.search(r"\bENGINE\s*=|\\'[^,;)\n]", script, re.I))
    cuts, is_open = _cut(script, _cutter(escape, resync=False))
    if is_open:
        cuts, _ = _cut(script, _cutter(escape, resync=True))
    newlines = [match.start() for match in re.finditer("\n", script)]
    statements = []
    for start, end in cuts:
        first = _LEADING.match(script, start, end)
        begin = first.end() if first else start
        text = script[begin:end].strip()
        if text:
            statements.append(Statement(bisect_right(newlines, begin) + 1, text))
    return statements


def _cut(script: str, cutter: re.Pattern[str]) -> tuple[list[tuple[int, int]], bool]:
    """Start and end of every statement, and whether some quote was never closed."""
    cuts: list[tuple[int, int]] = []
    start, is_open = 0, False
    for match in cutter.finditer(script):
        kind = match.lastgroup
        if kind in ("plain", "comment"):
            continue
        if kind == "create":
            # A statement without its semicolon ends here; the body of a routine does not.
            head = _LEADING.match(script, start)
            if not _ROUTINE.match(script, head.end() if head else start):
                cuts.append((start, match.start()))
                start = match.start()
        elif match["end"] is not None or match["rows"] is not None:
            cuts.append((start, match.start()))
            start = match.end()
        else:
            is_open |= any(match[name] is not None for name in _OPEN)
    cuts.append((start, len(script)))
    return cuts, is_open


_OPEN = ("open_39", "open_34", "open_96", "open_block", "open_dollar")
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|^[ \t]*\#[^\n]*|/\*.*?\*/)"
    r"|(?P<string>[EeNn]?'(?:[^'\\]|''|\\(?:.|\Z))*+')"
    r'|(?P<quoted>"(?:[^"]|"")*+"|`(?:[^`]|``)*+`|\[[A-Za-z_][^\]\n]*\])'
    r"|(?P<word>[\w$@#]+)|(?P<mark>[^\s])",
    re.S | re.M,
)


def tokens(text: str, start: int = 0) -> Iterator[re.Match[str]]:
    """Words, quoted names, strings, comments and single marks of a statement, in order."""
    return _TOKEN.finditer(text, start)


def read_body(text: str, start: int) -> Body | None:
    """The items of the bracket that opens at `start`, or None when it is never closed."""
    scan = _BodyScan(text)
    for match in tokens(text, start):
        if scan.take(match):
            return Body([item for item in scan.items if item.tokens], match.end())
    return None


class _BodyScan:
    """Follows brackets, and the angles of ROW<..>, to find the commas and comments of the top level."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items = [Item()]
        self.depth = self.angles = 0
        self.last, self.last_end = "", 0

    def take(self, match: re.Match[str]) -> bool:
        """Take one token; True when it closes the body."""
        word = match.group()
        if match["comment"]:
            self._comment(match)
            return False
        if match["mark"]:
            self._bracket(word)
        if self.depth == 0:
            self._finish()
            return True
        if word == "," and self.depth == 1 and not self.angles:
            self._finish()
            self.items.append(Item())
        elif self.last:
            self._add(match)
        self.last, self.last_end = word, match.end()
        return False

    def _bracket(self, mark: str) -> None:
        if mark in "([":
            self.depth += 1
        elif mark in ")]":
            self.depth -= 1
        elif mark == "<" and (self.angles or self.last.upper() in _OPENERS):
            self.angles += 1
        elif mark == ">" and self.angles:
            self.angles -= 1

    def _add(self, match: re.Match[str]) -> None:
        item = self.items[-1]
        if not item.tokens:
            item.start = match.start()
        item.tokens.append(match.group())
        item.end = match.end()

    def _finish(self) -> None:
        item = self.items[-1]
        item.text = self.text[item.start : item.end]

    def _comment(self, match: re.Match[str]) -> None:
        """A comment on the line of an item, before or behind its comma, belongs to that item."""
        if self.depth != 1 or self.angles or "\n" in self.text[self.last_end : match.start()]:
            return
        item = self.items[-1]
        if not item.tokens and len(self.items) > 1:
            item = self.items[-2]
        if item.tokens and item.comment is None:
            item.comment = match.group().strip("-#/* \t\r\n") or None


def blank(text: str) -> str:
    """The text with the inside of strings and all comments replaced by spaces, at the same length."""
    parts = list(text)
    for match in tokens(text):
        if match["string"] or match["comment"]:
            inner = match.span() if match["comment"] else (match.start() + 1, match.end() - 1)
            parts[slice(*inner)] = " " * (inner[1] - inner[0])
    return "".join(parts)


def fill_placeholders(text: str) -> str:
    """The text with ``@schema.``, ``${name}`` and ``{{ name }}`` outside quotes made plain names."""

    def replace(match: re.Match[str]) -> str:
        return match["keep"] or match["shell"] or match["jinja"] or ""

    return _PLACEHOLDER.sub(replace, text)


def unquote(word: str) -> str:
    """A name or string without its quotes, doubled quotes undone."""
    word = word[1:] if word[:2].upper() in ("E'", "N'") else word
    quote = word[:1]
    if quote in ("'", '"', "`") and word.endswith(quote) and len(word) > 1:
        return word[1:-1].replace(quote * 2, quote)
    return word[1:-1] if quote == "[" and word.endswith("]") else word


_PARENT = re.compile(r"\b(?:LIKE|CLONE|INHERITS\s*\(|PARTITION\s+OF)\s*", re.I)
_PARTITIONS = re.compile(r"\bPARTITIONED\s+BY\s*(?=\()", re.I)
_TABLE_COMMENT = re.compile(
    r"\bCOMMENT\s*=?\s*(?=')|\bOPTIONS\s*\([^()]*?\bdescription\s*=\s*(?=['\"])", re.I
)
_QUERY = re.compile(r"\bAS\s*(?=[\s(]*(?:SELECT|WITH)\b)", re.I)


def read_path(text: str, start: int) -> tuple[tuple[str, ...], int]:
    """The parts of a dotted name from `start` on, IF NOT EXISTS skipped, and where it ends."""
    parts: list[str] = []
    end, dotted = start, True
    for match in tokens(text, start):
        word = match.group()
        if match["comment"] or (not parts and word.upper() in ("IF", "NOT", "EXISTS", "ONLY")):
            continue
        if word == ".":
            dotted = True
        elif dotted and (match["word"] or match["quoted"]):
            parts.append(unquote(word))
            dotted = False
        else:
            break
        end = match.end()
    return tuple(parts), end


class Tail:
    """What follows the column list, where a table's comment, parents and further columns stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._blank = blank(text)

    def comment(self) -> str | None:
        """The text of COMMENT 'text', COMMENT='text' or OPTIONS(description="text")."""
        match = _TABLE_COMMENT.search(self._blank)
        word = next(tokens(self.text, match.end()), None) if match else None
        return unquote(word.group()) or None if word else None

    def query(self) -> str:
        """The query behind AS, or an empty text."""
        match = _QUERY.search(self._blank)
        return self.text[match.end() :] if match else ""

    def parents(self) -> list[tuple[str, ...]]:
        """The tables named by LIKE, CLONE, INHERITS or PARTITION OF."""
        found = (read_path(self.text, match.end())[0] for match in _PARENT.finditer(self._blank))
        return [path for path in found if path]

    def partition_columns(self) -> list[Item]:
        """The columns that PARTITIONED BY declares with a type; those without one are declared before."""
        match = _PARTITIONS.search(self._blank)
        body = read_body(self.text, match.end()) if match else None
        return [item for item in body.items if _is_typed(item)] if body else []


def _is_typed(item: Item) -> bool:
    return len(item.tokens) > 1 and item.tokens[1][:1].isalpha()
