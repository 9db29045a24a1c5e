"""Gate coverage: every column of every table of the input exactly once, and nothing that is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from aegir_dspy.ontology.composition import TableTypes
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier.case import Case
from aegir_dspy.verifier.diagnostic import Diagnostic

__all__ = ["coverage"]


def coverage(case: Case) -> Iterator[Diagnostic]:
    """Tables and columns that are missing, unknown, said twice, or abstained from without a reason."""
    yield from _tables(case)
    for types, table in case.pairs:
        yield from _columns(types, table)
        yield from _references(types, table)
    yield from _elements(case)


def _tables(case: Case) -> Iterator[Diagnostic]:
    there = Counter(table.name for table in case.tables)
    said = Counter(types.name for types in case.composition.tables)
    for name in sorted(there.keys() | said.keys()):
        if said[name] < there[name]:
            yield Diagnostic(
                "coverage.missing_table",
                name,
                f"expected what table {name!r} means, found nothing on it",
                suggestion="add a table of that name, with a type or an abstention for every column",
            )
        elif said[name] > there[name]:
            known = ", ".join(sorted(there)[:5])
            yield Diagnostic(
                "coverage.unknown_table" if not there[name] else "coverage.repeated_table",
                name,
                f"expected tables of the input ({known}), {there[name]} of them {name!r}, found {said[name]}",
                suggestion="leave it out",
            )


def _columns(types: TableTypes, table: Table) -> Iterator[Diagnostic]:
    times = Counter(column.index for column in types.columns)
    for column in table.columns:
        if not times[column.index]:
            yield Diagnostic(
                "coverage.missing_column",
                f"{table.name}[{column.index}]",
                "expected a type or an abstention with its reason, found neither",
                suggestion=f"add column {column.index}, or abstain with a reason",
            )
    known = {column.index for column in table.columns}
    for index, count in sorted(times.items()):
        if index not in known:
            yield _unknown(f"{table.name}[{index}]", index, table)
        elif count > 1:
            yield Diagnostic(
                "coverage.repeated_column",
                f"{table.name}[{index}]",
                f"expected one type a column, found {count}",
                suggestion="keep one of them",
            )
    for one in types.columns:
        if one.type is None and not one.reason.strip():
            yield Diagnostic(
                "coverage.no_reason",
                f"{table.name}[{one.index}]",
                "expected the reason of an abstention, found none",
                suggestion="say why no type fits, or give a type",
            )


def _references(types: TableTypes, table: Table) -> Iterator[Diagnostic]:
    """The columns that the relations and the subject of a table name."""
    known = {column.index for column in table.columns}
    if types.subject is not None and types.subject not in known:
        yield _unknown(f"{table.name}.subject", types.subject, table)
    for i, relation in enumerate(types.relations):
        for index in (relation.subject, relation.object):
            if index not in known:
                yield _unknown(f"{table.name}.relations[{i}]", index, table)
        if relation.subject == relation.object:
            yield Diagnostic(
                "coverage.reflexive_relation",
                f"{table.name}.relations[{i}]",
                f"expected two columns, found column {relation.object} related to itself",
                suggestion="leave it out",
            )


def _elements(case: Case) -> Iterator[Diagnostic]:
    known = {table.name: {column.index for column in table.columns} for table in case.tables}
    for element in case.composition.elements:
        for member in element.members:
            if member.column not in known.get(member.table, ()):
                yield Diagnostic(
                    "coverage.unknown_member",
                    f"element {element.name}",
                    f"expected columns of the input, found {member.table}[{member.column}]",
                    suggestion="leave it out",
                )


def _unknown(subject: str, index: int, table: Table) -> Diagnostic:
    return Diagnostic(
        "coverage.unknown_column",
        subject,
        f"expected a column 0 … {len(table.columns) - 1} of {table.name}, found {index}",
        suggestion="leave it out",
    )
