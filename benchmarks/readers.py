"""Reading messy files and large ones: `read_tables` beside duckdb's sniffer and the standard library's.

python benchmarks/readers.py --quick
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from _harness import Bench, main

from aegir_dspy.errors import InputError
from aegir_dspy.tables import ReadConfig, read_tables

_PROBE = """
import json, resource, sys, time
from aegir_dspy.tables import read_tables
start, cpu = time.perf_counter(), time.process_time()
found = read_tables(sys.argv[1])
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
columns = len(found[0].columns) if found else 0
print(json.dumps({"seconds": seconds, "cpu": cpu, "rss_mb": peak / 1e6, "columns": columns}))
"""


def measure(bench: Bench) -> None:
    """messy files read by three readers; time and memory of a large file."""
    _messy(bench)
    with tempfile.TemporaryDirectory() as folder:
        _wide(bench, Path(folder) / "twelve.csv")
        _large(bench, Path(folder) / "large.csv")


def _messy(bench: Bench) -> None:
    folder = bench.options.data / "messy"
    if not folder.is_dir():
        raise InputError(f"expected messy files in {folder}; found none: name their parent with --data DIR")
    everything = sorted(path for path in folder.rglob("*") if path.is_file())
    delimited = [path for path in everything if path.suffix != ".sql"]
    readers: tuple[tuple[str, Callable[[Path], int], Iterable[Path]], ...] = (
        ("aegir read_tables", _ours, delimited),
        ("duckdb sniffer", _duckdb, delimited),
        ("csv.Sniffer", _stdlib, delimited),
        ("aegir read_tables, SQL too", _ours, everything),
    )
    counts, worst = {}, {}
    for reader, read, files in readers:
        times = {path: _timed(read, path) for path in files}
        slowest = max(times, key=lambda path: times[path][1])
        worst[reader] = times[slowest][1]
        counts[reader] = sum(tables > 0 for tables, _ in times.values())
        bench.row(
            reader=reader,
            files=len(times),
            with_tables=counts[reader],
            seconds=sum(seconds for _, seconds in times.values()),
            slowest=slowest.name,
            slowest_s=worst[reader],
        )
    found = read_tables(everything)
    told = {table.source for table in found}
    told |= {failure.task.removeprefix("read:") for failure in found.failures}
    dropped = sum(str(path) not in told for path in everything)
    bench.check("files that gave neither tables nor a record", dropped, at_most=0)
    bench.check("delimited files read", counts["aegir read_tables"] / len(delimited), at_least=1.0)
    bench.check("files more than duckdb", counts["aegir read_tables"] - counts["duckdb sniffer"], at_least=0)
    bench.check("seconds of the slowest file", worst["aegir read_tables, SQL too"], at_most=5.0)


def _ours(path: Path) -> int:
    return len(read_tables(path, config=ReadConfig()))


def _duckdb(path: Path) -> int:
    import duckdb

    with duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False}) as connection:
        query = "SELECT * FROM read_csv(?, all_varchar = true) LIMIT 200"
        try:
            return len(connection.execute(query, [str(path)]).description or ()) > 0
        except duckdb.Error:
            return 0


def _stdlib(path: Path) -> int:
    try:
        text = path.read_bytes().decode("utf-8")
        dialect = csv.Sniffer().sniff(text[: 1 << 16])
        return bool(list(csv.reader(text.splitlines(keepends=True), dialect)))
    except (csv.Error, UnicodeDecodeError):
        return 0


def _timed(read: Callable[[Path], int], path: Path) -> tuple[int, float]:
    start = time.perf_counter()
    return read(path), time.perf_counter() - start


def _wide(bench: Bench, path: Path) -> None:
    _write(path, 200_000, bench.options.seed)
    best = min((_probe(path) for _ in range(3)), key=lambda probe: probe["cpu"])
    bench.row(
        reader="aegir read_tables",
        slowest="12 columns, 200 kB, new process",
        slowest_s=best["seconds"],
        cpu_s=best["cpu"],
    )
    # Of the processor, so that what else the machine does is not measured.
    bench.check("CPU seconds of a file of 12 columns", best["cpu"], at_most=0.3)


def _large(bench: Bench, path: Path) -> None:
    size = 200_000_000 if bench.options.quick else 5_000_000_000
    free = shutil.disk_usage(path.parent).free
    if free < 1.2 * size:
        raise InputError(
            f"expected {size / 1e9:g} GB of free disk in {path.parent}, found {free / 1e9:.1f}; set TMPDIR"
        )
    _write(path, size, bench.options.seed)
    probe = _probe(path)
    bench.row(
        reader="aegir read_tables",
        slowest=f"12 columns, {path.stat().st_size / 1e9:.1f} GB",
        slowest_s=probe["seconds"],
        cpu_s=probe["cpu"],
        rss_mb=probe["rss_mb"],
    )
    bench.check("MB of memory for the large file", probe["rss_mb"], at_most=500)
    bench.check("seconds for the large file", probe["seconds"], at_most=5.0)
    bench.check("columns of the large file", probe["columns"], at_least=12, at_most=12)


def _write(path: Path, size: int, seed: int) -> None:
    """A CSV of 12 columns and about `size` bytes: one block of rows again and again."""
    rng = random.Random(seed)
    names = ["id", "code", "name", "city", "amount", "date", "time", "flag", "email", "lat", "lon", "note"]
    rows = [
        f"{rng.randrange(10**6)},{rng.randrange(10**5):06},name {rng.random():.6f},Köln,"
        f"{rng.random() * 99:.2f},2024-0{rng.randrange(1, 10)}-11,1{rng.randrange(10)}:30,"
        f"{rng.choice(['yes', 'no'])},a{rng.randrange(99)}@example.org,{rng.random() * 90:.5f},"
        f'{rng.random() * 180:.5f},"said ""so"", twice"'
        for _ in range(5000)
    ]
    block = ("\n".join(rows) + "\n").encode()
    with path.open("wb") as file:
        file.write((",".join(names) + "\n").encode())
        for start in range(0, size, len(block)):
            file.write(block[: size - start] if size - start < len(block) else block)


def _probe(path: Path) -> dict[str, float]:
    """What reading a file takes in a new process, the import of the readers aside."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(path)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main("readers", measure))
