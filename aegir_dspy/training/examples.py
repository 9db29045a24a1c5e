"""The labelled tables column types are trained on, gathered from their sources into one form."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledTable, load_labelled, theme_of
from aegir_dspy.training.generated import GeneratedColumn, generate_table, match_table, relational_table
from aegir_dspy.training.split import sotab32_split, sotab82_split, wikitables_split, without_dev

__all__ = [
    "AMBIGUOUS",
    "gather_examples",
    "generated_examples",
    "match_examples",
    "optional_set",
    "relational_examples",
    "to_example",
]

# Labels of sotab82 that contain technical types (an ISBN is an IdentifierAT there): such columns compete
# among the 82 only, otherwise they would be taught that an ISBN is no ISBN.
AMBIGUOUS = frozenset(
    {
        "Boolean",
        "CategoryCode",
        "CoordinateAT",
        "Date",
        "DateTime",
        "IdentifierAT",
        "Language",
        "Number",
        "Organization",
        "Person/name",
        "Photograph",
        "ProductModel",
        "QuantitativeValue",
        "Rating",
        "URL",
        "category",
        "currency",
        "unitCode",
    }
)


def to_example(
    labelled: LabelledTable,
    group: str,
    vocabulary: Vocabulary | None = None,
    common: Counter[str] | None = None,
) -> Example:
    """A labelled table in the trainer's form; header names come from the vocabulary where it has some.

    Args:
        common: how often each label occurs. Of several labels that apply the most common one is taught,
            otherwise the first.
    """
    labels = {
        gold.column_index: max(gold.labels, key=lambda name: (common or Counter())[name])
        for gold in labelled.labels
    }
    columns = labelled.table.columns
    return Example(
        tuple(column.values[:10] for column in columns),
        tuple(
            (column.name,)
            if column.name
            else vocabulary[labels[i]].headers
            if vocabulary and labels.get(i) in vocabulary
            else ()
            for i, column in enumerate(columns)
        ),
        tuple(labels.get(i, "") for i in range(len(columns))),
        group,
        theme_of(labelled.table.name) or "",
        labelled.table.comment or "",
    )


def generated_examples(count: int, seed: int) -> list[Example]:
    """Generated tables of 2 to 9 columns and 5 rows, labelled with types of the default vocabulary."""
    rng = random.Random(seed)
    examples = []
    for _ in range(count):
        table = generate_table(rng, rng.randint(2, 9), 5)
        examples.append(
            Example(
                tuple(tuple(c.values) for c in table),
                tuple((c.header,) for c in table),
                tuple(c.label for c in table),
                "schema",
            )
        )
    return examples


def relational_examples(count: int, seed: int) -> list[Example]:
    """Generated tables whose labels no column tells alone (`aegir_dspy.training.generated.relational`).

    3 to 5 rows; two in five tables have 1 to 4 columns more that say nothing of the matter.
    """
    rng = random.Random(seed)
    tables = [
        relational_table(rng, rng.randint(3, 5), rng.randint(1, 4) if rng.random() < 0.4 else 0)
        for _ in range(count)
    ]
    return [_relational(table) for table in tables]


def match_examples(count: int, seed: int) -> list[Example]:
    """Generated tables of home team, away team and venue, 2 to 5 rows."""
    rng = random.Random(seed)
    return [_relational(match_table(rng, rng.randint(2, 5))) for _ in range(count)]


def _relational(table: Sequence[GeneratedColumn]) -> Example:
    values, labels = tuple(tuple(c.values) for c in table), tuple(c.label for c in table)
    return Example(values, tuple(() for _ in table), labels, "relational")


def gather_examples(folder: Path, seed: int) -> dict[str, tuple[list[Example], float]]:
    """Every labelled source of a data folder: name → (tables, share of the tables drawn).

    Shares make up for how many labelled columns a table of each source has (generated: 5 and more).

    Tables of held out hosts and pages, and tables that share content with them, are in none of them. The
    classes of ``t2dv2`` are not taught at all: they measure labels never trained on.
    """
    schema = load_vocabulary("schema")
    split = sotab82_split(folder)
    train, dev = split.train, split.dev
    sotab = [to_example(t, "sotab82", schema) for t in train]
    found: dict[str, tuple[list[Example], float]] = {
        "sotab82": (sotab, 0.45),
        "sotab82 among schema": (_unambiguous(train, schema), 0.08),
        "generated": (generated_examples(6000, seed), 0.1),
        "relational": (relational_examples(20_000, seed), 0.3),
    }
    for source, share in (("sotabv2_cpa", 0.06), ("sotabv2_cpa_val", 0.05)):
        tables = without_dev(optional_set(folder, source, "CPA"), dev)
        found[source] = ([to_example(t, "relations") for t in tables], share)
    if optional_set(folder, "sotab32_cta", "CTA"):
        tables = sotab32_split(folder).train
        found["sotab32"] = ([to_example(t, "sotab32", load_vocabulary("sotab32")) for t in tables], 0.03)
    if optional_set(folder, "wikitables_turl", "CTA"):
        tables = wikitables_split(folder).train
        common = Counter(label for t in tables for gold in t.labels for label in gold.labels)
        found["wikitables"] = ([to_example(t, "freebase", common=common) for t in tables], 0.1)
    return found


def _unambiguous(tables: Sequence[LabelledTable], schema: Vocabulary) -> list[Example]:
    examples = []
    for table in tables:
        example = to_example(table, "schema", schema)
        labels = tuple("" if label in AMBIGUOUS else label for label in example.labels)
        if any(labels):
            examples.append(Example(example.columns, example.headers, labels, "schema"))
    return examples


def optional_set(folder: Path, source: str, task: str) -> list[LabelledTable]:
    """The source's tables, none when the folder lacks it."""
    try:
        return load_labelled(folder, source, task)
    except InputError:
        return []
