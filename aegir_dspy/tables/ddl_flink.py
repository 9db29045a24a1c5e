"""The sqlglot side of reading DDL: a Flink dialect, and reading the entries of a column list.

Importing this module imports sqlglot. Only the items between the brackets of CREATE TABLE are given to
a grammar: what follows them (ENGINE=, WITH (...), TABLESPACE) says nothing about columns and differs
most between products.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

from sqlglot import Tokenizer as BaseTokenizer
from sqlglot import TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError
from sqlglot.parser import Parser as BaseParser

__all__ = ["DIALECTS", "MAX_WORK", "SOURCE", "Flink", "Grammar", "Watermark", "rank_dialects"]

SOURCE = "source"  # the key in `Expression.meta` under which a type keeps its text in the script

# sqlglot logs what it does not support; without a handler Python would print that on stderr.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())


class Watermark(exp.Expression):
    """``WATERMARK FOR this AS expression``."""

    arg_types: ClassVar = {"this": True, "expression": True}


def _watermark(parser: BaseParser) -> exp.Expression | None:
    if not parser._match_text_seq("FOR"):
        return None
    column = parser._parse_id_var(any_token=True)
    while column and parser._match(TokenType.DOT):
        parser._parse_id_var(any_token=True)
    parser._match(TokenType.ALIAS)
    return Watermark(this=column, expression=parser._parse_disjunction())


def _metadata(parser: BaseParser) -> exp.Expression:
    """``METADATA [FROM 'key'] [VIRTUAL]``: the column comes from the record's envelope."""
    if parser._match_text_seq("FROM"):
        parser._parse_string()
    parser._match_text_seq("VIRTUAL")
    return exp.Var(this="METADATA")


class Flink(Dialect):
    """Flink SQL as far as column lists go: standard strings, back-quoted names."""

    class Tokenizer(BaseTokenizer):
        """Back-quotes name things; a backslash is a plain character."""

        IDENTIFIERS: ClassVar = ["`", '"']
        KEYWORDS: ClassVar = {
            **BaseTokenizer.KEYWORDS,
            "BYTES": TokenType.VARBINARY,
            "MULTISET": TokenType.ARRAY,
            "ROW": TokenType.STRUCT,
            "STRING": TokenType.TEXT,
            "TIMESTAMP_LTZ": TokenType.TIMESTAMPLTZ,
        }

    class Parser(BaseParser):
        """WATERMARK and METADATA."""

        SCHEMA_UNNAMED_CONSTRAINTS: ClassVar = BaseParser.SCHEMA_UNNAMED_CONSTRAINTS | {"WATERMARK"}
        CONSTRAINT_PARSERS: ClassVar = {
            **BaseParser.CONSTRAINT_PARSERS,
            "WATERMARK": _watermark,
            "METADATA": _metadata,
        }


DIALECTS = ("postgres", "mysql", "spark", "flink", "oracle", "tsql", "sqlite", "bigquery")
_HINTS = {
    "postgres": r"\bserial\b|::|\bcopy\b|\bjsonb\b|\bbytea\b|\bwith(?:out)? time zone\b|\bpublic\.|\btext\[",
    "mysql": r"\bengine\s*=|auto_increment|\bunsigned\b|\b(?:medium|tiny|long)(?:text|int|blob)\b|\bkey `",
    "spark": r"\busing (?:parquet|delta|orc|iceberg|csv|json)\b|\btblproperties\b|\bstruct\s*<|\bstored as\b",
    "flink": r"\bwatermark for\b|'connector|\bnot enforced\b|\bmetadata\b|\brow\s*<|_ltz\b|\bproctime\b",
    "oracle": r"\bvarchar2\b|\bnumber\(|\bnvarchar2\b",
    "tsql": r"\bnvarchar\b|\bidentity\(|\[\w+\]\s|\bdbo\.",
    "bigquery": r"\boptions\s*\(|\b(?:int|float)64\b|\bbignumeric\b",
    "sqlite": r"\bautoincrement\b|\bwithout rowid\b",
}
_HINT_EXPRESSIONS = {name: re.compile(text, re.I | re.M) for name, text in _HINTS.items()}
_HINT_REACH = 100_000


def rank_dialects(statement: str) -> tuple[str, ...]:
    """`DIALECTS`, the one whose marks the statement bears most often first."""
    text = statement[:_HINT_REACH]
    counts = {name: len(hint.findall(text)) for name, hint in _HINT_EXPRESSIONS.items()}
    if "`" in text:
        for name in ("mysql", "spark", "flink"):
            counts[name] += 1
    return tuple(sorted(DIALECTS, key=lambda name: (-counts[name], DIALECTS.index(name))))


@cache
def _parser_class(dialect: str) -> type[BaseParser]:
    """The dialect's parser, which keeps the text of types and never falls back to an opaque command."""
    base: type[BaseParser] = Dialect.get_or_raise(dialect).parser_class

    class DdlParser(base):  # type: ignore[misc, valid-type]
        def _parse_types(
            self, check_func: bool = False, schema: bool = False, *args: object, **kwargs: object
        ) -> exp.Expression | None:
            start = self._curr
            kind: exp.Expression | None = super()._parse_types(check_func, schema, *args, **kwargs)
            if kind is not None and schema:
                kind.meta[SOURCE] = self._find_sql(start, self._prev)
                # SAP HANA names the store's own type behind the SQL type: INTEGER CS_INT.
                if self._curr and self._curr.text.upper().startswith(("CS_", "ST_")):
                    self._advance()
            return kind

        def _warn_unsupported(self) -> None:
            raise ParseError("unsupported syntax")

    return DdlParser


_WORDS = "PRIMARY|FOREIGN|CONSTRAINT|UNIQUE|KEY|INDEX|CHECK|FULLTEXT|SPATIAL|EXCLUDE|PERIOD|LIKE|WATERMARK"
_CONSTRAINT = re.compile(rf"(?:{_WORDS})\b", re.I)
_EXTRA = re.compile(  # entries that say nothing about columns or keys
    r"(?:CONSTRAINT\s+\S+\s+)?(?:CHECK|UNIQUE|KEY|INDEX|FULLTEXT|SPATIAL|EXCLUDE|PERIOD)\b", re.I
)
_KEY_END = re.compile(r"(?:CONSTRAINT\s+\S+\s+)?PRIMARY\s+KEY\b[^(]*(\([^()]*\))", re.I)
_CLAUSE = re.compile(r"\s(?:NOT|NULL|DEFAULT|CHECK|CONSTRAINT|UNIQUE|IDENTITY|ENABLE|ENCODE|COLLATE)\b", re.I)
MAX_WORK = 1_500_000  # characters; every attempt at a grammar counts its text and a fixed share


class Grammar:
    """Reads the entries of column lists, each distinct one once, within a bound on the work.

    Most columns of a schema share a few definitions (``bigint NOT NULL``), so a column is read without
    its name, which the caller knows; that also keeps names that are keywords out of the grammar.
    """

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], exp.Expression | None] = {}
        self._work = MAX_WORK

    def parse(self, name: str, item: str, dialects: Sequence[str]) -> exp.Expression:
        """The node of one entry that begins with the word `name`, in the first dialect that reads it.

        Where none does, a column is read without the clauses behind its type, a key without what
        follows its columns, and an index or check is an empty node.

        Raises:
            ValueError: the entry cannot be read; the message names it on one line.
        """
        key = _KEY_END.match(item)
        text = item if _CONSTRAINT.match(name) else f"c {item[len(name) :]}"
        short = f"PRIMARY KEY {key[1]}" if key else _CLAUSE.split(text, maxsplit=1)[0]
        for candidate in dict.fromkeys((text, short)):
            for dialect in dialects:
                if node := self._cached(candidate, dialect):
                    return node
        if _EXTRA.match(item):
            return exp.Null()
        raise ValueError(f"expected a column or a constraint, found: {' '.join(item.split())[:100]}")

    def _cached(self, text: str, dialect: str) -> exp.Expression | None:
        if (text, dialect) not in self._nodes:
            self._work -= len(text) + 150
            if self._work < 0:
                raise ValueError("expected fewer different column definitions in one script: split it")
            self._nodes[text, dialect] = _parse(text, dialect)
        return self._nodes[text, dialect]


def _parse(text: str, dialect: str) -> exp.Expression | None:
    """The node of one entry in one dialect, or None where it is none or several."""
    sql = f"CREATE TABLE t ({text}\n)"
    parser = _parser_class(dialect)(error_level=ErrorLevel.IMMEDIATE, dialect=dialect)
    try:
        create = parser.parse(Dialect.get_or_raise(dialect).tokenize(sql), sql)[0]
    except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError, KeyError):
        return None
    schema = create.this if isinstance(create, exp.Create) else None
    nodes = schema.expressions if isinstance(schema, exp.Schema) else []
    return nodes[0] if len(nodes) == 1 else None
