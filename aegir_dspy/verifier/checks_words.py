"""Checks of words: places, languages, currencies, states of things, members of enumerations, prose, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from aegir_dspy.verifier.lexicons import folded, lexicon

__all__ = ["WORDS"]

Check = Callable[[str], bool]


def _pattern(regex: str, flags: int = re.IGNORECASE) -> Check:
    match = re.compile(regex, flags).fullmatch
    return lambda text: match(text) is not None


_IRI = re.compile(r"https?://(?:www\.)?[^\s;,]{1,80}?[/#]([A-Za-z0-9_.%-]{1,60})(?=$|[\s;,])")
_PARTS = re.compile(r"[;,/|+&\n]| and | und | et | y ")


def _listed(*lists: str, most: int = 24, spaced: bool = False) -> Check:
    """Whether the text, or every one of its parts, is a word of the lists; `spaced`: parts are words."""

    def check(text: str) -> bool:
        plain = folded(text)
        if not plain or any(plain in lexicon(name) for name in lists):
            return bool(plain)
        parts = plain.split() if spaced else [folded(p) for p in _PARTS.split(text) if p.strip()]
        return 0 < len(parts) <= most and all(any(p in lexicon(n) for n in lists) for p in parts)

    return check


def _members(words: str, *, prefix: str = "", suffix: str = "") -> Check:
    """Whether the text, a list of them or IRIs that end so, are members of an enumeration.

    Letters alone are compared: ``Pay-Pal`` is ``paypal``; `prefix` and `suffix` may be there or not.
    """
    known = {word.lower() for word in words.split()}
    known |= {prefix + word + suffix for word in known} | {prefix + word for word in known}

    def check(text: str) -> bool:
        bare = _IRI.sub(r"\1;", text)
        parts = [re.sub(r"[\W_]+", "", part.casefold()) for part in re.split(r"[;,|/\n]", bare)]
        parts = [part for part in parts if part]
        return 0 < len(parts) and all(part in known for part in parts)

    return check


_GENDER = frozenset(
    "m f x d w h male female man woman men women boy boys girl girls unisex other diverse divers nonbinary non binary"
    " mann frau mannlich weiblich herren damen homme femme hommes femmes masculin feminin masculino femenino"
    " hombre mujer uomo donna maschio femmina mr mrs ms adult kids unknown undisclosed prefer not to say".split()
)


def _gender(text: str) -> bool:
    words = folded(_IRI.sub(r"\1", text)).split()
    return 0 < len(words) <= 5 and all(word in _GENDER for word in words)


def _postal_code(text: str) -> bool:
    """Any of the forms in use: digits, with a country before, and the letters of GB, CA, NL, IE and others."""
    return len(text) <= 16 and _POSTAL.fullmatch(text) is not None


_POSTAL = re.compile(r"(?:[A-Z]{1,2}-)?\d{4,6}(?:[-. ]\d{3,4})?|\d{3} \d{2,3}|\d{7,8}|\d{3}-\d{4}|\d{2}-\d{3}|\d{3}|[A-Z]{1,2}\d[A-Z\d]? ?(?:\d[A-Z]{2})?|[A-Z]\d[A-Z][ -]?\d[A-Z]\d|\d{4} ?[A-Z]{2}|[AC-FHKNPRTV-Y]\d[\dW] ?[A-Z\d]{4}|[A-Z]{2}\d ?\d[A-Z]{2}|AD\d{3}|[A-Z]\d{4}[A-Z]{3}", re.IGNORECASE)  # fmt: skip  # noqa: E501


_STREET_WORD = re.compile(r"\b(?:str(?:eet|asse|aße|\.)?|st|ave(?:nue)?|r(?:oa)?d|blvd|boulevard|dr(?:ive)?|lane|ln|way|court|ct|pl(?:ace|atz)?|sq(?:uare)?|highway|hwy|pkwy|parkway|terrace|close|crescent|rue|via|viale|calle|avenida|av|rua|weg|allee|gasse|ul|ulica|piazza|plaza|plac|suite|ste|unit|floor|box|sokak|cad|mah|straat|laan|route|km|centre|center|mall|building|bldg|no|chemin|carrera|quai|ring)\b|(?:str(?:asse|aße|\.)|weg|gasse|platz|straat|laan|gatan|vej|allee)\b", re.IGNORECASE)  # fmt: skip  # noqa: E501


def _street(text: str) -> bool:
    """A street word or a house number beside letters."""
    digits, letters = any(c.isdecimal() for c in text), sum(c.isalpha() for c in text)
    return letters >= 3 and (digits or _STREET_WORD.search(text) is not None) and len(text) >= 5


def _address(text: str) -> bool:
    """More than one part, with a number: street, place, postal code."""
    return _street(text) and any(c.isdecimal() for c in text) and len(text.split()) >= 3


_NAME_WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*\.?")
_PARTICLES = frozenset(
    "de da di del della der den van von la le el al bin ibn ben dos du y e and und et zu".split()
)


def _full_name(text: str) -> bool:
    return len(text.split()) > 1 and _person(text)


def _person(text: str) -> bool:
    """One to six capitalised words, particles and initials aside, without digits."""
    words = re.split(r"[\s,]+", text.strip(" ,"))
    if not 1 <= len(words) <= 6 or len(text) > 60:
        return False
    good = all(_NAME_WORD.fullmatch(word) and (word[0].isupper() or word in _PARTICLES) for word in words)
    caseless = all(not c.isascii() and c.lower() == c.upper() for word in words for c in word)
    return good or caseless


def _words(low: int, high: int, *, dots: bool = False) -> Check:
    def check(text: str) -> bool:
        count = len(text.split())
        return low <= count <= high and any(c.isalpha() for c in text) and (not dots or count > 2)

    return check


_SENTENCE = re.compile(r"[.!?…](?:[\"'”’)\]]|</?\w{1,8}>|\s|$)")


def _sentence(text: str) -> bool:
    """Prose: six words at least, most of them of letters; an end of a sentence unless it was cut."""
    words = text.split()
    lettered = sum(any(c.isalpha() for c in word) for word in words)
    return len(words) >= 6 and lettered >= 0.7 * len(words) and (
        len(text) >= 100 or _SENTENCE.search(text) is not None
    )  # fmt: skip


_PHONE = re.compile(r"(?:(?:tel|fax|phone|ph|telefon|téléphone|mobile?|t|f|p)\b[.:]* ?)?\(?\+?\(?[\d*x▒][\d\s().\-–/+*▒]{4,28}\d(?: ?(?:x|ext\.?|#) ?\d{1,6})?\)?", re.IGNORECASE)  # fmt: skip  # noqa: E501
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "AU", "BR", "NL")


def _phone(text: str) -> bool:
    """Whether phonenumbers finds a number possible, as it stands or dialled in one of some countries."""
    parts = [part.strip() for part in re.split(r"[;|]|, ", text) if part.strip()]
    return 0 < len(parts) <= 6 and all(_one_phone(part) for part in parts)


def _one_phone(text: str) -> bool:
    digits = sum(c.isdecimal() for c in text)
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


_COLOR = frozenset(
    "black white red green blue yellow orange purple pink brown grey gray silver gold beige navy teal maroon olive"
    " cyan magenta turquoise violet indigo ivory cream khaki charcoal lavender coral tan burgundy bronze copper rose"
    " multicolor multi transparent clear mint peach mustard schwarz weiss rot grun blau gelb braun grau rosa lila"
    " noir blanc rouge vert bleu jaune gris negro blanco rojo verde azul amarillo marron nero bianco rosso giallo"
    " dark light bright pale deep matte hot royal sky lime forest and crimson salmon plum aqua fuchsia".split()
)
_COLOR_CODE = re.compile(
    r"#(?:[0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})|(?:rgb|hsl)a?\([\d\s,.%/]{5,40}\)", re.IGNORECASE
)


def _color(text: str) -> bool:
    if _COLOR_CODE.fullmatch(text):
        return True
    words = folded(text).split()
    known = sum(word in _COLOR for word in words)
    return 0 < len(words) <= 4 and known >= max(1, len(words) - 1)


_STATUS = (
    "active inactive pending approved rejected open closed cancelled canceled completed complete done new failed"
    " success successful processing shipped delivered returned refunded draft published archived enabled disabled"
    " suspended deleted expired valid invalid paid unpaid overdue inprogress onhold resolved queued running stopped"
    " error warning ok blocked verified unverified confirmed scheduled available unavailable online offline passed"
    " accepted declined waiting started finished submitted review inreview backlog todo aktiv inaktiv offen erledigt"
    " abgeschlossen storniert bezahlt versendet actif inactif activo inactivo pendiente backordered intransit"
)
_AVAILABLE = (
    "instock outofstock preorder presale soldout discontinued backorder limitedavailability onlineonly instoreonly"
    " available unavailable madetoorder reserved unknown auflager lieferbar instockonline yes no isavailable"
)
_PAYMENTS = (
    "cash visa mastercard mastercards americanexpress amex discover dinersclub diners debit debitcard debitcards credit"
    " creditcard creditcards allmajorcreditcards majorcreditcards paypal check checks cheque cheques giropay girocheques"
    " jcb maestro electroniccash ec eccard eccash invoice banktransfer banktransferinadvance wiretransfer cod"
    " applepay googlepay androidpay bitcoin financing travelerscheck travelerschecks traveler'scheck mastercardvisa"
    " byinvoice byinvoiceinvoice directdebit moneyorder onlinepayments online insurance contactless restaurantcheques"
    " holidaycheques cartebancaire cartebleue carteblanche bar barzahlung kreditkarte kreditkarten rechnung espèces"
    " chèques cartedecrédit efectivo tarjeta bankcard interac unionpay samsungpay venmo zelle klarna sofort vpay"
    " paymentcard paymentmethodcreditcard creditordebitcard checkinadvance loantype cashondelivery giftcard afterpay"
)
_BENEFITS = "glutenfree vegan vegetarian diabetic halal hindu kosher lowcalorie lowfat lowlactose lowsalt"
_BOOKS = (
    "ebook paperback hardcover hardback audiobook graphicnovel audio kindle kindleedition epub pdf mobi print digital"
    " audiobookformat spiralbound massmarketpaperback boardbook tradepaperback cd taschenbuch gebunden broschur poche"
    " broché relié softcover librarybinding leatherbound audiocd mp3cd magazine comic hardcoverbook paperbackbook buch"
)
_EDUCATION = re.compile(r"\b(?:degree|bachelor|master|ph\.?d|doctora|diploma|high ?school|ged|associate|certificat|college|university|abitur|abschluss|ausbildung|studium|fachhochschul|hochschul|hauptschul|realschul|licen[cs]|undergraduate|postgraduate|graduate|mba|bsc|msc|b\.?tech|education|secondary|vocational|qualification|baccalaur|bac ?\+|matric|meister|apprentice|credential|school|none|schul)", re.IGNORECASE)  # fmt: skip  # noqa: E501
_EXPERIENCE = re.compile(r"\b(?:experience|years?|yrs?|months?|entry|senior|junior|mid|fresher|jahre?n?|erfahrung|expérience|level|experienced|lead|professional|graduate|no experience|required)\b|\d\s*\+", re.IGNORECASE)  # fmt: skip  # noqa: E501

_SYMBOLS = frozenset(
    "$ € £ ¥ ₹ ₽ ₺ ₩ ฿ ₫ ₱ A$ C$ US$ R$ S$ HK$ NZ$ R kr Kr. zł Kč Ft Fr. Fr CHF lei Rs Rs. RM Rp".split()
)
_CURRENCY = _listed("currencies", "currency_codes", spaced=True)

WORDS: Mapping[str, Check] = MappingProxyType(
    {
        "country": _listed("countries", "country_codes"),
        "country_code": _listed("country_codes", spaced=True),
        "region": _listed("subdivisions"),
        "nationality": _listed("nationalities", "countries", "country_codes"),
        "language": _listed("languages", "language_codes", spaced=False),
        "language_code": _listed("language_codes", spaced=True),
        "currency": lambda text: text in _SYMBOLS or _CURRENCY(text),
        "currency_code": _listed("currency_codes", spaced=True),
        "locale": _pattern(
            r"[a-z]{2,3}[-_](?:[A-Z][a-z]{3}(?:[-_][A-Z]{2})?|[A-Z]{2}|\d{3})(?:\.[\w-]{3,10})?|[a-z]{2}|C\.UTF-8"
        ),
        "postal_code": _postal_code,
        "department_code": _pattern(r"(?:\d[\dab]|9[78]\d|[A-Z]{1,4}-?\d{2,4}|\d{3,4})"),
        "phone_country_code": _pattern(r"\(?(?:\+|00)?[1-9]\d{0,2}(?:-\d{3})?\)?"),
        "phone": _phone,
        "formatted_phone": _formatted_phone,
        "street": _street,
        "address": _address,
        "gender": _gender,
        "marital_status": _members(
            "married single divorced widowed separated engaged partnered m s d w u civilunion domesticpartnership ledig"
            " verheiratet geschieden verwitwet marié mariée célibataire divorcé divorcée veuf veuve soltero soltera"
            " casado casada divorciado divorciada viudo viuda unmarried nevermarried cohabiting other unknown"
        ),
        "boolean": _members(
            "true false yes no y n t f 0 1 ja nein oui non si sí on off wahr falsch vrai faux x"
        ),
        "color": _color,
        "status_word": _members(_STATUS),
        "item_availability": _members(_AVAILABLE),
        "item_condition": _members(
            "new used refurbished damaged newcondition usedcondition refurbishedcondition condition neu gebraucht"
            " likenew good verygood excellent fair mint nearmint vgplus brandnew openbox occasion nuevo usado",
            suffix="condition",
        ),
        "event_status": _members(
            "scheduled cancelled canceled postponed rescheduled movedonline onsale offsale confirmed completed live",
            prefix="event",
        ),
        "attendance_mode": _members(
            "offlineeventattendancemode onlineeventattendancemode mixedeventattendancemode offline online mixed"
            " offlineevent onlineevent inperson virtual hybrid",
        ),
        "delivery_method": _members(
            "deliverymodedirectdownload deliverymodefreight deliverymodemail deliverymodeownfleet deliverymodepickup"
            " dhl ups fedex federalexpress usps onsitepickup lockerdelivery parcelservice pickup delivery shipping mail"
            " standard express download email digital post courier collection dpd gls hermes instorepickup freight"
            " takeaway curbside inperson free freeshipping deliverymodeparcelservice http",
        ),
        "book_format": _members(_BOOKS, suffix="format"),
        "restricted_diet": _members(
            _BENEFITS + " pescatarian paleo keto lowcarb dairyfree nutfree", suffix="diet"
        ),
        "payment_method": _members(_PAYMENTS),
        "education": lambda text: _EDUCATION.search(text) is not None,
        "experience": lambda text: _EXPERIENCE.search(text) is not None,
        "person_name_like": _person,
        "full_name": _full_name,
        "short_text": _words(1, 12),
        "single_word": _words(1, 1),
        "long_text": lambda text: len(text) >= 80,
        "text": lambda text: sum(c.isalpha() for c in text) * 2 >= len(text),
        "text_sentence": _sentence,
        "list": lambda text: len(re.findall(r"[,;|\n]|<li>|\d\. ", text)) >= 2,
    }
)
"""Name → check."""
