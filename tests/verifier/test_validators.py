import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from aegir_dspy.errors import InputError
from aegir_dspy.ontology.expectations import expectations
from aegir_dspy.training.generated import generate_column
from aegir_dspy.verifier.checks_numbers import number
from aegir_dspy.verifier.lexicons import folded
from aegir_dspy.verifier.validators import VALIDATORS, kind_of, packages, validate

GOOD = {
    "iban": "DE89 3704 0044 0532 0130 00", "bic": "DEUTDEFF", "credit_card": "4111 1111 1111 1111",
    "isin": "US0378331005", "vat": "DE136695976", "isbn": "978-3-16-148410-0", "issn": "2049-3630",
    "gtin": "4006381333931", "imei": "490154203237518", "vin": "1HGCM82633A004352",
    "vin_digit": "1HGCM82633A004352", "uuid": "{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}",
    "ip": "2001:db8::8a2e:370:7334", "mac": "00:1A:2B:3C:4D:5E", "hostname": "db01.eu-west.example.net",
    "url": "https://example.org/a?b=1", "email": "anna.k@example.com", "phone": "(540) 554-2166",
    "iso_date": "2024-02-29", "date": "3. März 1999", "datetime": "2017-11-14T02:11:15+00:00",
    "time": "12:00:00-05:00", "duration": "1 hour 20 minutes", "iso_duration": "PT1H20M",
    "country": "Côte d'Ivoire", "country_code": "DEU", "language": "English, French", "currency": "złoty",
    "language_code": "pt", "currency_code": "EUR", "postal_code": "SW1A 1AA", "integer": "1,204",
    "number": "1.234,5", "boolean": "false", "json": '{"a": [1]}', "base64": "aGVsbG8gd29ybGQ=",
    "hash": "d41d8cd98f00b204e9800998ecf8427e", "latitude": "52.520008", "longitude": "13.404954",
    "coordinate": "52.52, 13.40", "percentage": "12.5 %", "year": "1871", "month": "settembre",
    "day_of_week": "https://schema.org/Monday; Tuesday", "person_name_like": "Ada King, Countess",
    "locale": "de_DE", "timezone": "Europe/Berlin", "semver": "v1.0.0-rc.1", "mime": "image/png",
    "http_status": "404 Not Found", "http_method": "DELETE", "port": "8080", "gender": "weiblich",
    "file_path": "/var/log/nginx/access.log", "file_name": "report.pdf", "user_agent": "curl/8.4.0",
    "doi": "10.1000/182", "flight_number": "LH 1234", "iata": "FRA", "ticker": "BRK.B",
    "status_word": "Shipped", "rating": "4.5/5", "price": "$1,299.00", "price_range": "$$ - $$$",
    "opening_hours": "Mo-Fr 08:00-17:00", "text_sentence": "It was a bright cold day in April, they say.",
    "short_text": "Dune", "npi": "1234567893", "lei": "5493001KJTIIGC8Y1R12", "energy": "342 kcal",
    "item_availability": "http://schema.org/InStock", "restricted_diet": "GlutenFreeDiet",
    "payment_method": "Cash, Credit Card", "crypto_address": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
}  # fmt: skip
BAD = {
    "iban": "DE89 3704 0044 0532 0130 01", "bic": "DEUTD3FF", "credit_card": "4111 1111 1111 1112",
    "isin": "US0378331006", "vat": "DE136695977", "isbn": "978-3-16-148410-1", "issn": "2049-3631",
    "gtin": "4006381333932", "imei": "490154203237519", "vin": "1HGCM82633A00435O",
    "vin_digit": "1HGCM82733A004352", "uuid": "6BA7B810-9DAD-11D1-80B4", "ip": "300.1.1.1",
    "mac": "00:1A:2B:3C:4D", "hostname": "not a host", "url": "example", "email": "anna.k@example",
    "phone": "2021-05-06", "iso_date": "2023-02-29", "date": "31/02/2020", "datetime": "2017-11-14",
    "time": "25:00", "duration": "P", "iso_duration": "P", "country": "Atlantis", "country_code": "ZZZ",
    "language": "Klingonian", "currency": "groats", "language_code": "xx1", "currency_code": "EUX",
    "postal_code": "Springfield", "integer": "1.5", "number": "twelve", "boolean": "maybe", "json": "{a}",
    "base64": "hello", "hash": "d41d8cd9-f00b", "latitude": "152.520008", "longitude": "213.404954",
    "coordinate": "52", "percentage": "twelve", "year": "99999", "month": "13", "day_of_week": "someday",
    "person_name_like": "R2 D2", "locale": "german", "timezone": "Berlin", "semver": "12",
    "mime": "picture", "http_status": "999", "http_method": "FETCH", "port": "70000", "gender": "blue",
    "file_path": "a sentence.", "file_name": "report", "user_agent": "someone", "doi": "11.1000/182",
    "flight_number": "1234567", "iata": "Frankfurt", "ticker": "apple inc", "status_word": "purple",
    "rating": "great book", "price": "expensive", "price_range": "12", "opening_hours": "soon",
    "text_sentence": "Dune", "short_text": "12", "npi": "1234567890", "lei": "5493001KJTIIGC8Y1R13",
    "energy": "342 kg", "item_availability": "InShop", "restricted_diet": "BeerDiet",
    "payment_method": "a kind word", "crypto_address": "1BoatSLRHtKNngkdXEeobR76b53LETtpyX",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(GOOD))
def test_good_passes_and_bad_fails(name: str) -> None:
    assert validate(name, GOOD[name]) is True
    assert validate(name, f" {GOOD[name]} ") is True
    assert validate(name, BAD[name]) is False


@pytest.mark.parametrize("null", ["", "  ", "NULL", "n/a", "-"])
def test_nulls_say_nothing(null: str) -> None:
    assert {validate(name, null) for name in VALIDATORS} == {None}


def test_an_unknown_validator_is_an_error() -> None:
    with pytest.raises(InputError, match="expected a validator, found 'nonsense'"):
        validate("nonsense", "x")


def test_every_validator_that_is_expected_exists() -> None:
    expected = {name for entry in expectations().values() for name in entry.validators}
    assert expected and expected <= set(VALIDATORS)


def test_kinds_are_of_validators() -> None:
    from aegir_dspy.verifier.validators import _KINDS

    names = [name for names in _KINDS.values() for name in names.split()]
    assert set(names) <= set(VALIDATORS) and len(names) == len(set(names))
    assert kind_of("iban") == "checksum" and kind_of("text") == "shape"


ODD = [
    "a" * 300, "1" * 300, "(" * 300, "a@" * 150, "1.2," * 80, "-" * 300, "http://" + "a." * 150, "{" * 300,
    "[" * 300, "P" + "1D" * 140, "%" * 300, " x" * 150, "12:" * 100, "\\" * 300, "A1" * 150, "é̂" * 150,
    "1 h " * 80, "mon " * 80, "<p>" * 100, "$" * 300, "1-" * 150, "٣" * 40, "一" * 300, "\ud800", "\x00" * 9,
    "²" * 12, "१२३४५६७८९०", "1e999", "0x" + "f" * 290, "++++1", "a/" * 150, "X*" * 140, "'" * 300,
    "Ⅳ", "½", "DE" + "٣" * 20, "٤١١١١١١١١١١١١١١١", "P1Y" * 90, "9" * 48, "Mo" * 120, "a-" * 140 + "!",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_cells_take_no_time_and_raise_nothing(text: str, within: Callable[..., bool]) -> None:
    for name, check in VALIDATORS.items():
        validate(name, "warm up 1")
        assert isinstance(within(0.25, partial(check, text[:256].strip() or "x")), bool), name


def test_random_bytes_raise_nothing() -> None:
    rng = random.Random(0)
    alphabet = "aZ09é一٣²½ .,:;-_/\\+()[]{}<>@#$€%&*'\"!?|~=\t\n\x00\u200b"
    for _ in range(150):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 40)))
        assert {validate(name, text) for name in VALIDATORS} <= {True, False, None}


@pytest.mark.parametrize(
    ("label", "name"),
    [("IBAN", "iban"), ("BIC", "bic"), ("ISIN", "isin"), ("isbn", "isbn"), ("UUID", "uuid"), ("DOI", "doi"),
     ("IMEI", "imei"), ("JSONValue", "json"), ("FilePath", "file_path"), ("Date", "date"), ("email", "email"),
     ("DateTime", "datetime"), ("CryptocurrencyAddress", "crypto_address"), ("Language", "language")],
)  # fmt: skip
def test_generated_cells_pass(label: str, name: str) -> None:
    rng = random.Random(7)
    cells = [cell for _ in range(20) for cell in generate_column(label, rng, 6)[1]]
    told = [told for told in (validate(name, cell) for cell in cells) if told is not None]
    assert sum(told) >= 0.97 * len(told) > 50


def test_numbers_are_read_in_the_usual_ways() -> None:
    texts = ["1,234.5", "1.234,5", "-3e5", ".5", "1,234", "1.234", "1 234 567", "12,5", "007", "1.234.567"]
    found = [number(text) for text in texts]
    assert found == [1234.5, 1234.5, -3e5, 0.5, 1234.0, 1.234, 1234567.0, 12.5, 7.0, 1234567.0]
    assert [number(text) for text in ("", "1-2", "x", "1e999", "1,2,3")] == [None] * 5


def test_words_are_folded() -> None:
    assert folded("  Côte d'IVOIRE\u00a0") == "cote d ivoire"


def test_packages_are_named_with_versions() -> None:
    assert set(packages()) >= {"python-stdnum", "phonenumbers", "pycountry"} and all(packages().values())


def test_heavy_packages_are_imported_when_used_only() -> None:
    heavy = (
        "phonenumbers",
        "babel",
        "pycountry",
        "dateutil",
        "validators",
        "stdnum",
        "torch",
        "dspy",
        "pandas",
    )
    code = f"import sys, aegir_dspy.verifier.instances; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
