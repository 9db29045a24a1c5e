"""The sqlglot side of reading DDL: a Flink dialect, and parsing the items of a column list.

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

from sqlglot import Tokenizer, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError
from sqlglot.parser import Parser

__all__ = ["DIALECTS", "SOURCE", "Flink", "Watermark", "parse_items", "rank_dialects"]

SOURCE = "source"  # the key in `Expression.meta` under which a type keeps its text in the script

# sqlglot logs what it does not support; without a handler Python would print that on stderr.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())


class Watermark(exp.Expression):
    """``WATERMARK FOR this AS expression``."""

    arg_types: ClassVar = {"this": True, "expression": True}


def _watermark(parser: Parser) -> exp.Expression | None:
    if not parser._match_text_seq("FOR"):
        return None
    column = parser._parse_id_var(any_token=True)
    while column and parser._match(TokenType.DOT):
        parser._parse_id_var(any_token=True)
    parser._match(TokenType.ALIAS)
    return Watermark(this=column, expression=parser._parse_disjunction())


def _metadata(parser: Parser) -> exp.Expression:
    """``METADATA [FROM 'key'] [VIRTUAL]``: the column comes from the record's envelope."""
    if parser._match_text_seq("FROM"):
        parser._parse_string()
    parser._match_text_seq("VIRTUAL")
    return exp.Var(this="METADATA")


class Flink(Dialect):
    """Flink SQL as far as column lists go: standard strings, back-quoted names."""

    class Tokenizer(Tokenizer):
        """Back-quotes name things; a backslash is a plain character."""

        IDENTIFIERS: ClassVar = ["`", '"']
        KEYWORDS: ClassVar = {
            **Tokenizer.KEYWORDS,
            "BYTES": TokenType.VARBINARY,
            "MULTISET": TokenType.ARRAY,
            "ROW": TokenType.STRUCT,
            "STRING": TokenType.TEXT,
            "TIMESTAMP_LTZ": TokenType.TIMESTAMPLTZ,
        }

    class Parser(Parser):
        """WATERMARK and METADATA."""

        SCHEMA_UNNAMED_CONSTRAINTS: ClassVar = Parser.SCHEMA_UNNAMED_CONSTRAINTS | {"WATERMARK"}
        CONSTRAINT_PARSERS: ClassVar = {
            **Parser.CONSTRAINT_PARSERS,
            "WATERMARK": _watermark,
            "METADATA": _metadata,
        }


DIALECTS = ("postgres", "mysql", "spark", "flink", "oracle", "tsql", "sqlite")
_HINTS = {
    "postgres": r"\bserial\b|::|\bcopy\b|\bjsonb\b|\bbytea\b|\bwith(?:out)? time zone\b|\bpublic\.|\btext\[",
    "mysql": r"\bengine\s*=|auto_increment|\bunsigned\b|\b(?:medium|tiny|long)(?:text|int|blob)\b|\bkey `",
    "spark": r"\busing (?:parquet|delta|orc|iceberg|csv|json)\b|\btblproperties\b|\bstruct\s*<|\bstored as\b",
    "flink": r"\bwatermark for\b|'connector|\bnot enforced\b|\bmetadata\b|\brow\s*<|_ltz\b|\bproctime\b",
    "oracle": r"\bvarchar2\b|\bnumber\(|\bnvarchar2\b",
    "tsql": r"\bnvarchar\b|\bidentity\(|\[\w+\]\s|\bdbo\.",
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
def _parser_class(dialect: str) -> type[Parser]:
    """The dialect's parser, which keeps the text of types and never falls back to an opaque command."""
    base: type[Parser] = Dialect.get_or_raise(dialect).parser_class

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


def parse_items(items: Sequence[str], dialects: Sequence[str]) -> list[exp.Expression]:
    """The nodes of the entries of a column list, one for each, in the first dialect that reads them all.

    Raises:
        ValueError: no dialect does; the message is that of the first one, on one line.
    """
    sql = "CREATE TABLE t (" + "\n,".join(items) + "\n)"
    problem = ""
    for dialect in dialects:
        try:
            nodes = _parse(sql, dialect)
        except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError) as error:
            problem = problem or _one_line(error)
            continue
        if len(nodes) == len(items):
            return nodes
        problem = problem or f"expected {len(items)} entries in the column list, found {len(nodes)}"
    raise ValueError(problem)


def _parse(sql: str, dialect: str) -> list[exp.Expression]:
    parser = _parser_class(dialect)(error_level=ErrorLevel.IMMEDIATE, dialect=dialect)
    statements = parser.parse(Dialect.get_or_raise(dialect).tokenize(sql), sql)
    create = statements[0]
    if len(statements) != 1 or not isinstance(create, exp.Create) or not isinstance(create.this, exp.Schema):
        raise ParseError("expected a list of columns and constraints")
    return list(create.this.expressions)


def _one_line(error: Exception) -> str:
    text = str(error).split("\n", 1)[0].split(" Line 1")[0].strip()
    return re.sub(r"\s*Line \d+, Col: \d+\.?$", "", text) or type(error).__name__
