"""The verifier as an instrument: the same bytes everywhere, no composition that breaks it, and its speed.

    python benchmarks/verifier.py [--quick] [--seed N] [--json FILE] [--data DIR]

- identity: score records of 1,000 compositions (good and bad, `_study`) from four processes that differ in
  hash seed and number of threads, compared byte by byte;
- fuzz: 100,000 compositions in JSON, half broken in a way that a gate must see (`_fuzz`), half mutated at
  random; none may raise or take more than 0.1 s, no broken one may score above 0;
- speed: milliseconds a score (median, one core) for tables of 20 columns, without topics and with them, warm,
  beside the ``aegir-0.3`` formula; cold is the first score of each table.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _fuzz import fuzzed
from _harness import Bench, labelled_folder, main
from _study import Specimen, composed, study

from aegir_dspy.ontology.composition import ColumnType, Composition, TableTypes
from aegir_dspy.ontology.composition_json import composition_to_json
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier import Verifier, load_profile

RECORDS, FUZZ = 1_000, 100_000
SETTINGS = (("0", "1"), ("1", "2"), ("12345", "4"), ("random", "1"))  # PYTHONHASHSEED, threads
SLOWEST = 0.1  # seconds, of any composition
WIDTH = 20  # columns of the tables whose scores are timed


def measure(bench: Bench) -> None:
    """the verifier's records in four processes, under random compositions, and its speed"""
    folder, seed, quick = labelled_folder(bench), bench.options.seed, bench.options.quick
    specimens = study(folder, seed, 3 if quick else None)
    _identity(bench, 60 if quick else RECORDS)
    _fuzz(bench, specimens, 2_000 if quick else FUZZ)
    _speed(bench, specimens, 10 if quick else 40)


# --- identity ---------------------------------------------------------------------------------------


def records(folder: Path, seed: int, count: int) -> str:
    """SHA-256 over the score records of `count` compositions, drawn round after round."""
    verifier, told = Verifier("annotation"), hashlib.sha256()
    done = draw = 0
    while done < count:
        for specimen in study(folder, seed + draw)[: count - done]:
            told.update(verifier.score(specimen.composition, [specimen.table]).record())
            done += 1
        draw += 1
    return told.hexdigest()


def _identity(bench: Bench, count: int) -> None:
    folder, seed = labelled_folder(bench), bench.options.seed
    code = f"import verifier; print(verifier.records(verifier.Path({str(folder)!r}), {seed}, {count}))"
    found = []
    for hash_seed, threads in SETTINGS:
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        environment |= dict.fromkeys(names, threads)
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.append(done.stdout.strip())
        bench.row(what="identity", hash_seed=hash_seed, threads=threads, records=count, sha256=found[-1][:16])
    bench.check("different records in four processes", len(set(found)) - 1, at_most=0)


# --- fuzz -------------------------------------------------------------------------------------------


def _fuzz(bench: Bench, specimens: Sequence[Specimen], count: int) -> None:
    verifier, rng = Verifier("annotation"), random.Random(bench.options.seed)
    seeds = [(_json(s), s.table) for s in specimens]
    whole = [(_json(s), s.table) for s in specimens if not s.kind]
    crashes = positive = slow = valid = 0
    slowest = 0.0
    for number in range(count):
        broken = number % 2 == 0
        content, table = rng.choice(whole if broken else seeds)
        made = fuzzed(content, rng)[1] if broken else mutated(content, rng)
        began = time.perf_counter()
        try:
            score = verifier.score(made, [table])
        except Exception as error:  # any exception at all is a failure here
            crashes += 1
            print(f"crash: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        spent = time.perf_counter() - began
        if spent > SLOWEST:  # once more: a process that is interrupted is no slow verifier
            began = time.perf_counter()
            verifier.score(made, [table])
            spent = min(spent, time.perf_counter() - began)
        slowest, slow = max(slowest, spent), slow + (spent > SLOWEST)
        positive += score.R > 0 and (broken or not score.ok)
        valid += score.ok
    bench.row(what="fuzz", records=count, valid=valid, crashes=crashes, slow=slow, slowest_ms=1000 * slowest)
    bench.check("compositions that raise", crashes, at_most=0)
    bench.check("compositions slower than 0.1 s", slow, at_most=0)
    bench.check("broken compositions that score above 0", positive, at_most=0)


def mutated(content: dict[str, Any], rng: random.Random) -> str | bytes | dict[str, Any]:
    """A composition's JSON with some of it replaced, removed, repeated or cut off; or something random."""
    made = copy.deepcopy(content)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        _mutate(made, rng)
    match rng.randrange(8):
        case 0:
            text = json.dumps(made)
            return text[: rng.randrange(len(text) + 1)]
        case 1:
            text = bytearray(json.dumps(made).encode())
            for _ in range(rng.randint(1, 4)):
                text[rng.randrange(len(text))] = rng.randrange(256)
            return bytes(text)
        case 2 if rng.random() < 0.2:
            return rng.choice(("", "null", "[" * 5000, "NaN", '{"schema": 1e999}', "\ufeff{}", "0" * 5000))
        case _:
            return made


def _mutate(made: Any, rng: random.Random) -> None:
    """Change one place of a JSON value."""
    place, key = _place(made, rng)
    if place is None:
        return
    match rng.randrange(5):
        case 0:
            del place[key]
        case 1:
            place[key] = rng.choice((None, True, -1, 10**30, 0.5, "", "schema:Book", ":", "\0", [], {}, [[]]))
        case 2 if isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        case 3 if isinstance(place, dict):
            place[rng.choice(("extra", "template", "A", "", "ü"))] = copy.deepcopy(place[key])
        case _:
            other, there = _place(made, rng)
            if other is not None:
                place[key] = copy.deepcopy(other[there])


def _place(made: Any, rng: random.Random) -> tuple[Any, Any]:
    """A container inside and a key of it; (None, None) in an empty one."""
    node: Any = made
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.2:
            return node, key
        node = node[key]
    return None, None


def _json(specimen: Specimen) -> dict[str, Any]:
    made = specimen.composition
    return composition_to_json(made) if isinstance(made, Composition) else made


# --- speed ------------------------------------------------------------------------------------------


def _speed(bench: Bench, specimens: Sequence[Specimen], tables: int) -> None:
    cases = _wide(specimens, tables, random.Random(bench.options.seed))
    profile = load_profile("annotation")
    goals = {"without topics": 5.0, "with topics": 20.0}
    for what, verifier in (
        ("without topics", Verifier(profile.without("R_D"))),
        ("with topics", Verifier(profile)),
        ("aegir-0.3", Verifier("aegir-0.3")),
    ):
        cold, warm = ([1000 * _timed(verifier, *case) for case in cases] for _ in range(2))
        bench.row(what=what, columns=WIDTH, cold_ms=statistics.median(cold), warm_ms=statistics.median(warm))
        if what in goals:
            bench.check(f"ms a score {what}, warm", statistics.median(warm), at_most=goals[what])


def _timed(verifier: Verifier, composition: Composition, table: Table) -> float:
    began = time.process_time()
    verifier.score(composition, [table])
    return time.process_time() - began


def _wide(specimens: Sequence[Specimen], count: int, rng: random.Random) -> list[tuple[Composition, Table]]:
    """Tables of 20 columns, put together from the labelled columns of the good ones, with headers."""
    pool = [
        (column, types.type)
        for s in specimens
        if not s.kind and isinstance(s.composition, Composition)
        for column, types in zip(s.table.columns, s.composition.tables[0].columns, strict=True)
        if types.type is not None
    ]
    made = []
    for number in range(count):
        drawn = rng.sample(pool, WIDTH)
        columns = tuple(
            replace(c, index=i, name=f"{t.partition('/')[0]} {i}") for i, (c, t) in enumerate(drawn)
        )
        table = Table(f"table {number}", "made", columns)
        types = tuple(ColumnType(i, t) for i, (_, t) in enumerate(drawn))
        made.append((composed(TableTypes(table.name, types), table), table))
    return made


if __name__ == "__main__":
    sys.exit(main("verifier", measure))
