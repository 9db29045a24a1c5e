"""Compositions that are broken at random: what a verifier must refuse, fast and without an exception.

`fuzzed` takes the JSON of a composition that passes all gates and breaks it. What it breaks is known, so a
score above 0 for a text that is marked as invalid is a mistake of the verifier.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["BREAKS", "Fuzzed", "fuzzed", "harmless"]

Fuzzed = tuple[str, str]
"""(kind of damage, JSON text)"""

Content = dict[str, Any]
_JUNK: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        10**30,
        "",
        " ",
        "x",
        "owl:Thing",
        "schema:Book",
        "\0",
        "\ud800",
        [],
        {},
    ),
    *(
        [[]],
        {"a": 1},
        "schema:noSuchTerm",
        ":Undeclared",
        "not a label",
        float("nan"),
        float("inf"),
        "é" * 50,
    ),
)


def fuzzed(content: Content, rng: random.Random) -> Fuzzed:
    """The composition with one thing broken that a gate must see; `content` is left as it is.

    Args:
        content: JSON of a composition, with tables of several columns, own terms and axioms.
        rng: seeded.
    """
    kind = rng.choice(sorted(BREAKS))
    return kind, BREAKS[kind](copy.deepcopy(content), rng)


def harmless(content: Content, rng: random.Random) -> str:
    """The same composition in other words: keys and lists of entries in another order, other white space."""
    changed = copy.deepcopy(content)
    for name in ("axioms", "terms"):
        rng.shuffle(changed[name])
    items = list(changed.items())
    rng.shuffle(items)
    return json.dumps(dict(items), indent=rng.choice((None, 1, 4)), ensure_ascii=rng.random() < 0.5)


def _cut(content: Content, rng: random.Random) -> str:
    text = json.dumps(content)
    return text[: rng.randrange(len(text) - 1)]


def _noise(content: Content, rng: random.Random) -> str:
    """Bytes that are no JSON, around or in it."""
    text = json.dumps(content)
    at = rng.choice((0, len(text)))
    return text[:at] + rng.choice(("{", "]", "```json", "Sure! ", "\0", "}}", '"')) + text[at:]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a JSON value."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from _places(one, (*path, key))


def _parent(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content


def _wrong_kind(content: Content, rng: random.Random) -> str:
    """A value of another JSON type, where no other is allowed."""
    skipped = ("comment", "confidence", "subject", "term", "type", "reason")
    path = rng.choice([one for one in _places(content) if one[-1] not in skipped])
    parent = _parent(content, path)
    now = parent[path[-1]]
    allowed = int | float if isinstance(now, int | float) else type(now)
    parent[path[-1]] = rng.choice([one for one in _JUNK if not isinstance(one, allowed)])
    return json.dumps(content)


def _unknown_key(content: Content, rng: random.Random) -> str:
    objects = [(), *(p for p in _places(content) if isinstance(_parent(content, p)[p[-1]], dict))]
    path = rng.choice(objects)
    place = content if not path else _parent(content, path)[path[-1]]
    place[f"key{rng.randrange(1000)}"] = rng.choice(("", 1, None))
    return json.dumps(content)


def _deep(content: Content, rng: random.Random) -> str:
    depth = rng.choice((50, 2_000, 100_000))
    content["comment"] = "HERE"
    return json.dumps(content).replace('"HERE"', "[" * depth + "]" * depth)


def _axioms(
    change: Callable[[list[Content], random.Random], None],
) -> Callable[[Content, random.Random], str]:
    def broken(content: Content, rng: random.Random) -> str:
        change(content["axioms"], rng)
        return json.dumps(content)

    return broken


def _template(axioms: list[Content], rng: random.Random) -> None:
    rng.choice(axioms)["template"] = rng.choice(("some.thing", "", "SOME.DATA", "some.data ", "x" * 200))


def _filler(axioms: list[Content], rng: random.Random) -> None:
    slots = rng.choice(axioms)["slots"]
    unknown = (
        "schema:noSuchTerm",
        ":Undeclared",
        "Book",
        "",
        "-1",
        "http://a.b/c",
        "schema:Book or schema:Map",
    )
    slots[rng.choice(sorted(slots))] = rng.choice(unknown)


def _slot(axioms: list[Content], rng: random.Random) -> None:
    slots = rng.choice(axioms)["slots"]
    slots.pop(rng.choice(sorted(slots)))
    if rng.random() < 0.5:
        slots["more"] = "schema:Book"


def _twice(axioms: list[Content], rng: random.Random) -> None:
    axioms.insert(rng.randrange(len(axioms) + 1), copy.deepcopy(rng.choice(axioms)))


def _contradiction(axioms: list[Content], rng: random.Random) -> None:
    own = {filler for one in axioms for filler in one["slots"].values() if filler.startswith(":")}
    name = rng.choice(sorted(own))
    axioms.append({"template": "subclass.named", "slots": {"A": name, "B": "schema:Map"}})
    axioms.append({"template": "negation.disjoint", "slots": {"A": name, "B": "schema:Thing"}})


def _cycle(axioms: list[Content], rng: random.Random) -> None:
    below = [one["slots"] for one in axioms if one["template"] == "subclass.named"]
    slots = rng.choice(below)
    axioms.append({"template": "subclass.named", "slots": {"A": slots["B"], "B": slots["A"]}})


def _many(axioms: list[Content], rng: random.Random) -> None:
    axioms += [copy.deepcopy(rng.choice(axioms)) for _ in range(rng.choice((100, 2_500, 10_000)))]


def _column(content: Content, rng: random.Random) -> str:
    table = rng.choice(content["tables"])
    columns = table["columns"]
    match rng.randrange(6):
        case 0:
            columns.pop(rng.randrange(len(columns)))
        case 1:
            columns.append(copy.deepcopy(rng.choice(columns)))
        case 2:
            columns.append({"index": len(columns) + rng.randrange(99), "type": columns[0]["type"]})
        case 3:
            rng.choice(columns).update(type=rng.choice(("Book", "foo", "", "schema:Book", "book/name")))
        case 4:
            rng.choice(columns).update(type=None, reason=rng.choice(("", "  ", "TODO", "n/a")))
        case _:
            table["name"] += rng.choice((" ", "2", "x"))
    return json.dumps(content)


def _words(content: Content, rng: random.Random) -> str:
    stubs = ("TODO", "foo", "Class1", "thing", "lorem ipsum dolor sit amet", "xqzv kjwq zzpt vbnx qwkj zxqj")
    rng.choice(content["terms"])[rng.choice(("label", "definition"))] = rng.choice(stubs)
    return json.dumps(content)


def _source(content: Content, rng: random.Random) -> str:
    content[rng.choice(("ontology", "vocabulary"))] = rng.choice(("cco", "no-such", ""))
    return json.dumps(content)


BREAKS: dict[str, Callable[[Content, random.Random], str]] = {
    "cut": _cut,
    "noise": _noise,
    "wrong kind": _wrong_kind,
    "unknown key": _unknown_key,
    "deep": _deep,
    "template": _axioms(_template),
    "filler": _axioms(_filler),
    "slot": _axioms(_slot),
    "twice": _axioms(_twice),
    "contradiction": _axioms(_contradiction),
    "cycle": _axioms(_cycle),
    "many": _axioms(_many),
    "column": _column,
    "words": _words,
    "source": _source,
}
"""Kinds of damage: (content, rng) → JSON text that must be refused; the content may be changed."""
