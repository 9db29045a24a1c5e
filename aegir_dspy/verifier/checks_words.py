"""Checks of words: places, languages, currencies, states of things, members of enumerations, prose, names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from aegir_dspy.verifier.lexicons import folded, lexicon
from aegir_dspy.verifier.patterns import Check, found, whole
from aegir_dspy.verifier.word_lists import IRI, LISTED, MEMBERS, listed, members

__all__ = ["WORDS"]


def _listed(name: str) -> Check:
    return lambda text: name in listed(text)


def _member(name: str) -> Check:
    return lambda text: name in members(text)


def _gender(text: str) -> bool:
    words = folded(IRI.sub(r"\1", text) if "://" in text else text).split()
    return 0 < len(words) <= 5 and lexicon("genders").issuperset(words)


def _postal_code(text: str) -> bool:
    """Any of the forms in use: digits, a country before them, and the letters of GB, CA, NL, IE."""
    return len(text) <= 16 and _POSTAL.fullmatch(text) is not None


_POSTAL = re.compile(
    r"(?:[A-Z]{1,2}-)?\d{4,6}(?:[-. ]\d{3,4})?|\d{3} \d{2,3}|\d{7,8}|\d{3}-\d{4}"
    r"|\d{2}-\d{3}|\d{3}|[A-Z]{1,2}\d[A-Z\d]? ?(?:\d[A-Z]{2})?|[A-Z]\d[A-Z][ -]?\d[A-Z]\d"
    r"|\d{4} ?[A-Z]{2}|[AC-FHKNPRTV-Y]\d[\dW] ?[A-Z\d]{4}|[A-Z]{2}\d ?\d[A-Z]{2}|AD\d{3}"
    r"|[A-Z]\d{4}[A-Z]{3}",
    re.IGNORECASE,
)


_street_word = found(
    r"\b(?:str(?:eet|asse|aße|\.)?|st|ave(?:nue)?|r(?:oa)?d|blvd|boulevard|dr(?:ive)?|lane"
    r"|ln|way|court|ct|pl(?:ace|atz)?|sq(?:uare)?|highway|hwy|pkwy|parkway|terrace|close"
    r"|crescent|rue|via|viale|calle|avenida|av|rua|weg|allee|gasse|ul|ulica|piazza|plaza"
    r"|plac|suite|ste|unit|floor|box|sokak|cad|mah|straat|laan|route|km|centre|center|mall"
    r"|building|bldg|no|chemin|carrera|quai|ring)\b|(?:str(?:asse|aße|\.)|weg|gasse|platz"
    r"|straat|laan|gatan|vej|allee)\b"
)


def _street(text: str) -> bool:
    """A street word or a house number beside letters."""
    digits, letters = any(map(str.isdecimal, text)), sum(map(str.isalpha, text))
    return letters >= 3 and (digits or _street_word(text)) and len(text) >= 5


def _address(text: str) -> bool:
    """More than one part, with a number: street, place, postal code."""
    return _street(text) and any(map(str.isdecimal, text)) and len(text.split()) >= 3


_NAME_WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*\.?")


def _full_name(text: str) -> bool:
    return len(text.split()) > 1 and _person(text)


def _person(text: str) -> bool:
    """One to six capitalised words, particles and initials aside, without digits."""
    words = re.split(r"[\s,]+", text.strip(" ,"))
    if not 1 <= len(words) <= 6 or len(text) > 60:
        return False
    good = all(
        _NAME_WORD.fullmatch(word) and (word[0].isupper() or word in lexicon("name_particles"))
        for word in words
    )
    caseless = all(not c.isascii() and c.lower() == c.upper() for word in words for c in word)
    return good or caseless


def _words(low: int, high: int, *, dots: bool = False) -> Check:
    def check(text: str) -> bool:
        count = len(text.split())
        return low <= count <= high and any(map(str.isalpha, text)) and (not dots or count > 2)

    return check


_SENTENCE = re.compile(r"[.!?…](?:[\"'”’)\]]|</?\w{1,8}>|\s|$)")


def _sentence(text: str) -> bool:
    """Prose: six words at least, most of them of letters; an end of a sentence unless it was cut."""
    words = text.split()
    lettered = sum(any(map(str.isalpha, word)) for word in words)
    return len(words) >= 6 and lettered >= 0.7 * len(words) and (
        len(text) >= 100 or _SENTENCE.search(text) is not None
    )  # fmt: skip


_PHONE = re.compile(
    r"(?:(?:tel|fax|phone|ph|telefon|téléphone|mobile?|t|f"
    r"|p)\b[.:]* ?)?\(?\+?\(?[\d*x▒][\d\s().\-–/+*▒]{4,28}\d(?: ?(?:x|ext\.?"
    r"|#) ?\d{1,6})?\)?",
    re.IGNORECASE,
)
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "AU", "BR", "NL")


@lru_cache(maxsize=1 << 12)
def _phone(text: str) -> bool:
    """Whether phonenumbers finds a number possible, as it stands or dialled in one of some countries."""
    parts = [part.strip() for part in re.split(r"[;|]|, ", text) if part.strip()]
    return 0 < len(parts) <= 6 and all(_one_phone(part) for part in parts)


def _one_phone(text: str) -> bool:
    digits = sum(map(str.isdecimal, text))
    if not (7 <= digits <= 16 and _PHONE.fullmatch(text)) or _DATE_LIKE.fullmatch(text):
        return False
    if "." in text and text.count(".") == 1 and text.replace(".", "").lstrip("-").isdecimal():
        return False
    import phonenumbers

    bare = re.sub(r"^\D*(?=[+(\d])", "", text)
    for region in (None,) if bare.startswith("+") else _REGIONS:
        try:
            if phonenumbers.is_possible_number(phonenumbers.parse(bare, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


_DATE_LIKE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")


def _formatted_phone(text: str) -> bool:
    """A phone number that shows it is one: a plus, brackets, groups or the word."""
    return _phone(text) and not text.isdecimal()


_COLOR_CODE = re.compile(
    r"#(?:[0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})|(?:rgb|hsl)a?\([\d\s,.%/]{5,40}\)", re.IGNORECASE
)


def _color(text: str) -> bool:
    if _COLOR_CODE.fullmatch(text):
        return True
    words = folded(text).split()
    if not 0 < len(words) <= 4:
        return False
    colors = lexicon("colors")
    return sum(word in colors for word in words) >= max(1, len(words) - 1)


_education = found(
    r"\b(?:degree|bachelor|master|ph\.?d|doctora|diploma|high ?school|ged|associate"
    r"|certificat|college|university|abitur|abschluss|ausbildung|studium|fachhochschul"
    r"|hochschul|hauptschul|realschul|licen[cs]|undergraduate|postgraduate|graduate|mba"
    r"|bsc|msc|b\.?tech|education|secondary|vocational|qualification|baccalaur|bac ?\+"
    r"|matric|meister|apprentice|credential|school|none|schul)"
)
_experience = found(
    r"\b(?:experience|years?|yrs?|months?|entry|senior|junior|mid|fresher|jahre?n?"
    r"|erfahrung|expérience|level|experienced|lead|professional|graduate|no experience"
    r"|required)\b|\d\s*\+"
)

WORDS: Mapping[str, Check] = MappingProxyType(
    {
        **{name: _listed(name) for name in LISTED},
        "locale": whole(
            r"[a-z]{2,3}[-_](?:[A-Z][a-z]{3}(?:[-_][A-Z]{2})?|[A-Z]{2}|\d{3})(?:\.[\w-]{3,10})?"
            r"|[a-z]{2}|C\.UTF-8"
        ),
        "postal_code": _postal_code,
        "department_code": whole(r"(?:\d[\dab]|9[78]\d|[A-Z]{1,4}-?\d{2,4}|\d{3,4})"),
        "phone_country_code": whole(r"\(?(?:\+|00)?[1-9]\d{0,2}(?:-\d{3})?\)?"),
        "phone": _phone,
        "formatted_phone": _formatted_phone,
        "street": _street,
        "address": _address,
        "gender": _gender,
        "color": _color,
        **{name: _member(name) for name in MEMBERS},
        "education": _education,
        "experience": _experience,
        "person_name_like": _person,
        "full_name": _full_name,
        "short_text": _words(1, 12),
        "single_word": _words(1, 1),
        "long_text": lambda text: len(text) >= 80,
        "text": lambda text: sum(map(str.isalpha, text)) * 2 >= len(text),
        "text_sentence": _sentence,
        "list": lambda text: len(re.findall(r"[,;|\n]|<li>|\d\. ", text)) >= 2,
    }
)
"""Name → check."""
