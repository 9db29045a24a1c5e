"""Generated databases whose tables share things, with the gold clusters of their columns.

A database has some kinds of things, each with a table of its own in one or two systems that name and fill it
in their own way, and tables of events that refer to them. Gold, by column:

- ``same``: what it denotes: the customer's key, the customer's mail, … wherever it is kept;
- ``parts``: what it is a part of, within its table: the address, the card, the period.

Headers come in four styles, with synonyms, prefixes, abbreviations and words cut short; systems know only a
part of the things, so cells overlap only partly; some keys are plain numbers that overlap by chance.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from faker import Faker

from aegir_dspy.tables.infer import infer_type
from aegir_dspy.tables.table import Column, Table

__all__ = ["Database", "database"]

Cell = Callable[[Faker, random.Random], str]


@dataclass(frozen=True)
class Database:
    """Tables, and by (table, column) what a column denotes and what it is a part of."""

    tables: tuple[Table, ...]
    same: dict[tuple[str, int], str]
    parts: dict[tuple[str, int], str]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _code(pattern: str) -> Cell:
    return lambda fake, rng: fake.bothify(pattern).upper()


def _number(most: float) -> Cell:
    return lambda fake, rng: f"{rng.uniform(1, most):.2f}"


def _one_of(choices: str) -> Cell:
    return lambda fake, rng: rng.choice(choices.split())


def _day(first: int, last: int) -> Cell:
    """Days from the first year's beginning to the last one's."""
    ends = date(first, 1, 1).toordinal(), date(last, 1, 1).toordinal()
    return lambda fake, rng: str(date.fromordinal(rng.randrange(*ends)))


# attribute: its headers, its cells, what it is a part of
ATTRIBUTES: dict[str, tuple[tuple[str, ...], Cell, str]] = {
    "name": (("name", "full name"), lambda f, r: f.name(), ""),
    "company": (("name", "company name", "company"), lambda f, r: f.company(), ""),
    "title": (("name", "title", "label"), lambda f, r: " ".join(f.words(2)).title(), ""),
    "given": (("first name", "given name", "forename"), lambda f, r: f.first_name(), "PersonName"),
    "family": (("last name", "family name", "surname"), lambda f, r: f.last_name(), "PersonName"),
    "mail": (("email", "mail", "email address", "e mail"), lambda f, r: f.email(), ""),
    "phone": (("phone", "telephone", "phone number", "tel"), lambda f, r: f.phone_number(), ""),
    "birth": (("birth date", "date of birth", "dob"), _day(1935, 2005), ""),
    "street": (("street", "address", "street address"), lambda f, r: f.street_address(), "PostalAddress"),
    "city": (("city", "town"), lambda f, r: f.city(), "PostalAddress"),
    "zip": (("zip", "postal code", "postcode"), lambda f, r: f.postcode(), "PostalAddress"),
    "country": (("country", "country code"), lambda f, r: f.country_code(), "PostalAddress"),
    "lat": (("latitude", "lat"), lambda f, r: str(f.latitude()), "GeoCoordinates"),
    "lon": (("longitude", "lng", "lon"), lambda f, r: str(f.longitude()), "GeoCoordinates"),
    "card": (("card number", "credit card", "cc number"), lambda f, r: f.credit_card_number(), "PaymentCard"),
    "expiry": (
        ("expiry", "card expiry", "exp date"),
        lambda f, r: f"{r.randint(1, 12):02d}/{r.randint(25, 32)}",
        "PaymentCard",
    ),
    "iban": (("iban", "account number"), lambda f, r: f.iban(), "BankAccount"),
    "bic": (("bic", "swift code"), lambda f, r: f.swift(), "BankAccount"),
    "sku": (("sku", "stock code", "article number"), _code("??-####"), ""),
    "price": (
        ("price", "unit price", "list price"),
        _number(500),
        "MonetaryAmount",
    ),
    "currency": (
        ("currency", "currency code"),
        _one_of("EUR USD GBP"),
        "MonetaryAmount",
    ),
    "weight": (("weight", "weight kg"), _number(40), ""),
    "colour": (("color", "colour"), lambda f, r: f.color_name(), ""),
    "site": (("website", "url", "homepage"), lambda f, r: f.url(), ""),
    "vat": (("vat id", "tax number", "vat number"), _code("??#########"), ""),
    "job": (("job title", "position", "role"), lambda f, r: f.job(), ""),
    "status": (("status", "state"), _one_of("open closed new void"), ""),
    "quantity": (("quantity", "qty", "pieces"), lambda f, r: str(r.randint(1, 40)), ""),
    "start": (
        ("start date", "valid from", "start"),
        _day(2019, 2022),
        "Period",
    ),
    "end": (("end date", "valid to", "end"), _day(2022, 2025), "Period"),
    "amount": (
        ("amount", "total", "total amount"),
        _number(9000),
        "MonetaryAmount",
    ),
    "day": (("date", "created at", "booked on"), _day(2015, 2025), ""),
    "note": (("note", "comment", "remarks"), lambda f, r: f.sentence(5), ""),
}
# thing: its names, its attributes
THINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "customer": (
        ("customers", "clients", "customer", "cust master", "accounts"),
        _words("given family mail phone birth street city zip country card expiry"),
    ),
    "supplier": (
        ("suppliers", "vendors"),
        _words("company vat mail phone street city zip iban bic"),
    ),
    "product": (
        ("products", "items", "articles"),
        _words("title sku price currency weight colour"),
    ),
    "employee": (("employees", "staff"), _words("name mail job birth iban bic")),
    "store": (
        ("stores", "shops", "branches"),
        _words("title phone street city zip lat lon"),
    ),
    "patient": (("patients",), _words("given family birth phone street city zip")),
    "doctor": (("doctors", "physicians"), _words("name phone mail")),
    "vehicle": (("vehicles", "cars"), _words("title colour weight price currency")),
    "contract": (
        ("contracts", "agreements"),
        _words("title start end amount currency status"),
    ),
    "course": (("courses", "classes"), _words("title start end site")),
}
# event: its names, the things it refers to, its attributes
EVENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "order": (
        ("orders", "purchases"),
        ("customer", "store", "employee"),
        ("day", "status", "amount", "currency"),
    ),
    "line": (("order items", "order lines"), ("product",), ("quantity", "price", "currency")),
    "invoice": (("invoices", "bills"), ("customer", "contract"), ("day", "amount", "currency", "status")),
    "delivery": (("deliveries", "shipments"), ("supplier", "product", "store"), ("day", "quantity")),
    "visit": (("visits", "appointments"), ("patient", "doctor"), ("start", "end", "note")),
    "rental": (("rentals",), ("customer", "vehicle", "store"), ("start", "end", "amount", "currency")),
    "enrolment": (("enrolments",), ("customer", "course"), ("day", "status")),
    "shift": (("shifts",), ("employee", "store"), ("start", "end")),
}
COPIED = ("mail", "phone", "sku", "vat", "iban", "name", "company")  # attributes that events keep copies of


def database(seed: int, rows: int = 60) -> Database:
    """A database of some ten tables; the same for the same seed."""
    return _Maker(seed, rows).make()


class _Maker:
    """One database in the making."""

    def __init__(self, seed: int, rows: int) -> None:
        self.rng, self.rows = random.Random(seed), rows
        self.fake = Faker(["en_US", "en_GB", "de_DE", "fr_FR"])
        self.fake.seed_instance(seed)
        self.tables: list[Table] = []
        self.same: dict[tuple[str, int], str] = {}
        self.parts: dict[tuple[str, int], str] = {}

    def make(self) -> Database:
        events = self.rng.sample(sorted(EVENTS), 4)
        things = sorted({thing for event in events for thing in EVENTS[event][1]})
        known = {thing: self._things(thing) for thing in things}
        for thing in things:
            names = self.rng.sample(THINGS[thing][0], min(len(THINGS[thing][0]), self.rng.choice([1, 1, 2])))
            for name in names:
                self._table_of(thing, name, known[thing])
        for event in events:
            self._table_of_events(event, known)
        return Database(tuple(self.tables), self.same, self.parts)

    def _things(self, thing: str) -> list[dict[str, str]]:
        """What there is, with its key."""
        attributes = THINGS[thing][1]
        start, step = (1, 1) if self.rng.random() < 0.6 else (self.rng.randrange(1000, 90000), 7)
        text = self.rng.random() < 0.25
        found = []
        for n in range(self.rows):
            key = f"{thing[0].upper()}{start + step * n:05d}" if text else str(start + step * n)
            found.append({"key": key, **{a: ATTRIBUTES[a][1](self.fake, self.rng) for a in attributes}})
        return found

    def _table_of(self, thing: str, name: str, known: list[dict[str, str]]) -> None:
        style, kept = _Style(self.rng), self.rng.sample(known, int(len(known) * self.rng.uniform(0.5, 1.0)))
        own = self.rng.choice(["id", f"{thing} id", f"{thing} no", "key", f"{thing} key"])
        columns = [(own, [one["key"] for one in kept], f"{thing}.key", "")]
        attributes = [a for a in THINGS[thing][1] if self.rng.random() < 0.85 or ATTRIBUTES[a][2]]
        for attribute in attributes:
            headers, _, part = ATTRIBUTES[attribute]
            header = self.rng.choice(headers)
            if self.rng.random() < 0.15 and " " not in header:
                header = f"{thing} {header}"
            columns.append((header, [one[attribute] for one in kept], f"{thing}.{attribute}", part))
        self._add(name, style, columns)

    def _table_of_events(self, event: str, known: dict[str, list[dict[str, str]]]) -> None:
        names, things, attributes = EVENTS[event]
        style, name = _Style(self.rng), self.rng.choice(names)
        columns = [("id", [str(n + 1) for n in range(self.rows)], f"{event}.key", "")]
        for thing in things:
            drawn = self.rng.choices(known[thing], k=self.rows)
            header = self.rng.choice([f"{thing} id", f"{thing} no", f"{thing} key", thing, f"fk {thing} id"])
            columns.append((header, [one["key"] for one in drawn], f"{thing}.key", ""))
            for attribute in (a for a in COPIED if a in drawn[0] and self.rng.random() < 0.35):
                header = f"{thing} {self.rng.choice(ATTRIBUTES[attribute][0])}"
                columns.append((header, [one[attribute] for one in drawn], f"{thing}.{attribute}", ""))
        for attribute in attributes:
            headers, cell, part = ATTRIBUTES[attribute]
            cells = [cell(self.fake, self.rng) for _ in range(self.rows)]
            columns.append((self.rng.choice(headers), cells, f"{event}.{attribute}", part))
        self._add(name, style, columns)

    def _add(self, name: str, style: _Style, columns: list[tuple[str, list[str], str, str]]) -> None:
        shown = style.table(name)
        while any(table.name == shown for table in self.tables):
            shown += "_2"
        rest = columns[1:]
        self.rng.shuffle(rest)
        made = []
        for index, (header, cells, same, part) in enumerate([columns[0], *rest]):
            values = tuple(cell if self.rng.random() < 0.97 else "" for cell in cells)
            made.append(Column(index, style.header(header), values, inferred_type=infer_type(values)))
            self.same[shown, index] = same
            self.parts[shown, index] = f"{shown}:{part}" if part else f"{shown}:{index}"
        self.tables.append(Table(shown, f"generated/{shown}.csv", tuple(made)))


class _Style:
    """How a system writes names."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.join = rng.choice([self._snake, self._camel, self._upper, self._spaced])
        self.short = rng.random() < 0.3
        self.prefix = rng.choice(["", "", "", "tbl ", "dim "])

    def table(self, name: str) -> str:
        return self.join(self.prefix + name)

    def header(self, name: str) -> str:
        return self.join(" ".join(self._word(word) for word in name.split()))

    def _word(self, word: str) -> str:
        """The word, now and then cut short or without its vowels."""
        if not self.short or len(word) < 6 or self.rng.random() < 0.5:
            return word
        if self.rng.random() < 0.7:
            return word[: self.rng.choice([3, 4])]
        return word[0] + "".join(c for c in word[1:] if c not in "aeiou")

    @staticmethod
    def _snake(name: str) -> str:
        return name.replace(" ", "_")

    @staticmethod
    def _upper(name: str) -> str:
        return name.replace(" ", "_").upper()

    @staticmethod
    def _camel(name: str) -> str:
        first, *rest = name.split()
        return first + "".join(word.title() for word in rest)

    @staticmethod
    def _spaced(name: str) -> str:
        return name.title()
