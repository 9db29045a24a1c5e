import pytest

from aegir_dspy.tables.table import Column
from aegir_dspy.verifier.confusable import Neighbour, role_of, second_look

UUIDS = ("6D92078A-8246-4BA4-AE5B-76104861E7DC", "38400000-8CF0-41BD-B23E-10B96E40000D")
CARDS = ("4111111111111111", "5500000000000004", "340000000000009", "6011000000000004")
IBANS = ("DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606")
PHONES = ("030 1234567", "030 7654321", "040 1112223")
FAXES = ("030 1234568", "030 7654329", "040 1112299")
NPIS = ("1234567893", "1003000126", "1992999874")
DEPARTMENTS = ("75", "13", "69", "2A", "971")


@pytest.mark.parametrize(
    ("values", "header", "neighbours", "first", "second", "best"),
    [
        (UUIDS, "idfa", (), "UUID", "AdvertisingId", "AdvertisingId"),
        (
            (*UUIDS, "00000000-0000-0000-0000-000000000000"),
            "id",
            (Neighbour("device_os"),),
            "GUID",
            "IDFA",
            "IDFA",
        ),
        (("6ba7b810-9dad-11d1-80b4-00c04fd430c8",), "row_guid", (), "AdvertisingId", "UUID", "UUID"),
        (IBANS, None, (), "CreditCardNumber", "IBAN", "IBAN"),
        (CARDS, None, (), "bankAccount", "CreditCardNumber", "CreditCardNumber"),
        (
            ("12345678", "87654321", "10002000"),
            "number",
            (),
            "CreditCardNumber",
            "BankAccount",
            "BankAccount",
        ),
        (FAXES, "fax_no", (), "telephone", "faxNumber", "faxNumber"),
        (FAXES, "number2", (Neighbour("phone", "telephone", PHONES),), "telephone", "faxNumber", "faxNumber"),
        (PHONES, "phone", (Neighbour("fax", "faxNumber", FAXES),), "faxNumber", "telephone", "telephone"),
        (("Fax: 030 12345", "Fax: 040 55555"), None, (), "telephone", "faxNumber", "faxNumber"),
        (("89073", "53111", "10115"), "code", (), "departmentCode", "postalCode", "postalCode"),
        (DEPARTMENTS, "code", (), "postalCode", "departmentCode", "departmentCode"),
        (NPIS, "id", (), "PatientId", "ProviderId", "ProviderId"),
        (("1000000001", "1000000002"), "patient_id", (), "ProviderId", "PatientId", "PatientId"),
    ],
)
def test_the_second_look_decides(
    values: tuple[str, ...],
    header: str | None,
    neighbours: tuple[Neighbour, ...],
    first: str,
    second: str,
    best: str,
) -> None:
    found = second_look(Column(3, header, values), [(first, 0.5), (second, 0.4)], None, neighbours)
    assert found is not None and found[0] == best and found[1]


def test_nothing_is_said_without_evidence() -> None:
    candidates = [("telephone", 0.5), ("faxNumber", 0.4)]
    assert second_look(Column(0, "c", PHONES), candidates) is None
    assert second_look(Column(0, "fax", ("", "NULL")), candidates) is None
    assert second_look(Column(0, "fax", PHONES), [("telephone", 0.5), ("price", 0.4)]) is None
    assert (
        second_look(Column(0, "fax", PHONES), [("price", 0.5), ("telephone", 0.4), ("faxNumber", 0.1)])
        is None
    )
    assert second_look(Column(0, "fax", PHONES), []) is None


def test_check_digits_outweigh_a_header_and_few_cells_do_not() -> None:
    candidates = [("IBAN", 0.5), ("CreditCardNumber", 0.4)]
    found = second_look(Column(0, "account", CARDS), candidates)
    assert found is not None and found[0] == "CreditCardNumber" and "Luhn" in found[1]
    assert second_look(Column(0, "account", CARDS[:2]), candidates) is None


def test_roles_are_read_from_names() -> None:
    names = {"faxNumber": "fax", "telephone": "telephone", "IBAN": "bank_account", "UUID": "guid"}
    names |= {"CreditCardNumber": "payment_card", "postalCode": "postal_code", "bankCard": "payment_card"}
    assert {name: role_of(name) for name in names} == names
    assert role_of("price") is None and role_of("") is None
