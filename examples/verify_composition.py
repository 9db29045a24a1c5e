"""Annotate a CSV file, score what was said of it, and score it again with a contradiction in it.

The composition is what `aegir annotate FILE --format composition` writes, the score what `aegir verify` says.

Run: python examples/verify_composition.py [FILE.csv]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aegir_dspy as aegir
from aegir_dspy.ontology.composition import Composition, Entry
from aegir_dspy.ontology.export import to_turtle

HOTELS = """hotel,street,city,postal code,country,phone,check-in
Hotel Sonne,Hauptstrasse 12,Freiburg,79098,Germany,+49 761 203456,15:00
Pension Adler,Bahnhofstrasse 3,Konstanz,78462,Germany,+49 7531 55870,14:00
Gasthof Krone,Marktplatz 1,Ulm,89073,Germany,+49 731 140090,15:00
Hotel Post,Landstrasse 44,Bregenz,6900,Austria,+43 5574 42240,16:00
Hotel Seeblick,Uferweg 9,Lindau,88131,Germany,+49 8382 94990,15:30
Zum Hirschen,Dorfstrasse 21,Dornbirn,6850,Austria,+43 5572 31400,14:30
"""


def main(path: Path) -> None:
    tables = aegir.read_tables(path)
    swarm = aegir.Swarm()
    out = swarm(tables=tables)
    show("as annotated", swarm.verifier, out.composition, tables)
    show("with a contradiction", swarm.verifier, contradicted(out.composition), tables)

    standard = swarm.verifier.standard
    turtle = to_turtle(
        out.composition,
        standard.catalog,
        tables=tables,
        ontology=standard.ontology,
        vocabulary=standard.vocabulary,
    )
    print("--- the first lines of the ontology fragment")
    print("\n".join(turtle.splitlines()[:12]))


def show(
    title: str, verifier: aegir.Verifier, composition: Composition, tables: Sequence[aegir.Table]
) -> None:
    """Gates, what they and the components say, and the score for training, which is not R."""
    score = verifier.score(composition, tables)
    refused = ", ".join(gate.name for gate in score.gates if not gate.ok)
    print(f"--- {title}")
    print(f"gates: {len(score.gates)} asked, refused by {refused or 'none'}; shaped {score.shaped:.3f}")
    print("\n".join(verifier.feedback(score).splitlines()[:5]), end="\n\n")


def contradicted(composition: Composition) -> Composition:
    """The rows of the first table are also said to be nothing that they were said to be a kind of."""
    genus = next(dict(one.slots) for one in composition.axioms if one.template == "subclass.named")
    return replace(
        composition, axioms=(*composition.axioms, Entry("negation.disjoint", tuple(genus.items())))
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "hotels.csv"
            file.write_text(HOTELS, encoding="utf-8")
            main(file)
