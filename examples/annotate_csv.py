"""Annotate the CSV files of a folder and list the columns that hold personal data.

Run: python examples/annotate_csv.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import aegir_dspy as aegir

PERSONAL = {"email", "telephone", "GivenName", "FamilyName", "Person/name", "birthDate", "streetAddress"}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    tables = aegir.read_tables(folder)
    out = aegir.Swarm()(tables=tables)
    for table in out.annotations:
        print(table.name)
        for column in table.columns:
            mark = "  personal data" if column.type in PERSONAL else ""
            print(
                f"  {column.name or column.index!s:24} {column.type or '?':28} {column.confidence:.2f}{mark}"
            )
    for failure in out.failures:
        print(f"{failure.task}: {failure.message}", file=sys.stderr)


if __name__ == "__main__":
    main()
