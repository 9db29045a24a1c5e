"""The labelled tables column types are trained on, gathered from their sources into one form."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.training.column_types import Example
from aegir_dspy.training.datasets import LabelledTable, load_labelled
from aegir_dspy.training.generated import generate_table
from aegir_dspy.training.split import sotab82_split, without_dev

__all__ = ["AMBIGUOUS", "gather_examples", "generated_examples", "to_example"]

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

_DBPEDIA = ("t2dv2", "t2dv2_curated_cta")


def to_example(labelled: LabelledTable, group: str, vocabulary: Vocabulary | None = None) -> Example:
    """A labelled table in the trainer's form; header names come from the vocabulary where it has some."""
    labels = {gold.column_index: gold.labels[0] for gold in labelled.labels}
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


def gather_examples(folder: Path, seed: int) -> dict[str, tuple[list[Example], float]]:
    """Every labelled source of a data folder: name → (tables, share of the tables drawn).

    Shares make up for how many labelled columns a table of each source has (generated: 5 and more).

    Tables of dev hosts, and tables that share content with them, are in none of them.
    """
    schema = load_vocabulary("schema")
    split = sotab82_split(folder)
    train, dev = split.train, split.dev
    sotab = [to_example(t, "sotab82", schema) for t in train]
    found: dict[str, tuple[list[Example], float]] = {
        "sotab82": (sotab, 0.5),
        "sotab82 among schema": (_unambiguous(train, schema), 0.1),
        "generated": (generated_examples(6000, seed), 0.08),
    }
    for source, share in (("sotabv2_cpa", 0.1), ("sotabv2_cpa_val", 0.08)):
        tables = _clean(_optional(folder, source, "CPA"), dev)
        found[source] = ([to_example(t, "relations") for t in tables], share)
    tables = _clean(_optional(folder, "sotab32_cta", "CTA"), dev)
    found["sotab32"] = ([to_example(t, "sotab32", load_vocabulary("sotab32")) for t in tables], 0.03)
    dbpedia = [t for source in _DBPEDIA for t in _optional(folder, source, "CTA")]
    found["dbpedia"] = ([_without_prefix(to_example(t, "dbpedia")) for t in dbpedia], 0.02)
    wikitables = _optional(folder, "wikitables_turl", "CTA")
    found["wikitables"] = ([to_example(t, "freebase") for t in wikitables], 0.04)
    return found


def _unambiguous(tables: Sequence[LabelledTable], schema: Vocabulary) -> list[Example]:
    examples = []
    for table in tables:
        example = to_example(table, "schema", schema)
        labels = tuple("" if label in AMBIGUOUS else label for label in example.labels)
        if any(labels):
            examples.append(Example(example.columns, example.headers, labels, "schema"))
    return examples


def _clean(tables: Iterable[LabelledTable], dev: Sequence[LabelledTable]) -> list[LabelledTable]:
    return without_dev(tables, dev)


def _optional(folder: Path, source: str, task: str) -> list[LabelledTable]:
    """The source's tables, none when the folder lacks it."""
    try:
        return load_labelled(folder, source, task)
    except InputError:
        return []


def _without_prefix(example: Example) -> Example:
    labels = tuple(label.removeprefix("dbo:") for label in example.labels)
    return Example(example.columns, example.headers, labels, example.group)
