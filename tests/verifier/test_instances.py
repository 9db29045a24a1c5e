import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest

from aegir_dspy.ontology.composition import ColumnType, Composition, Related, TableTypes
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.vocabulary import Label, Vocabulary, load_vocabulary
from aegir_dspy.tables.table import Column, Table
from aegir_dspy.training.generated import generate_table
from aegir_dspy.verifier.instances import column_supports, evidence_identity, instance_evidence
from aegir_dspy.verifier.shapes import load_shapes, log_ratios
from aegir_dspy.verifier.support import NEUTRAL, support

VOCABULARY, ONTOLOGY = load_vocabulary("schema"), load_ontology("schema")
SHARED = Path(__file__).parents[2] / "../shared/data/train_dev"
MAILS = ("a.king@example.com", "bob@mail.example.org", "c@example.de")
BOOKS = ("The Hobbit", "A Wizard of Earthsea", "Brave New World", "The Left Hand of Darkness")
PLOTS = tuple(f"In this story of {n} friends, nobody is who they seem to be. It ends well." for n in "abcd")


def table(**columns: tuple[str, ...]) -> Table:
    return Table("t", "", tuple(Column(i, name, v) for i, (name, v) in enumerate(columns.items())))


def said(*types: str | None, relations: tuple[Related, ...] = (), subject: int | None = None) -> Composition:
    columns = tuple(ColumnType(i, type_, "" if type_ else "unsure") for i, type_ in enumerate(types))
    return Composition((TableTypes("t", columns, relations, subject),))


def value(composition: Composition, *tables: Table) -> float:
    return instance_evidence(composition, tables, VOCABULARY, ONTOLOGY).value


def test_right_types_are_backed_and_swapped_ones_are_not() -> None:
    data = table(book=BOOKS, plot=PLOTS, price=("12.99", "9.99", "7.50", "11.00"), mail=(*MAILS, "d@e.org"))
    right = ("Book/name", "Book/description", "price", "email")
    best = value(said(*right), data)
    assert best > 0.8
    for i, j in combinations(range(4), 2):
        swapped = list(right)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        assert value(said(*swapped), data) < best - 0.2


def test_a_generic_type_loses_against_a_strict_one() -> None:
    found = support(MAILS, "IdentifierAT")
    assert found.value is not None and found.value < 0.2
    assert (support(MAILS, "email").value or 0) > 0.8
    finding = instance_evidence(said("IdentifierAT"), [table(c=MAILS)], VOCABULARY, ONTOLOGY)
    (reason,) = [d for d in finding.diagnostics if d.code == "instances.competing"]
    assert reason.subject == "t[0]" and "email" in reason.suggestion
    assert reason.evidence[0] == "a***@e***.com"


@pytest.mark.parametrize(
    ("values", "label", "code"),
    [
        (("red", "blue", "green"), "price", "instances.datatype"),
        (("52.5", "48.1", "250.7"), "email", "instances.validator"),
        (("999.5", "870.25", "-512.75"), "latitude", "instances.range"),
        (("DE89370400440532013001", "GB82WEST12345698765433"), "IBAN", "instances.validator"),
    ],
)
def test_contradictions_are_reported(values: tuple[str, ...], label: str, code: str) -> None:
    finding = instance_evidence(said(label), [table(c=values)], VOCABULARY, ONTOLOGY)
    assert finding.value <= 0.05
    assert code in {d.code for d in finding.diagnostics}
    assert all(d.evidence and d.message.startswith("expected") for d in finding.diagnostics)


def test_abstentions_do_not_count_and_empty_columns_are_neutral() -> None:
    data = table(mail=MAILS, empty=("", "NULL", ""), other=("x", "y", "z"))
    assert value(said("email", None, None), data) == value(said("email"), data) > 0.9
    assert value(said(None, "price"), data) == NEUTRAL
    assert value(said(None, None, None), data) == 0.0
    assert value(said("email")) == 0.0


def test_unknown_labels_are_neutral_and_known_iris_help() -> None:
    assert support(("x", "y"), "Zorp").value == pytest.approx(0.5, abs=0.1)
    iris = {"Mail": "https://schema.org/email", "Cost": "https://schema.org/price"}
    own = Vocabulary("own", tuple(Label(name, iri) for name, iri in iris.items()))
    right = instance_evidence(said("Mail"), [table(c=MAILS)], own, ONTOLOGY)
    wrong = instance_evidence(said("Cost"), [table(c=MAILS)], own, ONTOLOGY)
    assert right.value > 0.8 and wrong.value < 0.2
    assert "Mail" in wrong.diagnostics[0].suggestion


def test_relations_are_checked_against_range_and_domain() -> None:
    data = table(book=BOOKS, n=("12.99", "9.99", "7.50", "11.00"), when=("2001-02-03",) * 4)
    types = ("Book/name", "price", "Date")
    good = said(*types, relations=(Related(0, 2, "schema:datePublished"),), subject=0)
    bad = said(*types, relations=(Related(0, 1, "schema:datePublished"),), subject=0)
    alien = said(*types, relations=(Related(0, 2, "schema:foundingDate"),), subject=0)
    assert value(good, data) > value(bad, data) and value(good, data) > value(alien, data)
    codes = {d.code for d in instance_evidence(bad, [data], VOCABULARY, ONTOLOGY).diagnostics}
    assert codes == {"instances.relation_range"}
    codes = {d.code for d in instance_evidence(alien, [data], VOCABULARY, ONTOLOGY).diagnostics}
    assert codes == {"instances.relation_domain"}
    odd = said(*types, relations=(Related(0, 9, "schema:price"), Related(0, 1, "schema:nonsense")))
    assert value(odd, data) == value(said(*types), data)


def test_a_subject_that_repeats_is_reported() -> None:
    data = table(kind=("USD", "USD", "USD", "USD", "EUR"), book=(*BOOKS, "Dune"))
    types = ("currency", "Book/name")
    first, second = said(*types, subject=0), said(*types, subject=1)
    assert value(first, data) < value(second, data)
    codes = {d.code for d in instance_evidence(first, [data], VOCABULARY, ONTOLOGY).diagnostics}
    assert codes == {"instances.subject_repeats"}


def test_supports_by_column() -> None:
    data = table(mail=MAILS, none=("", "", ""))
    found = column_supports(said("email", "price").tables[0], data, VOCABULARY)
    assert list(found) == [0] and found[0] > 0.9


def test_identity_is_a_hash() -> None:
    assert len(evidence_identity()) == 64 and evidence_identity() == evidence_identity()


def test_ratios_are_of_a_distribution() -> None:
    from math import exp, fsum

    ratios = log_ratios(MAILS)
    assert fsum(map(exp, ratios)) / len(ratios) == pytest.approx(1.0, abs=1e-6)
    assert load_shapes().labels[ratios.index(max(ratios))] == "email"
    assert set(log_ratios(("", "NULL"))) == {0.0}


def test_a_user_table_of_any_text_is_no_trouble() -> None:
    odd = table(a=("\ud800", "\x00", "x" * 100_000), b=("١٢٣", "½", "²"), c=("",) * 3)
    finding = instance_evidence(said("price", "Number", "email"), [odd], VOCABULARY, ONTOLOGY)
    assert 0 <= finding.value <= 1 and finding.diagnostics == tuple(sorted(finding.diagnostics))


def _wide(rows: int) -> tuple[Table, Composition]:
    columns = generate_table(random.Random(rows), 20, rows)
    types = tuple(ColumnType(i, c.label) for i, c in enumerate(columns))
    cells = tuple(Column(i, c.header, tuple(c.values)) for i, c in enumerate(columns))
    return Table("t", "", cells), Composition((TableTypes("t", types, (), 0),))


def test_the_same_in_processes_with_other_hash_seeds() -> None:
    code = (
        "import json\n"
        "from tests.verifier.test_instances import _wide, instance_evidence, VOCABULARY, ONTOLOGY\n"
        "t, c = _wide(12); f = instance_evidence(c, [t], VOCABULARY, ONTOLOGY)\n"
        "print(json.dumps([f.value, [d.to_json() for d in f.diagnostics]]))"
    )
    root = str(Path(__file__).parents[2])
    outputs = set()
    for seed, threads in (("0", "1"), ("12345", "2")):
        env = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "PYTHONPATH": root}
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
        )
        outputs.add(run.stdout)
    assert len(outputs) == 1 and json.loads(outputs.pop())[0] > 0.5


def test_a_warm_score_of_twenty_columns_takes_little_time(thread_seconds: Callable[..., float]) -> None:
    data, composition = _wide(50)
    score = partial(instance_evidence, composition, [data], VOCABULARY, ONTOLOGY)
    score()
    assert min(thread_seconds(score) for _ in range(7)) < 0.003


@pytest.mark.skipif(not SHARED.exists(), reason="no labelled tables beside the repository")
def test_support_tells_gold_types_of_other_sites_from_wrong_ones() -> None:
    from aegir_dspy.training.split import sotab82_split

    rng, names = random.Random(0), load_vocabulary("sotab82").names
    gold, wrong, lower, pairs = [], [], 0, 0
    for labelled in sotab82_split(SHARED).dev:
        columns = [(labelled.table.columns[g.column_index].values, g.label) for g in labelled.labels]
        known = [(v, label, own) for v, label in columns if (own := support(v, label).value) is not None]
        for values, label, own in known:
            gold.append(own)
            wrong.append(support(values, rng.choice([n for n in names if n != label])).value or 0.0)
        for (v, a, x), (w, b, y) in combinations(known, 2):
            if a != b:
                pairs += 1
                lower += x + y > (support(v, b).value or 0.0) + (support(w, a).value or 0.0)
    ahead = sum((g > w) + (g == w) / 2 for g in gold for w in wrong) / len(gold) / len(wrong)
    assert ahead >= 0.93 and lower / pairs >= 0.95


def test_tables_of_one_name_are_judged_each_by_its_own_cells():
    from aegir_dspy.ontology.composition import ColumnType, Composition, TableTypes
    from aegir_dspy.ontology.vocabulary import load_vocabulary
    from aegir_dspy.tables.table import Column, Table
    from aegir_dspy.verifier.instances import instance_evidence

    mails = Table("t", "a/t.csv", (Column(0, None, tuple(f"u{i}@example.org" for i in range(6))),))
    days = Table("t", "b/t.csv", (Column(0, None, tuple(f"2024-01-0{i}" for i in range(1, 7))),))
    said = tuple(TableTypes("t", (ColumnType(0, label),)) for label in ("email", "Date"))
    schema = load_vocabulary("schema")
    right = instance_evidence(Composition(said), (mails, days), schema).value
    wrong = instance_evidence(Composition(said), (days, mails), schema).value
    assert right > 0.8 and wrong < 0.3


def test_whatever_stands_in_a_cell_is_a_text():
    from aegir_dspy.ontology.composition import ColumnType, Composition, Related, TableTypes
    from aegir_dspy.ontology.registry import load_ontology
    from aegir_dspy.ontology.vocabulary import load_vocabulary
    from aegir_dspy.tables.table import Column, Table
    from aegir_dspy.verifier.instances import instance_evidence

    names, codes = ("Ann Lee", "Bo Kim", "Cy Roe"), ("20095", "69001", "35210")
    table = Table("t", "t.csv", (Column(0, None, names), Column(1, None, codes)))
    types = (ColumnType(0, "Person/name"), ColumnType(1, "postalCode"))
    said = TableTypes("t", types, (Related(0, 1, "schema:postalCode"),), 0)
    found = instance_evidence(
        Composition((said,)), (table,), load_vocabulary("schema"), load_ontology("schema")
    )
    assert "instances.relation_range" not in {d.code for d in found.diagnostics}
