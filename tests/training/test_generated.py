from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from random import Random
from string import digits

import pytest

from aegir_dspy.errors import InputError, PrerequisiteError
from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.training.generated import (
    GENERATED,
    NULLS,
    GeneratedColumn,
    generate_column,
    generate_table,
)
from aegir_dspy.training.generated.pools import pool
from aegir_dspy.training.generated.themes import COMMON, THEMES

pytest.importorskip("faker")

SOTAB = (
    *("email", "telephone", "faxNumber", "URL", "postalCode", "Date", "DateTime", "Time", "Boolean"),
    *("currency", "Number", "price", "Country", "Language", "Person/name", "addressLocality"),
    *("addressRegion", "streetAddress", "GenderType", "DayOfWeek", "unitCode", "QuantitativeValue"),
)


def cells(label: str, columns: int = 60) -> list[str]:
    """Cells of many columns of a type, without the missing ones."""
    return [value for seed in range(columns) for value in filled(label, seed, 5)]


def filled(label: str, seed: int, rows: int) -> list[str]:
    """Cells of one column, without the missing ones."""
    return [value for value in generate_column(label, Random(seed), rows)[1] if value not in NULLS]


def digits_of(text: str) -> list[int]:
    """Digits, with letters as two of them (A is 10), as ISO 7064 reads them."""
    return [int(digit) for c in text.upper() if c.isalnum() for digit in str(int(c, 36))]


def luhn(text: str) -> bool:
    odd, even = digits_of(text)[-1::-2], digits_of(text)[-2::-2]
    return (sum(odd) + sum(sum(divmod(2 * digit, 10)) for digit in even)) % 10 == 0


def iban(text: str) -> bool:
    compact = text.replace(" ", "")
    return int("".join(map(str, digits_of(compact[4:] + compact[:4])))) % 97 == 1


def gs1(text: str) -> bool:
    return sum(d * (3 if i % 2 else 1) for i, d in enumerate(reversed(digits_of(text)))) % 10 == 0


def mod11(text: str) -> bool:
    values = [10 if c == "X" else int(c) for c in text if c in "0123456789X"]
    return sum(value * weight for weight, value in enumerate(reversed(values), start=1)) % 11 == 0


def isbn(text: str) -> bool:
    compact = text.replace("-", "")
    return gs1(compact) if len(compact) == 13 else len(compact) == 10 and mod11(compact)


def vin(text: str) -> bool:
    """49 CFR 565: letters stand for digits (I, O and Q for none), the ninth character checks."""
    values = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", "12345678123457923456789" + digits, strict=True))
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    rest = sum(int(values[c]) * w for c, w in zip(text.upper(), weights, strict=True)) % 11
    return text[8].upper() == ("X" if rest == 10 else str(rest))


def ip(text: str) -> bool:
    address = text.rpartition(":")[0] if re.fullmatch(r"[\d.]+:\d+", text) else text
    return bool(ipaddress.ip_interface(address))


CHECKS: dict[str, Callable[[str], bool]] = {
    "IBAN": iban,
    "CreditCardNumber": lambda text: text[0] in "*X" or luhn(text),  # or the last four digits only
    "IMEI": luhn,
    "ISIN": lambda text: len(text) == 12 and luhn(text),
    "gtin": lambda text: len(text) in (8, 12, 13, 14) and gs1(text),
    "isbn": isbn,
    "issn": lambda text: mod11(text.removeprefix("ISSN ")),
    "vehicleIdentificationNumber": vin,
    "UUID": lambda text: uuid.UUID(text).int > 0,
    "IPAddress": ip,
    "JSONValue": lambda text: isinstance(json.loads(text), dict | list),
    "email": lambda text: re.fullmatch(r"[\w.]+@[\w.-]+\.[a-z]+", text, re.ASCII) is not None,
    "latitude": lambda text: re.search(r"\d", text) is not None,
    "BIC": lambda text: re.fullmatch(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", text) is not None,
    "MACAddress": lambda text: len(bytes.fromhex(re.sub(r"[-:.]", "", text))) == 6,
    "Port": lambda text: 0 < int(text.rpartition("/")[2]) < 65536,
    "DOI": lambda text: re.search(r"10\.\d{4,}/\S+$", text) is not None,
}


@pytest.mark.parametrize("label", GENERATED)
def test_columns_have_a_header_and_cells(label: str) -> None:
    for seed in range(30):
        header, values = generate_column(label, Random(seed), 5)
        assert header.strip() and len(values) == 5
        assert any(value not in NULLS for value in values), (seed, values)
        assert all("\n" not in value and value == value.strip() for value in values), (seed, values)


@pytest.mark.parametrize("label", CHECKS)
def test_cells_are_valid(label: str) -> None:
    wrong = [value for value in cells(label) if not CHECKS[label](value)]
    assert not wrong


def test_the_checks_can_fail() -> None:
    assert iban("GB82 WEST 1234 5698 7654 32") and not iban("GB82 WEST 1234 5698 7654 23")
    assert luhn("4111 1111 1111 1111") and not luhn("4111 1111 1111 1112")
    assert gs1("4006381333931") and not gs1("4006381333932")
    assert isbn("0-306-40615-2") and not isbn("0-306-40615-3")
    assert mod11("2049-3630") and not mod11("2049-3631")
    assert vin("1HGCM82633A004352") and not vin("1HGCM82643A004352")


def test_every_technical_type_and_the_plain_ones_of_sotab_can_be_generated() -> None:
    technical = load_vocabulary("schema").names[len(load_vocabulary("sotab82")) :]
    assert {*technical, *SOTAB} <= set(GENERATED) <= set(load_vocabulary("schema").names)
    assert {label for theme in THEMES.values() for label in theme} | set(COMMON) <= set(GENERATED)


def test_a_column_keeps_to_one_format() -> None:
    for seed in range(40):
        assert len({" " in value for value in filled("IBAN", seed, 20)}) == 1, seed
        assert len({re.sub(r"\w", "x", value) for value in filled("UUID", seed, 20)}) == 1, seed


def test_formats_vary_between_columns() -> None:
    shapes = {re.sub(r"[^\W\d]+", "w", re.sub(r"\d+", "9", date)) for date in cells("Date", 200)}
    assert len(shapes) >= 8, shapes
    assert len({header for header, _ in (generate_column("IBAN", Random(s), 1) for s in range(60))}) > 12


def test_some_columns_lack_values_and_none_lacks_all() -> None:
    missing = [generate_column("Username", Random(seed), 6)[1] for seed in range(200)]
    lacking = sum(any(value in NULLS for value in values) for values in missing)
    assert 10 < lacking < 60
    assert all(len(filled("SurrogateKey", seed, 9)) == 9 for seed in range(100))


def test_tables_have_the_asked_size_and_different_headers() -> None:
    for seed in range(100):
        table = generate_table(Random(seed), columns=1 + seed % 25, rows=4)
        assert len(table) == 1 + seed % 25
        assert len({column.header.casefold() for column in table}) == len(table)
        assert {column.label for column in table} <= set(GENERATED)
        assert all(len(column.values) == 4 for column in table)


def test_columns_of_a_table_belong_to_a_theme() -> None:
    themes = [set(theme) for theme in THEMES.values()]
    tables = [{column.label for column in generate_table(Random(seed), 5, 1)} for seed in range(200)]
    assert sum(any(labels <= theme for theme in themes) for labels in tables) > 150


def test_persons_are_the_same_in_all_columns_of_a_row() -> None:
    compared = 0
    for seed in range(400):
        table = {column.label: column.values for column in generate_table(Random(seed), 16, 3)}
        for given, full in zip(table.get("givenName", []), table.get("Person/name", []), strict=False):
            if given not in NULLS and full not in NULLS and "." not in full:
                assert given in full
                compared += 1
    assert compared > 10


def test_the_seed_decides_whatever_came_before() -> None:
    first = [generate_column(label, Random(7), 4) for label in GENERATED]
    again = [generate_column(label, Random(7), 4) for label in reversed(GENERATED)]
    assert first == again[::-1]
    assert generate_table(Random(3), 8, 5) == generate_table(Random(3), 8, 5)
    assert generate_table(Random(3), 8, 5) != generate_table(Random(4), 8, 5)


def run_python(code: str, **environment: str) -> str:
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    run = [sys.executable, "-c", f"import random, sys, aegir_dspy.training.generated as g; {code}"]
    return subprocess.run(run, env=environment, capture_output=True, check=True, text=True).stdout


def test_hash_seeds_do_not_matter() -> None:
    code = "print([g.generate_table(random.Random(seed), 9, 3) for seed in range(150)])"  # every locale
    assert run_python(code, PYTHONHASHSEED="1") == run_python(code, PYTHONHASHSEED="2") != ""


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="'Unicorn'"):
        generate_column("Unicorn", Random(0), 3)
    with pytest.raises(InputError, match="rows, found 0"):
        generate_column("IBAN", Random(0), 0)
    with pytest.raises(InputError, match="columns, found 0"):
        generate_table(Random(0), 0, 3)


def test_without_faker_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pool.cache_clear()
    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(PrerequisiteError, match=r'pip install "aegir-dspy\[train\]"'):
        pool("xx_XX", "city")


def test_faker_is_imported_late() -> None:
    assert run_python("print('faker' in sys.modules)").strip() == "False"


def test_base64_decodes() -> None:
    form = re.compile(r"(?:[A-Za-z0-9+/]{4})+[A-Za-z0-9+/=]{4}")
    plain = [text for text in cells("Base64") if form.fullmatch(text)]
    assert plain and all(base64.b64decode(text) for text in plain)


def test_columns_are_values() -> None:
    column = generate_table(Random(0), 1, 2)[0]
    assert column == GeneratedColumn(column.label, column.header, list(column.values))
