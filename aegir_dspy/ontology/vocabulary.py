"""Vocabularies: the types a column may be given, with an IRI, a description, examples and headers.

Built in are

- ``schema`` (the default): ``sotab82``, then technical types beyond it (identifiers, personal data,
  network, file and measurement types);
- ``sotab82`` and ``sotab32``: the labels of the SOTAB column type benchmarks, on schema.org;
- ``dbpedia``: classes of the DBpedia ontology;
- ``sotab_cpa``: relations of a column to the subject column, the properties of the SOTAB relation benchmark.

How IRIs were given: a label that is a schema.org class or property has that term's IRI. ``X/name``
has the IRI of the class X, because such cells stand for things of that class; ``X/description`` has
the property ``https://schema.org/description``. SOTAB's ``...AT`` labels mix several properties and
have their common term: ``CoordinateAT`` GeoCoordinates, ``IdentifierAT`` identifier,
``MusicArtistAT`` MusicGroup. So ``CreativeWork`` and ``CreativeWork/name`` share an IRI, and so do
all descriptions; every other IRI occurs once in a vocabulary. Types that neither schema.org nor
DBpedia names have an IRI of this project below ``https://w3id.org/aegir/type/``. ``dbpedia`` also
has ``xsd:double`` and ``xsd:positiveInteger``, with their XML Schema IRIs.

A file is a JSON list of ``{"label", "iri"?, "description"?, "examples"?, "headers"?}`` (other keys are
ignored), a JSON list of labels, or plain text with one label a line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from aegir_dspy.errors import VocabularyError

__all__ = ["RELATION_VOCABULARIES", "VOCABULARIES", "Label", "Vocabulary", "load_vocabulary"]

VOCABULARIES: tuple[str, ...] = ("schema", "sotab82", "sotab32", "dbpedia")
"""The names of the built-in vocabularies."""

RELATION_VOCABULARIES: tuple[str, ...] = ("sotab_cpa",)
"""The names of the built-in vocabularies of relations."""

# The files of a vocabulary that has several, or one of another name.
_COMPOSED = {"schema": ("sotab82", "technical"), "sotab_cpa": ("relations",)}


@dataclass(frozen=True, slots=True)
class Label:
    """One type or relation a column may be given.

    Attributes:
        label: its name, unique in the vocabulary and shown to people, for example ``Book/name``.
        iri: the ontology term it stands for, or None.
        description: one sentence saying what such a column holds.
        examples: a few values of such a column.
        headers: names that such columns have in real files and schemas.
    """

    label: str
    iri: str | None = None
    description: str = ""
    examples: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """An ordered set of labels; ``vocabulary["Book/name"]`` is the label of that name."""

    name: str
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Label:
        """The label called `name`; VocabularyError when there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise VocabularyError(
                f"expected a label of vocabulary {self.name!r} ({len(self)} labels), found {name!r}; "
                "see Vocabulary.names for the labels"
            ) from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the labels, in order."""
        return tuple(label.label for label in self.labels)

    @cached_property
    def sha256(self) -> str:
        """SHA-256, in hex, of the labels as canonical JSON: equal labels in equal order, equal hash."""
        labels = [asdict(label) for label in self.labels]
        text = json.dumps(labels, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, Label]:
        return {label.label: label for label in self.labels}


def load_vocabulary(name_or_path: str | Path = "schema") -> Vocabulary:
    """The built-in vocabulary of that name, or else the vocabulary in that file.

    A built-in name wins over a file of the same name: write ``./schema`` for the file. A vocabulary
    read from a file is named after it, without extension.

    Raises:
        VocabularyError: the name is unknown, or the file cannot be read or is not a vocabulary.
    """
    if isinstance(name_or_path, str) and name_or_path in (*VOCABULARIES, *RELATION_VOCABULARIES):
        return _builtin(name_or_path)
    path = Path(name_or_path)
    return Vocabulary(path.stem, _parse(_read(path), str(path), is_json=path.suffix.lower() == ".json"))


def _builtin(name: str) -> Vocabulary:
    labels: list[Label] = []
    for part in _COMPOSED.get(name, (name,)):
        file = resources.files("aegir_dspy.assets") / f"vocabulary_{part}.json"
        labels += _parse(file.read_text("utf-8"), file.name, is_json=True)
    return Vocabulary(name, tuple(labels))


def _read(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        known = ", ".join(VOCABULARIES)
        raise VocabularyError(f"expected a built-in vocabulary ({known}) or a file, found {path}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise VocabularyError(f"expected a readable vocabulary file, found {path}: {reason}") from error
    if "\0" in text:
        raise VocabularyError(f"expected a text file as vocabulary, found binary data in {path}")
    return text


def _parse(text: str, source: str, *, is_json: bool) -> tuple[Label, ...]:
    """Labels of a vocabulary's text; `source` names the file in messages."""
    if is_json or text.lstrip().startswith(("[", "{")):
        entries = _json_list(text, source)
    else:
        entries = [line for line in text.splitlines() if line.strip()]
    if not entries:
        raise VocabularyError(f"expected at least one label in {source}, found none")
    labels = tuple(_label(entry, f"{source}, entry {i}") for i, entry in enumerate(entries, start=1))
    seen: set[str] = set()
    for label in labels:
        if label.label in seen:
            raise VocabularyError(f"expected each label once in {source}, found {label.label!r} twice")
        seen.add(label.label)
    return labels


def _json_list(text: str, source: str) -> list[Any]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "bad JSON"
        raise VocabularyError(f"expected a JSON list of labels in {source}, found {where}") from error
    if not isinstance(entries, list):
        raise VocabularyError(f"expected a JSON list of labels in {source}, found {_kind(entries)}")
    return entries


def _label(entry: Any, where: str) -> Label:
    """A label from a string or an object of the file, every field checked."""
    if isinstance(entry, str):
        entry = {"label": entry}
    if not isinstance(entry, dict):
        raise VocabularyError(f"expected a label or an object with 'label' at {where}, found {_kind(entry)}")
    name = entry.get("label")
    if not isinstance(name, str) or not name.strip():
        raise VocabularyError(f"expected a non-empty 'label' at {where}, found {_kind(name)}")
    return Label(
        name.strip(),
        iri=_text(entry, "iri", where) or None,
        description=_text(entry, "description", where),
        examples=_texts(entry, "examples", where),
        headers=_texts(entry, "headers", where),
    )


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise VocabularyError(f"expected text as {key!r} at {where}, found {_kind(value)}")
    return value.strip()


def _texts(entry: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = entry.get(key)
    if values is None:
        return ()
    if not isinstance(values, list):
        raise VocabularyError(f"expected a list of texts as {key!r} at {where}, found {_kind(values)}")
    other = next((value for value in values if not isinstance(value, str)), "")
    if other != "":
        raise VocabularyError(f"expected only texts in {key!r} at {where}, found {_kind(other)}")
    return tuple(values)


def _kind(value: Any) -> str:
    """The JSON kind of a value, in words, for messages."""
    if isinstance(value, str):
        return "a text" if value.strip() else "an empty text"
    kinds = {dict: "an object", list: "a list", type(None): "nothing", bool: "a boolean"}
    return kinds.get(type(value), "a number")
