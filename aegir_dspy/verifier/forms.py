"""What a cell must have to pass a validator at all: one look at its signs spares most of the validators.

A form is a necessary condition, never a sufficient one. Signs count by class, one letter or sign each:

- ``9`` an ASCII digit, ``٩`` any other decimal digit;
- ``a`` an ASCII letter, ``ä`` any other letter, ``€`` any other sign that is not ASCII;
- a tab any ASCII white space but the space, ``\\0`` any other ASCII control sign;
- a space and the ASCII punctuation each stand for themselves.

Forms allow for what is folded: the Kelvin sign is a letter that matches ``k``, ``½`` folds to digits.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import punctuation

__all__ = ["FORMS", "Form", "Sieve"]

_CLASSES = "9٩aä€\t\0 " + punctuation
_LONGEST = 256

D = "9٩"  # decimal digits
W = "aä"  # letters
F = "aä€"  # what may be or fold to a letter
S = " \t€"  # what words are parted by


@dataclass(frozen=True, slots=True)
class Form:
    """A necessary condition on a text.

    Attributes:
        needs: groups of classes, of each of which the text has a sign.
        only: the classes its signs may be of; "" for any.
        never: classes that it has no sign of.
        first: classes that its first sign may be of; "" for any.
        last: likewise of its last sign.
        least: characters.
        most: characters.
    """

    needs: tuple[str, ...] = ()
    only: str = ""
    never: str = ""
    first: str = ""
    last: str = ""
    least: int = 1
    most: int = _LONGEST


_ANY_NUMBER = "+-.,€"  # what a number may begin with, beside a digit
_FIGURE = f"{D}+-., '€"  # what a number is made of
_LISTED = Form((F,))
_MEMBER = Form((D + F,))
_MEASURED = Form((D, f"{F}'\""), first=f"{D}{F}-+.,", most=64)
_DEGREES = Form((D,), only=f'{_FIGURE}{F}"', most=256)
_PHONE = Form((D,), first=f"{D}{F}(+*;|,", least=7)

FORMS: Mapping[str, Form] = {
    # codes
    "iban": Form((D, W), only=f"{D}{W} -", first=W, least=15, most=48),
    "bic": Form(only=f"9{W}", first="a", least=8, most=11),
    "credit_card": Form((D,), only=f"{D}a -/*€", least=13, most=32),
    "luhn": Form(("9",), only="9 -./€", least=8),
    "isin": Form(("9", "a"), only="9a", least=12, most=12),
    "cusip": Form(("9",), only="9a*@#", least=9, most=9),
    "figi": Form(("9", "a"), only="9a", least=12, most=12),
    "lei": Form(only="9a -", least=20, most=20),
    "vat": Form(("a", "9"), first="a", least=8, most=20),
    "tax_id": Form(("9",), only="9a ./-", least=8, most=20),
    "national_id": Form(("9",), only="9a ./+-", least=8, most=22),
    "ssn": Form((D,), only=f"{D}a* -", least=9, most=11),
    "npi": Form(("9",), only=D, least=10, most=10),
    "passport": Form((D,), only=f"{D}{W} -", least=7, most=11),
    "license_plate": Form((D, W), only=f"{D}{W} -", least=3, most=15),
    "isbn": Form((D,), least=10, most=50),
    "issn": Form((D,), only=f"{D}{W}:- ", least=8, most=16),
    "gtin": Form((D,), only=f"{D} -", least=8, most=24),
    "asin": Form(("9", "a"), only=f"9{W}", first="a", least=10, most=10),
    "imei": Form(("9",), only=f"{D} -/€", least=15, most=24),
    "vin": Form((D, W), only=f"{D}{W}", last=D, least=17, most=17),
    "vin_digit": Form((D, W), only=f"{D}{W}", last=D, least=17, most=17),
    "doi": Form((D, ".", "/"), least=9),
    "orcid": Form(("9", "-"), only="9a-:/.", least=19, most=37),
    "casrn": Form(("9", "-"), only="9-", least=7, most=12),
    "uuid": Form(only="9a-{}:", least=32, most=45),
    "hash": Form((D,), only=f"{D}{W}:-", least=7, most=136),
    "password_hash": Form(never=" \t", least=14),
    "crypto_address": Form(only="9a", least=14, most=74),
    "flight_number": Form((D, W), only=f"{D}{W} -", least=3, most=9),
    "iata": Form(only="a", least=2, most=4),
    "ticker": Form(("a",), only=f"{D}a$^:.-=", most=19),
    "tracking_number": Form((D,), only=f"{D}{W}", least=9, most=34),
    "order_number": Form((D,), only=f"{D}{W}#-_/. ", least=3, most=40),
    "cvv": Form((D,), only=D, least=3, most=4),
    "product_code": Form((D,), only=f"{D}{W} ._/#+-", least=3, most=30),
    "occupation_code": Form((D, "-"), least=7),
    # what computers write
    "ip": Form((".:", "9:"), first="9a:[", least=2, most=64),
    "mac": Form(only=f"{D}a:-.", least=12, most=17),
    "hostname": Form(only=f"{D}{W}-._", first=f"9{W}", most=253),
    "url": Form(("./",), first=f"{W}/", least=3),
    "image_url": Form(("./", W), never=" \t", least=4),
    "email": Form(("@", "."), least=5),
    "json": Form(first="[{", least=2),
    "base64": Form(("9+/=",), never=" \t", least=4),
    "port": Form(("9",), only="9", most=5),
    "file_name": Form((".",), never='\\/:*?"<>|', last=f"9{W}", least=3),
    "file_path": Form(("\\/",)),
    "file_size": Form((D,), only=f"{D}., {W}", first=D, most=28),
    "mime": Form(("/",), first=W, least=6),
    "semver": Form((D, "."), only=f"{D}{W}.+-_", first=f"{D}a", least=3),
    "user_agent": Form(("/",), first=f"{D}{F}_.-", least=3),
    "http_status": Form((D,), only=f"{D}{W} '-", first=D, least=3, most=45),
    "http_method": Form(only=W, least=3, most=8),
    "log_level": Form(only=f"{W}[]", most=15),
    "operating_system": Form(first=W, least=3, most=80),
    "username": Form((W,), only=f"9{W}@._-", least=2, most=40),
    "timezone": Form(first="a+-", last=f"{D}a)_+/-"),
    "epoch": Form((D,), only=f"{D}.", first=D, least=10, most=29),
    # times
    "iso_date": Form((D,), only=f"{D}-", least=10, most=10),
    "date": Form((D,), only=f"{D}{F}.,/ -'", least=4, most=40),
    "datetime": Form((D, f" :{W}", f".:{W}"), last=f"{D}{W}.)", least=9, most=64),
    "time": Form((D,), first=f"{D}a;,", least=3),
    "duration": Form((D,), only=f"{D}{F}:.,-<>~ '\"", first=f"{D}{W}€<>~-", least=2, most=64),
    "iso_duration": Form((D,), only=f"{D}{W}-.,", first="-a", least=2, most=39),
    "opening_hours": Form((D + W,), least=3),
    "work_hours": Form((W,)),
    "year": Form((D,), first=f"{D}a'", least=3, most=11),
    "month": Form((D + F,)),
    "day_of_week": Form((F,)),
    # quantities
    "number": Form((D,), only=f"{_FIGURE}a", first=D + _ANY_NUMBER, most=48),
    "integer": Form((D,), only=f"{D}+-, '.", first=f"{D}+-", last=D, most=28),
    "count": Form((D,), only=f"{D}, '.{F}", first=D, most=48),
    "decimal": Form((D, ".,"), only=f"{_FIGURE}a", first=D + _ANY_NUMBER, most=48),
    "percentage": Form((D,), only=f"{_FIGURE}<>~%a", last=f"{D}%a"),
    "price": Form((D + F,)),
    "money": Form((D, "a$€")),
    "price_range": Form((f"{D}{F}$",), most=64),
    "quantity": _MEASURED,
    "mass": _MEASURED,
    "distance": _MEASURED,
    "energy": _MEASURED,
    "temperature": Form((D,), only=_FIGURE + W, first=D + _ANY_NUMBER),
    "unit": Form((D + F,), most=40),
    "unit_code": Form((D + F,), most=40),
    "latitude": _DEGREES,
    "longitude": _DEGREES,
    "coordinate": Form((D,), only=f'{_FIGURE}{F}"();'),
    "rating": Form((D + F,), most=24),
    "age": Form((D,), only=f"{D}. {W}", first=D, most=16),
    "dimensions": Form((D, f"{W}€*"), first=f"{D}.,"),
    # words
    "country": _LISTED,
    "country_code": _LISTED,
    "region": _LISTED,
    "nationality": _LISTED,
    "language": _LISTED,
    "language_code": _LISTED,
    "currency": Form((f"{F}$",)),
    "currency_code": _LISTED,
    "locale": Form(only=f"{D}{W}-_.", first=W, least=2, most=32),
    "postal_code": Form((D,), only=f"{D}{W}_ .-", least=2, most=16),
    "department_code": Form((D,), only=f"{D}{W}-", least=2, most=9),
    "phone_country_code": Form((D,), only=f"{D}()+-", most=11),
    "phone": _PHONE,
    "formatted_phone": _PHONE,
    "street": Form((W,), least=5),
    "address": Form((W, D, S), least=5),
    "gender": Form((D + F,)),
    "marital_status": _MEMBER,
    "boolean": _MEMBER,
    "color": Form((D + F,)),
    "status_word": _MEMBER,
    "item_availability": _MEMBER,
    "item_condition": _MEMBER,
    "event_status": _MEMBER,
    "attendance_mode": _MEMBER,
    "delivery_method": _MEMBER,
    "book_format": _MEMBER,
    "restricted_diet": _MEMBER,
    "payment_method": _MEMBER,
    "education": Form((W,), least=3),
    "experience": Form((f"{W}+",), least=2),
    "person_name_like": Form(only=f"٩{F}'.-, \t", most=60),
    "full_name": Form((S,), only=f"٩{F}'.-, \t", least=3, most=60),
    "short_text": Form((W,)),
    "single_word": Form((W,), never=" \t"),
    "long_text": Form(least=80),
    "text": Form((W,)),
    "text_sentence": Form((W, S), least=11),
    "list": Form((",;|<.\t",), least=2),
}
"""Validator → its form; a validator without one is always asked."""


class Sieve:
    """Finds the validators that a text may pass, as the bits of a number.

    Args:
        names: of validators; bit i is that of the i-th.
        forms: by name.
    """

    def __init__(self, names: Sequence[str], forms: Mapping[str, Form] = FORMS) -> None:
        self._names = tuple(names)
        known = [forms.get(name, Form()) for name in names]
        self._any = (1 << len(known)) - 1
        self._by_length = [_bits(form.least <= n <= form.most for form in known) for n in range(_LONGEST + 1)]
        groups = dict.fromkeys(group for form in known for group in form.needs)
        self._groups = [
            (_mask(group), self._any ^ _bits(group in form.needs for form in known)) for group in groups
        ]
        allowed = [_mask(form.only or _CLASSES) & ~_mask(form.never) for form in known]
        self._has, self._first, self._last = (
            {sign: _bits(bool(one & 1 << i) for one in masks) for i, sign in enumerate(_CLASSES)}
            for masks in (
                allowed,
                [_mask(form.first or _CLASSES) for form in known],
                [_mask(form.last or _CLASSES) for form in known],
            )
        )

    def bits(self, names: Container[str]) -> int:
        """The bits of some validators."""
        return _bits(name in names for name in self._names)

    def may_pass(self, text: str) -> int:
        """Bits of the validators whose form the text has; it is not empty, of 256 characters at most."""
        classes = {_CLASS.get(sign) or _class(sign) for sign in set(text)}
        found = self._by_length[len(text)] & self._first[_class(text[0])] & self._last[_class(text[-1])]
        has = 0
        for one in classes:
            found &= self._has[one]
            has |= _BIT[one]
        for group, without in self._groups:
            if not has & group:
                found &= without
        return found


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)


def _class(sign: str) -> str:
    """The class of a sign."""
    if sign.isascii():
        if sign.isalnum():
            return "a" if sign.isalpha() else "9"
        return sign if sign in _BIT else "\t" if sign.isspace() else "\0"
    return "ä" if sign.isalpha() else "٩" if sign.isdecimal() else "€"


def _mask(classes: str) -> int:
    return sum(_BIT[one] for one in set(classes))


_BIT = {sign: 1 << i for i, sign in enumerate(_CLASSES)}
_CLASS = {chr(code): _class(chr(code)) for code in range(0x250)}
