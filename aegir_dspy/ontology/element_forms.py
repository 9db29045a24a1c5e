"""What things columns are parts of: forms of data elements, told by types and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["FORMS", "Column", "Form", "Part", "parts_of"]

Column = tuple[str | None, str | None]
"""Header and type."""


@dataclass(frozen=True, slots=True)
class Part:
    """A column that fills a slot: of one of these types, or called so (a pattern of words).

    `own` asks for a property of the composition's own: that of the example says too little.
    """

    slot: str
    types: tuple[str, ...]
    header: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A template and the parts it wants; `written` are those whose datatype its slot ``D`` tells."""

    template: str
    parts: tuple[Part, ...]
    written: tuple[str, ...] = ()


_CITY = Part("city", ("addressLocality",), "city|town|locality|municipality")
FORMS = (
    Form(
        "data_element.postal_address",
        (Part("street", ("streetAddress",), "street|road|address( line)?( 1)?"), _CITY),
    ),
    Form("data_element.address_in_country", (_CITY, Part("country", ("Country",), "country"))),
    Form(
        "data_element.geo_coordinates",
        (
            Part("latitude", ("latitude",), "lat|latitude"),
            Part("longitude", ("longitude",), "lon|lng|longitude"),
        ),
        ("latitude", "longitude"),
    ),
    Form(
        "data_element.payment_card",
        (
            Part("holder", (), "holder|name on card", own=True),
            Part("expiry", (), "expiry|expires|expiration|exp|valid (thru|through)|good thru", own=True),
            Part("number", ("CreditCardNumber",), "card number|card no|card pan|pan|credit card", own=True),
        ),
        ("expiry",),
    ),
    Form(
        "data_element.bank_account",
        (
            Part("number", ("IBAN",), "iban|account number|bank account", own=True),
            Part("bank", ("BIC",), "bic|swift|bank|sort code|routing number|blz"),
        ),
    ),
    Form(
        "data_element.person_name",
        (
            Part("given", ("givenName",), "first|given|forename"),
            Part("family", ("familyName",), "last|family|surname"),
        ),
    ),
    Form(
        "data_element.period",
        (
            Part("start", (), "start|begin|from|since|check ?in|arrival|admission|opened"),
            Part("end", (), "end|to|until|till|check ?out|departure|discharge|closed"),
        ),
        ("start", "end"),
    ),
    Form(
        "data_element.money",
        (
            Part("currency", ("currency",), "currency"),
            Part("amount", ("price", "MonetaryAmount"), "price|amount|total|cost|fee|balance|salary|value"),
        ),
        ("amount",),
    ),
    Form(
        "data_element.quantity",
        (
            Part("unit", ("unitText", "unitCode"), "unit|units|uom"),
            Part("number", ("QuantitativeValue",), "quantity|value|weight|length|size|dose|amount"),
        ),
        ("number",),
    ),
)
"""The forms that are looked for."""


def parts_of(form: Form, columns: Mapping[int, Column]) -> dict[Part, Column] | None:
    """The column of each part, each another one."""
    left, found = dict(columns), dict[Part, Column]()
    for part in form.parts:
        fitting = [i for i, (_, type_) in left.items() if type_ in part.types]
        fitting += [
            i for i, (header, _) in left.items() if re.search(rf"\b({part.header})\b", _words(header))
        ]
        if not fitting:
            return None
        found[part] = left.pop(fitting[0])
    return found


def _words(header: str | None) -> str:
    """A header in lower case: "CardHolder_name" → "card holder name"."""
    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", header or "")
    return " ".join(re.findall(r"[a-z]+|[0-9]+", spread.lower()))
