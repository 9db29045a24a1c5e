"""What every benchmark shares: its options, its rows and checks, the table and the JSON it leaves.

A benchmark is a script with one function that measures::

    def measure(bench: Bench) -> None:
        bench.row(arm="ours", micro_f1=0.83)
        bench.check("micro F1 over the baseline", 0.83 - 0.77, at_least=0.0)

    if __name__ == "__main__":
        sys.exit(main("types", measure))

and takes ``--quick``, ``--seed N``, ``--json FILE`` and ``--data DIR``. It exits 0 when every check holds,
1 when one fails, and 2 when it cannot measure.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from aegir_dspy.errors import AegirError, InputError

__all__ = ["Bench", "labelled_folder", "machine", "main"]

Value = str | int | float | bool | None
DATA = Path(__file__).resolve().parents[2] / "shared/data"
_WIDTH = 160  # columns of a table that goes to a file or a pipe


@dataclass(slots=True)
class Bench:
    """One run of one benchmark: its options, and what it has measured so far."""

    name: str
    options: argparse.Namespace
    rows: list[dict[str, Value]] = field(default_factory=list)
    checks: list[dict[str, Value]] = field(default_factory=list)

    def row(self, **values: Value) -> None:
        """Add a row; rows may have different keys."""
        self.rows.append(values)

    def check(
        self, name: str, value: float, *, at_least: float = -math.inf, at_most: float = math.inf
    ) -> bool:
        """Add a check against one or both bounds; a value that is not a number meets none."""
        bounds = [(sign, b) for sign, b in ((">=", at_least), ("<=", at_most)) if math.isfinite(b)]
        if not bounds:
            raise ValueError(f"expected at_least or at_most for check {name!r}; found neither")
        met = bool(at_least <= value <= at_most)
        goal = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds)
        self.checks.append({"name": name, "value": float(value), "goal": goal, "ok": met})
        return met


def main(
    name: str,
    measure: Callable[[Bench], object],
    arguments: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the options (`arguments` adds more), measure, print, write the JSON; the exit code."""
    parser = argparse.ArgumentParser(description=f"{name}: {measure.__doc__ or 'a benchmark of aegir-dspy'}")
    parser.add_argument("--quick", action="store_true", help="the same on less data, in at most a minute")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="the data sets (%(default)s)")
    arguments(parser)
    bench = Bench(name, parser.parse_args(argv))
    try:
        measure(bench)
    except AegirError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    _print(bench)
    if bench.options.json is not None:
        bench.options.json.parent.mkdir(parents=True, exist_ok=True)
        rows, checks = (
            [{k: _finite(v) for k, v in r.items()} for r in part] for part in (bench.rows, bench.checks)
        )
        document = {"name": name, "machine": machine(), "rows": rows, "checks": checks}
        bench.options.json.write_text(
            json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return 0 if all(check["ok"] for check in bench.checks) else 1


def labelled_folder(bench: Bench) -> Path:
    """The folder of labelled tables under ``--data``, or InputError."""
    folder: Path = bench.options.data / "train_dev"
    if not folder.is_dir():
        raise InputError(
            f"expected labelled tables in {folder}; found none: name their parent with --data DIR"
        )
    return folder


def machine() -> dict[str, Value]:
    """What the figures were measured on; torch and the GPU only where torch is in use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Value] = {"cpu": _cpu(), "cores": cores, "python": platform.python_version()}
    if torch := sys.modules.get("torch"):
        found |= {"torch": str(torch.__version__), "threads": torch.get_num_threads()}
        found["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return found


def _finite(value: Value) -> Value:
    """JSON has no NaN and no infinity: they become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(bench: Bench) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    for title, rows in ((bench.name, bench.rows), ("checks", bench.checks)):
        table = Table(title=title, title_justify="left")
        keys = list(dict.fromkeys(key for row in rows for key in row))
        for key in keys:
            numeric = all(isinstance(row.get(key), int | float | None) for row in rows)
            table.add_column(key, justify="right" if numeric else "left")
        for row in rows:
            table.add_row(*(_cell(row.get(key)) for key in keys))
        if rows:
            console.print(table)


def _cell(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
