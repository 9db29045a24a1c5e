"""The same bytes of scores in processes with other hash seeds and numbers of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import hashlib, random, sys
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.ontology.compose import compose
from aegir_dspy.ontology.composition import ColumnType, TableTypes
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.verifier.verifier import Verifier

verifiers = [Verifier(), Verifier("aegir-0.3")]
standard, rng = verifiers[0].standard, random.Random(5)
labels = list(standard.vocabulary)
records = []
for i in range(20):
    chosen = [labels[int(rng.random() * len(labels))] for _ in range(3 + i)]
    named = [(one.headers or (None,))[0] for one in chosen]
    columns = tuple(Column(j, named[j], one.examples * 2) for j, one in enumerate(chosen))
    table = Table(f"table of {chosen[0].label}", "", columns)
    given = [one if rng.random() < 0.7 else labels[int(rng.random() * len(labels))] for one in chosen]
    types = [ColumnType(j, one.label) for j, one in enumerate(given)]
    types[::7] = [ColumnType(one.index, None, "too few cells") for one in types[::7]]
    said = TableTypes(table.name, tuple(types), subject=1)
    composition = compose([said], standard.vocabulary, standard.ontology, data=[table])
    texts = [" ".join(one.description for one in chosen)] if i % 3 == 0 else []
    if i % 5 == 4:
        composition = compose([], standard.vocabulary, standard.ontology)
    for verifier in verifiers:
        records.append(verifier.score(composition, [table], texts).record())
sys.stdout.buffer.write(hashlib.sha256(b"".join(records)).hexdigest().encode() + b" %d" % len(set(records)))
"""


def test_records_have_the_same_bytes_in_every_process() -> None:
    root = str(Path(__file__).parents[2])
    found = set()
    for seed, threads in (("0", "1"), ("1", "2"), ("4711", "4")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "PYTHONPATH": root}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True, cwd=root
        )
        found.add(done.stdout.decode())
    assert len(found) == 1
    assert int(found.pop().split()[1]) > 30
