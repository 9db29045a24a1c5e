"""Tables out of SQL scripts: CREATE TABLE, ALTER TABLE ... ADD and COMMENT ON become `Table` values.

Statements are read one by one, each in the dialect its marks suggest and then in the others, so that a
statement no dialect reads costs a `FailureRecord` and nothing else. Statements that define no columns
(SELECT, INSERT, SET, CREATE VIEW ...) are passed over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables.config import ReadConfig
from aegir_dspy.tables.ddl_split import (
    CREATE_TABLE,
    Body,
    Item,
    Statement,
    Tail,
    fill_placeholders,
    read_body,
    read_path,
    split,
    tokens,
    unquote,
)
from aegir_dspy.tables.table import Column, ForeignKey, Table

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["MAX_DDL", "MAX_SCRIPT", "parse_ddl", "read_ddl"]

MAX_SCRIPT = 8 * 2**20  # bytes of a script that are read; dumps keep their DDL ahead of their rows
MAX_DDL = 2**20  # characters of DDL read from one script: seconds of work

_ALTER = re.compile(r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?", re.I)
_COMMENT_ON = re.compile(r"COMMENT\s+ON\s+(TABLE|COLUMN)\s+", re.I)
_ADD = re.compile(
    r"(?:WITH\s+(?:NO)?CHECK\s+)?ADD\s+(?:(?P<column>COLUMN\s+)(?:IF\s+NOT\s+EXISTS\s+)?)?", re.I
)
_KEY = re.compile(r"(?:CONSTRAINT\s+\S+\s+)?(?:PRIMARY|FOREIGN)\s+KEY\b", re.I)
_WORDS = 8
_QUERY_COST = 5  # a character of a query counts as that many of column definitions
_COLUMN_COST = 8  # characters a column taken over from another table counts


class _LimitError(ValueError):
    """A bound of the configuration was reached."""


def read_ddl(path: Path, config: ReadConfig | None = None) -> tuple[list[Table], list[FailureRecord]]:
    """The tables a SQL script declares, without values.

    Args:
        path: the script, as UTF-8 or else Latin-1; at most `MAX_SCRIPT` bytes of it are read.
        config: bounds on the columns of a table and on the tables of a script.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SCRIPT + 1)
    except OSError as error:
        return [], [_failure(str(path), f"expected a readable script, found: {error.strerror}", "resource")]
    tables, failures = parse_ddl(_decode(data[:MAX_SCRIPT]), str(path), config)
    if len(data) > MAX_SCRIPT:
        message = f"expected at most {MAX_SCRIPT:,} bytes, found more; tables after them are not read"
        failures.append(_failure(str(path), f"{message}: split the script", "resource"))
    return tables, failures


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_ddl(
    script: str, source: str, config: ReadConfig | None = None
) -> tuple[list[Table], list[FailureRecord]]:
    """The tables of a script in its order, and a record for every DDL statement that gave none.

    Args:
        script: SQL text in any of the dialects of `ddl_flink.DIALECTS`, mixed or not.
        source: what `Table.source` and the records call it, usually the path.
        config: bounds on the columns of a table and on the tables of a script.
    """
    reading = _Reading(script, source, config or ReadConfig())
    statements = split(script)
    for statement in statements:
        reading.take(statement)
    if not reading.created:
        evidence = _evidence(source, statements[0]) if statements else f"{source}:1: no statement"
        message = f"expected a CREATE TABLE statement, found {_kinds(statements)}"
        reading.failures.append(_failure(source, message, evidence=evidence))
    return reading.tables(), reading.failures


def _kinds(statements: Sequence[Statement]) -> str:
    """What a script holds instead of tables, the most frequent statements first."""
    heads = Counter(" ".join(re.findall(r"[A-Za-z]+", s.text[:60])[:2]).upper() or "text" for s in statements)
    found = [f"{count} {name}" for name, count in sorted(heads.items(), key=lambda pair: (-pair[1], pair[0]))]
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "") if found else "no statement"


def _evidence(source: str, statement: Statement) -> str:
    words = " ".join(statement.text.split()[:_WORDS])[:120]
    return f"{source}:{statement.line}: {words}"


def _failure(source: str, message: str, kind: str = "parse", evidence: str = "") -> FailureRecord:
    return FailureRecord(f"read:{source}", "tables.ddl", kind, message, evidence or f"{source}: {message}")


@dataclass(slots=True)
class _Draft:
    """A table while later statements may still add keys and comments to it."""

    path: tuple[str, ...]
    columns: list[Column] = field(default_factory=list)
    primary_key: tuple[str, ...] = ()
    foreign_keys: list[tuple[ForeignKey, tuple[str, ...]]] = field(default_factory=list)
    comment: str | None = None

    def take(self, columns: Iterable[Column]) -> None:
        """Append columns of another table; one that is there already, as when inherited twice, stays."""
        own = {(column.name or "").lower() for column in self.columns}
        for column in columns:
            if (column.name or "").lower() not in own:
                self.columns.append(replace(column, index=len(self.columns)))

    def amend(self, name: str, **changes: Any) -> None:
        """Change the column of that name, whatever its case."""
        for position, column in enumerate(self.columns):
            if (column.name or "").lower() == name.lower():
                self.columns[position] = replace(column, **changes)

    def spelled(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names as the table's columns spell them; SQL does not tell case apart."""
        known = {(column.name or "").lower(): column.name or "" for column in self.columns}
        return tuple(known.get(name.lower(), name) for name in names)


class _Reading:
    """One pass over the statements of a script."""

    def __init__(self, script: str, source: str, config: ReadConfig) -> None:
        from aegir_dspy.tables.ddl_flink import Grammar, rank_dialects

        self.source, self.config = source, config
        self.drafts: list[_Draft] = []
        self.failures: list[FailureRecord] = []
        self.created = 0
        self._by_name: dict[str, _Draft] = {}
        self._rank = rank_dialects
        self._script_rank = rank_dialects(script)
        self._grammar = Grammar()
        self._budget = MAX_DDL

    def take(self, statement: Statement) -> None:
        """Read one statement; what cannot be read becomes a failure."""
        create = CREATE_TABLE.match(statement.text)
        self.created += bool(create)
        try:
            if create and self.created > self.config.max_tables:
                self._refuse()
            elif create:
                self._charge(len(statement.text))
                self._create(fill_placeholders(statement.text), statement)
            elif _ALTER.match(statement.text):
                self._alter(statement)
            elif match := _COMMENT_ON.match(statement.text):
                self._comment(fill_placeholders(statement.text), match)
        except ValueError as error:
            kind = "resource" if isinstance(error, _LimitError) else "parse"
            evidence = _evidence(self.source, statement)
            self.failures.append(_failure(self.source, str(error), kind, evidence))

    def tables(self) -> list[Table]:
        """The finished tables."""
        return [self._table(draft) for draft in self.drafts]

    def _table(self, draft: _Draft) -> Table:
        keys = tuple(self._resolve(draft, *key) for key in draft.foreign_keys)
        return Table(
            draft.path[-1],
            self.source,
            tuple(draft.columns),
            primary_key=draft.spelled(draft.primary_key),
            foreign_keys=tuple(dict.fromkeys(keys)),
            comment=draft.comment,
        )

    def _resolve(self, draft: _Draft, key: ForeignKey, path: tuple[str, ...]) -> ForeignKey:
        """The key in the spelling of both tables; REFERENCES without columns means the primary key."""
        target = self._find(path)
        columns = draft.spelled(key.columns)
        if target is None:
            return replace(key, columns=columns)
        return ForeignKey(columns, target.path[-1], target.spelled(key.references or target.primary_key))

    def _find(self, path: tuple[str, ...]) -> _Draft | None:
        return self._by_name.get("\0".join(path).lower()) or self._by_name.get(path[-1].lower())

    def _charge(self, characters: int) -> None:
        """Count work against the script's budget."""
        self._budget -= characters
        if self._budget < 0:
            raise ValueError(f"expected at most {MAX_DDL:,} characters of DDL in one script: split it")

    def _refuse(self) -> None:
        """Raise for the first table too many; those after it are left out as well."""
        most = self.config.max_tables
        if self.created == most + 1:
            raise _LimitError(f"expected {most:,} tables at most, found more, left out; raise max_tables")

    def _create(self, text: str, statement: Statement) -> None:
        head = CREATE_TABLE.match(text)
        path, end = read_path(text, head.end() if head else 0)
        body = read_body(text, end) if text[end:].lstrip().startswith("(") else Body([], end)
        if not path or body is None:
            raise ValueError("expected CREATE TABLE name (columns ...), found no name or no closing bracket")
        tail = Tail(text[body.end :])
        draft = _Draft(path, comment=tail.comment())
        draft.take(self._inherited(tail.parents()))
        self._add(draft, [*body.items, *tail.partition_columns()], statement)
        if not draft.columns and (query := tail.query()):
            self._charge(_QUERY_COST * len(query))
            draft.columns = self._selected(query, statement)
        if not draft.columns:
            raise ValueError("expected a column list, found none; write the columns out")
        if len(draft.columns) > self.config.max_columns:
            found = f"{self.config.max_columns:,} columns at most, found {len(draft.columns):,}"
            raise _LimitError(f"expected {found}; raise max_columns")
        self.drafts.append(draft)
        self._by_name[draft.path[-1].lower()] = self._by_name["\0".join(draft.path).lower()] = draft

    def _inherited(self, parents: Sequence[tuple[str, ...]]) -> Iterator[Column]:
        for path in parents:
            parent = self._find(path)
            if parent is None:
                raise ValueError(f"expected the columns of {path[-1]}, found no such table before it")
            self._charge(_COLUMN_COST * len(parent.columns))
            yield from parent.columns

    def _dialects(self, statement: Statement) -> tuple[str, ...]:
        own = self._rank(statement.text)
        return self._script_rank if own == self._rank("") else own

    def _selected(self, query: str, statement: Statement) -> list[Column]:
        """The columns of CREATE TABLE ... AS: their names, and what a ``*`` takes over from one table."""
        from aegir_dspy.tables import ddl_nodes

        columns: list[Column] = []
        for entry in ddl_nodes.selected(query, self._dialects(statement)):
            columns += self._inherited([entry]) if isinstance(entry, tuple) else [Column(0, entry)]
        return [replace(column, index=index) for index, column in enumerate(columns)]

    def _add(self, draft: _Draft, items: Sequence[Item], statement: Statement) -> None:
        """Read the entries of a column list and add them to the draft."""
        dialects = self._dialects(statement)
        for item in items:
            self._apply(draft, item, self._grammar.parse(item.tokens[0], item.text, dialects))

    def _apply(self, draft: _Draft, item: Item, node: exp.Expression) -> None:
        from sqlglot import exp

        from aegir_dspy.tables import ddl_nodes

        if isinstance(node, exp.ColumnDef | exp.Identifier | exp.Column):
            draft.columns.append(ddl_nodes.column(node, item, len(draft.columns)))
        elif parent := ddl_nodes.like(node):
            draft.take(self._inherited([parent]))
        elif event_time := ddl_nodes.watermark(node):
            draft.amend(event_time, inferred_type="datetime")
        draft.primary_key = ddl_nodes.primary_key(node, item) or draft.primary_key
        draft.foreign_keys.extend(ddl_nodes.foreign_keys(node, item))

    def _alter(self, statement: Statement) -> None:
        """Apply the ADD actions of ALTER TABLE to a table of this script."""
        text = fill_placeholders(statement.text)
        head = _ALTER.match(text)
        path, end = read_path(text, head.end() if head else 0)
        draft = self._find(path) if path else None
        if draft is None:
            return
        actions = read_body(f"({text[end:]}\n)", 0)
        for action in actions.items if actions else ():
            add = _ADD.match(action.text)
            rest = action.text[add.end() :] if add else ""
            if add and (add["column"] or _KEY.match(rest)):
                self._charge(len(action.text))
                rest = re.sub(r"\bNOT\s+VALID\s*$", "", rest, flags=re.I)
                words = [match.group() for match in tokens(rest)]
                self._add(draft, [Item(words, text=rest)], statement)

    def _comment(self, text: str, head: re.Match[str]) -> None:
        """``COMMENT ON TABLE|COLUMN name IS 'text'``."""
        path, end = read_path(text, head.end())
        words = [match.group() for match in tokens(text, end)]
        if not path or len(words) < 2 or words[0].upper() != "IS":
            raise ValueError("expected COMMENT ON TABLE or COLUMN name IS 'text'")
        comment = None if words[1].upper() == "NULL" else unquote(words[1])
        is_column = head[1].upper() == "COLUMN"
        draft = self._find(path[:-1] if is_column and len(path) > 1 else path)
        if draft and is_column:
            draft.amend(path[-1], comment=comment)
        elif draft:
            draft.comment = comment
