"""What the nodes of a parsed column list say: columns, keys, and the kind of values a SQL type holds.

Importing this module imports sqlglot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from aegir_dspy.tables.ddl_flink import SOURCE, Watermark
from aegir_dspy.tables.ddl_split import Item, read_body, tokens, unquote
from aegir_dspy.tables.table import Column, ForeignKey

__all__ = ["column", "foreign_keys", "inferred_type", "like", "primary_key", "selected", "watermark"]

_KINDS = (
    ("text", r".*[\[<]|ARRAY\b|MAP\b|ROW\b|STRUCT\b|INTERVAL\b|.*RANGE\b"),
    ("boolean", r"BOOL|TINYINT\s*\(\s*1\s*\)|BIT\s*(?:\(\s*1\s*\))?$"),
    (
        "integer",
        r"U?(?:BIG|SMALL|TINY|MEDIUM|HUGE)?INT(?:EGER|\d*)?\b|(?:BIG|SMALL)?SERIAL\d*\b|(?:LONG|SHORT|BYTE)$|YEAR\b"
        r"|(?:DECIMAL|NUMERIC|NUMBER|DEC)\s*\(\s*\d+\s*(?:,\s*0\s*)?\)",
    ),
    (
        "number",
        r"FLOAT|REAL\b|DOUBLE|DECIMAL|NUMERIC|NUMBER\b|DEC\b|FIXED\b|(?:SMALL)?MONEY\b|SMALLDECIMAL\b",
    ),
    ("datetime", r"(?:SMALL)?DATETIME|TIMESTAMP|LONGDATE|SECONDDATE"),
    ("date", r"(?:DAY)?DATE\b"),
    ("time", r"(?:SECOND)?TIME(?:TZ)?\b"),
)
_KIND_EXPRESSIONS = tuple((kind, re.compile(text, re.I | re.S)) for kind, text in _KINDS)
_CLOCK = (exp.CurrentTimestamp, exp.CurrentDatetime, exp.Localtimestamp)
_CLOCK_NAMES = frozenset({"PROCTIME", "TO_TIMESTAMP", "TO_TIMESTAMP_LTZ", "TIMESTAMPADD", "NOW"})


def inferred_type(declared: str) -> str:
    """The `Column.inferred_type` that values of a SQL type have; ``text`` for what is none of the others."""
    text = re.sub(r"^[\"`\[]|[\"`\]]$", "", declared.strip())
    return next((kind for kind, expression in _KIND_EXPRESSIONS if expression.match(text)), "text")


def column(node: exp.Expression, item: Item, index: int) -> Column:
    """The column a node declares; its own COMMENT counts before the comment behind it on the line."""
    kind = node.args.get("kind") if isinstance(node, exp.ColumnDef) else None
    declared = " ".join(kind.meta[SOURCE].split()) if kind is not None else None
    constraints = [constraint.args.get("kind") for constraint in node.args.get("constraints") or ()]
    comment = item.comment
    inferred = inferred_type(declared) if declared else "text"
    for constraint in constraints:
        if isinstance(constraint, exp.CommentColumnConstraint):
            comment = constraint.this.name or None
        elif isinstance(constraint, exp.Properties):
            options = {option.name.lower(): option.args["value"].name for option in constraint.expressions}
            comment = options.get("description") or comment
        elif isinstance(constraint, exp.ComputedColumnConstraint) and not declared:
            inferred = _computed_type(constraint.this)
    return Column(index, unquote(item.tokens[0]), (), declared, inferred, comment)


def _computed_type(expression: exp.Expression) -> str:
    """The kind of a computed column, where the outermost function or cast tells it."""
    inner = expression.unnest()
    if isinstance(inner, exp.Cast):
        return inferred_type(inner.to.sql())
    is_clock = isinstance(inner, _CLOCK) or inner.name.upper() in _CLOCK_NAMES
    return "datetime" if is_clock else "text"


def primary_key(node: exp.Expression, item: Item) -> tuple[str, ...]:
    """The key columns a column or table constraint declares, or none."""
    if isinstance(node, exp.ColumnDef):
        return (unquote(item.tokens[0]),) if node.find(exp.PrimaryKeyColumnConstraint) else ()
    return _key_columns(item) if node.find(exp.PrimaryKey) else ()


def _key_columns(item: Item) -> tuple[str, ...]:
    """The names in the first bracket, as written: some grammars undo backslashes in them."""
    start = next((match.start() for match in tokens(item.text) if match.group() == "("), None)
    body = read_body(item.text, start) if start is not None else None
    return tuple(unquote(part.tokens[0]) for part in body.items) if body else ()


def foreign_keys(node: exp.Expression, item: Item) -> Iterator[tuple[ForeignKey, tuple[str, ...]]]:
    """Declared references, each with the full path of the table it names."""
    for reference in node.find_all(exp.Reference):
        parent = reference.find_ancestor(exp.ForeignKey)
        columns = _key_columns(item) if parent else (unquote(item.tokens[0]),)
        target = reference.this
        names = [part.name for part in target.expressions] if isinstance(target, exp.Schema) else []
        path = _path(target)
        yield ForeignKey(columns, path[-1], tuple(names)), path


def like(node: exp.Expression) -> tuple[str, ...] | None:
    """The table whose columns a LIKE entry takes over."""
    return _path(node.this) if isinstance(node, exp.LikeProperty) else None


def watermark(node: exp.Expression) -> str | None:
    """The column a WATERMARK entry makes the event time."""
    return node.name if isinstance(node, Watermark) else None


_QUERY_DIALECTS = 3  # a query that the likeliest ones do not read is given up


def selected(query: str, dialects: Sequence[str]) -> list[str | tuple[str, ...] | None]:
    """The names of a query's columns, None where one has none; for a ``*`` the path of the table it means.

    Raises:
        ValueError: no dialect reads the query, or a ``*`` may mean several tables.
    """
    tree = _query(query, dialects)
    found: list[str | tuple[str, ...] | None] = []
    for node in tree.selects:
        if not node.is_star:
            found.append(None if isinstance(node, exp.Literal) else node.output_name or None)
            continue
        tables = list(tree.find_all(exp.Table))
        if len(tables) != 1:
            raise ValueError("expected the columns of the query by name, found *; write the columns out")
        found.append(_path(tables[0]))
    return found


def _query(query: str, dialects: Sequence[str]) -> exp.Query:
    for dialect in dialects[:_QUERY_DIALECTS]:
        try:
            tree = parse_one(query, dialect=dialect)
        except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError, KeyError):
            continue
        tree = tree.unnest()
        if isinstance(tree, exp.Query):
            return tree
    raise ValueError("expected a query behind AS that can be read; write the columns out")


def _path(node: exp.Expression) -> tuple[str, ...]:
    table = node.find(exp.Table)
    return tuple(part.name for part in table.parts) if table else ("",)
