"""Prefixed names of terms and their IRIs: ``schema:Book`` is ``https://schema.org/Book``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aegir_dspy.errors import VocabularyError
from aegir_dspy.ontology.terms import PREFIXES, Ontology

__all__ = ["LOCAL", "iri_of", "local_name", "name_of", "words"]

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})|[_-]+")
LOCAL = re.compile(r"\w(?:[\w.-]*[\w-])?")
"""Local names, and prefixes, that need no escapes in Turtle."""

_NAMES = {namespace: prefix for prefix, namespace in PREFIXES.items()} | {"http://schema.org/": "schema"}


def name_of(iri: str, ontology: Ontology | None = None) -> str | None:
    """The prefixed name of an IRI; None when no prefix covers it, or its last part needs escapes.

    ``http://schema.org/`` is taken as ``https://schema.org/``. Prefixes are `PREFIXES`, then those of
    `ontology`.
    """
    cut = max(iri.rfind("#"), iri.rfind("/")) + 1
    namespace, local = iri[:cut], iri[cut:]
    prefix = _NAMES.get(namespace)
    if prefix is None and ontology is not None:
        prefix = next((own for own, space in ontology.prefixes if space == namespace), None)
    return f"{prefix}:{local}" if prefix is not None and LOCAL.fullmatch(local) else None


def iri_of(name: str, ontology: Ontology | None = None) -> str:
    """The IRI of a prefixed name, or of an IRI in angle brackets.

    Raises:
        VocabularyError: the prefix is unknown or missing; the empty prefix is the composition's own.
    """
    if name.startswith("<") and name.endswith(">"):
        return name[1:-1]
    prefix, colon, local = name.partition(":")
    known: Mapping[str, str] = PREFIXES if ontology is None else {**dict(ontology.prefixes), **PREFIXES}
    if not colon or prefix not in known:
        raise VocabularyError(
            f"expected a name with one of the prefixes {', '.join(sorted(known))}, found {name!r}"
        )
    return known[prefix] + local


def local_name(name: str) -> str:
    """The part of a name after its prefix: ``Book``."""
    return name.strip("<>").replace("#", "/").rpartition("/")[2].rpartition(":")[2]


def words(local: str) -> str:
    """A local name in words: ``LocalBusiness`` → ``local business``, ``TVEpisode`` → ``TV episode``."""
    parts = (part for part in _HUMP.split(local) if part)
    return " ".join(p if len(p) > 1 and p.isupper() else p.lower() for p in parts)
