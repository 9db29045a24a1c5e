"""How fast are columns annotated, in how much memory, and how soon does the first result come?

    python benchmarks/annotate.py [--quick] [--checkpoint FILE] [--seed N] [--json FILE] [--data DIR]

Through the public API and the real command, on the cores there are. Tables of 5 rows are the dev hosts'
where ``--data`` has them, otherwise generated; those of 200 rows are generated. They come in parts: the first
warms up, the figure is the median of the others, and no table is seen twice, as cells that were checked and
columns that were counted are remembered. Goals: 250 columns/s for 5 rows and 100 for 200 rows, CSV files read
included; 2.5 s from process start to the JSON of a 12-column CSV, with the bytecode there as an installed
package has it; 2 s for ``import aegir_dspy``; 700 columns/s where every column is read once, in one order and
by the primary alone. With two processes each has half of the files and one thread. The SVM is fitted on
generated tables beforehand.

Beside them the cost of a transformer that reads tables: an encoder of the size of BERT base with random
weights, run by torch on the very serialization that the swarm reads, all columns of a table in one sequence
as DODUO does (arXiv:2104.01785), [CLS] before each. Its tokens are whole words and single marks, fewer than
word pieces: in its favour. Goal: 20 times its columns a second, in the types that torch and the weights have
by default (float32 and bfloat16); bfloat16 for both is shown too.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from _harness import Bench, labelled_folder, main
from numpy.typing import NDArray

from aegir_dspy import Table, read_tables
from aegir_dspy.annotator.bundle import default_bundle, load_bundle
from aegir_dspy.annotator.ngrams import bags_of
from aegir_dspy.annotator.types import AnnotatorConfig, ColumnTypeAnnotator
from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import load_vocabulary
from aegir_dspy.orchestrator.table_swarm import SwarmConfig, TableSwarm
from aegir_dspy.tables.serialize import serialize_column
from aegir_dspy.tables.table import Column
from aegir_dspy.training.generated import generate_table
from aegir_dspy.verifier.column_profile import profile
from aegir_dspy.verifier.validators import passing

_FILES, _PROCESSES = "Swarm, CSV files", "Swarm, CSV files, halves"
_ONCE = "one reading by the primary, types alone, in memory"
_VOCABULARY = 30_522
_working: list[TableSwarm] = []  # of a process of `_TwoProcesses`
_WORDS = re.compile(r"\w+|[^\w\s]")
_MEMORY = """
import sys
from pathlib import Path
from aegir_dspy.cli.main import main
report = Path(sys.argv.pop())
try:
    main()
finally:
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count what the parent held when it started this process
        peak = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        report.write_text(peak)
"""
_IMPORT = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def measure(bench: Bench) -> None:
    """columns annotated a second, memory, time to the first result"""
    quick, seed = bench.options.quick, bench.options.seed
    with tempfile.TemporaryDirectory() as folder:
        _start(bench, Path(folder), runs=2 if quick else 5)
        few = _short_tables(bench, 40 if quick else 360)
        tall = generated(seed, 16 if quick else 120, rows=200)
        _memory(bench, _written(tall[:60], Path(folder) / "tall"))
        for rows, tables, goal in ((5, few, 250), (200, tall, 100)):
            count = 4 if quick else 6
            parts = [tables[i * len(tables) // count : (i + 1) * len(tables) // count] for i in range(count)]
            (Path(folder) / f"rows{rows}").mkdir()
            _speed(bench, rows, [_Part.of(part, Path(folder) / f"rows{rows}") for part in parts], goal)


@dataclass(frozen=True)
class _Part:
    """Some tables, and the folder they are in as CSV files."""

    tables: Sequence[Table]
    folder: Path

    @classmethod
    def of(cls, tables: Sequence[Table], folder: Path) -> _Part:
        return cls(tables, _written(tables, folder / f"part{len(list(folder.iterdir()))}"))

    @property
    def columns(self) -> int:
        return sum(len(table.columns) for table in self.tables)


def generated(seed: int, count: int, rows: int, columns: int | None = None) -> list[Table]:
    """Generated tables of so many columns, or of 2 to 12; the label is a column's comment, never read."""
    rng, found = random.Random(seed), []
    for number in range(count):
        made = generate_table(rng, columns or rng.randint(2, 12), rows)
        cells = (Column(i, c.header, tuple(c.values), comment=c.label) for i, c in enumerate(made))
        found.append(Table(f"generated{number}", "generated", tuple(cells)))
    return found


def _short_tables(bench: Bench, count: int) -> list[Table]:
    from aegir_dspy.training.split import sotab82_split

    try:
        dev = [labelled.table for labelled in sotab82_split(labelled_folder(bench)).dev]
    except InputError:
        dev = generated(bench.options.seed, count, rows=5)
    return dev[:count]


# --- processes ------------------------------------------------------------------------------------


def _start(bench: Bench, folder: Path, runs: int) -> None:
    for arm, statement in (
        ("import aegir_dspy", "import aegir_dspy"),
        ("Swarm", "from aegir_dspy import Swarm"),
    ):
        seconds = _median(runs, partial(_imported, statement))
        bench.row(arm=arm, seconds=seconds)
        if arm.startswith("import"):
            bench.check("seconds to import aegir_dspy", seconds, at_most=2.0)
    file = _written(generated(bench.options.seed, 1, rows=200, columns=12), folder / "one") / "table0000.csv"
    command = partial(_command, bench, file, columns=12)
    command()  # leaves the bytecode
    seconds = _median(runs, partial(_timed, command))
    bench.row(arm="aegir annotate, 12 columns", rows=200, columns=12, seconds=seconds)
    bench.check("seconds from start to the JSON of 12 columns", seconds, at_most=2.5)


def _imported(statement: str) -> float:
    return float(_output([sys.executable, "-c", _IMPORT.format(statement)]))


def _command(bench: Bench, data: Path, columns: int) -> None:
    """Run ``aegir annotate``; what it prints must be the annotation of all columns."""
    command = [sys.executable, "-m", "aegir_dspy", *_arguments(bench, data)]
    found = sum(len(table["columns"]) for table in json.loads(_output(command))["tables"])
    if found != columns:
        raise InputError(
            f"expected {columns} columns of {data} in the JSON, found {found}: see aegir annotate"
        )


def _arguments(bench: Bench, data: Path) -> list[str]:
    own = ["--checkpoint", bench.options.checkpoint] if bench.options.checkpoint else []
    return ["annotate", str(data), "--format", "json", "--quiet", "--no-store", *own]


def _output(command: Sequence[str]) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept)
    if done.returncode:
        last = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise InputError(
            f"expected {' '.join(command[1:4])} to succeed, found exit {done.returncode}: {last}"
        )
    return done.stdout


def _memory(bench: Bench, folder: Path) -> None:
    report = folder.with_suffix(".peak")
    _output([sys.executable, "-c", _MEMORY, *_arguments(bench, folder), str(report)])
    if report.exists():
        tables = len(list(folder.iterdir()))
        bench.row(arm=f"aegir annotate, {tables} files", rows=200, peak_mb=int(report.read_text()) / 1000)


# --- speed ----------------------------------------------------------------------------------------


def _speed(bench: Bench, rows: int, parts: Sequence[_Part], goal: float) -> None:
    from aegir_dspy import Swarm

    file = bench.options.checkpoint
    swarm, alone, svm = Swarm(checkpoint=file), Swarm(checkpoint=file, context=0), _svm(bench, rows)
    once = _one_reading(file)
    with _TwoProcesses(file) as processes:
        arms: dict[str, Callable[[_Part], object]] = {
            _FILES: lambda part: swarm(tables=read_tables(part.folder)),
            _PROCESSES: processes.annotate,
            "Swarm, tables in memory": lambda part: swarm(tables=part.tables),
            "single agent, tables in memory": lambda part: alone(tables=part.tables),
            _ONCE: lambda part: list(once.annotate(part.tables)),
            "SVM + other columns, in memory": lambda part: svm.predict(_texts(part.tables)),
        }
        for arm, call in arms.items():
            _forget()
            rate = _rate(call, parts)
            count = 2 if arm == _PROCESSES else 1
            columns = sum(part.columns for part in parts[1:])
            bench.row(arm=arm, rows=rows, processes=count, columns=columns, columns_s=rate)
            if arm == _FILES:
                bench.check(f"columns/s of {rows}-row CSV files", rate, at_least=goal)
            if arm == _ONCE and rows == 5:
                bench.check(f"columns/s of {rows}-row tables, read once", rate, at_least=700)
                _transformer(bench, rows, [table for part in parts for table in part.tables], rate)


def _rate(call: Callable[[_Part], object], parts: Sequence[_Part]) -> float:
    """Columns a second: the median of all parts but the first, which warms up."""
    call(parts[0])
    return statistics.median(part.columns / _timed(partial(call, part)) for part in parts[1:])


def _forget() -> None:
    """What is remembered of columns and cells that were seen; every arm sees them for the first time."""
    for remembering in (bags_of, passing, profile):
        remembering.cache_clear()


class _TwoProcesses:
    """Two processes of one thread each, which have their weights."""

    def __init__(self, checkpoint: str | None) -> None:
        context = get_context("spawn")
        make = partial(ProcessPoolExecutor, 1, context, _begin, (checkpoint,))
        self.pools = [make(), make()]

    def __enter__(self) -> _TwoProcesses:
        return self

    def __exit__(self, *error: object) -> None:
        for pool in self.pools:
            pool.shutdown()

    def annotate(self, part: _Part) -> None:
        """Half of the files each."""
        files = sorted(part.folder.iterdir())
        for one in [pool.submit(_annotated, files[i::2]) for i, pool in enumerate(self.pools)]:
            one.result()


def _begin(checkpoint: str | None) -> None:
    torch.set_num_threads(1)
    _working.append(TableSwarm(SwarmConfig(checkpoint=checkpoint)))


def _annotated(files: Sequence[Path]) -> int:
    return len(_working[0](read_tables(files)).annotations)


def _one_reading(file: str | None) -> ColumnTypeAnnotator:
    """The primary reads every column once and decides: no second reading, no other member is asked."""
    bundle = default_bundle() if file is None else load_bundle(Path(file))
    return ColumnTypeAnnotator(
        bundle, load_vocabulary("schema"), AnnotatorConfig(routed=False, sure=0.0, ask_below=0.0)
    )


def _transformer(bench: Bench, rows: int, tables: Sequence[Table], ours: float) -> None:
    """An encoder of BERT base's size on the same tables; a part of them is enough for a rate."""
    some = tables[: 4 if bench.options.quick else 24]
    config, columns = default_bundle().config.serialize, sum(len(t.columns) for t in some)
    sequences = [_word_ids([serialize_column(c, config) for c in table.columns]) for table in some]
    for dtype in (torch.float32, torch.bfloat16):
        encode = _encoder(bench.options.seed, dtype)
        encode(sequences[0])
        seconds = _median(1 if bench.options.quick else 3, partial(_timed, partial(_each, encode, sequences)))
        name, rate = str(dtype).removeprefix("torch."), columns / seconds
        bench.row(
            arm=f"BERT-base-sized encoder, {name}", rows=rows, processes=1, columns=columns, columns_s=rate
        )
        if dtype == torch.float32:
            bench.check("read once, against a BERT-base-sized encoder, ×", ours / rate, at_least=20)


def _each(encode: Callable[[list[int]], object], sequences: Sequence[list[int]]) -> None:
    for ids in sequences:
        encode(ids)


def _word_ids(pieces: Sequence[bytes]) -> list[int]:
    """[CLS] and the words of every column, as numbers of a vocabulary as large as BERT's; at most 512."""
    words = [["[CLS]", *_WORDS.findall(piece.decode("utf-8", "replace"))] for piece in pieces]
    return [zlib.crc32(word.encode()) % _VOCABULARY for column in words for word in column][:512]


def _encoder(seed: int, dtype: torch.dtype) -> Callable[[list[int]], torch.Tensor]:
    """12 layers of width 768 with 12 heads and 3072 hidden units: BERT base, its weights random."""
    torch.manual_seed(seed)
    layer = torch.nn.TransformerEncoderLayer(768, 12, 3072, activation="gelu", batch_first=True)
    stack = torch.nn.TransformerEncoder(layer, 12).eval().to(dtype)
    words, places = torch.nn.Embedding(_VOCABULARY, 768).to(dtype), torch.nn.Embedding(512, 768).to(dtype)

    def encode(ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            embedded = words(torch.tensor([ids])) + places(torch.arange(len(ids)))
            return cast(torch.Tensor, stack(embedded))

    return encode


def _svm(bench: Bench, rows: int) -> Any:
    """The pipeline of `_svm.py`, fitted once: character n-grams of the column and of the others."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    parts = [
        (name, TfidfVectorizer(analyzer="char", ngram_range=(1, most), min_df=2, sublinear_tf=True), side)
        for side, (name, most) in enumerate((("own", 4), ("others", 3)))
    ]
    features = ColumnTransformer(parts, transformer_weights={"others": 0.7})
    count = {True: (100, 30), False: (1000, 100)}[bench.options.quick][rows > 50]
    tables = generated(bench.options.seed + 1, count, rows)
    labels = [column.comment for table in tables for column in table.columns]
    return make_pipeline(features, LinearSVC(C=1.0)).fit(_texts(tables), labels)


def _texts(tables: Sequence[Table]) -> NDArray[np.object_]:
    """(C, 2): the values of each column, and those of the other columns of its table."""
    pairs = []
    for table in tables:
        texts = ["\n".join(column.values) for column in table.columns]
        pairs += [(text, "\n".join(texts[:i] + texts[i + 1 :])) for i, text in enumerate(texts)]
    return np.array(pairs, dtype=object)


def _written(tables: Sequence[Table], folder: Path) -> Path:
    """The tables as CSV files in a new folder."""
    folder.mkdir()
    for number, table in enumerate(tables):
        names = [column.name or f"column {column.index + 1}" for column in table.columns]
        with (folder / f"table{number:04}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([names, *zip(*(c.values for c in table.columns), strict=True)])
    return folder


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _median(runs: int, call: Callable[[], float]) -> float:
    return statistics.median(call() for _ in range(runs))


def checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """``--checkpoint FILE``."""
    parser.add_argument("--checkpoint", metavar="FILE", help="weights (default: those in the package)")


if __name__ == "__main__":
    sys.exit(main("annotate", measure, checkpoint_option))
