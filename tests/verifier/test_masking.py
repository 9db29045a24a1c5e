import pytest

from aegir_dspy.verifier.masking import LENGTH, masked


@pytest.mark.parametrize(
    ("cell", "label", "shown"),
    [
        ("jane.doe@example.com", None, "j***@e***.com"),
        ("write to jane@mail.example.co now", None, "write to j***@m***.co now"),
        ("4111 1111 1111 1234", None, "***34"),
        ("4111 1111 1111 1111", None, "**** **** **** 1111"),
        ("DE89 3704 0044 0532 0130 00", None, "DE89 **** 0 00"),
        ("+49 30 1234567", None, "+***67"),
        ("219-09-9999", None, "***99"),
        ("2021-05-06", None, "2021-05-06"),
        ("52.52000812", None, "52.52000812"),
        ("Ada Lovelace", "Person/name", "A*** L***"),
        ("Ada Lovelace", "Book/name", "Ada Lovelace"),
        ("12.99", "price", "12.99"),
    ],
)
def test_personal_data_is_masked(cell: str, label: str | None, shown: str) -> None:
    assert masked([cell], label) == (shown,)


def test_cells_are_cut() -> None:
    assert masked(["word " * 100]) == (("word " * 100)[: LENGTH - 1] + "…",)


def test_personal_data_behind_the_cut_does_not_leak() -> None:
    (shown,) = masked(["x " * 18 + "jane.doe@example.com"])
    assert "jane" not in shown and "doe" not in shown
