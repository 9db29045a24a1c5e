"""Manchester syntax: text to the values of `aegir_dspy.ontology.axioms`, and back.

The fragment: frames ``Class:``, ``ObjectProperty:``, ``DataProperty:``, ``Individual:``, and the statements
``DisjointClasses:`` and ``EquivalentClasses:``, over expressions with ``and or not some only min max exactly
value`` and brackets. Source: https://www.w3.org/TR/owl2-manchester-syntax/. Beyond that text, an expression
may head a class frame in brackets, ``Class: (p some B) SubClassOf: A``: the standard has no form for it.

The axioms do not say whether a property is of objects or data: the two property frames read alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.axioms import (
    THING,
    And,
    Axiom,
    Cardinality,
    Disjoint,
    Domain,
    Equivalent,
    Expression,
    Functional,
    HasKey,
    Instance,
    Named,
    Not,
    Only,
    Or,
    Range,
    Some,
    SubClass,
    SubProperty,
    Value,
)
from aegir_dspy.ontology.manchester_render import MAX_DEPTH, render, render_axiom

__all__ = ["MAX_DEPTH", "Role", "SlotReader", "parse_axioms", "parse_expression", "render", "render_axiom"]

Role = Literal["class", "property", "individual", "number"]
SlotReader = Callable[[str, Role], str]
"""The text inside ``{…}`` and what is wanted there → the name, or the number in decimal, to put there."""

_T = TypeVar("_T")
_TOKEN = re.compile(
    r"(?P<slot>\{[^{}\s]*\})|(?P<keyword>[A-Za-z]+:(?=\s|$))|(?P<name>[A-Za-z0-9]*:[^\s(){},]+)"
    r"|(?P<number>[0-9]{1,9}(?![^\s(){},]))|(?P<word>[A-Za-z]+(?![^\s(){},]))|(?P<mark>[(),])"
)
_SPACE, _WORD = re.compile(r"\s*"), re.compile(r"\s*([a-z]*)")
_QUANTIFIERS = ("some", "only", "value", "min", "max", "exactly")
_SECTIONS: dict[str, dict[str, Callable[[Any, Expression], Axiom]]] = {
    "Class:": {
        "SubClassOf:": SubClass,
        "EquivalentTo:": Equivalent,
        "DisjointWith:": lambda one, other: Disjoint((one, other)),
    },
    "ObjectProperty:": {"Domain:": Domain, "Range:": Range},
    "DataProperty:": {"Domain:": Domain, "Range:": Range},
    "Individual:": {"Types:": Instance},
}  # the sections that hold expressions; HasKey:, SubPropertyOf: and Characteristics: do not
_NAMES = {
    "Class:": ("HasKey:",),
    "ObjectProperty:": ("SubPropertyOf:", "Characteristics:"),
    "Individual:": (),
}
_NAMES["DataProperty:"] = _NAMES["ObjectProperty:"]


def parse_expression(text: str, slot: SlotReader | None = None) -> Expression:
    """The class expression that `text` is.

    Raises:
        InputError: it is not one; the message has the line and column. So has nesting beyond `MAX_DEPTH`.
    """
    reader = _Reader(text, slot)
    expression = reader.expression(1)
    if reader.kind != "end":
        raise reader.error("the end")
    return expression


def parse_axioms(text: str, slot: SlotReader | None = None) -> tuple[Axiom, ...]:
    """The axioms of one or more frames, in the order of the text.

    `slot` allows ``{…}`` in place of names and numbers and says what they stand for.

    Raises:
        InputError: as `parse_expression`, and when there is no axiom.
    """
    reader = _Reader(text, slot)
    axioms = reader.frame()
    while reader.kind != "end":
        axioms += reader.frame()
    return tuple(axioms)


class _Reader:
    """The tokens of a text, with one rule of the grammar a method; `token`, of `kind`, is the next one."""

    def __init__(self, text: str, slot: SlotReader | None) -> None:
        self._text, self._slot = text, slot
        self._at = self._next = 0
        self.kind, self.token = "", ""
        self._step()

    def error(self, expected: str, found: str = "") -> InputError:
        """The error that says where, what was expected and what is there."""
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        found = found or ("the end" if self.kind == "end" else repr(self.token[:40]))
        place = f"line {line}, column {column} of the Manchester text"
        return InputError(f"expected {expected} at {place}, found {found}")

    def _step(self) -> str:
        """Take the next token; what was taken."""
        taken = self.token
        self._at = cast(re.Match[str], _SPACE.match(self._text, self._next)).end()
        match = _TOKEN.match(self._text, self._at)
        if match is not None:
            self.kind, self.token, self._next = str(match.lastgroup), match[0], match.end()
        elif self._at == len(self._text):
            self.kind, self.token = "end", ""
        else:
            self.kind, self.token = "other", self._text[self._at :].split(maxsplit=1)[0]
            raise self.error(
                "a prefixed name such as 'schema:Book', a number below 1e9, a keyword or a bracket"
            )
        return taken

    def _take(self, token: str) -> bool:
        """Whether the next token is this word or mark; then it is taken."""
        if found := self.kind in ("word", "mark") and self.token == token:
            self._step()
        return found

    def _name(self, role: Role, what: str) -> str:
        """A prefixed name or, where slots may be, a slot."""
        if self.kind == "slot" and self._slot is not None:
            return self._filled(self._slot, role)
        if self.kind != "name":
            raise self.error(what)
        return self._step()

    def _filled(self, slot: SlotReader, role: Role) -> str:
        try:
            value = slot(self.token[1:-1], role)
        except InputError as error:
            raise self.error(f"a {role} (or a slot for one: {error})") from error
        self._step()
        return value

    def expression(self, depth: int) -> Expression:
        """``conjunction (or conjunction)*``; `depth` is that of the expression, from 1."""
        parts = self._separated("or", lambda: self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self, depth: int) -> Expression:
        parts = self._separated("and", lambda: self._primary(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _primary(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise self.error(f"expressions at most {MAX_DEPTH} deep", "a deeper one")
        if self._take("not"):
            return Not(self._inner(depth))
        if self._take("("):
            inner = self.expression(depth + 1)
            if not self._take(")"):
                raise self.error("')'")
            return inner
        follows = cast(re.Match[str], _WORD.match(self._text, self._next))[1]
        if self.kind in ("name", "slot") and follows in _QUANTIFIERS:
            return self._restriction(depth)
        return Named(self._name("class", "a class expression"))

    def _inner(self, depth: int) -> Expression:
        """What ``not`` or a quantifier is about: one deeper, by its bracket if it has one."""
        return self._primary(depth if self.token == "(" else depth + 1)

    def _restriction(self, depth: int) -> Expression:
        name, word = self._name("property", "a property"), self._step()
        if word == "some":
            return Some(name, self._inner(depth))
        if word == "only":
            return Only(name, self._inner(depth))
        if word == "value":
            return Value(name, self._name("individual", "an individual such as 'schema:InStock'"))
        bound = cast(Literal["min", "max", "exactly"], word)
        count = self._count()
        filled = self.kind in ("name", "slot") or self.token in ("(", "not")
        return Cardinality(bound, name, count, self._inner(depth) if filled else THING)

    def _count(self) -> int:
        if self.kind == "slot" and self._slot is not None:
            return int(self._filled(self._slot, "number"))
        if self.kind != "number":
            raise self.error("a whole number of at most 9 digits")
        return int(self._step())

    def frame(self) -> list[Axiom]:
        """The axioms of one frame or statement."""
        word = self.token if self.kind == "keyword" else ""
        if word not in (*_SECTIONS, "DisjointClasses:", "EquivalentClasses:"):
            raise self.error(f"one of {' '.join(_SECTIONS)} DisjointClasses: EquivalentClasses:")
        self._step()
        if word not in _SECTIONS:
            return [self._statement(word)]
        role: Role = "individual" if word == "Individual:" else "property"
        subject = self._primary(0) if word == "Class:" else self._name(role, f"the name of the {role}")
        known = (*_SECTIONS[word], *_NAMES[word])
        axioms: list[Axiom] = []
        while self.token in known or not axioms:
            if self.token not in known:
                raise self.error(f"a section of {word} ({' '.join(known)})")
            axioms += self._section(word, subject)
        return axioms

    def _section(self, frame: str, subject: Expression | str) -> list[Axiom]:
        if make := _SECTIONS[frame].get(self.token):
            self._step()
            return [make(subject, other) for other in self._expressions()]
        if self.token == "HasKey:" and not isinstance(subject, Named):
            raise self.error("a named class before HasKey:", "an expression")
        word = self._step()
        if isinstance(subject, Named):
            return [HasKey(subject.name, self._key())]
        name = cast(str, subject)
        if word == "SubPropertyOf:":
            return [SubProperty(name, one) for one in self._separated(",", self._property)]
        if not self._take("Functional"):
            raise self.error("Functional, the one characteristic of this fragment")
        return [Functional(name)]

    def _statement(self, word: str) -> Axiom:
        parts = tuple(self._expressions())
        if word == "DisjointClasses:" and len(parts) >= 2:
            return Disjoint(parts)
        if word == "DisjointClasses:" or len(parts) != 2:
            count = "two or more" if word == "DisjointClasses:" else "exactly two"
            raise self.error(f"{count} expressions after {word} before here", str(len(parts)))
        return Equivalent(parts[0], parts[1])

    def _key(self) -> tuple[str, ...]:
        """The properties of a key: parted by spaces, as in the standard, or by commas."""
        names = [self._property()]
        while self._take(",") or self.kind in ("name", "slot"):
            names.append(self._property())
        return tuple(names)

    def _property(self) -> str:
        return self._name("property", "a property such as 'schema:name'")

    def _expressions(self) -> list[Expression]:
        return self._separated(",", lambda: self.expression(1))

    def _separated(self, mark: str, item: Callable[[], _T]) -> list[_T]:
        items = [item()]
        while self._take(mark):
            items.append(item())
        return items
