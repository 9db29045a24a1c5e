"""The template catalog: what a composition may say about classes and properties, as typed templates.

A template is Manchester text with slots ``{name:Type}`` or ``{name:Type:Bound}``, each declared where it
first stands and then written ``{name}``. Texts are parsed once, when the catalog is read; filling a template
puts names and numbers into the parsed axioms and never into text. In these patterns a name slot stands as
``{name}`` and a number slot as a negative count, −1 for the first slot of the template.

A file is a JSON list of ``{"id", "family", "manchester", "verbalisation", "anchor", "anchor_class"?,
"example"}``; the built-in one is ``assets/catalog.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, cast, get_args

from aegir_dspy.errors import InputError, VocabularyError
from aegir_dspy.ontology.axioms import Axiom, Expression
from aegir_dspy.ontology.composition import Entry
from aegir_dspy.ontology.manchester import Role, parse_axioms
from aegir_dspy.ontology.slots import NUMBER, SPAN, Slot, SlotProblem, SlotType, slot_problems

__all__ = [
    "FAMILIES",
    "Catalog",
    "Slot",
    "SlotProblem",
    "SlotType",
    "Template",
    "load_catalog",
    "slot_problems",
]

FAMILIES: tuple[str, ...] = (
    *("subclass", "some", "only", "cardinality", "equivalence", "union", "negation"),
    *("domain_range", "key", "data_element"),
)
"""The families of templates, in the order of the catalog."""

_ROLES: dict[str, Role] = {
    "Class": "class",
    "Datatype": "class",
    "ObjectProperty": "property",
    "DataProperty": "property",
    "Individual": "individual",
    "Integer": "number",
}
_SLOT = re.compile(r"([A-Za-z]\w*)(?::([A-Za-z]+)(?::(\S+))?)?")
_MENTION = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Template:
    """One template.

    Attributes:
        id: ``family.name``, unique in the catalog.
        family: one of `FAMILIES`.
        slots: in the order of the text.
        manchester: the text.
        verbalisation: an English sentence with every slot, ``{name}``.
        anchor: name of the slot whose term the template says something about.
        anchor_class: the ontology's class that this is about, prefixed name; "" where it is about any.
        example: slot name and filler, in the order of the slots; with terms of schema.org.
        pattern: the axioms, with slots in them (see the module).
    """

    id: str
    family: str
    slots: tuple[Slot, ...]
    manchester: str
    verbalisation: str
    anchor: str
    anchor_class: str
    example: tuple[tuple[str, str], ...]
    pattern: tuple[Axiom, ...] = field(repr=False)

    @cached_property
    def complex(self) -> bool:
        """Whether its axioms have two or more constructors (and, or, not, a restriction) between them."""
        return _constructors(self.pattern) >= 2

    @cached_property
    def sentence(self) -> tuple[str, ...]:
        """The verbalisation, cut at its slots: text, slot name, text, slot name, …, text."""
        return tuple(_MENTION.split(self.verbalisation))

    @cached_property
    def slot_names(self) -> tuple[str, ...]:
        """The names of the slots, in order."""
        return tuple(slot.name for slot in self.slots)


@dataclass(frozen=True)
class Catalog:
    """An ordered set of templates; ``catalog["some.object"]`` is the template of that id."""

    templates: tuple[Template, ...]

    def __len__(self) -> int:
        return len(self.templates)

    def __iter__(self) -> Iterator[Template]:
        return iter(self.templates)

    def __contains__(self, id: object) -> bool:
        return id in self._by_id

    def __getitem__(self, id: str) -> Template:
        """The template of that id; VocabularyError when there is none."""
        try:
            return self._by_id[id]
        except KeyError:
            raise VocabularyError(
                f"expected a template of the catalog ({len(self)} templates), found {id[:80]!r}; "
                "see Catalog.ids for the templates"
            ) from None

    def get(self, id: str) -> Template | None:
        """The template of that id, or None."""
        return self._by_id.get(id)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids of the templates, in order."""
        return tuple(template.id for template in self.templates)

    @cached_property
    def families(self) -> dict[str, tuple[Template, ...]]:
        """The templates of each family, in order."""
        return {name: tuple(t for t in self.templates if t.family == name) for name in FAMILIES}

    @cached_property
    def sha256(self) -> str:
        """SHA-256, in hex, of the templates as canonical JSON."""
        content = [
            (t.id, t.family, t.manchester, t.verbalisation, t.anchor, t.anchor_class, t.example)
            for t in self.templates
        ]
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()

    def instantiate(self, entry: Entry) -> tuple[Axiom, ...]:
        """The axioms that `entry` states. What fills a slot is not checked here, see `slot_problems`.

        Raises:
            VocabularyError: there is no such template.
            InputError: a slot is missing, unknown or filled twice, or a number is none.
        """
        template = self[entry.template]
        fillers = dict(entry.slots)
        if len(entry.slots) != len(template.slots) or set(fillers) != set(template.slot_names):
            raise InputError(
                f"expected the slots {', '.join(template.slot_names)} of template {template.id}, each once, "
                f"found {', '.join(name[:40] for name, _ in entry.slots) or 'none'}"
            )
        names: dict[str, str] = {}
        counts: dict[int, int] = {}
        for at, slot in enumerate(template.slots):
            if slot.type == "Integer":
                counts[-1 - at] = _number(fillers[slot.name], slot.name)
            else:
                names[f"{{{slot.name}}}"] = fillers[slot.name]
        return tuple(_filled(axiom, names, counts) for axiom in template.pattern)

    def ordered(self, entry: Entry) -> Entry:
        """The entry with its slots in the order of the template; those it does not have come last."""
        place = {name: at for at, name in enumerate(self[entry.template].slot_names)}
        return Entry(entry.template, tuple(sorted(entry.slots, key=lambda s: place.get(s[0], len(place)))))

    @cached_property
    def _by_id(self) -> dict[str, Template]:
        return {template.id: template for template in self.templates}


def load_catalog(path: str | Path | None = None) -> Catalog:
    """The built-in catalog, or the one in a file of the same form.

    Raises:
        InputError: the file cannot be read or is not a catalog; the message names the template and, for
            Manchester text, the line and column in it.
    """
    if path is None:
        return _built_in()
    try:
        return _catalog(json.loads(Path(path).read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"expected a readable catalog in JSON, found {path}: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@cache
def _built_in() -> Catalog:
    return _catalog(json.loads((resources.files("aegir_dspy.assets") / "catalog.json").read_text("utf-8")))


def _catalog(content: Any) -> Catalog:
    if not isinstance(content, list) or not content:
        raise InputError("expected a JSON list of templates, found none")
    templates = tuple(_template(one, at) for at, one in enumerate(content, start=1))
    seen: set[str] = set()
    for template in templates:
        if template.id in seen:
            raise InputError(f"expected each template once, found {template.id!r} twice")
        seen.add(template.id)
    return Catalog(templates)


def _template(content: Any, position: int) -> Template:
    keys = ("id", "family", "manchester", "verbalisation", "anchor")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in keys):
        raise InputError(f"expected an object with the texts {', '.join(keys)} as template {position}")
    id, family, text, sentence, anchor = (content[key] for key in keys)
    collector = _Collector()
    try:
        pattern = parse_axioms(text, collector)
        template = Template(
            *(id, family, tuple(collector.slots), text, sentence, anchor),
            anchor_class=str(content.get("anchor_class", "")),
            example=tuple((str(k), str(v)) for k, v in content.get("example", {}).items()),
            pattern=pattern,
        )
        _check(template)
    except InputError as error:
        raise InputError(f"template {id!r}: {error}") from error
    return template


def _check(template: Template) -> None:
    """What is not said by the Manchester text fits it; InputError where not."""
    names = template.slot_names
    if template.family not in FAMILIES or template.id.partition(".")[0] != template.family:
        raise InputError(f"expected an id that begins with its family, one of {', '.join(FAMILIES)}")
    if set(template.sentence[1::2]) != set(names):
        raise InputError(f"expected the slots {', '.join(names)} in the verbalisation, and no others")
    if template.anchor not in names or tuple(name for name, _ in template.example) != names:
        raise InputError(f"expected an anchor among {', '.join(names)} and an example of them, in this order")


class _Collector:
    """Reads the slots in a Manchester text and says what stands for them in the pattern."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []

    def __call__(self, text: str, role: Role) -> str:
        match = _SLOT.fullmatch(text)
        known = [slot.name for slot in self.slots]
        if match is None or (match[2] is None and match[1] not in known):
            raise InputError(f"expected {{name:Type}} or {{name:Type:Bound}}, found {{{text}}}")
        slot = self._declared(match, known) if match[2] else self.slots[known.index(match[1])]
        if _ROLES[slot.type] != role:
            raise InputError(f"expected a slot for a {role} here, found {slot.type}")
        return str(-1 - known.index(slot.name)) if role == "number" else f"{{{slot.name}}}"

    def _declared(self, match: re.Match[str], known: list[str]) -> Slot:
        name, type_, bound = match[1], match[2], match[3] or ""
        if type_ not in get_args(SlotType) or name in known:
            raise InputError(f"expected a type ({', '.join(get_args(SlotType))}), once, found {match[0]}")
        if bound and type_ == "Integer" and not SPAN.fullmatch(bound):
            raise InputError(f"expected a bound such as 1..10 for a number, found {bound}")
        slot = Slot(name, cast(SlotType, type_), bound)
        self.slots.append(slot)
        known.append(name)
        return slot


def _number(text: str, slot: str) -> int:
    if not NUMBER.fullmatch(text):
        raise InputError(f"expected a whole number below 1e9 in slot {slot}, found {text[:40]!r}")
    return int(text)


def _filled(part: Any, names: dict[str, str], counts: dict[int, int]) -> Any:
    """A pattern, or a part of one, with its slots filled."""
    if isinstance(part, str):
        return names.get(part, part)
    if isinstance(part, int):
        return counts.get(part, part)
    if isinstance(part, tuple):
        return tuple([_filled(one, names, counts) for one in part])
    return type(part)(*[_filled(getattr(part, name), names, counts) for name in part.__slots__])


def _constructors(part: Any) -> int:
    """How many and, or, not and restrictions are in axioms or expressions."""
    if isinstance(part, tuple):
        return sum(map(_constructors, part))
    if not is_dataclass(part):
        return 0
    inside = sum(_constructors(getattr(part, one.name)) for one in fields(part))
    return inside + (isinstance(part, Expression) and type(part).__name__ != "Named")
