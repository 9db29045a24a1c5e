"""`Verifier`: R(O, I), how well a composition O fits the tables and texts I. Deterministic, and no model."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from aegir_dspy._version import __version__
from aegir_dspy.ontology.catalog import Catalog, load_catalog
from aegir_dspy.ontology.composition import Composition
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.terms import Ontology
from aegir_dspy.ontology.vocabulary import Vocabulary, load_vocabulary
from aegir_dspy.tables.table import Table
from aegir_dspy.verifier.abstention import ABSTAINED, with_abstentions
from aegir_dspy.verifier.batch import Item, scores
from aegir_dspy.verifier.case import Case, Standard
from aegir_dspy.verifier.completeness import completeness
from aegir_dspy.verifier.density import density
from aegir_dspy.verifier.diagnostic import Diagnostic
from aegir_dspy.verifier.documents import Lexicon
from aegir_dspy.verifier.gates import refusals
from aegir_dspy.verifier.inputs import digest
from aegir_dspy.verifier.instances import instance_evidence
from aegir_dspy.verifier.metric import Judgement, input_of
from aegir_dspy.verifier.nulls import Nulls
from aegir_dspy.verifier.original import Original
from aegir_dspy.verifier.parse import Unread, read
from aegir_dspy.verifier.profiles import Profile, load_profile
from aegir_dspy.verifier.score import Finding, GateResult, Score, quantised
from aegir_dspy.verifier.shaped import shaped, shaped_unread
from aegir_dspy.verifier.topics import topic_alignment

__all__ = ["Verifier"]

_EVIDENCE = ("expectations.json", "lexicons.json", "shapes.json", "words.json")  # the data of R_E


class Verifier:
    """Scores compositions: gates first, then the weighted mean of the components.

    Building one reads the ontology (about 0.3 s); it is then safe to share between threads and to send to
    other processes.

    Args:
        profile: ``annotation``, ``composition``, ``aegir-0.3`` or a `Profile`.
        vocabulary: the types that columns may be given, a `Vocabulary`, its name or file.
        ontology: the terms of axioms, an `Ontology`, its name or file.
        catalog: the templates; the built-in ones by default.
        relations: the properties that relations may name, a `Vocabulary`, its name or file; by default every
            property of the ontology.

    Raises:
        VocabularyError: a vocabulary or ontology is unknown or cannot be read.
        InputError: the profile is unknown.
    """

    def __init__(
        self,
        profile: str | Profile = "annotation",
        *,
        vocabulary: str | Path | Vocabulary = "schema",
        ontology: str | Path | Ontology = "schema",
        catalog: Catalog | None = None,
        relations: str | Path | Vocabulary | None = None,
    ) -> None:
        self.profile = load_profile(profile)
        self.standard = Standard(
            ontology if isinstance(ontology, Ontology) else load_ontology(ontology),
            vocabulary if isinstance(vocabulary, Vocabulary) else load_vocabulary(vocabulary),
            catalog or load_catalog(),
            load_vocabulary(relations) if isinstance(relations, str | Path) else relations,
        )
        self.nulls = Nulls.of(self.standard.catalog)

    @cached_property
    def identity(self) -> str:
        """SHA-256, in hex, of what a score depends on besides its input.

        Not in it are the versions of the packages that cells are checked with (numbering plans of phones,
        names of countries), which change a little every year.
        """
        standard, profile = self.standard, self.profile
        content = {
            "version": __version__,
            "formula": profile.formula,
            "weights": sorted(profile.weights),
            "gates": profile.gates,
            "catalog": standard.catalog.sha256,
            "ontology": standard.ontology.sha256,
            "vocabulary": standard.vocabulary.sha256,
            "relations": standard.relations.sha256 if standard.relations else None,
            "nulls": self.nulls.sha256,
            "abstained": ABSTAINED,
            "evidence": [_file_hash(name) for name in _EVIDENCE],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _lexicon(self) -> Lexicon:
        return Lexicon(self.standard)

    @cached_property
    def _original(self) -> Original:
        return Original(self.standard, self._lexicon)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; the rest is made there."""
        return {"profile": self.profile, "standard": self.standard, "nulls": self.nulls}

    def score(
        self,
        composition: Composition | str | bytes | dict[str, Any],
        tables: Iterable[Table],
        texts: Iterable[str] = (),
    ) -> Score:
        """R(O, I) with its reasons; whatever is wrong with a composition is a gate's refusal, not an error.

        Args:
            composition: a `Composition`, or its JSON as text, bytes or dict.
            tables: of the input, all that the composition is to speak about.
            texts: documents about the tables.
        """
        tables, texts = tuple(tables), tuple(texts)
        o = read(composition)
        inputs = digest(o, tables, texts)
        if isinstance(o, Unread):
            return self._refused(o, inputs)
        case = Case(self.standard, o, tables, texts)
        refused = refusals(case, self.profile.gates)
        ok = not any(refused.values())
        findings, excluded = self._found(case)
        values = {name: quantised(finding.value) for name, finding in findings.items()}
        R = self._mean(values) if ok else 0.0
        reasons = [d for found in refused.values() for d in found] + excluded
        reasons += [d for finding in findings.values() for d in finding.diagnostics]
        return Score(
            R=R,
            gates=tuple(GateResult(name, not found) for name, found in refused.items()),
            components=values if ok else {},
            diagnostics=tuple(sorted(reasons)),
            shaped=shaped(R if ok else None, [len(found) for found in refused.values()], values),
            verifier=self.identity,
            inputs=inputs,
        )

    def _refused(self, unread: Unread, inputs: str) -> Score:
        """The score of what is no composition: no other gate can be asked."""
        return Score(
            R=0.0,
            gates=tuple(GateResult(name, False) for name in self.profile.gates),
            components={},
            diagnostics=tuple(sorted(unread.diagnostics)),
            shaped=shaped_unread(unread.share, len(unread.diagnostics)),
            verifier=self.identity,
            inputs=inputs,
        )

    def _found(self, case: Case) -> tuple[dict[str, Finding], list[Diagnostic]]:
        """The components of the profile; and why those that are left out cannot tell."""
        findings, excluded = {}, []
        for name, _ in self.profile.weights:
            found = self._component(name, case)
            if isinstance(found, Diagnostic):
                excluded.append(found)
            else:
                findings[name] = found
        return findings, excluded

    def _component(self, name: str, case: Case) -> Finding | Diagnostic:
        if self.profile.formula == "aegir-0.3":
            return self._original.component(name, case)
        match name:
            case "R_B":
                return density(case, self.nulls)
            case "R_C":
                return completeness(case)
            case "R_D":
                return topic_alignment(case, self._lexicon)
            case _:
                standard = self.standard
                evidence = instance_evidence(
                    case.composition, case.tables, standard.vocabulary, standard.ontology
                )
                return with_abstentions(case, evidence)

    def _mean(self, values: dict[str, float]) -> float:
        weights = {name: weight for name, weight in self.profile.weights if name in values}
        if not weights:
            return 0.0
        total = math.fsum(weights[name] * values[name] for name in sorted(weights))
        return quantised(min(1.0, total / math.fsum(weights.values())))

    def score_batch(self, items: Sequence[Item], processes: int = 1) -> list[Score]:
        """The scores of several (composition, tables) or (composition, tables, texts), in their order.

        Args:
            items: what to score.
            processes: worker processes, started anew (``spawn``); 1 scores here.
        """
        return scores(self, items, processes)

    def feedback(self, score: Score) -> str:
        """What a score says, in words for people and for a reflecting model: the worst reasons first."""
        return feedback(score)

    def metric(
        self,
        example: Any,
        prediction: Any,
        trace: Any = None,
        pred_name: str | None = None,
        pred_trace: Any = None,
    ) -> Judgement:
        """R as a metric of DSPy: see `aegir_dspy.verifier.metric`.

        Raises:
            InputError: the prediction has no composition, or the example no tables.
        """
        score = self.score(*input_of(example, prediction))
        passed = sum(gate.ok for gate in score.gates) / len(score.gates)
        objectives = {"R": score.R, "gates": quantised(passed), "shaped": score.shaped, **score.components}
        return Judgement(score.R, self.feedback(score), objectives)


@lru_cache(maxsize=8)
def _file_hash(name: str) -> str:
    return hashlib.sha256((resources.files("aegir_dspy.assets") / name).read_bytes()).hexdigest()


def feedback(score: Score) -> str:
    """See `Verifier.feedback`."""
    closed = [gate.name for gate in score.gates if not gate.ok]
    head = f"R = {score.R:.3f}. "
    if closed:
        head += f"Refused by {len(closed)} of {len(score.gates)} gates: {', '.join(closed)}; fix these first."
    else:
        values = ", ".join(f"{name} {value:.2f}" for name, value in sorted(score.components.items()))
        head += f"All {len(score.gates)} gates passed; {values}."
    gate_of = {name: i for i, name in enumerate(closed)}
    ranked = sorted(score.diagnostics, key=lambda d: (gate_of.get(d.code.split(".")[0], len(closed)), d))
    if closed:
        ranked = [d for d in ranked if d.code.split(".")[0] in gate_of]
    lines = [_line(diagnostic) for diagnostic in ranked[:12]]
    if len(ranked) > len(lines):
        lines.append(f"- and {len(ranked) - len(lines)} more")
    return "\n".join([head, *lines])


def _line(diagnostic: Diagnostic) -> str:
    line = f"- {diagnostic.subject}: {diagnostic.message} [{diagnostic.code}]"
    if diagnostic.evidence:
        line += f" ({', '.join(diagnostic.evidence[:3])})"
    return line + (f". Try: {diagnostic.suggestion}." if diagnostic.suggestion else ".")
